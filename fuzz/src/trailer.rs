//! Packs and indexes found in a repository: accepted exactly when they end in the hash
//! of what is before.

use gitmoor_fs::bundle::check_pack_trailer;
use gitmoor_model::ObjectFormat;
use std::io::Write;

/// A file; and the same with the right trailer.
pub fn run(data: &[u8]) {
    for (format, kind) in [
        (ObjectFormat::Sha1, gix_hash::Kind::Sha1),
        (ObjectFormat::Sha256, gix_hash::Kind::Sha256),
    ] {
        let split = data.len().checked_sub(kind.len_in_bytes());
        let right = split.is_some_and(|at| hash(&data[..at], kind) == data[at..]);
        assert_eq!(accepts(data, format), right);
        assert!(accepts(&[data, &hash(data, kind)].concat(), format));
    }
}

fn hash(bytes: &[u8], kind: gix_hash::Kind) -> Vec<u8> {
    let mut hasher = gix_hash::hasher(kind);
    hasher.update(bytes);
    let hash = hasher.try_finalize().expect("no collision");
    hash.as_slice().to_vec()
}

fn accepts(file: &[u8], format: ObjectFormat) -> bool {
    let mut pack = tempfile::tempfile().expect("a temporary file");
    pack.write_all(file).expect("writes");
    check_pack_trailer(&pack, format).is_ok()
}
