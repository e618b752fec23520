//! How long the kernel may use a name without asking again.
//!
//! The kernel does not hear of remote changes: an invalidation takes the lock of the directory, which
//! a lookup holds that may wait for the very change, and a new epoch (Linux 6.16) drops the
//! directories that processes work in. So the kernel asks each time, which costs much less than
//! starting a git. Whichever TTL a name has, an open finds the file that is there now: another file
//! is another inode.

use super::is_shared;
use gitmoor_model::RepoPath;
use gitmoor_model::room::{Room, room};

/// How long the kernel may use a name, or its absence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NameTtl {
    /// Only this mount changes the name.
    Long,
    /// As long as an answer of the cluster may serve a process again
    /// ([`REUSE_WINDOW`](super::REUSE_WINDOW)).
    ReuseWindow,
    /// Each use asks.
    Zero,
}

impl NameTtl {
    /// The TTL of a name in a repository, or of its absence, on a mount beside others.
    pub(crate) fn of(path: &RepoPath, is_there: bool) -> Self {
        if !is_shared(path) {
            return NameTtl::Long;
        }
        match path.as_bytes() {
            // These stay what they are for as long as the repository is there. A git looks them up
            // twenty times.
            b"HEAD" | b"refs" | b"refs/heads" | b"refs/tags" | b"config" | b"gitmoor.config"
            | b"info" | b"branches"
                if is_there =>
            {
                NameTtl::ReuseWindow
            }
            // Without it objects are missing.
            b"objects/info/alternates" => NameTtl::Zero,
            // What can be made again from the objects: git goes without it.
            _ if room(path) == Room::Objects => NameTtl::ReuseWindow,
            _ => NameTtl::Zero,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_ttl() {
        let path = |text: &str| RepoPath::new(text).expect("a valid path");
        for (text, there, absent) in [
            ("refs/heads/main", NameTtl::Zero, NameTtl::Zero),
            ("packed-refs", NameTtl::Zero, NameTtl::Zero),
            ("HEAD", NameTtl::ReuseWindow, NameTtl::Zero),
            ("refs/heads", NameTtl::ReuseWindow, NameTtl::Zero),
            ("", NameTtl::Zero, NameTtl::Zero),
            ("objects/info/alternates", NameTtl::Zero, NameTtl::Zero),
            (
                "objects/pack/pack-1.keep",
                NameTtl::ReuseWindow,
                NameTtl::ReuseWindow,
            ),
            ("objects/pack", NameTtl::Long, NameTtl::Long),
            ("config", NameTtl::ReuseWindow, NameTtl::Zero),
            ("hooks", NameTtl::Long, NameTtl::Long),
            ("info", NameTtl::ReuseWindow, NameTtl::Zero),
            ("info/attributes", NameTtl::Zero, NameTtl::Zero),
            ("info/refs", NameTtl::Long, NameTtl::Long),
            ("git-daemon-export-ok", NameTtl::Zero, NameTtl::Zero),
            ("refs/bisect/bad", NameTtl::Long, NameTtl::Long),
        ] {
            let path = path(text);
            assert_eq!(
                (NameTtl::of(&path, true), NameTtl::of(&path, false)),
                (there, absent),
                "{path}"
            );
        }
    }
}
