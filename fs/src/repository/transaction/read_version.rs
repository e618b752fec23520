//! What a process can have read of a repository: everything from its first look on, nothing
//! of what was gone by then.
//!
//! A read version is a process's, whichever of its threads looks: what one has read, the others
//! know. Read versions of all repositories are kept by process, and go with the process or the repository.

use crate::process::{self, Processes};
use gitmoor_model::{Actor, RepoId, Version};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Up to which commit, and up to which deletion, a process may have read a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadVersion {
    /// The process, not one of its threads; 0 when it is in another pid namespace.
    pub pid: u32,
    /// Not later than anything that it has read of refs and objects here.
    pub seen: Version,
    /// Deletions up to this one were all done, by processes that had ended: this one has seen
    /// none of their files. See [`super::prune`].
    pub(super) settled: u64,
}

/// Who changes refs, and what that process has read.
#[derive(Clone, Default, Debug)]
pub(crate) struct Author {
    /// For the audit trail.
    pub actor: Actor,
    /// `None` of who is no process on this mount.
    pub read: Option<ReadVersion>,
}

/// The read versions of one process, which its threads share.
struct OfProcess {
    pid: u32,
    at: Mutex<HashMap<RepoId, ReadVersion>>,
}

/// The read versions of all processes. In doubt whose one is it is taken for a thread's own: who
/// looked earlier is only refused more.
pub(crate) struct ReadVersions {
    known: Processes<Arc<OfProcess>>,
    /// Held while a process is noted: its threads have one.
    noting: Mutex<()>,
}

impl ReadVersions {
    pub(crate) fn new() -> Self {
        Self {
            known: Processes::new(),
            noting: Mutex::new(()),
        }
    }

    /// What the process of a thread has read of a repository; at its first look, what `first` says.
    pub(super) fn get(
        &self,
        tid: u32,
        repo: RepoId,
        first: impl FnOnce(u32) -> ReadVersion,
    ) -> ReadVersion {
        let process = self.of(tid);
        let mut at = process.at.lock();
        *at.entry(repo).or_insert_with(|| first(process.pid))
    }

    /// The process was told that what it has read is worth nothing any more: it begins again.
    pub(super) fn renew(&self, repo: RepoId, read: ReadVersion) {
        self.of(read.pid).at.lock().insert(repo, read);
    }

    /// The repository is closed.
    pub(crate) fn forget(&self, repo: RepoId) {
        self.known.each(|process| {
            process.at.lock().remove(&repo);
        });
    }

    fn of(&self, tid: u32) -> Arc<OfProcess> {
        if let Some(process) = self.known.get(tid) {
            return process;
        }
        let pid = process::of_thread(tid);
        let _noting = self.noting.lock();
        let process = self.known.get(pid).unwrap_or_else(|| {
            let at = Mutex::default();
            let process = Arc::new(OfProcess { pid, at });
            self.known.insert(pid, process.clone());
            process
        });
        if tid != pid {
            self.known.insert(tid, process.clone());
        }
        process
    }
}
