//! What a path under `objects/` says about the file, by git's naming
//! (gitrepository-layout(5), gitformat-pack(5)); and one under `lfs/objects/`, by that of Git LFS.

use super::{ObjectFormat, RepoPath};

/// The kinds of files in the objects room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `objects/ab/cdef…`: one object, deflated; its name is its hash.
    Loose,
    /// `pack-<hash>.{pack,idx,rev}`: written once under a name that follows from
    /// the content.
    Pack,
    /// A name that git may give other bytes later: `.bitmap`, `.mtimes`,
    /// `.promisor`, `multi-pack-index`, `info/*`.
    Mutable,
    /// `pack-<hash>.keep`: a lock against repacking that usually lives only as long as one
    /// receive-pack; published when idle, never at the barrier of a push.
    Keep,
    /// `lfs/objects/ab/cd/abcd…`: a file of Git LFS; its name is the SHA-256 of its bytes.
    Lfs,
}

/// The kind of a final name; `None` for temporary files (`tmp_*`, `incoming-*`,
/// `tmp_objdir-*/**`, `.tmp-*`, `*.lock`) and directories.
pub fn kind(path: &RepoPath) -> Option<Kind> {
    if lfs_oid(path).is_some() {
        return Some(Kind::Lfs);
    }
    let rest = path.as_bytes().strip_prefix(b"objects/")?;
    let parts: Vec<&[u8]> = rest.split(|&b| b == b'/').collect();
    match parts.as_slice() {
        [fan, tail] if is_hex(fan, 2) && (is_hex(tail, 38) || is_hex(tail, 62)) => {
            Some(Kind::Loose)
        }
        [b"pack", name] => pack_kind(name),
        [b"pack", b"multi-pack-index.d", name] => (!is_temporary(name)).then_some(Kind::Mutable),
        [b"info", name] => {
            (!is_temporary(name) && *name != b"commit-graphs").then_some(Kind::Mutable)
        }
        [b"info", b"commit-graphs", name] => (!is_temporary(name)).then_some(Kind::Mutable),
        _ => None,
    }
}

/// Whether a path holds objects, rather than what can be made again from them. Its
/// name follows from its bytes.
pub fn holds_objects(path: &RepoPath) -> bool {
    matches!(kind(path), Some(Kind::Loose | Kind::Pack | Kind::Lfs))
}

/// Whether a path holds objects of git, which a ref may need: a deletion of one beside a push may come too late.
pub fn holds_git_objects(path: &RepoPath) -> bool {
    matches!(kind(path), Some(Kind::Loose | Kind::Pack))
}

/// Whether a name may get other bytes. The rest is finished for ever.
pub fn is_rewritable(path: &RepoPath) -> bool {
    matches!(kind(path), Some(Kind::Mutable | Kind::Keep))
}

fn pack_kind(name: &[u8]) -> Option<Kind> {
    if is_temporary(name) {
        return None;
    }
    if name.starts_with(b"multi-pack-index") && name != b"multi-pack-index.d" {
        return Some(Kind::Mutable);
    }
    // git takes any name for a pack; only its own follows from the content.
    let by_content = name.starts_with(b"pack-");
    match name.rsplit(|&b| b == b'.').next()? {
        b"pack" | b"idx" | b"rev" if by_content => Some(Kind::Pack),
        b"keep" => Some(Kind::Keep),
        b"pack" | b"idx" | b"rev" | b"bitmap" | b"mtimes" | b"promisor" => Some(Kind::Mutable),
        _ => None,
    }
}

fn is_temporary(name: &[u8]) -> bool {
    name.starts_with(b"tmp_")
        || name.starts_with(b".")
        || name.starts_with(b"incoming-")
        || name.ends_with(b".lock")
        || name.windows(4).any(|w| w == b".tmp")
}

fn is_hex(text: &[u8], len: usize) -> bool {
    text.len() == len && text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether this is `objects/ab`, a directory of loose objects, or one of files of Git LFS.
pub fn is_fan_out(dir: &RepoPath) -> bool {
    let is_fan = |part: &[u8]| is_hex(part, 2);
    match dir.as_bytes().strip_prefix(b"lfs/objects/") {
        // One level, or two.
        Some(fans) => fans.len() <= 5 && fans.split(|&b| b == b'/').all(is_fan),
        None => dir.as_bytes().strip_prefix(b"objects/").is_some_and(is_fan),
    }
}

/// Whether files of Git LFS are beneath a directory, at whatever depth.
pub fn is_above_lfs(dir: &RepoPath) -> bool {
    matches!(dir.as_bytes(), b"lfs" | b"lfs/objects")
}

/// The SHA-256 that names a file of Git LFS, in hex.
pub fn lfs_oid(path: &RepoPath) -> Option<&str> {
    let rest = path.as_bytes().strip_prefix(b"lfs/objects/")?;
    let parts: Vec<&[u8]> = rest.split(|&b| b == b'/').collect();
    let [fan, second, oid] = parts[..] else {
        return None;
    };
    let is_one = is_hex(oid, 64) && fan == &oid[..2] && second == &oid[2..4];
    is_one.then(|| std::str::from_utf8(oid).ok()).flatten()
}

/// The object id that names a loose object's path, in hex.
pub fn loose_oid(path: &RepoPath) -> Option<String> {
    (kind(path)? == Kind::Loose).then(|| {
        let hex = path.as_bytes()["objects/".len()..]
            .iter()
            .filter(|&&b| b != b'/');
        hex.map(|&b| char::from(b)).collect()
    })
}

/// The object format that a name tells by the length of its hash.
pub fn object_format(path: &RepoPath) -> Option<ObjectFormat> {
    let hash = match kind(path)? {
        Kind::Loose => loose_oid(path)?.len(),
        Kind::Pack => {
            let name = path.file_name().strip_prefix(b"pack-")?;
            name.iter().position(|&b| b == b'.')?
        }
        Kind::Mutable | Kind::Keep | Kind::Lfs => return None,
    };
    match hash {
        40 => Some(ObjectFormat::Sha1),
        64 => Some(ObjectFormat::Sha256),
        _ => None,
    }
}
