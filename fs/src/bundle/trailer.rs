//! The checksum at the end of git's binary files: packs, their indexes and
//! reverse indexes, multi-pack-indexes, commit-graphs.

use super::error::BundleError;
use super::hash_kind;
use super::whole::Whole;
use gitmoor_model::ObjectFormat;
use gix_hash::ObjectId;
use std::fs::File;
use std::io::{self, Read};

/// Checks that a file ends in the hash of all its bytes before.
pub fn check_pack_trailer(file: &File, format: ObjectFormat) -> Result<(), BundleError> {
    let kind = hash_kind(format);
    let hashes = hashes(file, kind).map_err(|source| BundleError::Local {
        context: "reading it to its end".to_owned(),
        source,
    });
    let (actual, stated) = hashes?;
    if actual == stated {
        return Ok(());
    }
    let (stated, actual) = (stated.to_string(), actual.to_string());
    Err(BundleError::BadTrailer { stated, actual })
}

/// The hash of the content, and the one at its end.
fn hashes(file: &File, kind: gix_hash::Kind) -> io::Result<(ObjectId, ObjectId)> {
    let trailer_len = kind.len_in_bytes() as u64;
    let content = file.metadata()?.len().checked_sub(trailer_len);
    let mut file = Whole::of(file);
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
