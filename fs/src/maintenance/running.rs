//! Which maintenances run in this process: one of a repository at a time here, and one in the cluster.

use super::{MaintenanceError, Progress};
use crate::FileSystem;
use gitmoor_replicator::model::{Repo, RepoId, RepoPath};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;

/// See the module.
#[derive(Default)]
pub(crate) struct Maintaining {
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

impl Maintaining {
    /// For `gitmoor status`.
    pub(crate) fn sentences(&self) -> Vec<String> {
        self.state.lock().running.values().cloned().collect()
    }
}

/// One that runs; over when dropped.
pub(super) struct Running<'a> {
    fs: &'a FileSystem,
    id: RepoId,
    repository: String,
}

impl Running<'_> {
    pub(super) fn repository(&self) -> &str {
        &self.repository
    }

    pub(super) fn is_ending(&self) -> bool {
        self.fs.maintaining.state.lock().ending
    }

    pub(super) fn note(&self, progress: &Progress) {
        let Progress { phase, done, .. } = progress;
        let mut state = self.fs.maintaining.state.lock();
        if let Some(sentence) = state.running.get_mut(&self.id) {
            let total = progress
                .total
                .map_or(String::new(), |total| format!("/{total}"));
            *sentence = format!("maintenance of {}: {phase} {done}{total}", self.repository);
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.fs.shared.replica.unlock(self.id, &lock_name());
        self.fs.maintaining.state.lock().running.remove(&self.id);
        self.fs.maintaining.ended.notify_all();
    }
}

/// In the table of the refs' locks, where no ref can have this name.
fn lock_name() -> RepoPath {
    RepoPath::new("gitmoor/maintenance").expect("a valid path")
}

impl FileSystem {
    pub(super) fn begin_maintenance(&self, repo: &Repo) -> Result<Running<'_>, MaintenanceError> {
        let mut state = self.maintaining.state.lock();
        if state.ending {
            return Err(MaintenanceError::Interrupted);
        }
        if state.running.contains_key(&repo.id) {
            return Err(MaintenanceError::UnderWay("on this machine"));
        }
        let repository = repo.path.to_string();
        let sentence = format!("maintenance of {repository} begins");
        state.running.insert(repo.id, sentence);
        drop(state);
        let locked = self.shared.replica.lock(repo.id, &lock_name());
        // From here on it is given back, whatever happens; of others' this knows nothing.
        let running = Running {
            fs: self,
            id: repo.id,
            repository,
        };
        match locked {
            true => Ok(running),
            false => Err(MaintenanceError::UnderWay("on another machine")),
        }
    }

    /// Ends all maintenance, and waits until it has ended: it has files on the mount open.
    pub fn end_maintenance(&self) {
        let mut state = self.maintaining.state.lock();
        state.ending = true;
        while !state.running.is_empty() {
            self.maintaining.ended.wait(&mut state);
        }
    }

    /// The daemon stays after all.
    pub fn allow_maintenance(&self) {
        self.maintaining.state.lock().ending = false;
    }
}
