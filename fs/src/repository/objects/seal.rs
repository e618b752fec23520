//! Which files are written to, and which nobody writes to any more.
//!
//! A file is checked when it gets a final name, and its bytes are used long after that: git reads them, the store gets
//! them, the cache keeps them. Whoever opened it for writing before could change them in between, past this daemon (by
//! FUSE passthrough). So a file is written to or sealed, never both, whichever of its names is used:
//!
//! - An open file that may write has a [`Writing`]. There is none of a sealed file: it is not opened for writing.
//! - A finished file has a [`Seal`]. There is none of a file that somebody writes to: a copy is finished in its stead.
//!
//! Descriptors that this process did not open, or knows no more, may write as well: a mapping in memory outlives the
//! descriptor that it was made with, and passthrough outlives a daemon that died. The kernel knows of these: it
//! grants a lease on a file only while nobody has that open for writing.

use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Of fcntl(2): the signal to whoever has a lease that is broken.
const F_SETSIG: libc::c_int = 10;

/// How long a file may take to be closed here after close(2) has returned.
const CLOSING: Duration = Duration::from_millis(100);

/// One file of a disk, whatever its names: device, inode number, and when it was made, since numbers are used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileId(u64, u64, Option<SystemTime>);

impl FileId {
    /// Of what fstat(2) says.
    pub fn of(meta: &Metadata) -> Self {
        Self(meta.dev(), meta.ino(), meta.created().ok())
    }
}

/// What is done with a file, and how often at the same time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Use {
    Written(usize),
    Sealed(usize),
}

/// The files of all repositories that are open for writing or sealed.
#[derive(Clone, Default, Debug)]
pub(crate) struct Seals(Arc<Table>);

#[derive(Default, Debug)]
struct Table {
    used: Mutex<HashMap<FileId, Use>>,
    /// Told when somebody writes no more.
    closed: Condvar,
}

/// While it lives the file is written to.
#[derive(Debug)]
pub(crate) struct Writing(Held);

