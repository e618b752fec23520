//! What Gitmoor replicates and what may be asked for, as plain data: ids, paths, entries, commands,
//! outcomes; and what a path says about itself ([`name`], [`room`]). No I/O, no database, no runtime.
//!
//! What is stored or sent serialises with postcard. A change of shape is a change of the data
//! directory's version.

mod access;
mod beside;
mod change;
mod changed_names;
mod command;
mod concern;
mod entry;
mod hooks;
pub mod host_file;
mod id;
mod import;
mod member;
pub mod name;
mod nest;
mod outcome;
mod proposal;
pub mod room;
mod scope;
pub mod setting;
mod trace;

pub use access::{
    ANONYMOUS, AccessChange, DEPLOY, Grantee, Ground, GroupName, NameError, Role, Token, TokenId,
    User, UserName, presented, token_text,
};
pub use beside::{MOST_OF_FILE, MOST_OF_TARGET, NameChange, NameStep};
pub use change::{Change, Expect, FileAdd, FileRemoval, PackedEdit, RefEdit, RepoChange};
pub use changed_names::ChangedNames;
pub use command::{
    Actor, Borrowing, Command, Deletions, Envelope, FORK_ROWS, FileTouch, KEY_REUSE_DELAY, Loan,
    Relied, Repacking, TrashId,
};
pub use concern::Concern;
pub use entry::{
    BlockDigest, Digest, FileEntry, Format, Limit, ObjectFormat, PACKED_REFS, PackedRef, Place,
    RefEntry, RefStorage, Repo, Timestamp, Usage,
};
pub use hooks::{
    AcceptedHooks, HOOKS, HookFile, HookKind, HookSet, HooksChange, MOST_HOOK_BYTES,
    MOST_HOOK_FILES, MOST_OWN_HOOKS, MachineHooks, OwnHooks, is_in_hooks, is_push_hook,
    is_push_hook_directory, is_sample,
};
pub use id::{NamePath, RepoId, RepoPath, SessionId, Version, hex};
pub use import::{Import, ImportPlan, ImportStage, ImportStep, Importing};
pub use member::{
    ClaimId, Client, ClientEntry, ClusterId, Invitation, Member, Newcomer, Part, SecretDigest,
    StoreRecord,
};
pub use nest::{
    Inside, LONGEST_INSIDE, MODULES, MOST_AROUND, MOST_INSIDE, ModulePath, NestStep, Nesting,
    is_in_modules,
};
pub use outcome::{Outcome, Refusal};
pub use proposal::{MAX_ENTRY, Proposal, Unfit};
pub use scope::{PatternError, RepoPattern, Scope, Sight};
pub use trace::TraceContext;
