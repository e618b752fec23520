//! What a process can have seen of a repository: everything from its first look on, nothing
//! of what was gone by then.
//!
//! A look is a process's, whichever of its threads takes it: what one has read, the others
//! know. Looks of all repositories are kept by process, and go with the process or the repository.

use super::Objects;
use crate::process::{self, Processes};
use gitmoor_model::{RepoId, Version};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// The first look of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The process, not one of its threads; 0 when it is in another pid namespace.
    pub pid: u32,
    /// Not later than anything that it has seen of refs and objects here.
    pub seen: Version,
    /// Deletions up to this one were all done, by processes that had ended: this one has seen
    /// none of their files. See [`super::deletion`].
    pub(super) settled: u64,
}

/// The first looks of one process, which its threads share.
struct Looks {
    pid: u32,
    at: Mutex<HashMap<RepoId, Look>>,
}

/// The first looks of all processes. In doubt whose a look is it is taken for a thread's own: who
/// looked earlier is only refused more.
pub struct FirstLooks {
    known: Processes<Arc<Looks>>,
    /// Held while a process is noted: its threads have one.
    noting: Mutex<()>,
}

impl FirstLooks {
    /// Nobody has looked.
    pub(crate) fn new() -> Self {
        Self {
            known: Processes::new(),
            noting: Mutex::new(()),
        }
    }

    fn of(&self, tid: u32) -> Arc<Looks> {
        if let Some(looks) = self.known.get(tid) {
            return looks;
        }
        let pid = process::of_thread(tid);
        let _noting = self.noting.lock();
        let looks = self.known.get(pid).unwrap_or_else(|| {
            let at = Mutex::default();
            let looks = Arc::new(Looks { pid, at });
            self.known.insert(pid, looks.clone());
            looks
        });
        if tid != pid {
            self.known.insert(tid, looks.clone());
        }
        looks
    }

    /// The repository is closed.
    pub(crate) fn forget(&self, repo: RepoId) {
        self.known.each(|looks| {
            looks.at.lock().remove(&repo);
        });
    }
}

impl Objects {
    /// What the process of a thread has seen. To be called before it is shown anything.
    pub fn look_of(&self, tid: u32) -> Look {
        let looks = self.shared.looks.of(tid);
        let mut at = looks.at.lock();
        *at.entry(self.repo)
            .or_insert_with(|| self.first_look(looks.pid))
    }

    /// The process was told that what it has seen is worth nothing any more: it begins again.
    pub(super) fn look_anew(&self, pid: u32) {
        let looks = self.shared.looks.of(pid);
        let look = self.first_look(looks.pid);
        looks.at.lock().insert(self.repo, look);
    }

    fn first_look(&self, pid: u32) -> Look {
        // The version first: what is deleted meanwhile counts as seen.
        let seen = self.now();
        let settled = self.state.lock().settled();
        Look { pid, seen, settled }
    }

    fn now(&self) -> Version {
        let known = self.shared.replica.repo(self.repo);
        known.ok().flatten().map_or(Version::default(), |repo| {
            repo.refs_version.max(repo.catalog_version)
        })
    }
}