/// While it lives nobody writes to the file, nor opens it for that.
#[derive(Debug)]
pub(crate) struct Seal(#[expect(dead_code, reason = "dropped with it")] Held);

#[derive(Debug)]
struct Held {
    seals: Seals,
    file: FileId,
}

/// What came of sealing.
#[derive(Debug)]
pub(crate) enum Sealing {
    /// Nobody writes to it.
    Done(Seal),
    Written,
    /// Nobody that is known does. The disk has no leases, or grants none to this process.
    Unknown,
}

impl Sealing {
    /// The seal, if there is one.
    pub(crate) fn done(self) -> Option<Seal> {
        match self {
            Self::Done(seal) => Some(seal),
            Self::Written | Self::Unknown => None,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Table { used, closed } = &*self.seals.0;
        if let Entry::Occupied(mut used) = used.lock().entry(self.file) {
            match used.get_mut() {
                Use::Written(n) | Use::Sealed(n) if *n > 1 => *n -= 1,
                Use::Written(_) | Use::Sealed(_) => {
                    used.remove();
                    closed.notify_all();
                }
            }
        }
    }
}

impl Seals {
    fn held(&self, file: FileId) -> Held {
        let seals = self.clone();
        Held { seals, file }
    }

    /// Whether a file is sealed.
    pub(crate) fn is_sealed(&self, file: &Metadata) -> bool {
        matches!(
            self.0.used.lock().get(&FileId::of(file)),
            Some(Use::Sealed(_))
        )
    }

    /// A file is open for writing; `None` when it is sealed.
    pub(crate) fn write(&self, file: &Metadata) -> Option<Writing> {
        let file = FileId::of(file);
        match self.0.used.lock().entry(file).or_insert(Use::Written(0)) {
            Use::Written(n) => *n += 1,
            Use::Sealed(_) => return None,
        }
        Some(Writing(self.held(file)))
    }

    /// Seals a file that is open for reading alone, unless anybody writes to it.
    pub(crate) fn seal(&self, file: &File) -> io::Result<Sealing> {
        let id = FileId::of(&file.metadata()?);
        match self.0.used.lock().entry(id).or_insert(Use::Sealed(0)) {
            Use::Sealed(n) => *n += 1,
            Use::Written(_) => return Ok(Sealing::Written),
        }
        let seal = Seal(self.held(id));
        Ok(match is_written(file)? {
            Some(false) => Sealing::Done(seal),
            Some(true) => Sealing::Written,
            None => Sealing::Unknown,
        })
    }

    /// The same of a file that was perhaps just closed: the kernel says so after close(2) has returned, so this waits
    /// for that a little.
    pub(crate) fn seal_closed(&self, file: &File) -> io::Result<Sealing> {
        let (id, until) = (FileId::of(&file.metadata()?), Instant::now() + CLOSING);
        let mut used = self.0.used.lock();
        while let Some(Use::Written(_)) = used.get(&id) {
            if self.0.closed.wait_until(&mut used, until).timed_out() {
                return Ok(Sealing::Written);
            }
        }
        drop(used);
        self.seal(file)
    }

    /// Seals a file that nobody else can have open.
    pub(crate) fn seal_own(&self, file: &File) -> io::Result<Seal> {
        let id = FileId::of(&file.metadata()?);
        self.0.used.lock().insert(id, Use::Sealed(1));
        Ok(Seal(self.held(id)))
    }

    /// The last who writes to a file seals it instead; given back when others write, too.
    pub(crate) fn seal_written(&self, writing: Writing) -> Result<Seal, Writing> {
        let mut used = self.0.used.lock();
        match used.get_mut(&writing.0.file) {
            Some(used @ Use::Written(1)) => *used = Use::Sealed(1),
            Some(_) | None => return Err(writing),
        }
        Ok(Seal(writing.0))
    }
}

/// Whether anybody has a file open for writing, by the kernel; `None` when it does not say.
fn is_written(file: &File) -> io::Result<Option<bool>> {
    match lease(file, libc::F_RDLCK) {
        Ok(()) => lease(file, libc::F_UNLCK).map(|()| Some(false)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Some(true)),
        Err(_) => Ok(None),
    }
}

/// fcntl(2). Whoever breaks the lease sends a signal, by default one that ends this process: SIGURG does nothing.
fn lease(file: &File, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: both commands take an integer and read no memory; the descriptor is open for as long as the borrow.
    let results = unsafe {
        [
            libc::fcntl(file.as_raw_fd(), F_SETSIG, libc::SIGURG),
            libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind),
        ]
    };
    match results.contains(&-1) {
        true => Err(io::Error::last_os_error()),
        false => Ok(()),
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "files of the tests' own directories"
)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use tempfile::TempDir;

    /// A file, open for reading, in a directory that goes with it.
    fn file() -> (TempDir, File) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        std::fs::write(&path, "bytes").expect("write");
        let file = File::open(path).expect("open");
        (dir, file)
    }

    #[test]
    fn a_file_is_written_to_or_sealed() {
        let (seals, (_dir, file)) = (Seals::default(), file());
        let meta = file.metadata().expect("its attributes");
        let writing = [seals.write(&meta), seals.write(&meta)];
        assert!(writing.iter().all(Option::is_some));
        assert!(seals.seal(&file).expect("asks").done().is_none());
        drop(writing);
        let sealed = [(), ()].map(|()| seals.seal(&file).expect("asks").done());
        assert!(sealed.iter().all(Option::is_some) && seals.is_sealed(&meta));
        assert!(seals.write(&meta).is_none());
        drop(sealed);
        assert!(seals.write(&meta).is_some());
        assert!(seals.0.used.lock().is_empty());
    }

    #[test]
    fn who_writes_unbeknown_is_found() {
        let (seals, (dir, file)) = (Seals::default(), file());
        let unknown = OpenOptions::new()
            .append(true)
            .open(dir.path().join("file"));
        let unknown = unknown.expect("open");
        assert!(seals.seal(&file).expect("asks").done().is_none());
        assert!(seals.0.used.lock().is_empty());
        drop(unknown);
        assert!(seals.seal(&file).expect("asks").done().is_some());
    }

    #[test]
    fn the_last_writer_seals() {
        let (seals, (_dir, file)) = (Seals::default(), file());
        let meta = file.metadata().expect("its attributes");
        let [first, second] = [seals.write(&meta), seals.write(&meta)].map(|it| it.expect("free"));
        let first = seals.seal_written(first).expect_err("there is another");
        drop(second);
        let seal = seals.seal_written(first).expect("the last");
        assert!(seals.is_sealed(&meta));
        drop(seal);
        assert!(seals.0.used.lock().is_empty());
    }

    #[test]
    fn a_close_that_is_under_way_is_waited_for() {
        let (seals, (_dir, file)) = (Seals::default(), file());
        let writing = seals.write(&file.metadata().expect("its attributes"));
        let sealed = std::thread::scope(|scope| {
            let sealed = scope.spawn(|| seals.seal_closed(&file).expect("asks"));
            drop(writing);
            sealed.join().expect("no panic")
        });
        assert!(sealed.done().is_some());
    }

    #[test]
    fn who_goes_on_writing_is_not_waited_for_without_end() {
        let (seals, (_dir, file)) = (Seals::default(), file());
        let _writing = seals.write(&file.metadata().expect("its attributes"));
        assert!(seals.seal_closed(&file).expect("asks").done().is_none());
    }
}
