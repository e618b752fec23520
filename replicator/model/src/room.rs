//! Which of the four rooms a path of a repository belongs to. Decided by the
//! path alone.

use super::{RepoPath, host_file, is_in_modules, name};

/// The type of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    /// A regular file: `S_IFREG` in stat(2).
    File,
    /// A directory: `S_IFDIR` in stat(2).
    Directory,
    /// A symbolic link: `S_IFLNK` in stat(2).
    Symlink,
    /// A named pipe: `S_IFIFO` in stat(2).
    Fifo,
    /// A Unix socket: `S_IFSOCK` in stat(2).
    Socket,
}

/// A room of a repository.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// `objects/**` and `lfs/objects/**`: immutable files, catalogued.
    Objects,
    /// `HEAD`, `refs/**`, `packed-refs`, `reftable/**`, `shallow`: replicated.
    Refs,
    /// Small files that hosts keep in a repository ([`host_file`]): replicated, and no refs.
    Host,
    /// Everything else: a directory of this machine.
    Local,
}

/// The room of a path. The top of a repository is local: its attributes are a
/// plain directory's.
pub fn room(path: &RepoPath) -> Room {
    if host_file::is_one(path) {
        return Room::Host;
    }
    let path = path.as_bytes();
    let mut components = path.split(|&b| b == b'/');
    let first = components.next().unwrap_or_default();
    let second = components.next();
    match (first, second) {
        (b"objects", _) | (b"lfs", Some(b"objects")) => Room::Objects,
        // Per-worktree refs, see gitrepository-layout(5).
        (b"refs", Some(b"bisect" | b"worktree" | b"rewritten")) => Room::Local,
        (b"refs" | b"reftable", _) => Room::Refs,
        (b"HEAD" | b"HEAD.lock" | b"shallow" | b"shallow.lock", None) => Room::Refs,
        (b"packed-refs" | b"packed-refs.lock" | b"packed-refs.new", None) => Room::Refs,
        _ => Room::Local,
    }
}

/// Whether a path of the refs room is where git prepares a value rather than
/// where it keeps one: lock files, `packed-refs.new`, temporary reftables.
pub fn is_ref_scratch(path: &RepoPath) -> bool {
    let name = path.file_name();
    let in_reftable = path.as_bytes().starts_with(b"reftable/");
    name.ends_with(b".lock")
        || path.as_bytes() == b"packed-refs.new"
        || (in_reftable && name != b"tables.list" && !is_table(name))
}

/// Whether a path is where a replicated value is kept.
pub fn is_value(path: &RepoPath) -> bool {
    match room(path) {
        Room::Refs => !is_ref_scratch(path),
        Room::Host => true,
        Room::Objects | Room::Local => false,
    }
}

/// Whether a path may be where a replicated value is kept: some are, if the repository says so.
pub fn may_be_value(path: &RepoPath) -> bool {
    is_value(path) || host_file::may_be_added(path)
}

/// Whether catalogued files may lie in a directory, or beneath it.
pub fn holds_catalogued(dir: &RepoPath) -> bool {
    dir.is_root() || room(dir) == Room::Objects || name::is_above_lfs(dir)
}

/// Whether replicated values may lie in a directory.
pub fn holds_values(dir: &RepoPath) -> bool {
    dir.is_root() || room(dir) == Room::Refs || host_file::holds_some(dir)
}

/// Whether a value may be a symbolic link: git can be told to make symbolic refs so. The text of
/// the link is the value; the link is never followed.
pub fn may_be_link(path: &RepoPath) -> bool {
    let path = path.as_bytes();
    path == b"HEAD" || path == b"HEAD.lock" || path.starts_with(b"refs/")
}

/// Whether a file of this type may get a name. Where the daemon reads or moves what stands under a name there are only
/// regular files.
pub fn takes(path: &RepoPath, kind: Type) -> bool {
    let bytes = path.as_bytes();
    match (room(path), kind) {
        (_, Type::File) => true,
        // What administrators reach by its path there is reached through no link of others.
        (Room::Local, Type::Symlink) if is_in_modules(path) => false,
        (Room::Local, _) => bytes != b"config",
        (Room::Objects, Type::Directory | Type::Symlink) => name::kind(path).is_none(),
        (Room::Refs, Type::Directory) => bytes == b"reftable" || bytes.starts_with(b"refs"),
        (Room::Refs, Type::Symlink) => may_be_link(path),
        (Room::Host, _) => false,
        (Room::Objects | Room::Refs, Type::Fifo | Type::Socket) => false,
    }
}

/// Whether this is the name of a finished reftable.
pub fn is_table(name: &[u8]) -> bool {
    name.ends_with(b".ref") || name.ends_with(b".log")
}
