//! A published file leaves its directory, and for its users nothing changes: they find it in the catalog
//! from then on. So the directory keeps its time. The kernel gives it a new one, and what was there before is
//! put back; nobody looks in between, and nobody changes another name of this repository then, whose time
//! would be lost.

use super::{Files, Private, if_there};
use crate::beneath::Dir;
use crate::error::FsResult;
use gitmoor_model::RepoPath;
use parking_lot::RwLockReadGuard;
use rustix::fs::{Timespec, Timestamps, UTIME_OMIT};
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;

/// The directory of all repositories, while no time of a directory of this one is in between.
pub(super) struct Steady<'a> {
    homes: &'a Dir,
    _times: RwLockReadGuard<'a, ()>,
}

impl Deref for Steady<'_> {
    type Target = Dir;

    fn deref(&self) -> &Dir {
        self.homes
    }
}

impl Files {
    /// For what tells or changes the times of a directory, one call at a time: not to be asked for twice at once.
    pub(super) fn steady(&self) -> Steady<'_> {
        Steady {
            homes: &self.homes,
            _times: self.times.read(),
        }
    }

    /// Takes a file out of the tree, to a private name, if it is still this open one that has the name.
    pub(crate) fn take(&self, path: &RepoPath, file: &File) -> FsResult<Option<Private>> {
        let private = self.private()?;
        let _steady = self.steady();
        self.take_to(private, path, file)
    }

    /// The same of a file that is found elsewhere from now on.
    pub(crate) fn take_unseen(&self, path: &RepoPath, file: &File) -> FsResult<Option<Private>> {
        let private = self.private()?;
        self.unseen(path, || self.take_to(private, path, file))
    }

    /// [`Files::times`] is held.
    fn take_to(&self, private: Private, path: &RepoPath, file: &File) -> FsResult<Option<Private>> {
        let at = self.within(path);
        if if_there(self.homes.rename(&at, private.at()))?.is_none() {
            return Ok(None);
        }
        if self.is_this(&private, file)? {
            return Ok(Some(private));
        }
        // Somebody gave the name to another, which gets it back unless there is a newer one by now.
        match self.homes.rename_new(private.at(), &at) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e.into()),
            _ => Ok(None),
        }
    }

    /// [`Files::unlink_if_there`] of a file that is found elsewhere from now on.
    pub(crate) fn unlink_unseen(&self, path: &RepoPath) -> FsResult<()> {
        self.unseen(path, || if_there(self.homes.unlink(&self.within(path))))
            .map(drop)
    }

    /// The directory of this path keeps its time, and nobody sees it with another in between. Nor is the
    /// time of somebody else's change lost: nobody changes a name here meanwhile.
    fn unseen<T>(&self, path: &RepoPath, take: impl FnOnce() -> FsResult<T>) -> FsResult<T> {
        let dir = self.within(&path.parent().unwrap_or(RepoPath::root()));
        let _times = self.times.write();
        let before = self.homes.stat(&dir)?;
        let taken = take();
        if let Some(before) = before {
            let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
            self.homes.node(&dir)?.set_times(&Timestamps {
                last_access: time(0, UTIME_OMIT),
                last_modification: time(before.mtime(), before.mtime_nsec()),
            })?;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::local::Owner;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::SystemTime;

    const ROUNDS: u32 = 2000;

    fn files(dir: &tempfile::TempDir) -> Files {
        let homes = Arc::new(Dir::open(dir.path()).expect("a directory"));
        Files::open(homes, "home").expect("its files")
    }

    fn path(path: &str) -> RepoPath {
        RepoPath::new(path).expect("a path")
    }

    fn create(files: &Files, path: &RepoPath) -> File {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let owner = Owner {
            uid: uid.as_raw(),
            gid: gid.as_raw(),
        };
        files.create(path, 0o444, owner).expect("created")
    }

    fn time(files: &Files, dir: &RepoPath) -> SystemTime {
        let meta = files.stat(dir).expect("stat").expect("there");
        meta.modified().expect("a time")
    }

    /// Whoever looks all the time sees one time.
    fn unmoved(leave: impl Fn(&Files, &RepoPath)) {
        let dir = tempfile::tempdir().expect("a directory");
        let (files, fan) = (files(&dir), path("objects/24"));
        let file = path("objects/24/abc");
        for _ in 0..ROUNDS / 20 {
            drop(create(&files, &file));
            let (before, left) = (time(&files, &fan), AtomicBool::new(false));
            thread::scope(|scope| {
                let look = || {
                    while !left.load(Ordering::Relaxed) {
                        assert_eq!(time(&files, &fan), before);
                    }
                };
                let looks = scope.spawn(look);
                leave(&files, &file);
                left.store(true, Ordering::Relaxed);
                looks.join().expect("the directory did not move");
            });
            assert_eq!(time(&files, &fan), before);
            assert!(files.stat(&file).expect("stat").is_none());
        }
    }

    #[test]
    fn a_file_is_removed_unseen() {
        unmoved(|files, path| files.unlink_unseen(path).expect("removed"));
    }

    #[test]
    fn a_file_is_taken_unseen() {
        unmoved(|files, path| {
            let file = files.open_to_read(path).expect("opened").expect("there");
            let taken = files.take_unseen(path, &file).expect("taken");
            assert!(taken.is_some(), "the file had its name");
        });
    }

    #[test]
    fn the_time_of_a_change_beside_it_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let (files, fan) = (files(&dir), path("objects/24"));
        let leaving = path("objects/24/abc");
        for round in 0..ROUNDS {
            drop(create(&files, &leaving));
            let other = path(&format!("objects/24/tmp_obj_{round}"));
            let made = thread::scope(|scope| {
                let made = scope.spawn(|| create(&files, &other));
                files.unlink_unseen(&leaving).expect("removed");
                made.join().expect("created")
            });
            let meta = made.metadata().expect("stat");
            let made = meta.modified().expect("a time");
            assert!(time(&files, &fan) >= made, "round {round}");
        }
    }
}
