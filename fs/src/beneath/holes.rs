//! Files that are mostly holes: a user writes one byte and names a length of terabytes, and whoever checks, copies or
//! stores the file reads them all. What git writes has no holes.

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::fs::File;
use std::io;

/// A file of fewer bytes may be all holes: it is read in no time.
pub(super) const SMALL: u64 = 64 << 20;

/// Of a larger one, one byte in so many must be on the disk. Disks that compress leave out less of packs and their indexes.
const MOSTLY: u64 = 8;

/// A file of which too little was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MostlyHoles {
    pub bytes: u64,
    /// How many of them are no holes.
    pub written: u64,
}

/// Whether a file is mostly holes. What its file system does not know counts as written. How many blocks it has is not
/// asked: some disks say so later, and the mount never. The file is read from its beginning afterwards.
pub(crate) fn mostly_holes(file: &File) -> io::Result<Option<MostlyHoles>> {
    match file.metadata()?.len() {
        ..=SMALL => Ok(None),
        bytes => sought(file, bytes),
    }
}

fn sought(file: &File, bytes: u64) -> io::Result<Option<MostlyHoles>> {
    let (mut at, mut written) = (0, 0_u64);
    while at < bytes && written.saturating_mul(MOSTLY) < bytes {
        let begin = match seek(file, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        at = seek(file, SeekFrom::Hole(begin))?;
        written += at.saturating_sub(begin);
    }
    seek(file, SeekFrom::Start(0))?;
    let found = MostlyHoles { bytes, written };
    Ok((written.saturating_mul(MOSTLY) < bytes).then_some(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    const PIECE: usize = 64 << 10;

    fn looked_at(bytes: u64, pieces: u64) -> Option<MostlyHoles> {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(bytes).expect("cut");
        for n in 0..pieces {
            let at = bytes / pieces * n;
            file.write_all_at(&[1; PIECE], at - at % PIECE as u64)
                .expect("written");
        }
        mostly_holes(&file).expect("it can be looked at")
    }

    #[test]
    fn a_file_that_is_mostly_holes_is_found() {
        let found = looked_at(1 << 43, 3).expect("it is");
        assert_eq!(found.bytes, 1 << 43);
        assert!(found.written <= 3 * PIECE as u64, "{found:?}");
        assert_ne!(looked_at(SMALL + 1, 1), None);
    }

    #[test]
    fn a_small_one_and_a_written_one_are_not() {
        assert_eq!(looked_at(SMALL, 0), None);
        // One byte in eight.
        assert_eq!(looked_at(SMALL * 2, 256), None);
    }
}
