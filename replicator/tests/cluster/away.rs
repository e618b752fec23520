//! A node that was away for longer than the others keep the log.

use crate::harness::{Cluster, create_repo, reference, write};
use gitmoor_model::Expect;
use gitmoor_replicator::{Node, NodeConfig};
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many entries it misses, unless `GITMOOR_TEST_ENTRIES` says another number.
const MISSED: u64 = 50_000;
/// At a time, each with refs of its own.
const WRITERS: u64 = 64;
/// Of each writer.
const REFS: u64 = 300;

fn missed() -> u64 {
    let number = env::var("GITMOOR_TEST_ENTRIES").ok();
    number.map_or(MISSED, |number| number.parse().expect("a number"))
}

fn at(writer: u64, number: u64) -> String {
    format!("refs/heads/{writer}/{}", number % REFS)
}

/// Writes the numbers from `first` on, each to the next of its refs, while it may; the first that it did not
/// write. Every write must be acknowledged: two of three nodes are there all the time.
fn write_on(node: &Node, writer: u64, first: u64, may: impl Fn(u64) -> bool) -> u64 {
    let mut number = first;
    while may(number) {
        let (at, value) = (at(writer, number), number.to_string());
        write(node, &at, Expect::Anything, &value).expect("acknowledged");
        number += 1;
    }
    number
}

/// All writers at once, half of them through each of the two nodes that stay.
fn all_write(cluster: &Cluster, first: &[u64], may: impl Fn(u64) -> bool + Sync) -> Vec<u64> {
    std::thread::scope(|scope| {
        let writing: Vec<_> = (0..WRITERS)
            .zip(first)
            .map(|(writer, &first)| {
                let (node, may) = (cluster.node(writer as usize % 2), &may);
                scope.spawn(move || write_on(node, writer, first, may))
            })
            .collect();
        let ended = writing.into_iter().map(|it| it.join().expect("writes"));
        ended.collect()
    })
}

/// It gets a snapshot, in pieces, while the others go on to acknowledge; their logs stay short meanwhile, and
/// in the end it has every ref as it was last acknowledged.
#[test]
fn a_node_that_was_away_catches_up_while_the_others_serve() {
    let keeps = NodeConfig::new("").compact_entries;
    let mut cluster = Cluster::with(keeps, Duration::from_secs(30));
    cluster.grow();
    create_repo(cluster.node(0));
    let replaced = |cluster: &Cluster| cluster.machines[2].told.replaced.load(Ordering::Relaxed);
    let joined = replaced(&cluster);
    cluster.stop(2);
    let each = missed().div_ceil(WRITERS);
    let written = all_write(&cluster, &[0; WRITERS as usize], |number| number < each);
    let before: Vec<_> = [0, 1].map(|it| cluster.node(it).status()).into();
    for status in &before {
        let kept = status.last_index - status.first_index;
        assert!(kept <= 2 * keeps, "the log is not compacted: {status:?}");
        assert!(status.commit >= missed(), "{status:?}");
    }

    let beside = AtomicU64::new(0);
    cluster.start(2);
    let written = std::thread::scope(|scope| {
        // Gone when it has caught up, also by a panic.
        let lags = Arc::new(());
        let goes_on = Arc::downgrade(&lags);
        let (cluster, written, beside) = (&cluster, &written, &beside);
        let writing = scope.spawn(move || {
            all_write(cluster, written, |_| {
                beside.fetch_add(1, Ordering::Relaxed);
                goes_on.strong_count() > 0
            })
        });
        cluster.until("it has what it missed, and the others wrote", || {
            cluster.node(2).status().applied >= before[0].commit
                && beside.load(Ordering::Relaxed) > 2 * WRITERS
        });
        drop(lags);
        writing.join().expect("they write")
    });
    assert!(replaced(&cluster) > joined, "nobody has the log any more");

    let returned = cluster.node(2);
    returned.read_barrier().expect("a quorum");
    for (writer, &end) in (0..).zip(&written) {
        for number in end.saturating_sub(REFS)..end {
            let entry = reference(returned, &at(writer, number)).expect("acknowledged");
            assert_eq!(entry.value, number.to_string().as_bytes());
        }
    }
}
