//! A transaction of one git: the locks that it holds, and its steps that wait.

use crate::error::{FsError, FsResult};
use crate::process::Handle;
use crate::repository::transaction::Author;
use gitmoor_model::{Change, Expect, RepoPath};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Bytes that an edit has beside its name and its value, about.
const EDIT: usize = 64;

/// What a git has locked and done.
pub(super) struct Transaction {
    pub(super) process: Handle,
    pub(super) state: Mutex<Progress>,
}

#[derive(Default)]
pub(super) struct Progress {
    /// The locks of which no step has moved the file yet, in the order in which they were taken.
    pub(super) locks: BTreeMap<u64, RepoPath>,
    taken: u64,
    /// A step is committed: the store and the cluster were there, and no quota was full.
    pub(super) begun: bool,
    /// What waits, in git's order.
    pub(super) steps: Vec<Step>,
    pub(super) bytes: usize,
    /// Since when, and who made the last of them.
    since: Option<(Instant, Author)>,
    pub(super) failed: Option<Failed>,
}

pub(super) struct Failed {
    reason: String,
    /// git knows that the transaction has failed.
    told: bool,
}

/// One change of a ref that its process has locked.
pub(in crate::repository::refs) struct Step {
    pub(super) name: RepoPath,
    pub(super) expect: Expect,
    /// [`Change::Set`] or [`Change::Delete`].
    pub(super) change: Change,
    /// It was answered before its commit.
    pub(super) waited: bool,
}

/// How a step is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::repository::refs) enum Answer {
    /// It is committed, and so is all that waited.
    Durable,
    /// It waits, and its lock file is gone.
    Waits,
}

impl Step {
    pub(in crate::repository::refs) fn new(name: RepoPath, expect: Expect, change: Change) -> Self {
        Self {
            name,
            expect,
            change,
            waited: false,
        }
    }

    pub(super) fn answered(self, waited: bool) -> Self {
        Self { waited, ..self }
    }

    pub(super) fn bytes(&self) -> usize {
        let value = match &self.change {
            Change::Set { value, .. } | Change::Append { value } => value.len(),
            Change::SetMode { .. } | Change::Chmod { .. } | Change::Keep | Change::Delete => 0,
        };
        EDIT + self.name.as_bytes().len() + value
    }

    /// Whether it moves the lock file itself.
    pub(super) fn takes_lock_along(&self) -> bool {
        match self.change {
            Change::Set { .. } => true,
            Change::Append { .. }
            | Change::SetMode { .. }
            | Change::Chmod { .. }
            | Change::Keep
            | Change::Delete => false,
        }
    }
}

impl Progress {
    /// Fails when an earlier step came to nothing; git knows then.
    pub(super) fn check(&mut self) -> FsResult<()> {
        match &mut self.failed {
            None => Ok(()),
            Some(failed) => {
                failed.told = true;
                let reason = failed.reason.clone();
                Err(FsError::EarlierStep { reason })
            }
        }
    }

    /// The commit of steps came to nothing; nobody was told.
    pub(super) fn fail(&mut self, error: &FsError) {
        let (reason, told) = (error.to_string(), false);
        self.failed = Some(Failed { reason, told });
    }

    /// git was given the error itself.
    pub(super) fn tell(&mut self) {
        if let Some(failed) = &mut self.failed {
            failed.told = true;
        }
    }

    /// Whether steps came to nothing, and git takes them for made.
    pub(super) fn owes_an_error(&self) -> bool {
        self.failed.as_ref().is_some_and(|failed| !failed.told)
    }

    /// The process has one more lock; returns the place of the lock in their order.
    pub(super) fn take_lock(&mut self, name: RepoPath) -> u64 {
        self.taken += 1;
        self.locks.insert(self.taken, name);
        self.taken
    }

    /// What waits, and who made the last of it; `None` if nothing does.
    pub(super) fn take(&mut self) -> Option<(Vec<Step>, Author)> {
        let (_, by) = self.since.take()?;
        self.bytes = 0;
        Some((std::mem::take(&mut self.steps), by))
    }

    /// Whether something waits for so long.
    pub(super) fn has_rested(&self, time: Duration) -> bool {
        let since = self.since.as_ref();
        since.is_some_and(|(at, _)| at.elapsed() >= time)
    }

    pub(super) fn add(&mut self, step: Step, by: &Author) {
        self.bytes += step.bytes();
        self.steps.push(step);
        let since = self.since.take().map_or_else(Instant::now, |(at, _)| at);
        self.since = Some((since, by.clone()));
    }

    pub(super) fn is_over(&self) -> bool {
        self.locks.is_empty() && self.steps.is_empty()
    }
}
