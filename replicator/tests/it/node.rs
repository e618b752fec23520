//! The node as its users see it.

use crate::support::{actor, file, id, name, oid, path, refs, set, set_if};
use gitmoor_model::{Change, Command, Expect, Outcome, RefEdit, RefEntry, RepoChange, Version};
use gitmoor_replicator::state::{AuditEvent, RefValue, Trail};
use gitmoor_replicator::{NameEntry, Node, NodeConfig, ProposeError, Replica, Role, Status, read};
use std::time::Duration;

fn open(dir: &std::path::Path) -> Node {
    Node::open(NodeConfig::new(dir)).expect("opens")
}

/// Where the node stands after what it has answered. It says so after the answers, and
/// before it takes the next question.
fn status(node: &Node) -> Status {
    node.read_barrier().expect("it leads");
    node.status()
}

fn must(node: &Node, command: Command) -> Version {
    match node.propose(actor(), command).expect("has an outcome") {
        Outcome::Done(version) => version,
        Outcome::Refused(refusal) => panic!("{refusal}"),
    }
}

fn create_app(node: &Node) {
    must(
        node,
        Command::CreateRepo {
            id: id(1),
            path: name("app.git"),
        },
    );
}

fn counter(node: &Node) -> RefEntry {
    read::reference(node.view(), id(1), &path("refs/n"))
        .expect("reads")
        .expect("exists")
}

#[test]
fn what_was_acknowledged_is_there_after_reopening() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(&dir.path().join("made/on/the/way"));
    create_app(&node);
    let version = must(
        &node,
        refs(id(1), vec![set("HEAD", "ref: refs/heads/main\n")]),
    );
    let before = status(&node);
    assert_eq!(
        (before.role, before.leader, before.applied),
        (Role::Leader, Some(1), version.0)
    );
    node.shutdown();
    let node = open(&dir.path().join("made/on/the/way"));
    assert_eq!(
        read::name(node.view(), &name("app.git")).expect("reads"),
        Some(NameEntry::Repo(id(1)))
    );
    let head = read::reference(node.view(), id(1), &path("HEAD"))
        .expect("reads")
        .expect("exists");
    assert_eq!(head.version, version);
    assert!(status(&node).term > before.term);
    // The log goes on where it was: versions never come twice.
    assert!(must(&node, refs(id(1), vec![set("HEAD", "x")])) > version);
}

#[test]
fn an_acknowledged_commit_can_be_read_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(dir.path());
    create_app(&node);
    for n in 0..50 {
        let version = must(&node, refs(id(1), vec![set("refs/n", &n.to_string())]));
        assert_eq!(counter(&node).version, version);
    }
}

#[test]
fn a_lone_node_is_always_caught_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(dir.path());
    for _ in 0..20 {
        node.read_barrier().expect("is answered");
    }
    node.shutdown();
}

#[test]
fn racing_proposers_make_one_chain() {
    const THREADS: usize = 8;
    const EACH: usize = 200;
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(dir.path());
    create_app(&node);
    must(&node, refs(id(1), vec![set("refs/n", "0")]));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..EACH).for_each(|_| increment(&node)));
        }
    });
    assert_eq!(
        counter(&node).value,
        (THREADS * EACH).to_string().into_bytes()
    );

    let mut chain = Vec::new();
    read::audit(
        node.view(),
        Trail::Of(id(1)),
        Version(0),
        &mut |_, record| {
            if let AuditEvent::RefsMoved(moves) = record.event {
                chain.extend(moves.into_iter().map(|moved| (moved.old, moved.new)));
            }
            true
        },
    )
    .expect("reads");
    let text = |n: usize| RefValue::Text(n.to_string().into_bytes());
    assert_eq!(chain[0], (RefValue::Absent, text(0)));
    let links: Vec<_> = (0..THREADS * EACH)
        .map(|n| (text(n), text(n + 1)))
        .collect();
    assert_eq!(chain[1..], links);
}

/// Adds one, however often another is faster.
fn increment(node: &Node) {
    loop {
        let old = counter(node);
        let n: u64 = String::from_utf8(old.value)
            .expect("text")
            .parse()
            .expect("a number");
        let edit = set_if("refs/n", Expect::Is(old.version), &(n + 1).to_string());
        let outcome = node
            .propose(actor(), refs(id(1), vec![edit]))
            .expect("has an outcome");
        if matches!(outcome, Outcome::Done(_)) {
            return;
        }
    }
}

#[test]
fn the_log_stays_short_and_nothing_is_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = NodeConfig {
        compact_entries: 10,
        ..NodeConfig::new(dir.path())
    };
    let node = Node::open(config.clone()).expect("opens");
    create_app(&node);
    for n in 0..100 {
        must(
            &node,
            refs(id(1), vec![set(&format!("refs/heads/{n}"), &oid(n))]),
        );
    }
    let status = status(&node);
    assert!(status.last_index > 100, "{status:?}");
    assert!(status.last_index - status.first_index < 11, "{status:?}");
    drop(node);
    let node = Node::open(config).expect("opens again");
    let found = read::references_in(node.view(), id(1), &path("refs/heads")).expect("reads");
    assert_eq!(found.len(), 100);
}

