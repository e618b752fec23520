//! A process that is killed: nothing it acknowledged is lost.
//!
//! The test runs its own binary again as the victim, which commits from several
//! threads and prints a line for each commit that was acknowledged.

use crate::support::{actor, id, name, path, refs, set};
use gitmoor_model::{Command as Change, Outcome, RepoPath};
use gitmoor_replicator::{Node, NodeConfig, OpenError, Replica, read};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

const VICTIM: &str = "GITMOOR_TEST_VICTIM";
const THREADS: u64 = 4;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// The version and value of the last acknowledged write of each ref.
pub(crate) type Acknowledged = BTreeMap<RepoPath, (u64, String)>;

pub(crate) fn open(dir: &Path) -> Node {
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
    crate::failpoints::arm();
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

/// Lets the victim make `count` commits or more and kills it; returns how many
/// were acknowledged.
fn run_and_kill(dir: &Path, count: usize, acknowledged: &mut Acknowledged) -> usize {
    let me = std::env::current_exe().expect("has a path");
    let mut victim = start(&mut Command::new(me), dir);
    let output = BufReader::new(victim.stdout.take().expect("is piped"));
    let mut seen = 0;
    for line in output.lines() {
        seen += usize::from(note(&line.expect("is text"), acknowledged));
        if seen == count {
            let error = Node::open(NodeConfig::new(dir)).err().expect("is refused");
            assert!(matches!(error, OpenError::InUse(_)), "{error:?}");
            victim.kill().expect("is ours"); // SIGKILL; the rest of its output follows
        }
    }
    victim.wait().expect("ends");
    seen
}

/// Lets the victim commit until it dies at a failpoint.
pub(crate) fn run_to_death(dir: &Path, failpoint: &str, acknowledged: &mut Acknowledged) {
    let mut command = Command::new(std::env::current_exe().expect("has a path"));
    let mut victim = start(command.env(crate::failpoints::POINT, failpoint), dir);
    let output = BufReader::new(victim.stdout.take().expect("is piped"));
    for line in output.lines() {
        note(&line.expect("is text"), acknowledged);
    }
    assert_killed(victim.wait().expect("ends"));
}

pub(crate) fn assert_killed(status: ExitStatus) {
    assert_eq!(status.signal(), Some(SIGKILL), "{status}");
}

/// Starts the victim by a command that runs this binary.
fn start(command: &mut Command, dir: &Path) -> Child {
    command
        .args([
            "--exact",
            "crash::victim",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(VICTIM, dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts")
}

/// Notes an acknowledgement, if the line is one.
fn note(line: &str, acknowledged: &mut Acknowledged) -> bool {
    let Some((_, line)) = line.split_once("acknowledged ") else {
        return false;
    };
    let [name, version, value] = line.split(' ').collect::<Vec<_>>()[..] else {
        return false;
    };
    let version: u64 = version.parse().expect("a number");
    let latest = acknowledged.entry(path(name)).or_default();
    if version > latest.0 {
        *latest = (version, value.to_owned());
    }
    true
}

#[test]
fn a_failed_write_ends_the_process_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut acknowledged = BTreeMap::new();
    // Files may not grow beyond half a megabyte or so; trying gives EFBIG.
    let limited = r#"trap "" XFSZ; ulimit -c 0; ulimit -f 1024; exec "$0" "$@""#;
    let me = std::env::current_exe().expect("has a path");
    let mut victim = start(
        Command::new("sh").arg("-c").arg(limited).arg(me),
        dir.path(),
    );
    let output = BufReader::new(victim.stdout.take().expect("is piped"));
    let lines = output.lines().map(|line| line.expect("is text"));
    let count = lines.filter(|line| note(line, &mut acknowledged)).count();
    let status = victim.wait().expect("ends");
    assert_eq!(status.signal(), Some(SIGABRT), "{status}");
    assert!(count > 100, "{count}");
    check(&open(dir.path()), &acknowledged);
}

pub(crate) fn check(node: &Node, acknowledged: &Acknowledged) {
    for (name, (version, value)) in acknowledged {
        let entry = read::reference(node.view(), id(1), name)
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
