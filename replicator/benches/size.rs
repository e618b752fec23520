//! Memory and disk of a node with 1,000,000 refs in 10,000 repositories, and how long it takes to
//! start, to make a backup, and to give everything to a node that joins; and the slowest commit meanwhile.
//!
//! `cargo bench --workspace --bench size [REPOSITORIES]`

#[allow(dead_code, reason = "the tests use all of it")]
#[path = "../tests/cluster/harness.rs"]
mod harness;

use gitmoor_model::{
    Actor, Command, NamePath, Outcome, PackedEdit, PackedRef, RepoChange, RepoId, RepoPath,
};
use gitmoor_replicator::{Node, Replica, read};
use harness::Cluster;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const REFS: u64 = 100;

fn repositories() -> u64 {
    let given = std::env::args().find_map(|argument| argument.parse().ok());
    given.unwrap_or(10_000)
}

fn id(number: u64) -> RepoId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    RepoId::from_bytes(bytes)
}

fn must(node: &Node, command: Command) {
    let outcome = node.propose(Actor::default(), command);
    assert!(matches!(outcome, Ok(Outcome::Done(_))), "{outcome:?}");
}

fn fill(node: &Node, number: u64) {
    let path = NamePath::new(format!("repository-{number}.git")).expect("a path");
    must(
        node,
        Command::CreateRepo {
            id: id(number),
            path,
        },
    );
    let line = |n: u64| PackedEdit::Set {
        name: RepoPath::new(format!("refs/heads/team/branch-{n}")).expect("a path"),
        line: PackedRef {
            oid: vec![n as u8; 20],
            peeled: None,
        },
    };
    let change = RepoChange {
        packed: (0..REFS).map(line).collect(),
        ..RepoChange::new(id(number))
    };
    must(node, Command::Commit(change));
}

/// The slowest commit until an end is told, in milliseconds.
fn slowest(node: &Node, is_over: &AtomicBool) -> u128 {
    let mut slowest = 0;
    while !is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        must(node, Command::Commit(RepoChange::new(id(0))));
        slowest = slowest.max(began.elapsed().as_millis());
    }
    slowest
}

/// Of this process, MiB: now, and at most so far.
fn memory() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next());
        number
            .and_then(|kib| kib.parse::<u64>().ok())
            .map_or(0, |kib| kib >> 10)
    };
    (field("VmRSS:"), field("VmHWM:"))
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).expect("a directory").flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

fn main() {
    let mut cluster = Cluster::new();
    let began = Instant::now();
    let node = cluster.node(0);
    std::thread::scope(|scope| {
        for part in 0..16 {
            scope.spawn(move || {
                (part..repositories())
                    .step_by(16)
                    .for_each(|n| fill(node, n))
            });
        }
    });
    println!("filled in {:.1} s", began.elapsed().as_secs_f64());
    let disk = bytes_below(cluster.machines[0].dir.path()) >> 20;
    println!("one node: {} MiB of memory, {disk} MiB of disk", memory().0);

    let began = Instant::now();
    let mut backup = tempfile::tempfile().expect("a file");
    cluster.node(0).backup(&mut backup).expect("reads");
    let (now, most) = (began.elapsed().as_secs_f64(), memory().1);
    println!(
        "backup: {now:.1} s, {} MiB, {most} MiB of memory at most",
        backup.metadata().expect("a file").len() >> 20
    );
    drop(backup);

    let began = Instant::now();
    cluster.stop(0);
    cluster.start(0);
    cluster.until("it leads", || cluster.node(0).read_barrier().is_ok());
    println!(
        "restarted in {:.1} s, the election in it",
        began.elapsed().as_secs_f64()
    );

    let began = Instant::now();
    let joined = cluster.join();
    cluster.start(joined);
    let is_over = AtomicBool::new(false);
    let slowest = std::thread::scope(|scope| {
        let committing = scope.spawn(|| slowest(cluster.node(0), &is_over));
        cluster.until("it has everything", || {
            let last = read::repo(cluster.node(joined).view(), id(repositories() - 1));
            last.is_ok_and(|repo| repo.is_some())
        });
        is_over.store(true, Ordering::Relaxed);
        committing.join().expect("it commits")
    });
    let (now, most) = (began.elapsed().as_secs_f64(), memory().1);
    println!(
        "joined in {now:.1} s; both nodes {most} MiB of memory at most; the slowest commit {slowest} ms"
    );
}
