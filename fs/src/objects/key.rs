//! Under which key a file of the objects room goes into the store.
//!
//! `<repo id>/<path>`, so that a prefix copied out of the bucket is a git object
//! directory; with `.<half of the digest>` behind it where the path does not say what
//! the bytes are. git's own names stand as they are. In others a byte that is not
//! printable ASCII stands as `%XX`, and so does `%`, for a key is text to the store; a
//! file name too long for that is `%%` and its BLAKE3. So no two files with different
//! bytes ever share a key.

use gitmoor_replicator::model::{Digest, RepoId, RepoPath};

/// Longest file name in a key: with a digest behind it, 255 bytes.
const MOST: usize = 222;

/// For a file whose path says what its bytes are.
pub fn by_name(repo: RepoId, path: &RepoPath) -> String {
    let dir = path.parent().unwrap_or_else(RepoPath::root);
    let dir = escaped(dir.as_bytes());
    format!("{repo}/{dir}/{}", file_name(path.file_name()))
}

/// For any file.
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

/// Half of the digest is plenty for a name.
fn hex(half: &[u8]) -> String {
    half.iter().map(|byte| format!("{byte:02x}")).collect()
}
