//! Under which key a file of the objects room goes into the store.
//!
//! `<repo id>/<path>`, so that a prefix copied out of the bucket is a git object
//! directory; with `.<half of the digest>` behind it where the path does not say what
//! the bytes are. git's own names stand as they are. In others a byte that is not
//! printable ASCII stands as `%XX`, and so does `%`, for a key is text to the store; a
//! file name too long for that is `%%` and its BLAKE3. So no two files with different
//! bytes ever share a key. One that cannot be used (it has a tombstone, or taken by other
//! bytes) is passed over for the next. The state machine finds the path of a key by
//! taking suffixes off (`state/tombstones.rs`), so they begin with dots.

use gitmoor_model::{Digest, RepoId, RepoPath, hex};

/// Longest file name in a key: with a digest and a number behind it, 255 bytes.
const MOST: usize = 218;

/// Numbers of keys that nobody comes to who counts from 1; three digits, as long as a key may get.
const FRESH: u64 = 100;

/// The keys that a file may have, the best first; without end. While the requests of a former owner of the store may
/// still be under way, none that it may have come to: those from a number on that the take-over chose.
pub fn candidates(
    repo: RepoId,
    path: &RepoPath,
    digest: &Digest,
    may_be_plain: bool,
    take_over: Option<u64>,
) -> impl Iterator<Item = String> + use<> {
    let is_settled = take_over.is_none();
    let with_digest = by_content(repo, path, digest);
    let plain = (is_settled && may_be_plain).then(|| by_name(repo, path));
    let first = plain
        .into_iter()
        .chain(is_settled.then(|| with_digest.clone()));
    let from = take_over.map_or(1, |take_over| FRESH + take_over % (9 * FRESH));
    first.chain((from..).map(move |n| format!("{with_digest}.{n}")))
}

/// For a file whose path says what its bytes are.
pub fn by_name(repo: RepoId, path: &RepoPath) -> String {
    let dir = path.parent().unwrap_or_else(RepoPath::root);
    let dir = escaped(dir.as_bytes());
    format!("{repo}/{dir}/{}", file_name(path.file_name()))
}

/// For any file. Half of the digest is plenty for a name.
pub fn by_content(repo: RepoId, path: &RepoPath, digest: &Digest) -> String {
    let plain = by_name(repo, path);
    format!("{plain}.{}", hex(&digest.0[..16]))
}

fn file_name(name: &[u8]) -> String {
    let escaped = escaped(name);
    if escaped.len() <= MOST {
        return escaped;
    }
    format!("%%{}", blake3::hash(name).to_hex())
}

fn escaped(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for &byte in name {
        match byte {
            b'%' => text.push_str("%25"),
            byte if byte.is_ascii_graphic() => text.push(char::from(byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
