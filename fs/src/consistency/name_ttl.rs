//! How long the kernel may use a name without asking again.
//!
//! The names of repositories have no life, so that each process that comes from outside asks before it is shown any
//! other name.
//!
//! The kernel hears of what others change ([`RemoteChanges`](super::RemoteChanges)): the attributes of a
//! file that changed are no longer valid, and a directory that got a name becomes another inode. So names of a
//! repository live as long as they would on a mount alone, but for [`TOLD`] at most. Names that begin at the
//! top of a repository are not told of when they come into being: processes work there, and the top stays
//! the inode that it is.

use super::is_shared;
use gitmoor_model::RepoPath;
use std::time::Duration;

/// How long a name lives of whose changes the kernel is told. On a machine that has lost the cluster nobody tells.
pub(crate) const TOLD: Duration = Duration::from_secs(10);

/// How long the kernel may use a name, its absence, or attributes. In the order of length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum NameTtl {
    /// Each use asks.
    Zero,
    /// Others change it, and the kernel is told: for [`TOLD`].
    Told,
    /// Only this mount changes the name.
    Long,
}

impl NameTtl {
    /// The TTL of a name in a repository, or of its absence, on a mount beside others.
    pub(crate) fn of(path: &RepoPath, is_there: bool) -> Self {
        match (is_shared(path), is_there) {
            (false, _) => NameTtl::Long,
            (true, true) if path.is_root() => NameTtl::Zero,
            (true, true) => NameTtl::Told,
            (true, false) if is_at_top(path) => NameTtl::Zero,
            (true, false) => NameTtl::Told,
        }
    }
}

fn is_at_top(path: &RepoPath) -> bool {
    path.parent().is_none_or(|dir| dir.is_root())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_ttl() {
        let path = |text: &str| RepoPath::new(text).expect("a valid path");
        for (text, there, absent) in [
            ("", NameTtl::Zero, NameTtl::Zero),
            ("refs/heads/main", NameTtl::Told, NameTtl::Told),
            ("packed-refs", NameTtl::Told, NameTtl::Zero),
            ("HEAD", NameTtl::Told, NameTtl::Zero),
            ("refs/heads", NameTtl::Told, NameTtl::Told),
            ("objects/info/alternates", NameTtl::Told, NameTtl::Told),
            ("objects/pack/pack-1.keep", NameTtl::Told, NameTtl::Told),
            ("objects/pack", NameTtl::Long, NameTtl::Long),
            ("config", NameTtl::Told, NameTtl::Zero),
            ("hooks", NameTtl::Long, NameTtl::Long),
            ("info", NameTtl::Told, NameTtl::Zero),
            ("info/attributes", NameTtl::Told, NameTtl::Told),
            ("info/refs", NameTtl::Long, NameTtl::Long),
            ("git-daemon-export-ok", NameTtl::Told, NameTtl::Zero),
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
