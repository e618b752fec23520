//! The lock table of refs, in the memory of whoever leads.
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

use crate::model::{RepoId, RepoPath};
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
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

/// What a holder has.
#[derive(Default)]
pub(crate) struct OwnLocks(Mutex<Own>);

#[derive(Default)]
struct Own {
    last: u64,
    held: HashMap<LockName, Held>,
}

struct Held {
    lock: Lock,
    /// When the last question about it was asked that a leader answered.
    heard: Option<Duration>,
    lost: bool,
}

impl Held {
    /// Whether another may have had it. Once it may, it stays so.
    fn is_lost(&mut self, now: Duration) -> bool {
        let is_over = |heard: Duration| now.saturating_sub(heard) >= LEASE;
        self.lost |= self.heard.is_some_and(is_over);
        self.lost
    }
}

impl OwnLocks {
    /// One that is to be asked for. From now on it counts as its own, so that no renewal that
    /// overtakes the question frees it again.
    fn want(&self, name: LockName) -> Lock {
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
    fn took(&self, lock: &Lock, asked: Duration) {
        if let Some(held) = self.0.lock().held.get_mut(&lock.name)
            && held.lock == *lock
        {
            held.heard = Some(asked);
        }
    }

    /// A leader was told of these at `asked`, and its answer came at `answered`: all but those that are lost are
    /// the holder's, and were all the time if the leader can have heard of the holder no later than a lease after
    /// the last time.
    fn renewed(&self, own: &Renewal, lost: &[Lock], asked: Duration, answered: Duration) {
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
    fn give_back(&self, name: &LockName) -> Option<Lock> {
        let held = self.0.lock().held.remove(name);
        held.map(|held| held.lock)
    }

    /// Those of which a leader has heard before the others, as many as it remembers.
    fn all(&self) -> Renewal {
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

/// On a clock that goes on while the machine sleeps.
fn now() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> LockName {
        LockName {
            repo: RepoId::from_bytes([1; 16]),
            name: RepoPath::new(text).expect("a path"),
        }
    }

    fn lock(text: &str, number: u64) -> Lock {
        let name = name(text);
        Lock { name, number }
    }

    fn renewal(held: &[Lock], last: u64) -> Renewal {
        let held = held.to_vec();
        Renewal { held, last }
    }

    fn take(table: &LockTable, term: u64, node: u64, lock: &Lock, now: Instant) -> bool {
        table.take(term, node, lock, now).expect("has few")
    }

    #[test]
    fn one_node_has_it_until_it_gives_it_back() {
        let (table, now) = (LockTable::default(), Instant::now());
        assert!(take(&table, 1, 7, &lock("HEAD", 1), now));
        assert!(!take(&table, 1, 8, &lock("HEAD", 1), now));
        assert!(take(&table, 1, 8, &lock("refs/heads/main", 2), now));
        table.release(8, &lock("HEAD", 1));
        assert!(
            !take(&table, 1, 8, &lock("HEAD", 3), now),
            "it was not its own"
        );
        table.release(7, &lock("HEAD", 1));
        assert!(take(&table, 1, 8, &lock("HEAD", 3), now));
    }

    #[test]
    fn a_release_that_comes_late_is_of_another_lock() {
        let (table, now) = (LockTable::default(), Instant::now());
        assert!(take(&table, 1, 7, &lock("HEAD", 1), now));
        assert!(take(&table, 1, 7, &lock("HEAD", 2), now));
        table.release(7, &lock("HEAD", 1));
        assert!(!take(&table, 1, 8, &lock("HEAD", 1), now));
    }

    #[test]
    fn those_of_the_dead_are_free_after_the_lease() {
        let (table, now) = (LockTable::default(), Instant::now());
        assert!(take(&table, 1, 7, &lock("HEAD", 1), now));
        let later = now + LEASE - Duration::from_millis(1);
        assert!(!take(&table, 1, 8, &lock("HEAD", 1), later));
        let own = renewal(&[lock("HEAD", 1)], 1);
        table.renew(1, 7, &own, later);
        assert!(!take(&table, 1, 8, &lock("HEAD", 1), now + LEASE));
        assert!(take(&table, 1, 8, &lock("HEAD", 1), later + LEASE));
        // Its node was only away: now another has it.
        let lost = table.renew(1, 7, &own, later + LEASE);
        assert_eq!(lost, [lock("HEAD", 1)]);
        assert!(!take(&table, 1, 7, &lock("HEAD", 2), later + LEASE));
    }

    #[test]
    fn what_was_given_back_unheard_is_free_after_a_renewal() {
        let (table, now) = (LockTable::default(), Instant::now());
        assert!(take(&table, 1, 7, &lock("HEAD", 1), now));
        assert!(take(&table, 1, 7, &lock("shallow", 3), now));
        table.renew(1, 7, &renewal(&[], 2), now);
        assert!(take(&table, 1, 8, &lock("HEAD", 1), now));
        assert!(
            !take(&table, 1, 8, &lock("shallow", 2), now),
            "it is younger than the renewal"
        );
    }

    #[test]
    fn a_new_leader_learns_of_them() {
        let (table, now) = (LockTable::default(), Instant::now());
        assert!(take(&table, 1, 7, &lock("HEAD", 1), now));
        // Another led in between, and gave it to somebody.
        assert!(take(&table, 3, 8, &lock("HEAD", 1), now));
        let own = renewal(&[lock("HEAD", 1), lock("shallow", 2)], 2);
        let lost = table.renew(3, 7, &own, now);
        assert_eq!(lost, [lock("HEAD", 1)]);
        assert!(!take(&table, 3, 7, &lock("HEAD", 3), now));
        assert!(!take(&table, 3, 8, &lock("shallow", 3), now));
    }

    /// What is beyond the bound harms neither others nor its holder.
    #[test]
    fn of_one_holder_only_so_many_are_remembered() {
        let (table, own, now) = (LockTable::default(), OwnLocks::default(), Instant::now());
        let numbered = |n: usize| name(&format!("refs/heads/{}/{n}", "x".repeat(200)));
        let locks: Vec<_> = (0..40_000).map(|n| own.want(numbered(n))).collect();
        let taken = |lock: &&Lock| table.take(1, 7, lock, now).is_some();
        let remembered = locks.iter().filter(taken).count();
        assert!((30_000..40_000).contains(&remembered), "{remembered}");
        assert!(take(&table, 1, 8, &lock("HEAD", 1), now), "another's");
        assert_eq!(table.take(1, 7, &locks[39_999], now), None);
        assert_eq!(table.take(1, 7, &locks[0], now), Some(true), "again");

        let heard = Duration::from_secs(100);
        locks[..remembered]
            .iter()
            .for_each(|lock| own.took(lock, heard));
        let said = own.all();
        assert_eq!(said.held.len(), remembered);
        let is_remembered = |lock: &Lock| lock.number <= remembered as u64;
        assert!(said.held.iter().all(is_remembered));
        assert!(table.renew(1, 7, &said, now).is_empty(), "none is lost");
        table.release(7, &locks[0]);
        assert_eq!(table.take(1, 7, &locks[39_999], now), Some(true), "room");
        // When it has died, all are free.
        assert!(take(&table, 1, 8, &locks[1], now + LEASE));
        assert!(take(&table, 1, 7, &locks[39_999], now + LEASE));
    }

    /// A lock of somebody who asked at second 100, and was given it.
    fn held(own: &OwnLocks, text: &str) -> Lock {
        let lock = own.want(name(text));
        own.took(&lock, Duration::from_secs(100));
        lock
    }

    fn is_lost(own: &OwnLocks, lock: &Lock, at: Duration) -> bool {
        let mut own = own.0.lock();
        own.held.get_mut(&lock.name).expect("held").is_lost(at)
    }

    #[test]
    fn one_that_is_renewed_in_time_is_not_lost() {
        let own = OwnLocks::default();
        let lock = held(&own, "HEAD");
        for at in (102..200).step_by(2).map(Duration::from_secs) {
            assert!(!is_lost(&own, &lock, at));
            own.renewed(&own.all(), &[], at, at);
        }
        assert!(!is_lost(&own, &lock, Duration::from_secs(207)));
        assert!(is_lost(&own, &lock, Duration::from_secs(208)));
    }

    /// Frozen, the holder wakes up; whichever comes first, its next step or its next renewal.
    #[test]
    fn one_that_was_not_renewed_for_a_lease_is_lost_for_good() {
        let own = OwnLocks::default();
        let late = Duration::from_secs(110);
        let lock = held(&own, "HEAD");
        own.renewed(&own.all(), &[], late, late);
        assert!(is_lost(&own, &lock, late));
        // The leader may have heard of it too late, although it was asked in time.
        let lock = held(&own, "HEAD");
        own.renewed(&own.all(), &[], Duration::from_secs(102), late);
        assert!(is_lost(&own, &lock, late));
        own.renewed(&own.all(), &[], late, late);
        assert!(is_lost(&own, &lock, late), "nobody has it by now");
        own.give_back(&lock.name);
        let again = held(&own, "HEAD");
        assert!(!is_lost(&own, &again, Duration::from_secs(101)));
    }

    #[test]
    fn one_that_the_leader_calls_anothers_is_lost() {
        let own = OwnLocks::default();
        let (lock, other) = (held(&own, "HEAD"), held(&own, "shallow"));
        let soon = Duration::from_secs(102);
        own.renewed(&own.all(), std::slice::from_ref(&lock), soon, soon);
        assert!(is_lost(&own, &lock, soon));
        assert!(!is_lost(&own, &other, soon));
        // An answer about one of before says nothing of this one.
        let stale = own.all();
        own.give_back(&other.name);
        let again = held(&own, "shallow");
        own.renewed(&stale, &[other], soon, soon);
        assert!(!is_lost(&own, &again, soon));
    }

    #[test]
    fn one_that_no_leader_has_heard_of_is_not_lost() {
        let own = OwnLocks::default();
        let lock = own.want(name("HEAD"));
        assert!(!is_lost(&own, &lock, Duration::MAX));
        let late = Duration::from_secs(110);
        own.renewed(&own.all(), &[], late, late);
        assert!(!is_lost(&own, &lock, Duration::from_secs(119)));
        assert!(is_lost(&own, &lock, Duration::from_secs(120)));
    }
}
