use super::*;
use std::time::Instant;

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
