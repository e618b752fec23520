//! The checksum at the end of git's binary files: packs, their indexes and
//! reverse indexes, multi-pack-indexes, commit-graphs.

use super::error::{BundleError, local};
use super::hash_kind;
use gitmoor_replicator::model::ObjectFormat;
use gix_hash::ObjectId;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Checks that a file ends in the hash of all its bytes before.
pub fn check_pack_trailer(path: &Path, format: ObjectFormat) -> Result<(), BundleError> {
    let kind = hash_kind(format);
    let (actual, stated) = hashes(path, kind).map_err(local("checking", path))?;
    if actual == stated {
        return Ok(());
    }
    let (stated, actual) = (stated.to_string(), actual.to_string());
    Err(BundleError::BadTrailer {
        path: path.to_path_buf(),
        stated,
        actual,
    })
}

/// The hash of the content, and the one at its end.
fn hashes(path: &Path, kind: gix_hash::Kind) -> io::Result<(ObjectId, ObjectId)> {
    let mut file = File::open(path)?;
    let trailer_len = kind.len_in_bytes() as u64;
    let content = file.metadata()?.len().checked_sub(trailer_len);
    let content = content.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut hasher = gix_hash::hasher(kind);
    let mut buffer = vec![0; content.clamp(1, 1 << 20) as usize];
    let mut left = content;
    while left > 0 {
        let want = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut buffer[..want])?;
        hasher.update(&buffer[..want]);
        left -= want as u64;
    }
    let mut stated = vec![0; kind.len_in_bytes()];
    file.read_exact(&mut stated)?;
    let actual = hasher.try_finalize().map_err(io::Error::other)?;
    Ok((actual, ObjectId::from_bytes_or_panic(&stated)))
}
