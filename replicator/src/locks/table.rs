//! The lock table, in the memory of whoever leads.

use super::{LEASE, Lock, LockName, MOST, Renewal};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::time::Instant;

/// What a leader remembers.
#[derive(Default)]
pub(crate) struct LockTable(Mutex<Locks>);

#[derive(Default)]
struct Locks {
    /// In which term. In another one others led in between.
    term: u64,
    /// Whose each lock is, and its number there.
    held: HashMap<LockName, (u64, u64)>,
    /// Everybody who was heard of within the lease.
    holders: HashMap<u64, LockHolder>,
}

struct LockHolder {
    heard: Instant,
    /// Of its locks.
    bytes: usize,
}

/// What becomes of a lock that is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Taken {
    Its,
    Anothers,
    /// It has too many ([`MOST`]).
    Unheard,
}

impl Locks {
    fn hear(&mut self, term: u64, node: u64, now: Instant) {
        if self.term != term {
            *self = Self {
                term,
                ..Self::default()
            };
        }
        let holder = self.holders.entry(node);
        let new = LockHolder {
            heard: now,
            bytes: 0,
        };
        holder.or_insert(new).heard = now;
        self.forget_the_dead(now);
    }

    fn forget_the_dead(&mut self, now: Instant) {
        let before = self.holders.len();
        let is_alive = |holder: &LockHolder| now < holder.heard + LEASE;
        self.holders.retain(|_, holder| is_alive(holder));
        if self.holders.len() < before {
            let holders = &self.holders;
            self.held
                .retain(|_, (holder, _)| holders.contains_key(holder));
        }
    }

    /// For a holder that has just been heard of.
    fn take(&mut self, node: u64, lock: &Lock) -> Taken {
        let bytes = self.bytes_of(node) + lock.name.size();
        match self.held.get_mut(&lock.name) {
            Some((holder, number)) if *holder == node => {
                *number = lock.number;
                Taken::Its
            }
            Some(_) => Taken::Anothers,
            None if bytes > MOST => Taken::Unheard,
            None => {
                self.held.insert(lock.name.clone(), (node, lock.number));
                self.count(node, bytes);
                Taken::Its
            }
        }
    }

    fn bytes_of(&self, node: u64) -> usize {
        self.holders.get(&node).map_or(0, |holder| holder.bytes)
    }

    fn count(&mut self, node: u64, bytes: usize) {
        if let Some(holder) = self.holders.get_mut(&node) {
            holder.bytes = bytes;
        }
    }
}

impl LockTable {
    /// A holder asks for a lock, in a term that this node leads; whether it has it now. `None` when it has so many
    /// that this one is not remembered.
    pub(crate) fn take(&self, term: u64, node: u64, lock: &Lock, now: Instant) -> Option<bool> {
        let mut table = self.0.lock();
        table.hear(term, node, now);
        match table.take(node, lock) {
            Taken::Its => Some(true),
            Taken::Anothers => Some(false),
            Taken::Unheard => None,
        }
    }

    /// A holder gives one back.
    pub(crate) fn release(&self, node: u64, lock: &Lock) {
        let mut table = self.0.lock();
        if table.held.get(&lock.name) == Some(&(node, lock.number)) {
            table.held.remove(&lock.name);
            let left = table.bytes_of(node) - lock.name.size();
            table.count(node, left);
        }
    }

    /// A holder is there, and has these locks. What this node does not know of them it learns, unless another
    /// has them by now: those are returned. What it did not hear being given back is free.
    pub(crate) fn renew(&self, term: u64, node: u64, own: &Renewal, now: Instant) -> Vec<Lock> {
        let mut table = self.0.lock();
        table.hear(term, node, now);
        let named: HashSet<_> = own.held.iter().map(|lock| &lock.name).collect();
        let mut left = table.bytes_of(node);
        table.held.retain(|name, &mut (holder, number)| {
            let is_old = holder == node && number <= own.last;
            let stays = !is_old || named.contains(name);
            left -= if stays { 0 } else { name.size() };
            stays
        });
        table.count(node, left);
        let held = own.held.iter();
        held.filter(|lock| table.take(node, lock) == Taken::Anothers)
            .cloned()
            .collect()
    }
}
