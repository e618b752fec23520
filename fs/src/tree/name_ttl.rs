//! How long the kernel may use a name of the tree, or its absence. On a mount that is alone: for
//! long.

use super::{Place, Tree};
use crate::consistency::NameTtl;
use gitmoor_model::RepoPath;
use gitmoor_model::name::{holds_objects, is_fan_out};

impl Tree {
    /// The TTL of the name of what stands there.
    pub(super) fn name_ttl(&self, place: &Place) -> NameTtl {
        match place {
            Place::Repo(_, path) => self.name_ttl_in_repo(path, true),
            Place::Name(_) if self.shared.freshness.is_alone() => NameTtl::Long,
            Place::Name(_) => NameTtl::Zero,
        }
    }

    fn name_ttl_in_repo(&self, path: &RepoPath, is_there: bool) -> NameTtl {
        match self.shared.freshness.is_alone() {
            true => NameTtl::Long,
            false => NameTtl::of(path, is_there),
        }
    }

    /// The TTL of "there is no such name": zero of what this file system itself brings into being,
    /// which are also objects (in a pack that bundles loose ones, or back because a ref needs them).
    /// The kernel learns of those a moment later, when a ref may name them already.
    pub(super) fn absence_ttl(&self, place: &Place) -> NameTtl {
        match place {
            Place::Repo(_, path) if path.is_root() || is_ours(path) => NameTtl::Zero,
            Place::Repo(..) if self.inodes.has_writers(place) => NameTtl::Zero,
            Place::Repo(_, path) => self.name_ttl_in_repo(path, false),
            Place::Name(_) => NameTtl::Zero,
        }
    }
}

fn is_ours(path: &RepoPath) -> bool {
    path.as_bytes() == b"config" || holds_objects(path) || is_fan_out(path)
}
