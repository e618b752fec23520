//! What is kept on disk: one RocksDB per data directory, owned by one process.
//!
//! - [`Database`] opens and checks the directory, and is the [`View`] of the
//!   written state that readers and apply use.
//! - [`Disk`] is what the log and the engine need of it; a simulated one will do.
//! - [`Batch`] collects what must become durable together.
//! - [`Log`] is raft's side: entries, hard state, membership, compaction.
//! - [`snapshot`] turns the replicated state into bytes and back, in pieces; [`lay`] takes them in, and a [`Backup`] is
//!   such a state that is kept.
//!
//! [`View`]: crate::state::View

mod backup;
mod batch;
mod database;
mod disk;
pub(crate) mod entry;
mod lay;
mod log;
mod open;
mod recovery;
pub mod snapshot;
mod tail;

pub use backup::{Backup, BadBackup, RestoreError};
pub use batch::Batch;
pub use database::Database;
pub use disk::{Disk, Frozen, Stage, Turn, Turns, WriteError};
pub use lay::{Laid, lay, lay_in};
pub(crate) use log::applied;
pub use log::{Log, Position};
pub use open::{Bootstrap, OpenError};
