//! The locks of refs: those of all holders in the memory of whoever leads ([`table`]), and its own in that of each holder
//! ([`own`]).
//!
//! A lock makes a conflict show where git handles it: when the lock is taken, and not when a new
//! value is written. It makes nothing safe, that is the compare-and-swap's matter: a lock that is
//! lost with a leader, or taken twice, can only make a commit fail.
//!
//! A holder, which is a node or a client, is heard of while it has locks: it says again and again which
//! ones ([`RENEWAL`]), so that a new leader learns of them, and those of one that is dead are free after
//! its [`LEASE`].
//!
//! A holder that was frozen does not know that it was, and goes on. So it counts from the moment before each
//! question that a leader answered: when more than the lease has passed since the last one, or the leader says
//! that a lock is another's, the lock is lost ([`OwnLocks::is_lost`]) and stays so until it is given back, even if
//! nobody else has it by then: somebody may have had it. A lock that no leader has heard of yet is not lost.
//!
//! A leader remembers so many locks of a holder and no more ([`MOST`]). Of the others no leader hears.

mod own;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use own::OwnLocks;
pub(crate) use table::LockTable;

use crate::model::{RepoId, RepoPath};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;

/// For how long a holder that is not heard of keeps its locks.
const LEASE: Duration = Duration::from_secs(10);
/// How often a holder with locks is heard of.
const RENEWAL: Duration = Duration::from_secs(2);
/// Bytes of the locks of one holder that a leader remembers: some 100,000, for git locks each ref of a transaction. A
/// client's renewal of so many is no larger than its questions may be.
const MOST: usize = 8 << 20;

#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct LockName {
    pub(crate) repo: RepoId,
    pub(crate) name: RepoPath,
}

/// A lock of one holder. The number tells it from those that it had of this name before, since
/// what releases them may come late.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lock {
    pub(crate) name: LockName,
    number: u64,
}

impl LockName {
    /// Bytes of a lock in a renewal, at most: the path, and 32 for the repository and numbers.
    fn size(&self) -> usize {
        self.name.as_bytes().len() + 32
    }
}

/// All that a holder has, or has asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Renewal {
    held: Vec<Lock>,
    /// The last number that it had given to one.
    last: u64,
}

impl Renewal {
    /// Leaves out the locks that its holder may not have.
    pub(crate) fn retain(&mut self, mut may: impl FnMut(&LockName) -> bool) {
        self.held.retain(|lock| may(&lock.name));
    }
}

/// The way to whoever leads, for a holder.
#[tonic::async_trait]
pub(crate) trait LockService: Send + Sync {
    /// Whether the holder has it now; `None` when nobody can be asked.
    async fn take(&self, lock: Lock) -> Option<bool>;

    /// Gives it back; this may not arrive.
    async fn release(&self, lock: Lock);

    /// Says what the holder has; which of these are another's by now. `None` when nobody can be told.
    async fn renew(&self, own: Renewal) -> Option<Vec<Lock>>;

    fn own(&self) -> &OwnLocks;
}

/// Takes the lock of a ref, if no other holder has it. Where nobody can be asked it is
/// as good as taken: what is committed is compared anyway.
pub(crate) fn lock(service: &dyn LockService, runtime: &Handle, name: LockName) -> bool {
    let lock = service.own().want(name);
    let asked = now();
    let taken = runtime.block_on(service.take(lock.clone()));
    match taken {
        Some(true) => service.own().took(&lock, asked),
        Some(false) => drop(service.own().give_back(&lock.name)),
        None => {}
    }
    taken.unwrap_or(true)
}

/// Gives it back, sooner or later: what does not arrive ends with the next renewal, which does
/// not name it.
pub(crate) fn unlock<K: LockService + 'static>(
    service: &Arc<K>,
    runtime: &Handle,
    name: &LockName,
) {
    if let Some(lock) = service.own().give_back(name) {
        let service = service.clone();
        runtime.spawn(async move { service.release(lock).await });
    }
}

/// Says which locks there are, for as long as their holder is there.
pub(crate) async fn keep_renewing<K: LockService + 'static>(service: Weak<K>) {
    let mut had = false;
    loop {
        tokio::time::sleep(RENEWAL).await;
        let Some(service) = service.upgrade() else {
            return;
        };
        let own = service.own().all();
        let has = !own.held.is_empty();
        // Once more when there are none left: what was given back may not have arrived.
        if has || had {
            let asked = now();
            if let Some(lost) = service.renew(own.clone()).await {
                service.own().renewed(&own, &lost, asked, now());
            }
        }
        had = has;
    }
}

/// On a clock that goes on while the machine sleeps.
fn now() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}
