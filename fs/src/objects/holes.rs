//! Files that are mostly holes: a user writes one byte and names a length of terabytes, and whoever checks, copies or
//! stores the file reads them all. Such a file gets no final name. What git writes has no holes.

use crate::error::{FsError, FsResult};
use gitmoor_replicator::model::RepoPath;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::MetadataExt;

/// A file of fewer bytes may be all holes: it is read in no time.
const SMALL: u64 = 64 << 20;

/// Of a larger one, one byte in so many must be on the disk. Disks that compress leave out less of packs and their indexes.
const MOSTLY: u64 = 8;

/// An error of a file that is mostly holes.
pub(super) fn check(file: &File, name: &RepoPath) -> FsResult<()> {
    let meta = file.metadata()?;
    let (bytes, blocks) = (meta.len(), meta.blocks().saturating_mul(512));
    if bytes <= SMALL || blocks.saturating_mul(MOSTLY) >= bytes {
        return Ok(());
    }
    // Some disks say only later how much a file takes.
    match written(file, bytes)? {
        Some(on_disk) => Err(FsError::Sparse {
            path: name.to_string(),
            bytes,
            on_disk,
        }),
        None => Ok(()),
    }
}

/// How much of a file is no hole, if that is too little. What a file system does not know counts as written.
fn written(file: &File, bytes: u64) -> FsResult<Option<u64>> {
    let (mut at, mut written) = (0, 0_u64);
    while at < bytes && written.saturating_mul(MOSTLY) < bytes {
        let begin = match seek(file, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            Err(Errno::NXIO) => break,
            Err(error) => return Err(std::io::Error::from(error).into()),
        };
        at = seek(file, SeekFrom::Hole(begin)).map_err(std::io::Error::from)?;
        written += at.saturating_sub(begin);
    }
    seek(file, SeekFrom::Start(0)).map_err(std::io::Error::from)?;
    Ok((written.saturating_mul(MOSTLY) < bytes).then_some(written))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    const PIECE: usize = 64 << 10;

    fn checked(bytes: u64, pieces: u64) -> FsResult<()> {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(bytes).expect("cut");
        for n in 0..pieces {
            let at = bytes / pieces * n;
            file.write_all_at(&[1; PIECE], at - at % PIECE as u64)
                .expect("written");
        }
        let name = RepoPath::new("objects/info/commit-graph").expect("a path");
        check(&file, &name)
    }

    #[test]
    fn a_file_that_is_mostly_holes_is_refused() {
        assert!(matches!(
            checked(1 << 43, 3),
            Err(FsError::Sparse { on_disk, .. }) if on_disk <= 3 * PIECE as u64
        ));
        assert!(checked(SMALL + 1, 1).is_err());
    }

    #[test]
    fn a_small_one_and_a_written_one_are_not() {
        checked(SMALL, 0).expect("small");
        // One byte in eight.
        checked(SMALL * 2, 256).expect("written");
    }
}
