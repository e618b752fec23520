//! One error for everything the tree does; errno is chosen in one place.

use crate::hooks::HooksError;
use gitmoor_model::{Outcome, Refusal, Version};
use gitmoor_replicator::{BackupError, ProposeError, ReadError};
use gitmoor_store::block_cache::{CacheError, CacheReadError};
use gitmoor_store::object_store::{ProbeError, StoreError};
use std::io;
use std::time::Duration;

/// Why an operation of the tree failed.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    /// There is no entry of this name.
    #[error("no such file or directory")]
    NotFound,
    /// The name is taken.
    #[error("file exists")]
    Exists,
    /// A directory was needed.
    #[error("not a directory")]
    NotDirectory,
    /// Anything but a directory was needed.
    #[error("is a directory")]
    IsDirectory,
    /// The directory still has entries.
    #[error("directory not empty")]
    NotEmpty,
    /// From one room to another: mv(1) copies instead.
    #[error(
        "source and target are of different kinds (objects, refs, other files): copy the file instead"
    )]
    CrossRoom,
    /// Finished object files and rendered files are never written to.
    #[error("immutable file")]
    Immutable,
    /// The mount changes nothing.
    #[error("this mount is read-only")]
    ReadOnly,
    /// `hooks/` is not the repository's.
    #[error(
        "hooks/ of every repository is a directory of this machine (the setting hooks), or what says why that is not in \
         use: nobody changes it through the mount"
    )]
    HooksOfMachine,
    /// The hooks directory cannot be used.
    #[error("{0}")]
    Hooks(#[from] HooksError),
    /// What was asked for has no place there.
    #[error("not allowed here: {0}")]
    NotHere(&'static str),
    /// Not something this file system has (device nodes, RENAME_EXCHANGE, …).
    #[error("not supported: {0}")]
    Unsupported(&'static str),
    /// More than a value may have.
    #[error("larger than the {most} bytes that a file of this name may have")]
    TooLarge {
        /// The largest size in bytes.
        most: u64,
    },
    /// A file that is mostly holes was to get a final name.
    #[error(
        "{path}: of its {bytes} bytes {written} were written, the rest are holes: such a file gets no name in objects/"
    )]
    Sparse {
        /// Path in the repository.
        path: String,
        /// Length of the file in bytes.
        bytes: u64,
        /// How many of them are no holes.
        written: u64,
    },
    /// What an inode stood for is gone, or another file has its name: the kernel looks the name up again.
    #[error("the name is gone, or another file's by now")]
    Stale,
    /// The name or argument cannot be.
    #[error("invalid argument")]
    Invalid,
    /// Whose it is needs it.
    #[error("{path} is in use by process {push}, a push: only that may delete it")]
    Quarantined {
        /// Path in the repository.
        path: String,
        /// Process id of the push.
        push: u32,
    },
    /// The commit that names it was made after all.
    #[error(
        "{path} is named by tables.list, whose change was reported as failed and was made after all"
    )]
    Listed {
        /// Path in the repository.
        path: String,
    },
    /// The bytes of an object file are not those its name promises.
    #[error("{path}: {reason}")]
    WrongBytes {
        /// Path in the repository.
        path: String,
        /// What does not match.
        reason: String,
    },
    /// Too much is staged, and it does not get less.
    #[error(
        "{staged} bytes are staged, more than staging-size ({limit}), and none goes up: {reason}; \
         see gitmoor status, bring the store back or raise staging-size"
    )]
    StagingFull {
        /// Bytes, of finished files and of those in the making.
        staged: u64,
        /// The limit, `staging-size`, in bytes.
        limit: u64,
        /// Why none goes up.
        reason: String,
    },
    /// The daemon's limit of open files is near, or a user has a full share of it.
    #[error(
        "user {user} has {open} files open on the mount, as many as the daemon's own limit of open files \
         allows one user: raise that (ulimit -Hn, LimitNOFILE=)"
    )]
    TooManyOpen {
        /// How many that user has open.
        open: u64,
        /// Id of the user.
        user: u32,
    },
    /// A user has a full share of the calls that may wait.
    #[error(
        "user {user} has as many calls waiting as one user may: see gitmoor status for what they wait for"
    )]
    TooManyWaiting {
        /// Id of the user.
        user: u32,
    },
    /// Others may have changed it, and the cluster does not say.
    #[error(
        "no majority of the cluster has answered within {within:?}, so others may have changed this; \
         see gitmoor cluster status, or allow stale-reads"
    )]
    NotCurrent {
        /// How long it was waited for.
        within: Duration,
    },
    /// What is kept for days would be judged by a wrong clock.
    #[error(
        "the store's clock is {} s {} this machine's: nothing is deleted for its age until both are right \
         (timedatectl shows this machine's)",
        ahead.unsigned_abs(),
        if *ahead > 0 { "ahead of" } else { "behind" }
    )]
    Clock {
        /// Seconds by which the store's is ahead.
        ahead: i64,
    },
    /// The store does not do what a store must.
    #[error("{0}")]
    Probe(#[from] ProbeError),
    /// Another machine may have had the lock meanwhile.
    #[error(
        "the lock of {name} was lost: this machine was not heard of for longer than a lock lasts, and \
         another may have had it; nothing was changed, try again"
    )]
    LockLost {
        /// What the lock was on.
        name: String,
    },
    /// What was answered before it was durable came to nothing.
    #[error("an earlier step of the same transaction was not committed: {reason}")]
    EarlierStep {
        /// Why not.
        reason: String,
    },
    /// What a process has seen may be gone for good.
    #[error(
        "objects were removed since this process first looked, and have left the trash (trash-keep): \
         run it again, it begins with what is there now"
    )]
    Outlived,
    /// The process that waited for it is ending.
    #[error("interrupted")]
    Interrupted,
    /// A ref is not what the writer saw when it took the lock.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The store did not take or give bytes.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Cached bytes cannot be had.
    #[error("{0}")]
    Cache(#[from] CacheReadError),
    /// The cache's own files fail.
    #[error("{0}")]
    CacheDisk(#[from] CacheError),
    /// The replicator could not be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The replicator gave no outcome.
    #[error("{0}")]
    Propose(#[from] ProposeError),
    /// A disk error of this machine.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<BackupError> for FsError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Read(error) => error.into(),
            BackupError::Write(error) => error.into(),
        }
    }
}

