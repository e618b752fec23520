//! A cluster anew: from a backup, and from the data of one node of another.

use crate::support::{actor, id, name, oid, path, refs, set};
use gitmoor_model::{ClaimId, ClusterId, Member, Newcomer, Part, Scope, SecretDigest};
use gitmoor_model::{Command, Envelope, Outcome, SessionId, StoreRecord, Timestamp};
use gitmoor_replicator::parsers::{encode_conf_state, encode_entry};
use gitmoor_replicator::state::Table;
use gitmoor_replicator::storage::{BadBackup, Batch, Database, Stage};
use gitmoor_replicator::{NameEntry, Node, NodeConfig, Replica, RestoreError, read};
use raft::eraftpb::{ConfState, Entry, EntryType};
use std::path::Path;
use std::time::Duration;

fn open(dir: &Path) -> Node {
    Node::open(NodeConfig::new(dir)).expect("opens")
}

fn must(node: &Node, command: Command) {
    let outcome = node.propose(actor(), command).expect("has an outcome");
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
}

fn store() -> StoreRecord {
    StoreRecord {
        id: "one".to_owned(),
        url: "dir:/one".to_owned(),
    }
}

/// With a repository, a ref, a store, and a cluster of which it is node 1.
fn furnished(dir: &Path) -> Node {
    let node = open(dir);
    let (repo, path) = (id(1), name("app.git"));
    must(&node, Command::CreateRepo { id: repo, path });
    must(&node, refs(repo, vec![set("refs/heads/main", &oid(1))]));
    node.found_cluster(ClusterId::random(), "a:1")
        .expect("alone");
    node.invite(
        b"secret",
        Part::Node,
        Scope::default(),
        Duration::from_secs(60),
    )
    .expect("invited");
    must(&node, Command::SettleStore(store()));
    assert_eq!(read::claims(node.view()).expect("reads"), None);
    must(&node, Command::ClaimStore(ClaimId::random()));
    node
}

fn check(node: &Node) {
    let main = read::reference(node.view(), id(1), &path("refs/heads/main"));
    assert_eq!(
        main.expect("reads").expect("there").value,
        oid(1).into_bytes()
    );
    assert_eq!(
        read::name(node.view(), &name("app.git")).expect("reads"),
        Some(NameEntry::Repo(id(1)))
    );
    assert_eq!(node.store().expect("reads"), Some(store()));
    assert_eq!(
        read::cluster(node.view()).expect("reads"),
        None,
        "it is of none yet"
    );
    assert!(node.members().expect("reads").is_empty());
    // Nor does an invitation to the old one open the new one.
    node.found_cluster(ClusterId::random(), "a:2")
        .expect("a new one");
    let secret = SecretDigest::of(b"secret");
    let newcomer = Newcomer::Node(Member {
        address: "b:1".to_owned(),
    });
    let admitted = node.propose(actor(), Command::Admit { secret, newcomer });
    assert!(matches!(admitted, Ok(Outcome::Refused(_))), "{admitted:?}");
}

fn restore(config: NodeConfig, mut backup: &[u8]) -> Result<Node, RestoreError> {
    let size = backup.len() as u64;
    Node::restore(config, &mut backup, size)
}

/// Whatever is wrong with it, the directory stays new.
#[test]
fn a_backup_that_is_not_whole_is_noticed() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = furnished(&dir.path().join("one"));
    let mut backup = Vec::new();
    node.backup(&mut backup).expect("reads");
    let config = NodeConfig::new(dir.path().join("two"));
    let database = Database::open(&config.dir).expect("opens");
    let begin = |mut bytes: &[u8]| {
        let size = bytes.len() as u64;
        match database.begin_with(&mut bytes, size, 1) {
            Err(RestoreError::Bad(bad)) => bad,
            other => panic!("{other:?}"),
        }
    };
    for cut in 0..backup.len() {
        begin(&backup[..cut]);
    }
    for byte in 0..backup.len() {
        let mut damaged = backup.clone();
        damaged[byte] ^= 1 << (byte % 8);
        begin(&damaged);
    }
    assert!(matches!(begin(b"a pack"), BadBackup::Foreign));
    let mut newer = backup.clone();
    newer[b"gitmoor backup\n".len() + 3] = 2;
    assert!(matches!(begin(&newer), BadBackup::Version { found: 2 }));
    drop(database);
    check(&restore(config, &backup).expect("restored"));
}

