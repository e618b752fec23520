//! Why maintenance came to nothing. Whichever it is, the repository is as it was.

use crate::runner::JobError;
use gitmoor_fs::FsError;
use std::io;

/// Why a repack changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    /// Another maintenance has the lock.
    #[error("maintenance of this repository is under way {0}")]
    UnderWay(&'static str),
    /// Whoever asked for it, or the daemon, is leaving.
    #[error("interrupted; nothing was changed")]
    Interrupted,
    /// The repository is gone.
    #[error("the repository was deleted")]
    Deleted,
    /// git could not do it.
    #[error("{step}: {said}; nothing was changed")]
    Git {
        /// The command, without its options.
        step: String,
        /// Its last words, or how it ended.
        said: String,
    },
    /// git could not read a file that is damaged.
    #[error("damaged: {}; nothing was changed, gitmoor fsck --repair may help", files.join("; "))]
    Damaged {
        /// Path and fault of each.
        files: Vec<String>,
    },
    /// What git made lacks objects. Never seen, and looked for every time.
    #[error(
        "what git made lacks {objects} objects of the packs that it stands for, such as {example}; nothing was changed"
    )]
    Lossy {
        /// How many objects are missing.
        objects: usize,
        /// One of them, in hex.
        example: String,
    },
    /// A pack that is to be replaced, or one that was made, has no sound index.
    #[error("{path}: {reason}; nothing was changed")]
    Unprovable {
        /// Path in the repository.
        path: String,
        /// Why the index proves nothing.
        reason: String,
    },
    /// Anything else that stopped the repack.
    #[error("{0}")]
    Fs(FsError),
}

impl<E: Into<FsError>> From<E> for MaintenanceError {
    fn from(error: E) -> Self {
        match error.into() {
            FsError::Interrupted => Self::Interrupted,
            other => Self::Fs(other),
        }
    }
}

impl From<JobError> for MaintenanceError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::UnderWay(whereabouts) => Self::UnderWay(whereabouts),
            JobError::Interrupted => Self::Interrupted,
            JobError::Git { step, said } => Self::Git { step, said },
        }
    }
}

impl MaintenanceError {
    /// For a file of the view.
    pub(super) fn local(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            let text = format!("{}: {error}", path.display());
            Self::Fs(io::Error::new(error.kind(), text).into())
        }
    }
}
