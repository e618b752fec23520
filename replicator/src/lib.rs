//! The truth of Gitmoor: which repositories exist, which object files they
//! have, and where every ref points; agreed by raft, kept in RocksDB.
//!
//! - [`model`]: what is replicated, as plain data: ids, entries, commands, outcomes.
//! - [`Replica`]: the trait through which the file system sees all this: a view, and a proposal. What is read of
//!   a view is in [`read`].
//! - [`Node`]: the embedded implementation: a thread that runs raft.
//! - [`Client`]: the other one: it asks the nodes of a cluster, and keeps what it uses.
//!
//! Inside, from the bottom up, and public so that tests can drive each layer
//! without the ones above: [`state`] (the deterministic state machine),
//! [`storage`] (RocksDB), [`engine`] (raft, sans-IO, and its `Ready` loop), [`peer`]
//! (a member of the cluster, sans-IO: the engine and everyone who waits for it). Beside them
//! [`net`]: what the nodes of a cluster say to each other, over mutual TLS.

mod client;
pub mod engine;
pub mod failpoint;
mod locks;
mod metrics;
pub mod net;
mod node;
pub mod parsers;
pub mod peer;
mod replica;
mod rpc;
pub mod state;
pub mod storage;

pub use gitmoor_instrument::trace;
pub use gitmoor_model as model;

pub use client::{Client, ClientConfig};
pub use node::{
    ClusterConfig, ClusterError, FOUNDER, MembershipError, Node, NodeConfig, RestoreError,
};
pub use replica::{BackupError, MemoryReplica, Observer, ProposeError, Replica};
pub use rpc::{MemberStatus, NodeState, Role, Status};
pub use state::{
    AuditSink, Child, Listing, NameEntry, NamedFile, NamedLink, PackedSink, ReadError, read,
};
pub use storage::OpenError;
