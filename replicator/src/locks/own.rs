//! What a holder has, and whether it has lost some of that.

use super::{LEASE, Lock, LockName, MOST, Renewal, now};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// What a holder has.
#[derive(Default)]
pub(crate) struct OwnLocks(pub(super) Mutex<Own>);

#[derive(Default)]
pub(super) struct Own {
    last: u64,
    pub(super) held: HashMap<LockName, Held>,
}

pub(super) struct Held {
    lock: Lock,
    /// When the last question about it was asked that a leader answered.
    heard: Option<Duration>,
    lost: bool,
}

impl Held {
    /// Whether another may have had it. Once it may, it stays so.
    pub(super) fn is_lost(&mut self, now: Duration) -> bool {
        let is_over = |heard: Duration| now.saturating_sub(heard) >= LEASE;
        self.lost |= self.heard.is_some_and(is_over);
        self.lost
    }
}

impl OwnLocks {
    /// One that is to be asked for. From now on it counts as its own, so that no renewal that
    /// overtakes the question frees it again.
    pub(super) fn want(&self, name: LockName) -> Lock {
        let mut own = self.0.lock();
        own.last += 1;
        let number = own.last;
        let lock = Lock { name, number };
        let held = Held {
            lock: lock.clone(),
            heard: None,
            lost: false,
        };
        own.held.insert(lock.name.clone(), held);
        lock
    }

    /// A leader gave it, when asked at this time.
    pub(super) fn took(&self, lock: &Lock, asked: Duration) {
        if let Some(held) = self.0.lock().held.get_mut(&lock.name)
            && held.lock == *lock
        {
            held.heard = Some(asked);
        }
    }

    /// A leader was told of these at `asked`, and its answer came at `answered`: all but those that are lost are
    /// the holder's, and were all the time if the leader can have heard of the holder no later than a lease after
    /// the last time.
    pub(super) fn renewed(
        &self,
        own: &Renewal,
        lost: &[Lock],
        asked: Duration,
        answered: Duration,
    ) {
        let mut table = self.0.lock();
        for lock in &own.held {
            let held = table.held.get_mut(&lock.name);
            let Some(held) = held.filter(|held| held.lock == *lock) else {
                continue;
            };
            held.lost |= lost.contains(lock);
            if !held.is_lost(answered) {
                held.heard = Some(asked);
            }
        }
    }

    /// Whether a lock of this name that the holder has was lost: another may have had it meanwhile.
    pub(crate) fn is_lost(&self, name: &LockName) -> bool {
        let mut own = self.0.lock();
        let held = own.held.get_mut(name);
        held.is_some_and(|held| held.is_lost(now()))
    }

    /// `None` when it has none of this name.
    pub(super) fn give_back(&self, name: &LockName) -> Option<Lock> {
        let held = self.0.lock().held.remove(name);
        held.map(|held| held.lock)
    }

    /// Those of which a leader has heard before the others, as many as it remembers.
    pub(super) fn all(&self) -> Renewal {
        let own = self.0.lock();
        let mut all: Vec<_> = own.held.values().collect();
        all.sort_by_key(|held| held.heard.is_none());
        let mut bytes = 0;
        let held = all.into_iter().map(|held| held.lock.clone());
        let held = held.take_while(|lock| {
            bytes += lock.name.size();
            bytes <= MOST
        });
        Renewal {
            held: held.collect(),
            last: own.last,
        }
    }
}
