//! The others: in a cluster, mounts on other nodes change what is shown here.
//!
//! Before a process is shown anything that others change ([`may_change`]), this node has caught up
//! with what was acknowledged anywhere ([`Freshness`]), and the kernel remembers no such name. What
//! this mount has open and others delete it lets go of ([`Elsewhere`]). A mount whose node is alone has
//! none of this to do.

mod elsewhere;
mod freshness;

pub(crate) use elsewhere::Deleted;
pub use elsewhere::Elsewhere;
pub(crate) use freshness::Freshness;

use crate::local::config;
use crate::objects::name::is_rewritable;
use crate::repository::room::{Room, room};
use gitmoor_replicator::model::RepoPath;

/// Whether what stands at a path of a repository may be another thing after a change elsewhere. An object
/// file never is.
pub(crate) fn may_change(path: &RepoPath) -> bool {
    match room(path) {
        Room::Refs => true,
        Room::Objects => is_rewritable(path),
        // The top: which repository has its name.
        Room::Local => path.is_root() || path.as_bytes() == config::SETTINGS.as_bytes(),
    }
}
