//! Any node serves, a minority may be gone, and what was acknowledged stays.

use crate::harness::{Cluster, WriteError, create_repo, read, reference, write};
use gitmoor_model::{Expect, Refusal};
use gitmoor_replicator::peer::Change;
use gitmoor_replicator::{Node, ProposeError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[test]
fn what_is_written_on_one_is_read_on_all() {
    let cluster = Cluster::of_three();
    create_repo(cluster.node(1));
    for round in 0..10 {
        for writer in 0..3 {
            let (at, value) = (format!("refs/heads/{writer}"), format!("{round}"));
            write(cluster.node(writer), &at, Expect::Anything, &value).expect("written");
            for reader in 0..3 {
                assert_eq!(read(cluster.node(reader), &at).as_deref(), Some(&*value));
            }
        }
    }
}

#[test]
fn the_leader_goes_and_comes_back() {
    let mut cluster = Cluster::of_three();
    create_repo(cluster.node(0));
    for round in 0..3 {
        let (at, leader) = (format!("refs/heads/{round}"), cluster.leader());
        write(cluster.node(leader), &at, Expect::Absent, "before").expect("written");
        cluster.stop(leader);
        for (number, machine) in cluster.running().enumerate() {
            let value = format!("after {number}");
            assert!(read(machine.node(), &at).is_some(), "acknowledged");
            write(machine.node(), &at, Expect::Anything, &value).expect("by the other two");
        }
        cluster.start(leader);
        assert_eq!(read(cluster.node(leader), &at).as_deref(), Some("after 1"));
    }
}

/// It refuses in bounded time, and says so; what it has applied can still be read.
#[test]
fn a_minority_writes_nothing() {
    let mut cluster = Cluster::of_three();
    create_repo(cluster.node(0));
    write(cluster.node(0), "refs/heads/main", Expect::Absent, "old").expect("written");
    cluster.until("all have it", || {
        cluster
            .running()
            .all(|it| reference(it.node(), "refs/heads/main").is_some())
    });
    (0..3).for_each(|machine| cluster.stop(machine));
    let patient = std::mem::replace(&mut cluster.propose_timeout, Duration::from_secs(2));
    cluster.start(0);
    cluster.propose_timeout = patient;
    let began = Instant::now();
    match write(cluster.node(0), "refs/heads/main", Expect::Anything, "new") {
        Err(WriteError::Unknown(why)) => assert!(why.contains("within"), "{why}"),
        other => panic!("without a quorum: {other:?}"),
    }
    let caught_up = cluster.node(0).read_barrier();
    assert!(
        matches!(caught_up, Err(ProposeError::Timeout(_))),
        "{caught_up:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(20));
    let entry = reference(cluster.node(0), "refs/heads/main").expect("it has it");
    assert_eq!(entry.value, b"old");
    cluster.start(1);
    cluster.until("two are a quorum", || {
        cluster.node(0).read_barrier().is_ok()
    });
    write(
        cluster.node(1),
        "refs/heads/main",
        Expect::Anything,
        "newer",
    )
    .expect("written");
}

/// Everyone adds to one counter by compare-and-swap while leaders go and come back: no addition
/// that was acknowledged is lost, and none is made twice.
#[test]
fn a_counter_counts_while_leaders_change() {
    let mut cluster = Cluster::of_three();
    create_repo(cluster.node(0));
    write(cluster.node(0), "refs/n", Expect::Absent, "0").expect("written");
    let (mut acknowledged, mut unknown) = (0, 0);
    for _ in 0..3 {
        let leader = cluster.leader();
        let (sure, unsure) = add_while_leadership_moves(&cluster, leader);
        acknowledged += sure;
        unknown += unsure;
        cluster.stop(leader);
        let other = cluster.leader();
        assert!(read(cluster.node(other), "refs/n").is_some());
        cluster.start(leader);
    }
    let total: u64 = read(cluster.node(0), "refs/n")
        .expect("there")
        .parse()
        .expect("a number");
    assert!(
        (acknowledged..=acknowledged + unknown).contains(&total),
        "{total}, {acknowledged} acknowledged, {unknown} unknown"
    );
    assert!(acknowledged > 100);
}

/// The two that do not lead add, and one of them gets the leadership.
fn add_while_leadership_moves(cluster: &Cluster, leader: usize) -> (u64, u64) {
    let (running, done) = (Arc::new(()), AtomicU64::new(0));
    let followers: Vec<_> = (0..3).filter(|&it| it != leader).collect();
    let target = cluster.machines[followers[0]].id;
    std::thread::scope(|scope| {
        // Gone at the end, also of a panic.
        let adding = running.clone();
        let adders: Vec<_> = followers
            .iter()
            .map(|&it| {
                let (node, goes_on) = (cluster.node(it), Arc::downgrade(&adding));
                let done = &done;
                scope.spawn(move || add_while(node, || goes_on.strong_count() > 1, done))
            })
            .collect();
        let so_far = || done.load(Ordering::Relaxed);
        cluster.until("they add", || so_far() > 40);
        let moved = cluster.node(leader).change(Change::TransferTo(target));
        moved.expect("another leads");
        let before = so_far();
        cluster.until("they go on", || so_far() > before + 40);
        drop(adding);
        let results = adders.into_iter().map(|adder| adder.join().expect("adds"));
        results.fold((0, 0), |(sure, unsure), (s, u)| (sure + s, unsure + u))
    })
}

/// How many additions it knows to be made, and of how many it does not know.
fn add_while(node: &Node, goes_on: impl Fn() -> bool, done: &AtomicU64) -> (u64, u64) {
    let (mut sure, mut unsure) = (0, 0);
    while goes_on() {
        let Some(entry) = reference(node, "refs/n") else {
            continue;
        };
        let value: u64 = String::from_utf8(entry.value)
            .expect("text")
            .parse()
            .expect("a number");
        match write(
            node,
            "refs/n",
            Expect::Is(entry.version),
            &(value + 1).to_string(),
        ) {
            Ok(_) => {
                sure += 1;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Err(WriteError::Refused(Refusal::RefMoved { .. })) => {}
            Err(WriteError::Refused(other)) => panic!("{other}"),
            Err(WriteError::Unknown(_)) => unsure += 1,
        }
    }
    (sure, unsure)
}

/// Whoever keeps something of what was read must know when to let go of it: before the next
/// read that must see the change is answered.
#[test]
fn what_others_change_is_told_before_it_must_be_seen() {
    let mut cluster = Cluster::with(50, Duration::from_secs(30));
    cluster.grow();
    create_repo(cluster.node(0));
    let mut expected = vec![Vec::new(); 3];
    for round in 0..20 {
        let (writer, at) = (round % 3, format!("refs/heads/{round}"));
        write(cluster.node(writer), &at, Expect::Absent, "x").expect("written");
        // One that is refused is no news.
        let again = write(cluster.node(writer), &at, Expect::Absent, "y");
        assert!(matches!(again, Err(WriteError::Refused(_))), "{again:?}");
        for reader in (0..3).filter(|&reader| reader != writer) {
            expected[reader].push(at.clone());
            cluster.node(reader).read_barrier().expect("a quorum");
            let told = cluster.machines[reader].told.refs.lock();
            assert_eq!(*told, expected[reader], "{reader}");
        }
    }
    // What it missed for long comes as one.
    let replaced = |cluster: &Cluster| cluster.machines[2].told.replaced.load(Ordering::Relaxed);
    let before = replaced(&cluster);
    cluster.stop(2);
    for round in 0..200 {
        let at = format!("refs/tags/{round}");
        write(cluster.node(0), &at, Expect::Absent, "x").expect("written");
    }
    cluster.start(2);
    assert_eq!(read(cluster.node(2), "refs/tags/199").as_deref(), Some("x"));
    assert_eq!(replaced(&cluster), before + 1);
}
