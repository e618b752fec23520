//! The state machine: pure, deterministic, without I/O of its own.
//!
//! [`apply()`] takes a command and an [`Overlay`] over whatever holds the rows,
//! and leaves the changes in the overlay. Nothing here reads a clock, a random
//! number, a map in hash order or anything else that could differ between two
//! nodes. [`read`] has what the file system and the nodes ask of any [`View`].

mod access;
mod apply;
mod audit;
mod beside;
mod borrow;
mod catalog;
mod commit;
mod error;
mod fork;
mod hooks;
mod host_files;
mod import;
mod keys;
mod members;
mod memory;
mod namespace;
mod nest;
mod overlay;
mod owner;
mod quota;
pub mod read;
mod refs;
mod repack;
pub mod sessions;
mod settings;
mod shared_keys;
mod table;
mod tombstones;
mod trash;
mod value;
mod view;

pub use apply::{Context, apply};
pub use audit::{AuditEvent, AuditRecord, RefMove, Trail};
pub(crate) use beside::place_of;
pub use error::ReadError;
pub(crate) use members::{no_claims, rows_of_cluster};
pub use memory::MemoryRows;
pub use namespace::{NameEntry, NamedFile, NamedLink};
pub(crate) use overlay::Shown;
pub use overlay::{Changes, Overlay, TableChanges};
pub(crate) use owner::{Owner, owner};
pub use read::{AuditSink, Child, Grant, Listing, PackedSink};
pub use table::Table;
pub use tombstones::Tombstone;
pub use trash::{TrashedFile, TrashedRepo};
pub use value::RefValue;
pub use view::{KeyRange, Step, View, Visit};
