//! Small files that hosts (forges, web interfaces, `git daemon`) keep in a repository, beside what git keeps there.
//!
//! They are replicated as refs are, each a value of its own, but they are no refs: no quota counts them, no lock
//! excludes, and a change of one says nothing about which objects are needed. Nothing executes them, so that none
//! carries a program from one machine to another: they have no execute bits, and no name is here that git or
//! a shell runs, or that says what git runs.
//!
//! A repository may add names by the replicated setting [`ADDED`]. It is the repository's and no machine's: machines with
//! different lists would show different repositories.

use super::{Repo, RepoPath};

/// Bytes that all of a repository have together, with their names: each is a part of one raft entry, and all are
/// read with the repository.
pub const MOST: u64 = 1 << 20;

/// The permission bits that one may have.
pub const PERMISSIONS: u32 = 0o666;

/// By name, but for those of [`BRANCHES`].
pub const NAMES: [&[u8]; 11] = [
    b"cgitrc",
    b"description",
    b"git-daemon-export-ok",
    b"gl-conf",
    b"gl-creator",
    b"gl-forked-from",
    b"gl-perms",
    b"gl-rm-ok",
    b"info/attributes",
    b"info/exclude",
    b"info/grafts",
];

/// Where each file names a remote, as git did it before there was `remote.*` (gitrepository-layout(5)).
pub const BRANCHES: &[u8] = b"branches";

/// The setting by which a repository adds names, one a line.
pub const ADDED: &str = "gitmoor.replicate";

/// Beginnings of names at the top that git or we have a use for.
const OTHERS: [&[u8]; 29] = [
    b"branches",
    b"common",
    b"config",
    b"custom_hooks",
    b"fsmonitor",
    b"gc.",
    b"gitdir",
    b"gitmoor",
    b"hooks",
    b"index",
    b"info",
    b"lfs",
    b"locked",
    b"logs",
    b"lost-found",
    b"modules",
    b"objects",
    b"packed-refs",
    b"rebase",
    b"reftable",
    b"refs",
    b"remotes",
    b"rr-cache",
    b"sequencer",
    b"shallow",
    b"sharedindex",
    b"svn",
    b"tmp_",
    b"worktrees",
];

/// The same in `info/`.
const OTHERS_IN_INFO: [&[u8]; 2] = [b"refs", b"sparse-checkout"];

/// Ends that others give a meaning to.
const ENDS: [&[u8]; 2] = [b".lock", b".git"];

/// Bytes of a name that a setting adds.
const LONGEST: usize = 64;

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

/// The paths of [`NAMES`].
pub fn named() -> impl Iterator<Item = RepoPath> {
    let path = |name: &[u8]| RepoPath::new(name).expect("a valid path");
    NAMES.into_iter().map(path)
}

/// Whether this is the path of one.
pub fn is_one(path: &RepoPath) -> bool {
    let path = path.as_bytes();
    NAMES.contains(&path) || is_branch(path)
}

/// Whether the setting may add a path: a name at the top, or in `info/`, that git has no use for. It begins as no
/// pseudoref does, and no temporary file.
pub fn may_be_added(path: &RepoPath) -> bool {
    let path = path.as_bytes();
    let (name, others): (_, &[&[u8]]) = match path.strip_prefix(b"info/") {
        Some(name) => (name, &OTHERS_IN_INFO),
        None => (path, &OTHERS),
    };
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._+@-".contains(byte);
    name.first().is_some_and(u8::is_ascii_lowercase)
        && name.len() <= LONGEST
        && name.iter().all(is_plain)
        && !others.iter().any(|other| name.starts_with(other))
        && !ENDS.iter().any(|end| name.ends_with(end))
        && !NAMES.contains(&path)
}

/// Whether this is the path of one, in a repository that adds it.
pub fn may_be_one(path: &RepoPath) -> bool {
    is_one(path) || may_be_added(path)
}

/// The paths of a value of [`ADDED`].
pub fn added(setting: Option<&str>) -> impl Iterator<Item = RepoPath> {
    let names = setting.into_iter().flat_map(|names| names.split('\n'));
    names.filter_map(RepoPath::new).filter(may_be_added)
}

/// The paths that a repository adds.
pub fn added_by(repo: &Repo) -> impl Iterator<Item = RepoPath> {
    added(repo.settings.get(ADDED).map(String::as_str))
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