/// What the tree's operations return.
pub type FsResult<T> = Result<T, FsError>;

/// The commit of a command that was not refused.
pub(crate) fn done(outcome: Outcome) -> FsResult<Version> {
    Ok(outcome.done()?)
}

impl FsError {
    /// The error of an operation on an inode: what is not found was there when the kernel looked.
    pub(crate) fn of_inode(self) -> Self {
        match self {
            FsError::NotFound => FsError::Stale,
            error => error,
        }
    }

    /// The errno that git sees.
    ///
    /// What an offline mount lacks is EIO, as a block is that a disk cannot give: programs take that for "it
    /// exists and cannot be had", where ENOENT would be "there is no such object" and one of the network's
    /// errors something to try again at once. The words are in the log and in `gitmoor status`.
    pub fn errno(&self) -> i32 {
        match self {
            FsError::NotFound => libc::ENOENT,
            FsError::Exists => libc::EEXIST,
            FsError::NotDirectory => libc::ENOTDIR,
            FsError::IsDirectory => libc::EISDIR,
            FsError::NotEmpty => libc::ENOTEMPTY,
            FsError::CrossRoom => libc::EXDEV,
            FsError::Immutable | FsError::NotHere(_) | FsError::Hooks(_) => libc::EPERM,
            FsError::ReadOnly
            | FsError::HooksOfMachine
            | FsError::Store(StoreError::ReadOnly { .. } | StoreError::NotOwner { .. }) => {
                libc::EROFS
            }
            FsError::Unsupported(_) => libc::EOPNOTSUPP,
            FsError::Invalid => libc::EINVAL,
            FsError::TooLarge { .. } | FsError::Sparse { .. } => libc::EFBIG,
            FsError::Quarantined { .. } | FsError::Listed { .. } => libc::EBUSY,
            FsError::Interrupted
            | FsError::Store(StoreError::Interrupted { .. })
            | FsError::Cache(CacheReadError::Interrupted { .. }) => libc::EINTR,
            FsError::StagingFull { .. } => libc::ENOSPC,
            FsError::TooManyOpen { .. } => libc::ENFILE,
            FsError::TooManyWaiting { .. } => libc::EAGAIN,
            FsError::WrongBytes { .. }
            | FsError::NotCurrent { .. }
            | FsError::Clock { .. }
            | FsError::Probe(_)
            | FsError::EarlierStep { .. }
            | FsError::Store(_) => libc::EIO,
            FsError::CacheDisk(CacheError::Local { source, .. }) if is_out_of_files(source) => {
                libc::ENFILE
            }
            FsError::Cache(_) | FsError::CacheDisk(_) | FsError::Read(_) | FsError::Propose(_) => {
                libc::EIO
            }
            FsError::Stale | FsError::LockLost { .. } => libc::ESTALE,
            // Not ESTALE: for that the kernel calls a second time, when the process has begun anew.
            FsError::Outlived => libc::EAGAIN,
            FsError::Refused(refusal) => refusal_errno(refusal),
            FsError::Io(error) if is_out_of_files(error) => libc::ENFILE,
            FsError::Io(error) => error.raw_os_error().unwrap_or(libc::EIO),
        }
    }

