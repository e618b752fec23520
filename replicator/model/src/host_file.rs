//! Small files that hosts (forges, web interfaces, `git daemon`) keep in a repository, beside what git keeps there.
//!
//! They are replicated as refs are, each a value of its own, but they are no refs: no quota counts them, no lock
//! excludes, and a change of one says nothing about which objects are needed. Nothing executes them, so that none
//! carries a program from one machine to another: they have no execute bits, and no name is here that git or
//! a shell runs, or that says what git runs.

use super::RepoPath;

/// Bytes that all of a repository have together, with their names: each is a part of one raft entry, and all are
/// read with the repository.
pub const MOST: u64 = 1 << 20;

/// The permission bits that one may have.
pub const PERMISSIONS: u32 = 0o666;

/// By name, but for those of [`BRANCHES`].
pub const NAMES: [&[u8]; 9] = [
    b"cgitrc",
    b"description",
    b"git-daemon-export-ok",
    b"gl-conf",
    b"gl-creator",
    b"gl-perms",
    b"info/attributes",
    b"info/exclude",
    b"info/grafts",
];

/// Where each file names a remote, as git did it before there was `remote.*` (gitrepository-layout(5)).
pub const BRANCHES: &[u8] = b"branches";

/// What git's own template says, which says nothing about the repository.
const TEMPLATES: [(&[u8], &[u8]); 2] = [
    (
        b"description",
        b"Unnamed repository; edit this file 'description' to name the repository.\n",
    ),
    (
        b"info/exclude",
        b"# git ls-files --others --exclude-from=.git/info/exclude
# Lines that start with '#' are comments.
# For a project mostly in C, the following would be a good set of
# exclude patterns (uncomment them if you want to use them):
# *.[oa]
# *~
",
    ),
];

/// Whether this is the path of one.
pub fn is_one(path: &RepoPath) -> bool {
    let path = path.as_bytes();
    NAMES.contains(&path) || is_branch(path)
}

/// A name in `branches/` that no tool gives to what it is about to rename.
fn is_branch(path: &[u8]) -> bool {
    let name = path
        .strip_prefix(BRANCHES)
        .and_then(|rest| rest.strip_prefix(b"/"));
    name.is_some_and(|name| {
        !name.contains(&b'/') && !name.starts_with(b".") && !name.ends_with(b".lock")
    })
}

/// Whether some may lie in a directory, which is not the top.
pub fn holds_some(dir: &RepoPath) -> bool {
    matches!(dir.as_bytes(), b"info" | BRANCHES)
}

/// Whether git's own template has this text under this name.
pub fn is_template(path: &RepoPath, text: &[u8]) -> bool {
    TEMPLATES.contains(&(path.as_bytes(), text))
}
