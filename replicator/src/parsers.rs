//! What decodes raft's own rows, for fuzzing. Not an interface: it changes with
//! the storage.

pub use crate::storage::entry::{
    decode_conf_state, decode_entry, decode_hard_state, decode_position, encode_conf_state,
    encode_entry, encode_hard_state, encode_position,
};