    /// Whether an operation cannot be done where it was asked for, and only the sentence says why.
    pub(crate) fn says_more_than_its_errno(&self) -> bool {
        match self {
            FsError::NotHere(_)
            | FsError::HooksOfMachine
            | FsError::Unsupported(_)
            | FsError::TooLarge { .. }
            | FsError::Refused(
                Refusal::BadPath(_)
                | Refusal::NotPermitted(_)
                | Refusal::HooksDiffer { .. }
                | Refusal::HooksMissing { .. },
            ) => true,
            FsError::NotFound
            | FsError::Exists
            | FsError::NotDirectory
            | FsError::IsDirectory
            | FsError::NotEmpty
            | FsError::CrossRoom
            | FsError::Immutable
            | FsError::ReadOnly
            | FsError::Hooks(_)
            | FsError::Sparse { .. }
            | FsError::Stale
            | FsError::Invalid
            | FsError::Quarantined { .. }
            | FsError::Listed { .. }
            | FsError::WrongBytes { .. }
            | FsError::StagingFull { .. }
            | FsError::TooManyOpen { .. }
            | FsError::TooManyWaiting { .. }
            | FsError::NotCurrent { .. }
            | FsError::Clock { .. }
            | FsError::Probe(_)
            | FsError::LockLost { .. }
            | FsError::EarlierStep { .. }
            | FsError::Outlived
            | FsError::Interrupted
            | FsError::Refused(_)
            | FsError::Store(_)
            | FsError::Cache(_)
            | FsError::CacheDisk(_)
            | FsError::Read(_)
            | FsError::Propose(_)
            | FsError::Io(_) => false,
        }
    }

    /// Whether the daemon should log it: a person may have to act, whereas git
    /// expects the others.
    pub(crate) fn is_fault(&self) -> bool {
        match self {
            FsError::Interrupted
            | FsError::TooManyWaiting { .. }
            // Logged when it came to nothing.
            | FsError::EarlierStep { .. }
            | FsError::Store(StoreError::Interrupted { .. })
            | FsError::Cache(CacheReadError::Interrupted { .. }) => false,
            FsError::WrongBytes { .. }
            | FsError::NotCurrent { .. }
            | FsError::Clock { .. }
            | FsError::Probe(_)
            | FsError::StagingFull { .. }
            | FsError::TooManyOpen { .. }
            | FsError::Store(_)
            | FsError::Cache(_)
            | FsError::CacheDisk(_)
            | FsError::Read(_)
            | FsError::Propose(_) => true,
            FsError::Io(error) if is_out_of_files(error) => true,
            FsError::Io(error) => matches!(
                error.raw_os_error(),
                Some(libc::EIO | libc::ENOSPC | libc::EDQUOT | libc::EROFS) | None
            ),
            FsError::NotFound
            | FsError::Stale
            | FsError::Exists
            | FsError::NotDirectory
            | FsError::IsDirectory
            | FsError::NotEmpty
            | FsError::CrossRoom
            | FsError::Immutable
            | FsError::ReadOnly
            | FsError::HooksOfMachine
            | FsError::Hooks(_)
            | FsError::NotHere(_)
            | FsError::Unsupported(_)
            | FsError::Invalid
            | FsError::TooLarge { .. }
            | FsError::Sparse { .. }
            | FsError::Quarantined { .. }
            | FsError::Listed { .. }
            | FsError::LockLost { .. }
            | FsError::Outlived
            | FsError::Refused(_) => false,
        }
    }
}

/// The daemon has no descriptor left. To git EMFILE would mean that git itself has too
/// many open files, so it is told ENFILE: the system has.
fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

fn refusal_errno(refusal: &Refusal) -> i32 {
    match refusal {
        Refusal::Exists(_) => libc::EEXIST,
        Refusal::NotFound(_) | Refusal::NoRepo(_) | Refusal::NotInTrash(_) => libc::ENOENT,
        Refusal::NotEmpty(_) => libc::ENOTEMPTY,
        Refusal::BadPath(_) | Refusal::NotPermitted(_) => libc::EPERM,
        // Of commands that no file system call makes.
        Refusal::Founded(_)
        | Refusal::NotFounded
        | Refusal::NotInvited
        | Refusal::NoMember(_)
        | Refusal::OtherStore { .. }
        | Refusal::AddressTaken { .. }
        | Refusal::NoImport(_)
        | Refusal::BeingImported(_)
        | Refusal::Unverified { .. }
        | Refusal::NoUser(_)
        | Refusal::UserExists(_)
        | Refusal::NoToken(_)
        | Refusal::TokenExists(_)
        | Refusal::NoGrant { .. }
        | Refusal::NotInGroup { .. } => libc::EPERM,
        // As a disk does: a file where a directory is needed, or the reverse.
        Refusal::DirectoryConflict { name, with } => {
            if with.as_bytes().len() < name.as_bytes().len() {
                libc::ENOTDIR
            } else {
                libc::EISDIR
            }
        }
        Refusal::RefMoved { .. }
        | Refusal::RefsMoved { .. }
        | Refusal::Repacked { .. }
        | Refusal::Changed { .. }
        | Refusal::NameChanged { .. } => libc::ESTALE,
        // The publisher stores again when it meets these.
        Refusal::HasTombstone { .. }
        | Refusal::TombstonesExpired
        | Refusal::Pruned
        | Refusal::NotLent { .. } => libc::EAGAIN,
        Refusal::OverQuota { .. } | Refusal::TooManyRows { .. } => libc::EDQUOT,
        Refusal::HostFilesTooLarge { .. } => libc::EFBIG,
        // As on a disk that takes nothing.
        Refusal::HooksDiffer { .. } | Refusal::HooksMissing { .. } => libc::EROFS,
    }
}
