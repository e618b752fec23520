//! How much of something each of many may have at a time: no more ([`Shares`]), or after a wait ([`Turns`]).

use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

type Counts<K> = Arc<Mutex<HashMap<K, usize>>>;

/// No key has more than `most` at a time. A key that has nothing takes no memory.
#[derive(Debug)]
pub(crate) struct Shares<K> {
    most: usize,
    taken: Counts<K>,
}

/// A part of a share, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Taken<K: Hash + Eq> {
    taken: Counts<K>,
    key: K,
}

impl<K: Hash + Eq + Clone> Shares<K> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            taken: Arc::default(),
        }
    }

    /// One more for this key; `None` when the key has all that it may.
    pub(crate) fn take(&self, key: K) -> Option<Taken<K>> {
        let mut counts = self.taken.lock();
        let count = counts.get(&key).copied().unwrap_or_default();
        if count >= self.most {
            return None;
        }
        counts.insert(key.clone(), count + 1);
        let taken = Arc::clone(&self.taken);
        Some(Taken { taken, key })
    }

    /// Whether nobody has anything.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.taken.lock().is_empty()
    }
}

impl<K: Hash + Eq> Drop for Taken<K> {
    fn drop(&mut self) {
        let mut counts = self.taken.lock();
        let count = counts
            .get_mut(&self.key)
            .expect("it was counted when it was taken");
        *count -= 1;
        if *count == 0 {
            counts.remove(&self.key);
        }
    }
}

/// No key has more than `most` at a time, and others of it wait. A key that has nothing takes no memory.
#[derive(Debug)]
pub(crate) struct Turns<K> {
    most: usize,
    held: Mutex<HashMap<K, Weak<Semaphore>>>,
}

impl<K: Hash + Eq> Turns<K> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most: most.min(Semaphore::MAX_PERMITS),
            held: Mutex::default(),
        }
    }

    /// The next turn of this key.
    pub(crate) async fn wait(&self, key: K) -> OwnedSemaphorePermit {
        let turns = self.of(key);
        turns.acquire_owned().await.expect("nobody closes it")
    }

    fn of(&self, key: K) -> Arc<Semaphore> {
        let mut held = self.held.lock();
        if let Some(turns) = held.get(&key).and_then(Weak::upgrade) {
            return turns;
        }
        held.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(self.most));
        held.insert(key, Arc::downgrade(&turns));
        turns
    }
}
