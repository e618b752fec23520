//! How much memory it takes to give the state away: as much as a few pieces, however large the state is.

#[allow(dead_code, reason = "the tests use all of it")]
#[path = "cluster/harness.rs"]
mod harness;

use gitmoor_model::Expect;
use gitmoor_replicator::{Node, NodeConfig, Replica, read};
use harness::{Cluster, create_repo, name, repo, write};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Seek, SeekFrom};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The system's allocator, counted. RocksDB has its own memory, which its settings bound.
struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;
static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is the system allocator's, with the arguments that came.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller promises what the system's asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller promises what the system's asks for.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// MiB that were taken at once while something was done, beyond what was taken before.
fn taken(what: &str, act: impl FnOnce()) -> usize {
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    act();
    let taken = (MOST.load(Ordering::Relaxed) - before) >> 20;
    println!("{what}: {taken} MiB");
    taken
}

/// Of one ref; less than a piece.
const VALUE: usize = 900 << 10;
const REFS: usize = 300;
/// Pieces on the wire, in the buffers of both ends of it, and in batches: both nodes are in this process.
const BOUND: usize = 64;

fn last() -> String {
    format!("refs/heads/large/{}", REFS - 1)
}

fn has_all(replica: &dyn Replica) -> bool {
    let last = read::reference(replica.view(), repo(), &name(&last()));
    last.is_ok_and(|entry| entry.is_some_and(|entry| entry.value.len() == VALUE))
}

#[test]
fn snapshots_and_backups_are_never_whole_in_memory() {
    // Its log is short, so that who joins gets a snapshot.
    let mut cluster = Cluster::with(20, Duration::from_secs(30));
    create_repo(cluster.node(0));
    let value = "y".repeat(VALUE);
    for n in 0..REFS {
        let at = format!("refs/heads/large/{n}");
        write(cluster.node(0), &at, Expect::Absent, &value).expect("written");
    }
    const { assert!(REFS * VALUE > (4 * BOUND) << 20) };

    let joined = taken("a node that joins", || {
        let machine = cluster.join();
        cluster.start(machine);
        cluster.until("it has all", || has_all(cluster.node(machine)));
    });
    assert!(joined <= BOUND, "{joined} MiB");

    let mut file = tempfile::tempfile().expect("a file");
    let backup = taken("a backup", || {
        cluster.node(0).backup(&mut file).expect("a backup");
    });
    assert!(backup <= BOUND, "{backup} MiB");

    let size = file.seek(SeekFrom::End(0)).expect("its size");
    file.rewind().expect("from the start");
    let dir = tempfile::tempdir().expect("a directory");
    let restore = taken("a backup that is restored", || {
        let config = NodeConfig::new(dir.path().join("replica"));
        let node = Node::restore(config, &mut file, size).expect("restored");
        assert!(has_all(&node));
    });
    assert!(restore <= BOUND, "{restore} MiB");

    let client = cluster.client(&[0]);
    let lent = taken("a backup of a client's", || {
        client.backup(&mut std::io::sink()).expect("a backup");
    });
    assert!(lent <= BOUND, "{lent} MiB");
}
