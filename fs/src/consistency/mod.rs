//! The others: in a cluster, mounts on other nodes change what is shown here.
//!
//! Before a process is shown anything that others change ([`is_shared`]), this node has caught up
//! with what was acknowledged anywhere ([`Freshness`]), and the kernel has been told of what that changed
//! ([`RemoteChanges`]). What this mount has open and others delete it lets go of. A mount whose node is alone has
//! none of this to do.

mod freshness;
mod name_ttl;
mod remote_changes;

pub(crate) use freshness::{Freshness, REUSE_WINDOW};
pub(crate) use name_ttl::{NameTtl, TOLD};
pub(crate) use remote_changes::RemoteChange;
pub use remote_changes::RemoteChanges;

use crate::git_config;
use gitmoor_model::name::is_rewritable;
use gitmoor_model::room::{Room, holds_values, may_be_value, room};
use gitmoor_model::{RepoPath, is_in_modules};

/// Whether what stands at a path of a repository may be another thing after a change elsewhere. An object
/// file never is.
pub(crate) fn is_shared(path: &RepoPath) -> bool {
    match room(path) {
        Room::Refs | Room::Host => true,
        Room::Objects => is_rewritable(path),
        // The top: which repository has its name. And so inside.
        // `config` is brought in step with what others set.
        Room::Local => {
            holds_values(path)
                || may_be_value(path)
                || is_in_modules(path)
                || path.as_bytes() == b"config"
                || path.as_bytes() == git_config::SETTINGS.as_bytes()
        }
    }
}
