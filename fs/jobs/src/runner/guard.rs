//! Which work is under way in this process: one of a repository at a time here, and one in the cluster.

use super::{JobError, Progress};
use gitmoor_fs::FileSystem;
use gitmoor_model::{RepoId, RepoPath};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which long jobs run here, at most one on a repository.
pub struct Runner {
    fs: Arc<FileSystem>,
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

impl Runner {
    pub(crate) fn new(fs: Arc<FileSystem>) -> Self {
        Self {
            fs,
            state: Mutex::default(),
            ended: Condvar::new(),
        }
    }

    pub(crate) fn sentences(&self) -> Vec<String> {
        self.state.lock().running.values().cloned().collect()
    }

    /// Begins a piece of work, unless the same is under way or the daemon leaves.
    pub(crate) fn begin(&self, job: Job) -> Result<JobGuard<'_>, JobError> {
        let mut state = self.state.lock();
        if state.ending {
            return Err(JobError::Interrupted);
        }
        if state.running.contains_key(&job.id) {
            return Err(JobError::UnderWay("on this machine"));
        }
        let sentence = format!("{} begins", job.name());
        state.running.insert(job.id, sentence);
        drop(state);
        let locked = self.fs.replica().lock(job.id, &job.lock_name());
        // From here on it is given back, whatever happens; of others' this knows nothing.
        let running = JobGuard { runner: self, job };
        match locked {
            true => Ok(running),
            false => Err(JobError::UnderWay("on another machine")),
        }
    }

    /// Ends all of it, and waits until it has ended: maintenance has files on the mount open.
    pub fn end_all(&self) {
        let mut state = self.state.lock();
        state.ending = true;
        while !state.running.is_empty() {
            self.ended.wait(&mut state);
        }
    }

    /// The daemon stays after all.
    pub fn allow(&self) {
        self.state.lock().ending = false;
    }
}

/// What is to be done.
pub(crate) struct Job {
    /// `maintenance`, `import`: those of one kind exclude each other.
    pub(crate) kind: &'static str,
    pub(crate) id: RepoId,
    /// Its path in the namespace.
    pub(crate) repository: String,
}

impl Job {
    /// In the table of the refs' locks, where no ref can have this name.
    fn lock_name(&self) -> RepoPath {
        RepoPath::new(format!("gitmoor/{}", self.kind)).expect("a valid path")
    }

    fn name(&self) -> String {
        format!("{} of {}", self.kind, self.repository)
    }
}

/// One that runs; over when dropped.
pub(crate) struct JobGuard<'a> {
    runner: &'a Runner,
    job: Job,
}

impl JobGuard<'_> {
    pub(crate) fn repository(&self) -> &str {
        &self.job.repository
    }

    /// Whether it is to end: the daemon leaves, or another machine may have begun the same.
    pub(crate) fn is_ending(&self) -> bool {
        let name = self.job.lock_name();
        self.runner.state.lock().ending || self.runner.fs.replica().lost(self.job.id, &name)
    }

    pub(crate) fn note(&self, progress: &Progress) {
        let Progress { phase, done, .. } = progress;
        let mut state = self.runner.state.lock();
        if let Some(sentence) = state.running.get_mut(&self.job.id) {
            let total = progress
                .total
                .map_or(String::new(), |total| format!("/{total}"));
            *sentence = format!("{}: {phase} {done}{total}", self.job.name());
        }
    }
}

impl Drop for JobGuard<'_> {
    fn drop(&mut self) {
        let name = self.job.lock_name();
        self.runner.fs.replica().unlock(self.job.id, &name);
        self.runner.state.lock().running.remove(&self.job.id);
        self.runner.ended.notify_all();
    }
}
