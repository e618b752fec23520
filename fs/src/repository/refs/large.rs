//! Large values: few are in memory at a time, however many a user commits or has open.
//!
//! - A value is in memory while it is committed. Of those of more than [`COUNTED`] bytes each user has a share
//!   ([`Large`]); who wants more waits until the user's own are committed.
//! - A value that is open is in memory if it is small ([`SMALL`]). Others are in a file without a name, one for each
//!   version ([`OpenValues`]), which all who have it open share.
#![expect(
    clippy::disallowed_methods,
    reason = "the files lie beside the repository's directory, where only the daemon writes"
)]

use super::MOST_IN_PIECES;
use crate::error::{FsError, FsResult};
use crate::repository::transaction::Author;
use crate::shares::Shares;
use bytes::Bytes;
use gitmoor_model::Version;
use gitmoor_store::wait::{POLL, Wait, profile};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::Hash;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

/// Bytes of an open value that may be in memory. Refs and lists have less.
const SMALL: usize = 4 << 10;

/// Bytes of a value that is committed without a look at how many others are: a raft entry has no more.
const COUNTED: u64 = super::MOST;

/// What all users together may have in memory while it is committed.
pub(crate) struct Large(Mutex<Shares<Option<u32>>>);

impl Large {
    /// The largest value of a user alone, and that of another besides.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Shares::of(2 * MOST_IN_PIECES)))
    }
}

impl Default for Large {
    fn default() -> Self {
        Self::new()
    }
}

/// Given back when it is dropped.
pub(crate) struct Taken<'a> {
    large: &'a Large,
    user: Option<u32>,
    bytes: u64,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.large.0.lock().give_back(self.user, self.bytes);
    }
}

impl Large {
    fn take(&self, user: Option<u32>, bytes: u64) -> Option<Taken<'_>> {
        let large = self;
        let taken = self.0.lock().take(user, bytes);
        // Not made before it is taken, since it gives back what it says.
        taken.then(|| Taken { large, user, bytes })
    }

    /// Before a value of so many bytes is read, to be committed: waits until the user has space for it. Those before it
    /// end by themselves, so only an interrupt ends this.
    pub(super) fn space_for(
        &self,
        bytes: u64,
        by: &Author,
        begin_wait: impl FnOnce() -> FsResult<Wait>,
    ) -> FsResult<Option<Taken<'_>>> {
        if bytes <= COUNTED {
            return Ok(None);
        }
        if let Some(taken) = self.take(by.actor.uid, bytes) {
            return Ok(Some(taken));
        }
        let wait = begin_wait()?;
        wait.set_reason("other large values of the same user are being committed".to_owned());
        let what = || "other large values of the same user".to_owned();
        profile::timed(what, || self.wait_for_space(&wait, bytes, by)).map(Some)
    }

    fn wait_for_space(&self, wait: &Wait, bytes: u64, by: &Author) -> FsResult<Taken<'_>> {
        loop {
            if let Some(taken) = self.take(by.actor.uid, bytes) {
                return Ok(taken);
            }
            wait.restart();
            if wait.sleep(POLL) == Some(gitmoor_store::wait::Over::Interrupted) {
                return Err(FsError::Interrupted);
            }
        }
    }
}

/// Where the bytes of an open value are.
pub(crate) enum Value {
    Bytes(Bytes),
    /// In a file without a name, of the daemon's own.
    File(Arc<File>),
}

/// Values that are open, the large ones of which are in files.
pub(crate) struct OpenValues<P> {
    dir: PathBuf,
    files: Mutex<HashMap<P, (Version, Weak<File>)>>,
}

impl<P: Clone + Eq + Hash> OpenValues<P> {
    /// Their files go to this directory.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            files: Mutex::default(),
        }
    }

    /// The value that a version wrote under a path.
    pub(crate) fn open(&self, path: &P, version: Version, value: Vec<u8>) -> FsResult<Value> {
        match value.len() <= SMALL {
            true => Ok(Value::Bytes(value.into())),
            false => self.file(path, version, &value).map(Value::File),
        }
    }

    fn file(&self, path: &P, version: Version, value: &[u8]) -> FsResult<Arc<File>> {
        let mut files = self.files.lock();
        if let Some((known, file)) = files.get(path)
            && *known == version
            && let Some(file) = file.upgrade()
        {
            return Ok(file);
        }
        fs::create_dir_all(&self.dir)?;
        let mut file = tempfile::tempfile_in(&self.dir)?;
        file.write_all(value)?;
        let file = Arc::new(file);
        files.retain(|_, (_, file)| file.strong_count() > 0);
        files.insert(path.clone(), (version, Arc::downgrade(&file)));
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gitmoor_model::RepoPath;

    #[test]
    fn who_opens_a_value_again_gets_the_same_file() {
        let dir = tempfile::tempdir().expect("dir");
        let opened = OpenValues::new(dir.path().join("values"));
        let path = RepoPath::new("shallow").expect("a path");
        let open =
            |version, value: &[u8]| opened.file(&path, Version(version), value).expect("opens");
        let (one, same) = (open(1, b"one"), open(1, b"one"));
        assert!(Arc::ptr_eq(&one, &same));
        let two = open(2, b"two");
        let read = |file: &File| {
            use std::os::unix::fs::FileExt;
            let mut bytes = [0; 3];
            file.read_exact_at(&mut bytes, 0).expect("reads");
            bytes
        };
        assert_eq!((&read(&one), &read(&two)), (b"one", b"two"));
        drop((one, same, two));
        open(3, b"new");
        assert_eq!(opened.files.lock().len(), 1);
        let left = fs::read_dir(dir.path().join("values")).expect("it is there");
        assert_eq!(left.count(), 0, "no file has a name");
    }

    #[test]
    fn a_user_has_one_of_the_largest_values_at_a_time() {
        let large = Large::new();
        let first = large.take(Some(1), MOST_IN_PIECES).expect("all is free");
        assert!(large.take(Some(1), MOST_IN_PIECES).is_none());
        let second = large.take(Some(2), MOST_IN_PIECES).expect("another user's");
        assert!(large.take(Some(3), MOST_IN_PIECES).is_none());
        drop((first, second));
        assert!(large.take(Some(3), MOST_IN_PIECES).is_some());
    }
}
