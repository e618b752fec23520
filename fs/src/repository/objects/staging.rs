//! How much is staged: object files in the making, and finished ones that are not stored
//! yet. Writers wait here when that is too much, so that a store slower than they are does not cost the disk.
//!
//! Finished files are counted as they come and go ([`super::pending`]). Those in the making are written through
//! FUSE passthrough, past this daemon, so they are looked at on the disk, at most every
//! [`SAMPLE`]; git has few at a time. Files that are gone by then are dropped. Of more than
//! [`GLANCE`] only so many are looked at in a turn, since everybody who creates a file waits for that.
//!
//! A writer waits when it creates a file while too much is staged *and* some of it is
//! finished. The publisher stores that without anybody's help: it creates nothing through the mount and
//! holds nothing that a waiting writer holds, so waiting cannot go in a circle. Files in the making
//! hold up nobody, since only those who write them can end them, and may need further files for that
//! (a pack its index). So one pack larger than the limit goes through: refusing it would refuse
//! that push for ever, each time after all of its bytes have come. The limit bounds what piles up for
//! want of uploading; what is being written is bounded by the disk (ENOSPC).

use crate::beneath::Dir;
use crate::error::{FsError, FsResult};
use crate::repository::context::Context;
use gitmoor_model::RepoId;
use gitmoor_store::wait::{self, profile};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What files in the making hold is known this exactly …
const SAMPLE: Duration = Duration::from_millis(200);

/// … unless looking takes long (leftovers of killed commands): it takes at most one part in so many of the time.
const RARELY: u32 = 50;

/// Files in the making that are looked at in one turn: a few milliseconds.
const GLANCE: usize = 1000;

/// What is staged, in all repositories.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Staged {
    /// How many files are finished.
    pub finished: u64,
    /// Files in the making.
    pub making: u64,
    /// Bytes of finished files and of those in the making.
    pub bytes: u64,
}

#[derive(Debug)]
pub(crate) struct Staging {
    /// Bytes; `None` is no limit.
    limit: Option<u64>,
    /// The directories of all repositories.
    homes: Arc<Dir>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    finished: u64,
    finished_bytes: u64,
    /// Finished files that went; grows.
    left: u64,
    /// Where files in the making are, or were, and their bytes at the last look.
    making: BTreeMap<PathBuf, u64>,
    /// The last that was looked at, if some are left of this round.
    looked_at: Option<PathBuf>,
    next_look: Instant,
}

impl State {
    fn look(&mut self, homes: &Dir) {
        let begin = Instant::now();
        if self.making.is_empty() || begin < self.next_look {
            return;
        }
        let rest = match self.looked_at.take() {
            Some(last) => (Bound::Excluded(last), Bound::Unbounded),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let (mut gone, mut looked) = (Vec::new(), 0);
        for (path, bytes) in self.making.range_mut(rest).take(GLANCE) {
            match homes.stat(path) {
                // A file of several names is counted once, shared among them.
                Ok(Some(meta)) => *bytes = on_disk(&meta) / meta.nlink().max(1),
                Ok(None) | Err(_) => gone.push(path.clone()),
            }
            looked += 1;
            if looked == GLANCE {
                self.looked_at = Some(path.clone());
            }
        }
        for path in &gone {
            self.making.remove(path);
        }
        self.next_look = Instant::now() + SAMPLE.max(begin.elapsed() * RARELY);
    }
}

/// A sparse file may have any length, and takes no more than its blocks.
fn on_disk(meta: &Metadata) -> u64 {
    meta.len().min(meta.blocks().saturating_mul(512))
}

impl Staging {
    /// Nothing is staged yet.
    pub(crate) fn new(limit: Option<u64>, homes: Arc<Dir>) -> Self {
        let state = State {
            finished: 0,
            finished_bytes: 0,
            left: 0,
            making: BTreeMap::new(),
            looked_at: None,
            next_look: Instant::now(),
        };
        Self {
            limit,
            homes,
            state: Mutex::new(state),
        }
    }

    /// A file is in the making.
    pub(super) fn began(&self, path: PathBuf) {
        self.state.lock().making.insert(path, 0);
    }

