//! Raft, in two layers.
//!
//! [`Core`] is sans-IO: messages, ticks and proposals go in; work comes out
//! (what to persist, what to send, which commands are committed). [`Engine`]
//! does that work against a disk, one `Ready` at a time, in the one
//! order that is safe. Neither has threads, clocks or sockets; those live in
//! the node's loop.

mod core;
mod drive;
mod logger;
mod metrics;

pub use self::core::{
    Aftermath, Committed, Core, Effect, Incarnation, Leadership, NotNow, RaftLimits, Work,
};
pub use drive::{Applied, Changed, Compaction, Engine, Event, Fatal};
