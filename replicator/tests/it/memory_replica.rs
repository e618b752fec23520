//! The simplest replica says what a node says, and a node can go on with its backup.

use crate::support::{actor, delete, file, id, name, oid, path, refs, set, set_if};
use gitmoor_model::{Command, Expect, FileRemoval, Outcome, Refusal, RepoChange, Version};
use gitmoor_replicator::state::Trail;
use gitmoor_replicator::{MemoryReplica, NameEntry, Node, NodeConfig, Replica, read};

/// Runs a test on each kind of replica that is alone.
fn everywhere(test: impl Fn(&dyn Replica)) {
    test(&MemoryReplica::default());
    let dir = tempfile::tempdir().expect("a directory");
    test(&Node::open(NodeConfig::new(dir.path())).expect("opens"));
}

fn run(replica: &dyn Replica, command: Command) -> Result<Version, Refusal> {
    match replica.propose(actor(), command).expect("has an outcome") {
        Outcome::Done(version) => Ok(version),
        Outcome::Refused(refusal) => Err(refusal),
    }
}

fn create_app(replica: &dyn Replica) {
    let (repo, path) = (id(1), name("app.git"));
    run(replica, Command::CreateRepo { id: repo, path }).expect("the name is free");
}

fn value(replica: &dyn Replica, at: &str) -> Option<String> {
    let entry = read::reference(replica.view(), id(1), &path(at)).expect("reads");
    entry.map(|entry| String::from_utf8(entry.value).expect("text"))
}

#[test]
fn what_is_done_can_be_read_at_once() {
    everywhere(|replica| {
        create_app(replica);
        let there = read::name(replica.view(), &name("app.git")).expect("reads");
        assert_eq!(there, Some(NameEntry::Repo(id(1))));
        let done = run(replica, refs(id(1), vec![set("refs/heads/a/b", &oid(1))]));
        let version = done.expect("nothing stands there");
        let entry = read::reference(replica.view(), id(1), &path("refs/heads/a/b"));
        assert_eq!(entry.expect("reads").expect("is there").version, version);
        let listed = read::references_in(replica.view(), id(1), &path("refs/heads"));
        assert_eq!(listed.expect("reads").len(), 1);
        run(replica, refs(id(1), vec![delete("refs/heads/a/b")])).expect("is there");
        assert_eq!(value(replica, "refs/heads/a/b"), None);
        replica.read_barrier(&|| false).expect("it is alone");
        assert!(replica.is_alone() && replica.has_loaded(id(1)));
    });
}

#[test]
fn what_is_refused_leaves_nothing() {
    everywhere(|replica| {
        create_app(replica);
        let (main, other) = ("refs/heads/main", "refs/heads/other");
        run(replica, refs(id(1), vec![set(main, &oid(1))])).expect("nothing stands there");
        let edits = vec![set(other, &oid(2)), set_if(main, Expect::Absent, &oid(2))];
        let refused = run(replica, refs(id(1), edits)).expect_err("it is there");
        assert!(matches!(refused, Refusal::RefMoved { .. }), "{refused}");
        assert_eq!(value(replica, main), Some(oid(1)));
        assert_eq!(value(replica, other), None);
    });
}

#[test]
fn what_goes_is_in_the_trash_and_on_record() {
    everywhere(|replica| {
        create_app(replica);
        let pack = file("objects/pack/pack-1.pack", "key", 3);
        let at = pack.path.clone();
        let add = RepoChange {
            add: vec![pack.clone()],
            ..RepoChange::new(id(1))
        };
        run(replica, Command::Commit(add)).expect("its key is free");
        let blocks = read::blocks(replica.view(), id(1), &at).expect("reads");
        assert_eq!(blocks, pack.blocks);
        let remove = RepoChange {
            remove: Some(FileRemoval {
                paths: vec![at.clone()],
                unless_refs_moved_since: None,
                unless_repacked_since: None,
            }),
            ..RepoChange::new(id(1))
        };
        run(replica, Command::Commit(remove)).expect("it is there");
        assert_eq!(read::file(replica.view(), id(1), &at).expect("reads"), None);
        let trashed = read::trashed_files(replica.view(), id(1), Version::default());
        assert_eq!(trashed.expect("reads").len(), 1);
        let mut records = 0;
        read::audit(replica.view(), Trail::Of(id(1)), Version(0), &mut |_, _| {
            records += 1;
            true
        })
        .expect("reads");
        assert_eq!(records, 2, "it was created, and a file was removed");
    });
}

#[test]
fn a_node_goes_on_with_its_backup() {
    let replica = MemoryReplica::default();
    create_app(&replica);
    let done = run(
        &replica,
        refs(id(1), vec![set("HEAD", "ref: refs/heads/a\n")]),
    );
    let version = done.expect("nothing stands there");
    let mut backup = Vec::new();
    assert_eq!(replica.backup(&mut backup).expect("in memory"), version);
    let dir = tempfile::tempdir().expect("a directory");
    let config = NodeConfig::new(dir.path().join("restored"));
    let size = backup.len() as u64;
    let node = Node::restore(config, &mut backup.as_slice(), size).expect("restores");
    assert_eq!(value(&node, "HEAD"), value(&replica, "HEAD"));
    let next = run(&node, refs(id(1), vec![set("HEAD", "x")]));
    assert!(next.expect("it is there") > version);
}
