//! Which work is under way in this process: one of a repository at a time here, and one in the cluster.

use super::{Progress, WorkError};
use crate::FileSystem;
use gitmoor_model::{RepoId, RepoPath};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;

/// See the module.
#[derive(Default)]
pub(crate) struct Working {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    /// The daemon leaves: none begins, and those that run end.
    ending: bool,
    /// How far each is, as a sentence.
    running: BTreeMap<RepoId, String>,
}

impl Working {
    /// For `gitmoor status`.
    pub(crate) fn sentences(&self) -> Vec<String> {
        self.state.lock().running.values().cloned().collect()
    }
}

/// What is to be done.
pub(crate) struct Work {
    /// `maintenance`, `import`: those of one kind exclude each other.
    pub(crate) kind: &'static str,
    /// On this repository.
    pub(crate) id: RepoId,
    /// Its path in the namespace.
    pub(crate) repository: String,
}

impl Work {
    /// In the table of the refs' locks, where no ref can have this name.
    fn lock_name(&self) -> RepoPath {
        RepoPath::new(format!("gitmoor/{}", self.kind)).expect("a valid path")
    }

    fn name(&self) -> String {
        format!("{} of {}", self.kind, self.repository)
    }
}

/// One that runs; over when dropped.
pub(crate) struct Running<'a> {
    fs: &'a FileSystem,
    work: Work,
}

impl Running<'_> {
    pub(crate) fn repository(&self) -> &str {
        &self.work.repository
    }

    /// Whether it is to end: the daemon leaves, or another machine may have begun the same.
    pub(crate) fn is_ending(&self) -> bool {
        let name = self.work.lock_name();
        self.fs.working.state.lock().ending || self.fs.shared.replica.lost(self.work.id, &name)
    }

    pub(crate) fn note(&self, progress: &Progress) {
        let Progress { phase, done, .. } = progress;
        let mut state = self.fs.working.state.lock();
        if let Some(sentence) = state.running.get_mut(&self.work.id) {
            let total = progress
                .total
                .map_or(String::new(), |total| format!("/{total}"));
            *sentence = format!("{}: {phase} {done}{total}", self.work.name());
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let name = self.work.lock_name();
        self.fs.shared.replica.unlock(self.work.id, &name);
        self.fs.working.state.lock().running.remove(&self.work.id);
        self.fs.working.ended.notify_all();
    }
}

impl FileSystem {
    pub(crate) fn begin_work(&self, work: Work) -> Result<Running<'_>, WorkError> {
        let mut state = self.working.state.lock();
        if state.ending {
            return Err(WorkError::Interrupted);
        }
        if state.running.contains_key(&work.id) {
            return Err(WorkError::UnderWay("on this machine"));
        }
        let sentence = format!("{} begins", work.name());
        state.running.insert(work.id, sentence);
        drop(state);
        let locked = self.shared.replica.lock(work.id, &work.lock_name());
        // From here on it is given back, whatever happens; of others' this knows nothing.
        let running = Running { fs: self, work };
        match locked {
            true => Ok(running),
            false => Err(WorkError::UnderWay("on another machine")),
        }
    }

    /// Ends all of it, and waits until it has ended: maintenance has files on the mount open.
    pub fn end_work(&self) {
        let mut state = self.working.state.lock();
        state.ending = true;
        while !state.running.is_empty() {
            self.working.ended.wait(&mut state);
        }
    }

    /// The daemon stays after all.
    pub fn allow_work(&self) {
        self.working.state.lock().ending = false;
    }
}
