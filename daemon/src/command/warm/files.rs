//! A whole repository: every object file, from its first byte to its last.

use super::super::progress::bar;
use super::{Repository, WarmError};
use indicatif::ProgressBar;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Files read at a time: loose objects are one request each, whose time is mostly waiting.
const READERS: usize = 8;

/// With their sizes.
type Files = Vec<(u64, PathBuf)>;

/// One read.
const CHUNK: usize = 1 << 20;

/// Reads all of it; answers files and bytes.
pub(super) fn warm(repo: &Repository) -> Result<(u64, u64), WarmError> {
    let mut files = listed(repo)?;
    let bytes = total(&files);
    repo.check_room(bytes)?;
    // The largest are taken first, so that none is left alone at the end.
    files.sort();
    let count = files.len() as u64;
    let bar = bar(
        "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        bytes,
    );
    read_all(Mutex::new(files), &bar)?;
    bar.finish_and_clear();
    Ok((count, bytes))
}

/// Bytes of all of it.
pub(super) fn bytes(repo: &Repository) -> Result<u64, WarmError> {
    Ok(total(&listed(repo)?))
}

fn listed(repo: &Repository) -> Result<Files, WarmError> {
    let mut files = Vec::new();
    list(&repo.dir.join("objects"), &mut files)?;
    Ok(files)
}

fn total(files: &Files) -> u64 {
    files.iter().map(|(size, _)| size).sum()
}

fn list(dir: &Path, files: &mut Files) -> Result<(), WarmError> {
    let failed = |source| WarmError::Read {
        path: dir.to_owned(),
        source,
    };
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            list(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push((entry.metadata().map_err(failed)?.size(), entry.path()));
        }
    }
    Ok(())
}

fn read_all(files: Mutex<Files>, bar: &ProgressBar) -> Result<(), WarmError> {
    let next = || files.lock().expect("readers do not panic").pop();
    let read_some = || {
        let mut buffer = vec![0; CHUNK];
        while let Some((_, path)) = next() {
            match read(&path, &mut buffer, bar) {
                // Deleted since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(WarmError::Read { path, source }),
                Ok(()) => {}
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read_some)).collect();
        let mut ended = readers.into_iter().map(|reader| reader.join());
        ended.try_for_each(|read| read.expect("readers do not panic"))
    })
}

fn read(path: &Path, buffer: &mut [u8], bar: &ProgressBar) -> io::Result<()> {
    let mut file = File::open(path)?;
    loop {
        match file.read(buffer)? {
            0 => return Ok(()),
            n => bar.inc(n as u64),
        }
    }
}
