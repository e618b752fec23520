//! What a process can have seen of a repository: everything from its first look on, nothing
//! of what was gone by then.
//!
//! A look is a process's, whichever of its threads takes it: what one has read, the others
//! know.

use super::Objects;
use crate::process;
use gitmoor_replicator::model::Version;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A process that did nothing here for so long is seen as new.
const PROCESS_IDLE: Duration = Duration::from_secs(6 * 3600);

/// How long a number is taken for the same process without asking. To come around in
/// this time the machine would have to start all of its numbers.
const ASKED: Duration = Duration::from_secs(1);

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

/// The first looks of all threads.
pub(super) struct FirstLooks {
    known: moka::sync::Cache<u32, Arc<Known>>,
    /// Held while one is taken: two threads of a process have one.
    taking: Mutex<()>,
}

/// The look of whoever has a number.
struct Known {
    look: Look,
    at: Duration,
    /// When the number was last seen to be the same thread's, milliseconds since the machine started.
    asked: AtomicU64,
}

impl FirstLooks {
    pub(super) fn new() -> Self {
        Self {
            known: moka::sync::Cache::builder()
                .max_capacity(100_000)
                .time_to_idle(PROCESS_IDLE)
                .build(),
            taking: Mutex::new(()),
        }
    }

    fn get(&self, tid: u32) -> Option<Look> {
        let known = self.known.get(&tid)?;
        known.is_of(tid).then_some(known.look)
    }

    fn insert(&self, tid: u32, look: Look) {
        let at = process::now();
        let asked = AtomicU64::new(millis(at));
        self.known.insert(tid, Arc::new(Known { look, at, asked }));
    }
}

impl Known {
    /// Whether it is the look of the thread that has this number now. In doubt it is: who
    /// looked earlier is only refused more.
    fn is_of(&self, tid: u32) -> bool {
        let now = millis(process::now());
        if now.saturating_sub(self.asked.load(Ordering::Relaxed)) < millis(ASKED) {
            return true;
        }
        let same = process::started(tid).is_none_or(|started| started <= self.at);
        if same {
            self.asked.store(now, Ordering::Relaxed);
        }
        same
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("less than millions of years")
}

impl Objects {
    /// What the process of a thread has seen. To be called before it is shown anything.
    pub fn look_of(&self, tid: u32) -> Look {
        if let Some(look) = self.first_looks.get(tid) {
            return look;
        }
        let pid = process::of_thread(tid);
        let _taking = self.first_looks.taking.lock();
        let look = self.first_looks.get(pid).unwrap_or_else(|| {
            let look = self.first_look(pid);
            self.first_looks.insert(pid, look);
            look
        });
        if tid != pid {
            self.first_looks.insert(tid, look);
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
