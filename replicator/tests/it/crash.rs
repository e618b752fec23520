//! A process that is killed: nothing it acknowledged is lost.
//!
//! The test runs its own binary again as the victim, which commits from several
//! threads and prints a line for each commit that was acknowledged.

use crate::support::{actor, id, name, path, refs, set};
use gitmoor_replicator::model::{Command as Change, Outcome, RepoPath};
use gitmoor_replicator::{Node, NodeConfig, OpenError, Replica};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const VICTIM: &str = "GITMOOR_TEST_VICTIM";
const THREADS: u64 = 4;

fn open(dir: &Path) -> Node {
    // Few entries, so that crashes also fall into compactions.
    let config = NodeConfig {
        compact_entries: 20,
        ..NodeConfig::new(dir)
    };
    Node::open(config).expect("opens")
}

#[test]
fn victim() {
    let Some(dir) = std::env::var_os(VICTIM) else {
        return;
    };
    let node = open(Path::new(&dir));
    let create = Change::CreateRepo {
        id: id(1),
        path: name("app.git"),
    };
    node.propose(actor(), create).expect("has an outcome");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let node = &node;
            scope.spawn(move || commit_forever(node, thread));
        }
    });
}

fn commit_forever(node: &Node, thread: u64) {
    for n in 0_u64.. {
        let ref_name = format!("refs/{thread}/{}", n % 50);
        let value = format!("{}.{n}", std::process::id());
        let outcome = node.propose(actor(), refs(id(1), vec![set(&ref_name, &value)]));
        let Ok(Outcome::Done(version)) = outcome else {
            panic!("{outcome:?}")
        };
        let line = format!("acknowledged {ref_name} {} {value}\n", version.0);
        let mut out = std::io::stdout().lock();
        out.write_all(line.as_bytes())
            .and_then(|()| out.flush())
            .expect("the pipe is open");
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut acknowledged = BTreeMap::new();
    for round in 1..=5 {
        let count = run_and_kill(dir.path(), round * 60, &mut acknowledged);
        assert!(count >= round * 60);
        check(&open(dir.path()), &acknowledged);
    }
}

/// Lets the victim make `count` commits or more; adds the version and value of
/// the last acknowledged write of each ref.
fn run_and_kill(
    dir: &Path,
    count: usize,
    acknowledged: &mut BTreeMap<RepoPath, (u64, String)>,
) -> usize {
    let mut victim = Command::new(std::env::current_exe().expect("has a path"))
        .args([
            "--exact",
            "crash::victim",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(VICTIM, dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let output = BufReader::new(victim.stdout.take().expect("is piped"));
    let mut seen = 0;
    for line in output.lines() {
        let line = line.expect("is text");
        let Some((_, line)) = line.split_once("acknowledged ") else {
            continue;
        };
        let [name, version, value] = line.split(' ').collect::<Vec<_>>()[..] else {
            continue;
        };
        let version: u64 = version.parse().expect("a number");
        let latest = acknowledged.entry(path(name)).or_default();
        if version > latest.0 {
            *latest = (version, value.to_owned());
        }
        seen += 1;
        if seen == count {
            let error = Node::open(NodeConfig::new(dir)).err().expect("is refused");
            assert!(matches!(error, OpenError::InUse(_)), "{error:?}");
            victim.kill().expect("is ours"); // SIGKILL; the rest of its output follows
        }
    }
    victim.wait().expect("ends");
    seen
}

fn check(node: &Node, acknowledged: &BTreeMap<RepoPath, (u64, String)>) {
    for (name, (version, value)) in acknowledged {
        let entry = node
            .reference(id(1), name)
            .expect("reads")
            .expect("is there");
        // A later write may have been committed without being acknowledged.
        assert!(
            entry.version.0 >= *version,
            "{name} went back to {:?}",
            entry.version
        );
        if entry.version.0 == *version {
            assert_eq!(entry.value, value.as_bytes(), "{name}");
        }
    }
}
