//! How much is staged: object files in the making, and finished ones that are not stored
//! yet. Writers wait here when that is too much, so that a store slower than they are does not cost the disk.
//!
//! Finished files are counted as they come and go ([`super::pending`]). Those in the making are written through
//! FUSE passthrough, past this daemon, so they are looked at on the disk, at most every
//! [`SAMPLE`]; git has few at a time. Files that are gone by then are dropped.
//!
//! A writer waits when it creates a file while too much is staged *and* some of it is
//! finished. The publisher stores that without anybody's help: it creates nothing through the mount and
//! holds nothing that a waiting writer holds, so waiting cannot go in a circle. Files in the making
//! hold up nobody, since only those who write them can end them, and may need further files for that
//! (a pack its index). So one pack larger than the limit goes through: refusing it would refuse
//! that push for ever, each time after all of its bytes have come. The limit bounds what piles up for
//! want of uploading; what is being written is bounded by the disk (ENOSPC).

use super::Objects;
use crate::beneath::Dir;
use crate::error::{FsError, FsResult};
use crate::repository::room::{Room, room};
use crate::wait::{self, spent};
use gitmoor_replicator::model::RepoPath;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What files in the making hold is known this exactly …
const SAMPLE: Duration = Duration::from_millis(200);

/// … unless looking takes long (leftovers of killed commands): it takes at most one part in so many of the time.
const RARELY: u32 = 50;

/// What is staged, in all repositories.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Staged {
    /// Finished files.
    pub finished: u64,
    /// Files in the making.
    pub making: u64,
    /// Bytes of both.
    pub bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Staging {
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
    making: HashMap<PathBuf, u64>,
    next_look: Instant,
}

impl State {
    fn look(&mut self, homes: &Dir) {
        let begin = Instant::now();
        if self.making.is_empty() || begin < self.next_look {
            return;
        }
        self.making.retain(|path, bytes| match homes.stat(path) {
            // A file of several names is counted once, shared among them.
            Ok(Some(meta)) => {
                *bytes = on_disk(&meta) / meta.nlink().max(1);
                true
            }
            Ok(None) | Err(_) => false,
        });
        self.next_look = Instant::now() + SAMPLE.max(begin.elapsed() * RARELY);
    }
}

/// A sparse file may have any length, and takes no more than its blocks.
fn on_disk(meta: &Metadata) -> u64 {
    meta.len().min(meta.blocks().saturating_mul(512))
}

impl Staging {
    /// Nothing is staged yet.
    pub fn new(limit: Option<u64>, homes: Arc<Dir>) -> Self {
        let state = State {
            finished: 0,
            finished_bytes: 0,
            left: 0,
            making: HashMap::new(),
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
    pub fn staged(&self) -> Staged {
        let mut state = self.state.lock();
        state.look(&self.homes);
        Staged {
            finished: state.finished,
            making: state.making.len() as u64,
            bytes: state.finished_bytes + state.making.values().sum::<u64>(),
        }
    }

    /// Whether a new file need not wait.
    pub fn has_room(&self) -> bool {
        let staged = self.staged();
        staged.finished == 0 || self.limit.is_none_or(|limit| staged.bytes < limit)
    }

    /// Whether to store at once what is finished: early enough that few writers ever wait.
    pub fn is_filling(&self) -> bool {
        let staged = self.staged();
        staged.finished > 0 && self.limit.is_some_and(|limit| staged.bytes >= limit / 2)
    }
}

impl Objects {
    /// A file is in the making here, if it is none of a final name that is checked later.
    pub fn began(&self, path: &RepoPath) {
        if room(path) == Room::Objects {
            self.shared.staging.began(self.files.within(path));
        }
    }

    /// A file in the making has this name no longer. One that is finished now would else be counted
    /// twice until the next look, and somebody might wait for the store although there is room.
    pub fn gave_up(&self, path: &RepoPath) {
        self.shared.staging.ended(&self.files.within(path));
    }

    /// Waits until there is room for a new file.
    pub fn wait_for_room(&self) -> FsResult<()> {
        if self.shared.staging.has_room() {
            return Ok(());
        }
        if self.shared.store.offline().is_some() {
            return Err(self.full("this mount is offline, they go up when it is mounted online"));
        }
        spent::on(|| "room in staging".to_owned(), || self.wait_while_full())
    }

    fn wait_while_full(&self) -> FsResult<()> {
        let (staging, waits) = (&self.shared.staging, &self.shared.waits);
        let wait = self.begin_wait("a new object file")?;
        let mut seen = (0, 0);
        loop {
            // What anybody stores brings the room nearer.
            let now = (waits.steps(), staging.state.lock().left);
            if now != seen {
                wait.restart();
                seen = now;
            }
            let (bytes, limit) = (staging.staged().bytes, staging.limit.unwrap_or(u64::MAX));
            wait.because(format!("{bytes} bytes are staged, staging-size is {limit}"));
            match wait.sleep(wait::POLL) {
                _ if staging.has_room() => return Ok(()),
                None => {}
                Some(wait::Over::Interrupted) => return Err(FsError::Interrupted),
                Some(wait::Over::TimedOut) => {
                    return Err(self.full("the store took nothing for publish-timeout"));
                }
            }
        }
    }

    fn full(&self, reason: &str) -> FsError {
        FsError::StagingFull {
            staged: self.shared.staging.staged().bytes,
            limit: self.shared.staging.limit.unwrap_or(u64::MAX),
            reason: reason.to_owned(),
        }
    }
}
