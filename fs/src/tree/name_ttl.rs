//! How long the kernel may use a name of the tree, or its absence. On a mount that is alone: for
//! long.

use super::Place;
use crate::consistency::NameTtl;
use gitmoor_model::name::{holds_objects, is_above_lfs, is_fan_out};
use gitmoor_model::{RepoPath, is_in_modules};

/// Whether a transaction is about to give the name another file, or has done so and is not answered for.
pub(super) fn is_moving(place: &Place) -> bool {
    match place {
        Place::Repo(repo, path) => repo.is_moving(path),
        Place::Name(_) | Place::Beside(_) | Place::Local(_) => false,
    }
}

/// The TTL of the name of what stands there.
pub(super) fn name_ttl(place: &Place, is_alone: bool) -> NameTtl {
    match place {
        // An administrator may put a repository there.
        Place::Repo(_, path) if is_in_modules(path) => NameTtl::Zero,
        Place::Repo(_, path) => in_repo(path, true, is_alone),
        Place::Name(_) | Place::Beside(_) if is_alone => NameTtl::Long,
        Place::Name(_) | Place::Beside(_) => NameTtl::Zero,
        Place::Local(_) => NameTtl::Long,
    }
}

/// The TTL of "there is no such name": zero of what this file system itself brings into being,
/// which are also objects (in a pack that bundles loose ones, or back because a ref needs them).
/// The kernel learns of those a moment later, when a ref may name them already.
pub(super) fn absence_ttl(place: &Place, is_alone: bool) -> NameTtl {
    match place {
        Place::Repo(_, path) if path.is_root() || is_ours(path) || is_in_modules(path) => {
            NameTtl::Zero
        }
        Place::Repo(_, path) => in_repo(path, false, is_alone),
        Place::Name(_) | Place::Beside(_) | Place::Local(_) => NameTtl::Zero,
    }
}

fn in_repo(path: &RepoPath, is_there: bool, is_alone: bool) -> NameTtl {
    match is_alone {
        true => NameTtl::Long,
        false => NameTtl::of(path, is_there),
    }
}

fn is_ours(path: &RepoPath) -> bool {
    path.as_bytes() == b"config" || holds_objects(path) || is_fan_out(path) || is_above_lfs(path)
}
