//! What an inode stands for.

use crate::consistency::is_shared;
use crate::repository::Repository;
use gitmoor_model::{NamePath, RepoPath};
use std::sync::Arc;

/// A place in the tree.
#[derive(Clone)]
pub(crate) enum Place {
    /// A directory of the namespace.
    Name(NamePath),
    /// The top of a repository, or something in it.
    Repo(Arc<Repository>, RepoPath),
}

impl Place {
    /// Whether others may change what stands there.
    pub(super) fn is_shared(&self) -> bool {
        match self {
            Place::Name(_) => true,
            Place::Repo(_, path) => is_shared(path),
        }
    }

    /// Where it is when what it is within has moved; `None` when that cannot be.
    pub(super) fn moved(&self, from: &Place, to: &Place) -> Option<Place> {
        match (self, from, to) {
            (Place::Name(path), Place::Name(from), Place::Name(to)) => {
                NamePath::new(moved(path.as_bytes(), from.as_bytes(), to.as_bytes()))
                    .map(Place::Name)
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
