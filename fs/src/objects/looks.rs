//! What a process can have seen of a repository: everything from its first look on, nothing
//! of what was gone by then.
//!
//! A look is a process's, whichever of its threads takes it: what one has read, the others
//! know.

use super::Objects;
use crate::process::{self, Processes};
use gitmoor_replicator::model::Version;
use parking_lot::Mutex;

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

/// The first looks of all threads. In doubt whose a look is it is taken for a thread's own: who
/// looked earlier is only refused more.
pub(super) struct FirstLooks {
    known: Processes<Look>,
    /// Held while one is taken: two threads of a process have one.
    taking: Mutex<()>,
}

impl FirstLooks {
    pub(super) fn new() -> Self {
        Self {
            known: Processes::new(),
            taking: Mutex::new(()),
        }
    }
}

impl Objects {
    /// What the process of a thread has seen. To be called before it is shown anything.
    pub fn look_of(&self, tid: u32) -> Look {
        if let Some(look) = self.first_looks.known.get(tid) {
            return look;
        }
        let pid = process::of_thread(tid);
        let _taking = self.first_looks.taking.lock();
        let look = self.first_looks.known.get(pid).unwrap_or_else(|| {
            let look = self.first_look(pid);
            self.first_looks.known.insert(pid, look);
            look
        });
        if tid != pid {
            self.first_looks.known.insert(tid, look);
        }
        look
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