#[test]
fn a_backup_comes_back_and_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = furnished(&dir.path().join("one"));
    let mut backup = Vec::new();
    let version = node.backup(&mut backup).expect("reads");
    must(&node, refs(id(1), vec![set("refs/heads/main", &oid(2))]));
    drop(node);
    let config = NodeConfig::new(dir.path().join("two"));
    let restored = restore(config.clone(), &backup).expect("restored");
    let claims = read::claims(restored.view()).expect("reads");
    assert_eq!(
        claims,
        Some(Vec::new()),
        "the state of the backup may go on with the store"
    );
    check(&restored);
    // No version comes twice.
    let again = Command::CreateDirectory { path: name("dir") };
    let Ok(Outcome::Done(next)) = restored.propose(actor(), again) else {
        panic!("it takes commands");
    };
    assert!(next > version);
    drop(restored);
    open(&config.dir);
    let again = restore(config, &backup);
    assert!(
        matches!(again, Err(RestoreError::Open(_))),
        "not over anything"
    );
}

/// At the end of its log is what it does not know to be committed: commands, which others may have
/// acknowledged, and a change of the membership.
#[test]
fn one_of_three_goes_on_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = furnished(dir.path());
    let (last, term) = (node.status().last_index, node.status().term);
    drop(node);
    {
        let database = Database::open(dir.path()).expect("opens");
        let mut batch = Batch::new(&database);
        let three = ConfState {
            voters: vec![1, 2, 3],
            learners: vec![4],
            ..ConfState::default()
        };
        batch.put(Table::RaftState, b"conf_state", &encode_conf_state(&three));
        for (n, kind) in [
            EntryType::EntryNormal,
            EntryType::EntryConfChangeV2,
            EntryType::EntryNormal,
        ]
        .into_iter()
        .enumerate()
        {
            let index = last + 1 + n as u64;
            let mut entry = Entry {
                index,
                term,
                ..Entry::default()
            };
            entry.set_entry_type(kind);
            if kind == EntryType::EntryNormal {
                entry.data = envelope(&format!("at-{n}"));
            }
            batch.put(Table::RaftLog, &index.to_be_bytes(), &encode_entry(&entry));
        }
        Box::new(batch).write(true).expect("written");
    }
    let node = Node::recover(NodeConfig::new(dir.path()), 1).expect("alone");
    for there in ["at-0", "at-2"] {
        let found = read::name(node.view(), &name(there)).expect("reads");
        assert_eq!(found, Some(NameEntry::Directory), "{there}");
    }
    assert_eq!(
        (node.status().voters, node.status().learners),
        ([1].into(), [].into())
    );
    let claims = read::claims(node.view()).expect("reads");
    assert_eq!(
        claims,
        Some(Vec::new()),
        "the cluster may go on with the store"
    );
    check(&node);
}

/// The last ones alone: no two of them are under way for long.
#[test]
fn a_state_knows_its_last_claims() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(dir.path());
    let made: Vec<_> = (0..40).map(|_| ClaimId::random()).collect();
    for claim in &made {
        must(&node, Command::ClaimStore(*claim));
    }
    let known = read::claims(node.view())
        .expect("reads")
        .expect("there are some");
    assert_eq!(known, made[made.len() - 32..]);
}

fn envelope(directory: &str) -> Vec<u8> {
    let path = name(directory);
    let envelope = Envelope {
        session: SessionId::random(),
        sequence: 1,
        time: Timestamp::now(),
        actor: actor(),
        command: Command::CreateDirectory { path },
        trace: None,
    };
    postcard::to_stdvec(&envelope).expect("plain data encodes")
}
