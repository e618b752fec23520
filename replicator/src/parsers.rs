//! What decodes raft's own rows and the requests of clients, for fuzzing, and for tests that say
//! what no client of ours says. Not an interface: it changes with the storage and the protocol.

pub use crate::rpc::client::{ClientCall, ClientReply, ClientRequest, ClientResponse, RowsPage};
pub use crate::rpc::{Cursor, Delta};

pub use crate::storage::entry::{
    decode_conf_state, decode_entry, decode_hard_state, decode_position, encode_conf_state,
    encode_entry, encode_hard_state, encode_position,
};