#[test]
fn big_entries_compact_the_log_before_many_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = NodeConfig {
        compact_bytes: 100_000,
        ..NodeConfig::new(dir.path())
    };
    let node = Node::open(config).expect("opens");
    create_app(&node);
    for _ in 0..10 {
        must(
            &node,
            refs(id(1), vec![set("reftable/x", &"x".repeat(30_000))]),
        );
    }
    let status = status(&node);
    assert!(status.last_index - status.first_index < 5, "{status:?}");
}

#[test]
fn a_command_over_the_limit_is_refused_and_does_no_harm() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = NodeConfig {
        max_entry_bytes: 1000,
        ..NodeConfig::new(dir.path())
    };
    let node = Node::open(config).expect("opens");
    create_app(&node);
    let large = refs(id(1), vec![set("HEAD", &"x".repeat(1000))]);
    let error = node.propose(actor(), large).expect_err("is too large");
    assert!(
        matches!(error, ProposeError::TooLarge { limit: 1000, .. }),
        "{error:?}"
    );
    must(&node, refs(id(1), vec![set("HEAD", "x")]));
}

/// Of two, the trash could keep what only one of them replaced.
#[test]
fn a_change_adds_a_file_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = Node::open(NodeConfig::new(dir.path())).expect("opens");
    create_app(&node);
    let key = format!("{}/objects/00/aa", id(1));
    let add = |times| {
        let add = vec![file("objects/00/aa", &key, 0); times];
        let change = RepoChange {
            add,
            ..RepoChange::new(id(1))
        };
        node.propose(actor(), Command::Commit(change))
            .expect("has an outcome")
    };
    let Outcome::Refused(refusal) = add(2) else {
        panic!("it was taken");
    };
    assert!(refusal.to_string().contains("added twice"), "{refusal}");
    assert!(matches!(add(1), Outcome::Done(_)));
}

#[test]
fn a_lone_leader_stays_leader() {
    let dir = tempfile::tempdir().expect("a directory");
    let tick = Duration::from_millis(1);
    let node = Node::open(NodeConfig {
        tick,
        ..NodeConfig::new(dir.path())
    })
    .expect("opens");
    let term = status(&node).term;
    // Many times the election timeout, with its check of the quorum.
    std::thread::sleep(tick * 500);
    create_app(&node);
    assert_eq!(
        (status(&node).role, status(&node).term),
        (Role::Leader, term)
    );
}

#[test]
fn large_proposals_of_many_threads_all_get_through() {
    // More than raft takes at once, so that some of them have to wait.
    const THREADS: usize = 24;
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(dir.path());
    create_app(&node);
    let value = "x".repeat(4 << 20);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (node, value) = (&node, &value);
            scope.spawn(move || {
                must(
                    node,
                    refs(id(1), vec![set(&format!("refs/{thread}"), value)]),
                )
            });
        }
    });
    assert_eq!(
        read::references_in(node.view(), id(1), &path("refs"))
            .expect("reads")
            .len(),
        THREADS
    );
    assert_eq!(status(&node).pending, 0);
}

#[test]
fn proposals_are_counted_by_kind_and_outcome() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(dir.path());
    let remove = Command::RemoveDirectory { path: name("none") };
    node.propose(actor(), remove).expect("has an outcome");
    status(&node);
    let families = prometheus::gather();
    let named = |name: &str| families.iter().find(|family| family.name() == name);
    let proposals = named("gitmoor_replicator_proposals_total").expect("is registered");
    let labels = |metric: &prometheus::proto::Metric| -> Vec<String> {
        metric
            .get_label()
            .iter()
            .map(|label| label.value().to_owned())
            .collect()
    };
    let ours = proposals
        .get_metric()
        .iter()
        .find(|metric| labels(metric) == ["remove_directory".to_owned(), "refused".to_owned()]);
    assert_eq!(ours.expect("is counted").get_counter().get_value(), 1.0);
    for histogram in ["commit", "apply", "round"] {
        named(&format!("gitmoor_replicator_{histogram}_seconds")).expect("is registered");
    }
}

#[test]
fn a_proposer_that_stops_waiting_is_told_so_and_its_command_is_applied_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(dir.path());
    create_app(&node);
    node.shutdown();
    let propose_timeout = Duration::from_micros(100);
    let node = Node::open(NodeConfig {
        propose_timeout,
        ..NodeConfig::new(dir.path())
    });
    let node = node.expect("opens");
    let (mut timeouts, mut proposed) = (0, 0);
    // Until the disk has been too slow for somebody.
    while proposed < 200 || timeouts == 0 {
        proposed += 1;
        assert!(
            proposed < 100_000,
            "this disk syncs within {propose_timeout:?}"
        );
        let change = Change::Append { value: b"x".into() };
        let edit = RefEdit {
            name: path("refs/n"),
            expect: Expect::Anything,
            change,
        };
        match node.propose(actor(), refs(id(1), vec![edit])) {
            Ok(Outcome::Done(_)) => {}
            Err(ProposeError::Timeout(_)) => timeouts += 1,
            other => panic!("{other:?}"),
        }
    }
    drop(node);
    let applied = counter(&open(dir.path())).value.len();
    assert!(
        (proposed - timeouts..=proposed).contains(&applied),
        "{applied} of {proposed}, {timeouts} unknown"
    );
}
