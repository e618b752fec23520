//! Why an import came to nothing. Whichever it is, nothing of it can be seen.

use crate::runner::JobError;
use gitmoor_fs::FsError;
use std::io;
use std::path::{Path, PathBuf};

/// Why an import ended without a repository.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Something has that name.
    #[error("{0} exists already")]
    Exists(String),
    /// It was begun with another source.
    #[error(
        "an import of {repository} from {origin} has begun: go on with that, or give it up with \
         gitmoor import --abandon {repository}"
    )]
    OtherSource {
        /// Name that the repository is to get.
        repository: String,
        /// Where it comes from.
        origin: String,
    },
    /// Nothing is under way that could be given up.
    #[error("no import of {0} is under way")]
    NotBegun(String),
    /// Something at the source keeps it from being taken over.
    #[error("{}: {reason}", path.display())]
    InTheWay {
        /// The file or directory in the way.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// Its objects cannot be read meanwhile.
    #[error("{0}: only a repository on this machine can be served while it is imported")]
    NotLive(String),
    /// It is too late for that.
    #[error(
        "an import of {0} has begun: go on without --live, or give it up with gitmoor import --abandon {0}"
    )]
    BegunHidden(String),
    /// Another has the lock.
    #[error("an import of this repository is under way {0}")]
    UnderWay(&'static str),
    /// Whoever asked for it, or the daemon, is leaving.
    #[error("interrupted; the same command goes on where it was")]
    Interrupted,
    /// There is no repository.
    #[error("{}: {reason}", path.display())]
    NoRepository {
        /// The path that was given.
        path: PathBuf,
        /// What is there instead.
        reason: String,
    },
    /// Not all objects are in the source, and are not meant to be.
    #[error("{}: {reason}", path.display())]
    Partial {
        /// Path of the source.
        path: PathBuf,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// Something of the source cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The file that cannot be read.
        path: PathBuf,
        /// What the system call returned.
        error: io::Error,
    },
    /// Something of the source is not what it should be.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// The file that is damaged.
        path: PathBuf,
        /// What is wrong with the file.
        reason: String,
    },
    /// Objects that refs reach are missing at the source.
    #[error("{}: not all objects that its refs reach are there: {said}", path.display())]
    Incomplete {
        /// Path of the source.
        path: PathBuf,
        /// What git said about the missing objects.
        said: String,
    },
    /// The source is written to, and what was to be read is gone. It is looked at anew a few times.
    #[error("the source changes faster than it can be read: {0}")]
    Moved(String),
    /// What was stored is not what was sent. It is sent again when the import goes on.
    #[error("{path}: the store gave back something else than it was given: {reason}")]
    Spoiled {
        /// Path of the file in the repository.
        path: String,
        /// How the bytes differ.
        reason: String,
    },
    /// git could not do it.
    #[error("{step}: {said}")]
    Git {
        /// The command, without its options.
        step: String,
        /// Its last words, or how it ended.
        said: String,
    },
    /// Anything else that the file system refused.
    #[error("{0}")]
    Fs(FsError),
}

impl<E: Into<FsError>> From<E> for ImportError {
    fn from(error: E) -> Self {
        match error.into() {
            FsError::Interrupted
            | FsError::Store(gitmoor_store::object_store::StoreError::Interrupted { .. }) => {
                Self::Interrupted
            }
            other => Self::Fs(other),
        }
    }
}

impl From<JobError> for ImportError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::UnderWay(whereabouts) => Self::UnderWay(whereabouts),
            JobError::Interrupted => Self::Interrupted,
            JobError::Git { step, said } => Self::Git { step, said },
        }
    }
}

impl ImportError {
    /// For a file of this daemon's own.
    pub(super) fn local(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            let text = format!("{}: {error}", path.display());
            Self::Fs(io::Error::new(error.kind(), text).into())
        }
    }

    /// For a file of the source. One that is not there any more was there when it was found.
    pub(super) fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| match error.kind() {
            io::ErrorKind::NotFound => Self::Moved(format!("{} is gone", path.display())),
            _ => Self::Unreadable {
                path: path.to_owned(),
                error,
            },
        }
    }
}
