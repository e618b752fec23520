//! The words of the house: what the replicator stores and what may be asked of
//! it. Everything here is plain data that serialises with postcard; a change of
//! shape is a change of the data directory's version.

mod command;
mod entry;
mod id;
mod import;
mod member;
mod outcome;

pub use command::{
    Actor, Change, Command, Condemnation, Envelope, Expect, FORK_ROWS, FileAdd, FileRemoval,
    FileTouch, PackedEdit, QUARANTINE, RefEdit, Relied, Repacking, RepoChange, TrashId,
};
pub use entry::{
    BlockDigest, Digest, FileEntry, Format, Limit, ObjectFormat, PACKED_REFS, PackedRef, Place,
    RefEntry, RefStorage, Repo, Timestamp, Usage,
};
pub use id::{NamePath, RepoId, RepoPath, SessionId, Version, hex};
pub use import::{Import, ImportPlan, ImportStage, ImportStep, Importing};
pub use member::{Client, ClusterId, Member, Newcomer, Part, SecretDigest, StoreRecord};
pub use outcome::{Outcome, Refusal};