    /// It is not any more, although it is still there: if it is finished it is counted as that.
    pub(super) fn ended(&self, path: &Path) {
        self.state.lock().making.remove(path);
    }

    /// A file is finished and waits to be stored.
    pub(super) fn came(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.finished += 1;
        state.finished_bytes += bytes;
    }

    /// One does not any more.
    pub(super) fn went(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.finished -= 1;
        state.finished_bytes -= bytes;
        state.left += 1;
    }

    /// What is staged now.
    pub(crate) fn staged(&self) -> Staged {
        let mut state = self.state.lock();
        state.look(&self.homes);
        Staged {
            finished: state.finished,
            making: state.making.len() as u64,
            bytes: state.finished_bytes + state.making.values().sum::<u64>(),
        }
    }

    /// Whether a new file need not wait.
    pub(crate) fn has_space(&self) -> bool {
        let staged = self.staged();
        staged.finished == 0 || self.limit.is_none_or(|limit| staged.bytes < limit)
    }

    /// Whether to store at once what is finished: early enough that few writers ever wait.
    pub(crate) fn is_filling(&self) -> bool {
        let staged = self.staged();
        staged.finished > 0 && self.limit.is_some_and(|limit| staged.bytes >= limit / 2)
    }
}

/// Waits until there is space for a new file of a repository.
pub(super) fn wait_for_space(shared: &Context, repo: RepoId) -> FsResult<()> {
    if shared.staging.has_space() {
        return Ok(());
    }
    if shared.store.offline().is_some() {
        let reason = "this mount is offline, they go up when it is mounted online";
        return Err(full(&shared.staging, reason));
    }
    let what = || "room in staging".to_owned();
    profile::timed(what, || wait_while_full(shared, repo))
}

fn wait_while_full(shared: &Context, repo: RepoId) -> FsResult<()> {
    let (staging, waits) = (&shared.staging, &shared.waits);
    let wait = shared.begin_wait(repo, "a new object file")?;
    let mut seen = (0, 0);
    loop {
        // What anybody stores brings the space nearer.
        let now = (waits.steps(), staging.state.lock().left);
        if now != seen {
            wait.restart();
            seen = now;
        }
        let (bytes, limit) = (staging.staged().bytes, staging.limit.unwrap_or(u64::MAX));
        wait.set_reason(format!("{bytes} bytes are staged, staging-size is {limit}"));
        match wait.sleep(wait::POLL) {
            _ if staging.has_space() => return Ok(()),
            None => {}
            Some(wait::Over::Interrupted) => return Err(FsError::Interrupted),
            Some(wait::Over::TimedOut) => {
                return Err(full(staging, "the store took nothing for publish-timeout"));
            }
        }
    }
}

fn full(staging: &Staging, reason: &str) -> FsError {
    FsError::StagingFull {
        staged: staging.staged().bytes,
        limit: staging.limit.unwrap_or(u64::MAX),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// However many there are, all are known in the end, and each turn is short.
    #[test]
    fn files_in_the_making_are_looked_at_by_turns() {
        let dir = tempfile::tempdir().expect("dir");
        let homes = Arc::new(Dir::open(dir.path()).expect("it is there"));
        let mut state = Staging::new(None, homes.clone()).state.into_inner();
        let names: Vec<_> = (0..GLANCE * 2 + 1)
            .map(|n| PathBuf::from(format!("{n}")))
            .collect();
        for name in &names {
            state.making.insert(name.clone(), 0);
            let mut file = homes.create(name).expect("created");
            file.write_all(b"four").expect("written");
        }
        let turn = |state: &mut State| {
            state.next_look = Instant::now();
            state.look(&homes);
            state.making.values().filter(|&&bytes| bytes == 4).count()
        };
        assert_eq!(turn(&mut state), GLANCE);
        assert_eq!(turn(&mut state), 2 * GLANCE);
        assert_eq!(turn(&mut state), names.len());
        for name in &names[..GLANCE] {
            homes.unlink(name).expect("removed");
        }
        assert_eq!((0..3).map(|_| turn(&mut state)).last(), Some(GLANCE + 1));
        assert_eq!(state.making.len(), GLANCE + 1);
        assert_eq!(state.looked_at, None);
    }
}
