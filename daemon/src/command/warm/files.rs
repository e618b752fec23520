//! A whole repository: every object file, from its first byte to its last.

use super::super::progress::bar;
use super::{Repository, WarmError};
use gitmoor_fs::beneath::{At, Dir};
use indicatif::ProgressBar;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Files read at a time: loose objects are one request each, whose time is mostly waiting.
const READERS: usize = 8;

/// With their sizes.
type Files = Vec<(u64, At)>;

const CHUNK: usize = 1 << 20;

/// Reads all of it; answers files and bytes.
pub(super) fn warm(repo: &Repository) -> Result<(u64, u64), WarmError> {
    let mut files = listed(repo)?;
    let bytes = total(&files);
    repo.check_room(bytes)?;
    // The largest are taken first, so that none is left alone at the end.
    files.sort_by_key(|(size, _)| *size);
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
    let top = repo.dir.join("objects");
    let dir = Dir::open(&top).map_err(|source| WarmError::Read { path: top, source })?;
    list(&Arc::new(dir), Path::new(""), &mut files)?;
    Ok(files)
}

fn total(files: &Files) -> u64 {
    files.iter().map(|(size, _)| size).sum()
}

/// The repository's users may put links and FIFOs there.
fn list(objects: &Arc<Dir>, within: &Path, files: &mut Files) -> Result<(), WarmError> {
    let failed = |source| WarmError::Read {
        path: objects.path().join(within),
        source,
    };
    for (name, kind) in objects.list(within).map_err(failed)? {
        let path = within.join(name);
        if kind.is_dir() {
            list(objects, &path, files)?;
        } else if kind.is_file()
            && let Some(meta) = objects.stat(&path).map_err(failed)?
            // It is in the making here, and in no store.
            && !objects.is_mostly_holes(&path, &meta).map_err(failed)?
        {
            files.push((meta.len(), At::new(objects, path)));
        }
    }
    Ok(())
}

fn read_all(files: Mutex<Files>, bar: &ProgressBar) -> Result<(), WarmError> {
    let next = || files.lock().expect("readers do not panic").pop();
    let read_some = || {
        let mut buffer = vec![0; CHUNK];
        while let Some((size, at)) = next() {
            match read(&at, size, &mut buffer, bar) {
                // Deleted since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    let path = at.path();
                    return Err(WarmError::Read { path, source });
                }
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

fn read(at: &At, size: u64, buffer: &mut [u8], bar: &ProgressBar) -> io::Result<()> {
    let file = at.open()?;
    // It may grow while it is read.
    let mut file = file.take(size);
    loop {
        match file.read(buffer)? {
            0 => return Ok(()),
            n => bar.inc(n as u64),
        }
    }
}
