//! What an inode stands for.

use super::Process;
use crate::consistency::is_shared;
use crate::error::FsResult;
use crate::repository::Repository;
use gitmoor_model::name;
use gitmoor_model::{NamePath, RepoPath};
use std::sync::Arc;

/// A place in the tree.
#[derive(Clone)]
pub(crate) enum Place {
    /// A directory of the namespace.
    Name(NamePath),
    /// A file or a symbolic link beside repositories.
    Beside(NamePath),
    /// Anything but a repository beneath a name of the setting `local`, or that name itself.
    Local(NamePath),
    /// The top of a repository, or something in it.
    Repo(Arc<Repository>, RepoPath),
}

impl Place {
    /// Whether the two are of one kind: a file that takes the name of a directory is no directory.
    pub(super) fn is_like(&self, other: &Place) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Whether others may change what stands there.
    pub(super) fn is_shared(&self) -> bool {
        match self {
            Place::Name(_) | Place::Beside(_) => true,
            Place::Local(_) => false,
            Place::Repo(_, path) => is_shared(path),
        }
    }

    /// Whether it is an object file that has its final name.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Place::Repo(_, path) => name::kind(path).is_some(),
            Place::Name(_) | Place::Beside(_) | Place::Local(_) => false,
        }
    }

    /// A process is about to be shown what stands there. The kernel answers lookups of names that it
    /// knows by itself, but it always asks to open.
    pub(super) fn observe(&self, process: Process) {
        if let Place::Repo(repo, _) = self {
            repo.transactions().read_version(process.tid);
        }
    }

    /// Before a process is shown what stands there: no change of it waits for the end of a transaction.
    pub(super) fn settle(&self, process: Process) -> FsResult<()> {
        match self {
            Place::Repo(repo, path) if process.may_wait => repo.settle(path),
            Place::Repo(..) | Place::Name(_) | Place::Beside(_) | Place::Local(_) => Ok(()),
        }
    }

    /// fsync(2) of what is replicated there.
    pub(super) fn sync_replicated(&self) -> FsResult<()> {
        match self {
            Place::Repo(repo, path) => repo.fsync_replicated(path),
            Place::Name(_) | Place::Beside(_) | Place::Local(_) => Ok(()),
        }
    }

    /// Where it is when what it is within has moved; `None` when that cannot be.
    pub(super) fn moved(&self, from: &Place, to: &Place) -> Option<Place> {
        match (self, from, to) {
            (Place::Name(path), Place::Name(from), Place::Name(to)) => {
                NamePath::new(moved(path.as_bytes(), from.as_bytes(), to.as_bytes()))
                    .map(Place::Name)
            }
            (Place::Beside(path), Place::Name(from), Place::Name(to))
            | (Place::Beside(path), Place::Beside(from), Place::Beside(to)) => {
                NamePath::new(moved(path.as_bytes(), from.as_bytes(), to.as_bytes()))
                    .map(Place::Beside)
            }
            (Place::Local(path), Place::Local(from), Place::Local(to)) => {
                NamePath::new(moved(path.as_bytes(), from.as_bytes(), to.as_bytes()))
                    .map(Place::Local)
            }
            (Place::Repo(_, path), Place::Repo(_, from), Place::Repo(repo, to)) => {
                let path = RepoPath::new(moved(path.as_bytes(), from.as_bytes(), to.as_bytes()))?;
                Some(Place::Repo(repo.clone(), path))
            }
            _ => None,
        }
    }
}

fn moved(path: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    [to, &path[from.len()..]].concat()
}
