//! The others: in a cluster, mounts on other nodes change what is shown here.
//!
//! Before a process is shown anything that others change ([`may_change`]), this node has caught up
//! with what was acknowledged anywhere ([`Freshness`]), and the kernel remembers no such name. What
//! this mount has open and others delete it lets go of ([`RemoteChanges`]). A mount whose node is alone has
//! none of this to do.

mod freshness;
mod remote_changes;

pub(crate) use freshness::{AGAIN, Freshness};
pub use remote_changes::RemoteChanges;

use crate::git_config;
use gitmoor_model::RepoPath;
use gitmoor_model::name::is_rewritable;
use gitmoor_model::room::{Room, room};

/// How long a kernel may take a name for what it was, although others may have changed it. Whichever it
/// is, an open finds the file that is there now: another file is another inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lasting {
    /// Nobody else changes it.
    Long,
    /// For as long as an answer of the cluster serves a process again ([`freshness::AGAIN`]).
    Moment,
    /// Each use asks.
    Never,
}

/// Whether what stands at a path of a repository may be another thing after a change elsewhere. An object
/// file never is.
pub(crate) fn may_change(path: &RepoPath) -> bool {
    match room(path) {
        Room::Refs => true,
        Room::Objects => is_rewritable(path),
        // The top: which repository has its name.
        Room::Local => path.is_root() || path.as_bytes() == git_config::SETTINGS.as_bytes(),
    }
}

/// How long a name in a repository, or its absence, lasts where others may change it.
pub(crate) fn lasting(path: &RepoPath, is_there: bool) -> Lasting {
    if !may_change(path) {
        return Lasting::Long;
    }
    match path.as_bytes() {
        // These stay what they are for as long as the repository is there. A git looks them up
        // twenty times.
        b"HEAD" | b"refs" | b"refs/heads" | b"refs/tags" | b"gitmoor.config" if is_there => {
            Lasting::Moment
        }
        // Without it objects are missing.
        b"objects/info/alternates" => Lasting::Never,
        // What can be made again from the objects: git goes without it.
        _ if room(path) == Room::Objects => Lasting::Moment,
        _ => Lasting::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_must_ask_about_what() {
        let path = |text: &str| RepoPath::new(text).expect("a valid path");
        for (text, there, absent) in [
            ("refs/heads/main", Lasting::Never, Lasting::Never),
            ("packed-refs", Lasting::Never, Lasting::Never),
            ("HEAD", Lasting::Moment, Lasting::Never),
            ("refs/heads", Lasting::Moment, Lasting::Never),
            ("", Lasting::Never, Lasting::Never),
            ("objects/info/alternates", Lasting::Never, Lasting::Never),
            ("objects/pack/pack-1.keep", Lasting::Moment, Lasting::Moment),
            ("objects/pack", Lasting::Long, Lasting::Long),
            ("config", Lasting::Long, Lasting::Long),
            ("refs/bisect/bad", Lasting::Long, Lasting::Long),
        ] {
            let path = path(text);
            assert_eq!(
                (lasting(&path, true), lasting(&path, false)),
                (there, absent),
                "{path}"
            );
        }
    }
}
