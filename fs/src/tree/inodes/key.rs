//! What places are sorted by.

use super::Place;
use gitmoor_model::{RepoId, RepoPath};
use std::ops::Range;

/// A place, in an order in which all that lies beneath a directory stands together: components end in NUL, which
/// no name holds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::tree) struct Key {
    /// None for the namespace.
    pub(super) repo: Option<RepoId>,
    pub(super) path: Vec<u8>,
}

impl Key {
    pub(in crate::tree) fn of(place: &Place) -> Self {
        match place {
            Place::Name(path) | Place::Beside(path) | Place::Local(path) => {
                Self::new(None, path.as_bytes())
            }
            Place::Repo(repo, path) => Self::in_repo(repo.id, path),
        }
    }

    /// Of a path of a repository.
    pub(in crate::tree) fn in_repo(repo: RepoId, path: &RepoPath) -> Self {
        Self::new(Some(repo), path.as_bytes())
    }

    fn new(repo: Option<RepoId>, path: &[u8]) -> Self {
        let of_component = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        let path = path.iter().map(of_component).collect();
        Self { repo, path }
    }

    /// The keys of what lies beneath it; it is no root.
    pub(super) fn beneath(&self) -> Range<Key> {
        let end = |byte| Key {
            repo: self.repo,
            path: [&self.path[..], &[byte]].concat(),
        };
        end(0)..end(1)
    }
}
