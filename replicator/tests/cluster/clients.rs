//! Clients: they see what was acknowledged anywhere, and find whoever answers.

use crate::harness::{Cluster, WriteError, create_repo, name, read, repo, write};
use gitmoor_model::{
    Actor, BlockDigest, Command, Digest, Expect, FileAdd, FileEntry, NamePath, Outcome, Place,
    RepoChange, RepoId, Timestamp,
};
use gitmoor_model::{RefEntry, RepoPath};
use gitmoor_replicator::state::Trail;
use gitmoor_replicator::{Client, NameEntry, Node, ProposeError, Replica, Role, read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Everything that a replica shows of the repository and the namespace.
/// The names in a directory, each with its value if it has one.
fn values_in(replica: &dyn Replica, dir: &RepoPath) -> Vec<(Vec<u8>, Option<RefEntry>)> {
    let names = read::references_in(replica.view(), repo(), dir).expect("reads");
    let value = |(name, _): (Vec<u8>, _)| {
        let path = dir.join(&name).expect("a valid path");
        (
            name,
            read::reference(replica.view(), repo(), &path).expect("reads"),
        )
    };
    names.into_iter().map(value).collect()
}

fn shown(replica: &dyn Replica) -> String {
    replica.read_barrier(&|| false).expect("a quorum");
    let mut packed = Vec::new();
    let mut keep = |name: &[u8], line| {
        packed.push((name.to_vec(), line));
        true
    };
    read::packed(replica.view(), repo(), &mut keep).expect("reads");
    let at = |path| name(path);
    format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{packed:?}\n{:?}\n{:?}",
        read::names_in(replica.view(), &NamePath::root()),
        read::repo(replica.view(), repo()),
        values_in(replica, &at("refs")),
        values_in(replica, &at("refs/heads")),
        read::files_in(replica.view(), repo(), &at("objects/pack")),
        read::blocks(replica.view(), repo(), &at("objects/pack/pack-1.pack")),
    )
}

fn add_pack(replica: &dyn Replica) {
    let entry = FileEntry {
        size: 3 << 20,
        mtime: Timestamp::default(),
        mode: 0o100_444,
        digest: Digest([3; 32]),
        block_size: 1 << 20,
        place: Place::Stored {
            key: "a-key".to_owned(),
        },
    };
    let change = RepoChange {
        add: vec![FileAdd {
            path: name("objects/pack/pack-1.pack"),
            entry,
            blocks: vec![BlockDigest([4; 16]); 3],
        }],
        ..RepoChange::new(repo())
    };
    let outcome = replica.propose(Actor::default(), Command::Commit(change));
    assert!(matches!(outcome, Ok(Outcome::Done(_))), "{outcome:?}");
}

#[test]
fn what_is_written_anywhere_is_read_at_once() {
    let cluster = Cluster::of_three();
    let (one, other) = (cluster.client(&[0]), cluster.client(&[1, 2]));
    one.read_barrier(&|| false).expect("a quorum");
    create_repo(&one);
    add_pack(cluster.node(1));
    let writers: [&dyn Replica; 5] = [
        &one,
        cluster.node(0),
        &other,
        cluster.node(1),
        cluster.node(2),
    ];
    for round in 0..10 {
        for (number, &writer) in writers.iter().enumerate() {
            let (at, value) = (format!("refs/heads/{number}"), format!("{round}"));
            write(writer, &at, Expect::Anything, &value).expect("written");
            for reader in writers {
                assert_eq!(read(reader, &at).as_deref(), Some(&*value));
            }
        }
    }
    let all = shown(cluster.node(0));
    writers.iter().for_each(|&it| assert_eq!(shown(it), all));
    assert_eq!(one.status().role, Role::Client);
    assert_eq!(one.status().leader, cluster.node(0).status().leader);
}

/// A repository that it has not used yet comes whole, also while it changes.
#[test]
fn a_repository_comes_at_its_first_use() {
    let cluster = Cluster::of_three();
    create_repo(cluster.node(0));
    add_pack(cluster.node(0));
    std::thread::scope(|scope| {
        // Gone at the end, also of a panic.
        let running = Arc::new(());
        let going = Arc::downgrade(&running);
        let writer = cluster.node(1);
        let writing = scope.spawn(move || {
            for n in 0_u64.. {
                if going.upgrade().is_none() {
                    return n;
                }
                let at = format!("refs/heads/{}", n % 100);
                write(writer, &at, Expect::Anything, &n.to_string()).expect("written");
            }
            unreachable!("somebody stops it")
        });
        for _ in 0..10 {
            let client = cluster.client(&[2]);
            assert_eq!(
                read::name(client.view(), &app()).expect("reads"),
                None,
                "nobody was asked"
            );
            client.read_barrier(&|| false).expect("a quorum");
            assert!(!client.has_loaded(repo()));
            let before = read(cluster.node(1), "refs/heads/7");
            // By itself at the first read; not older than what was there when it was asked for.
            let at = read(&client, "refs/heads/7");
            assert!(client.has_loaded(repo()));
            let number = |text: Option<String>| text.map(|text| text.parse::<u64>().expect("one"));
            assert!(number(at) >= number(before));
            assert!(
                read::file(client.view(), repo(), &name("objects/pack/pack-1.pack"))
                    .expect("reads")
                    .is_some()
            );
        }
        drop(running);
        assert!(writing.join().expect("no panic") > 0);
    });
    let client = cluster.client(&[0]);
    assert_eq!(shown(&client), shown(cluster.node(0)));
}

fn app() -> NamePath {
    NamePath::new("app.git").expect("a path")
}

/// More than a node remembers: then it takes everything anew, and lets go of what is gone.
#[test]
fn a_client_that_was_away_for_long() {
    let cluster = Cluster::new();
    let client = cluster.client(&[0]);
    create_repo(cluster.node(0));
    write(cluster.node(0), "refs/heads/gone", Expect::Absent, "x").expect("written");
    assert_eq!(read(&client, "refs/heads/gone").as_deref(), Some("x"));
    let large = "y".repeat(4 << 20);
    for n in 0..12 {
        let at = format!("refs/heads/large/{n}");
        write(cluster.node(0), &at, Expect::Absent, &large).expect("written");
    }
    let delete = gitmoor_model::Change::Delete;
    let change = RepoChange {
        refs: vec![gitmoor_model::RefEdit {
            name: name("refs/heads/gone"),
            expect: Expect::Anything,
            change: delete,
        }],
        ..RepoChange::new(repo())
    };
    let deleted = cluster
        .node(0)
        .propose(Actor::default(), Command::Commit(change));
    assert!(matches!(deleted, Ok(Outcome::Done(_))), "{deleted:?}");
    assert_eq!(read(&client, "refs/heads/gone"), None);
    assert_eq!(shown(&client), shown(cluster.node(0)));
}

/// Nodes that stop, one after the other: it asks the others, and what it commits is committed once.
#[test]
fn it_finds_who_answers() {
    let mut cluster = Cluster::of_three();
    let client = cluster.client(&[0, 1, 2]);
    client.read_barrier(&|| false).expect("a quorum");
    create_repo(&client);
    write(&client, "refs/n", Expect::Absent, "0").expect("written");
    let (sure, unsure) = (AtomicU64::new(0), AtomicU64::new(0));
    for round in 0..4 {
        let gone = if round % 2 == 0 {
            asked(&cluster, &client)
        } else {
            cluster.leader()
        };
        let before = sure.load(Ordering::Relaxed);
        std::thread::scope(|scope| {
            // As above.
            let running = Arc::new(());
            let going = Arc::downgrade(&running);
            let (client, sure, unsure) = (&client, &sure, &unsure);
            scope.spawn(move || {
                while going.upgrade().is_some() {
                    add(client, sure, unsure);
                }
            });
            cluster.until("some are added", || {
                sure.load(Ordering::Relaxed) >= before + 20
            });
            // Under it.
            cluster.stop(gone);
            let now = sure.load(Ordering::Relaxed);
            cluster.until("more are added", || {
                sure.load(Ordering::Relaxed) >= now + 20
            });
            drop(running);
        });
        cluster.start(gone);
    }
    let total: u64 = read(&client, "refs/n")
        .expect("there")
        .parse()
        .expect("a number");
    let (sure, unsure) = (sure.into_inner(), unsure.into_inner());
    assert!(
        (sure..=sure + unsure).contains(&total),
        "{total}, {sure} acknowledged, {unsure} not known"
    );
}

/// The machine that a client asks now.
fn asked(cluster: &Cluster, client: &Client) -> usize {
    let at = client.asks();
    let asked = cluster
        .machines
        .iter()
        .position(|it| it.address.to_string() == at);
    asked.expect("one of them")
}

fn add(client: &Client, sure: &AtomicU64, unsure: &AtomicU64) {
    client.read_barrier(&|| false).expect("in time");
    let entry = read::reference(client.view(), repo(), &name("refs/n"))
        .expect("reads")
        .expect("there");
    let count: u64 = String::from_utf8_lossy(&entry.value)
        .parse()
        .expect("a number");
    let more = (count + 1).to_string();
    match write(client, "refs/n", Expect::Is(entry.version), &more) {
        Ok(_) => drop(sure.fetch_add(1, Ordering::Relaxed)),
        Err(WriteError::Unknown(_)) => drop(unsure.fetch_add(1, Ordering::Relaxed)),
        Err(WriteError::Refused(refusal)) => panic!("nobody else adds: {refusal}"),
    }
}

/// Where nobody has a majority it says so, as soon as whoever asked gives up.
#[test]
fn without_a_majority() {
    let mut cluster = Cluster::of_three();
    let client = cluster.client(&[0, 1, 2]);
    client.read_barrier(&|| false).expect("a quorum");
    create_repo(&client);
    write(&client, "refs/heads/main", Expect::Absent, "old").expect("written");
    assert_eq!(read(&client, "refs/heads/main").as_deref(), Some("old"));
    cluster.stop(1);
    cluster.stop(2);
    let began = Instant::now();
    let given_up = client.read_barrier(&|| began.elapsed() > Duration::from_secs(2));
    assert!(
        matches!(given_up, Err(ProposeError::GivenUp)),
        "{given_up:?}"
    );
    // What it has it has.
    let entry = read::reference(client.view(), repo(), &name("refs/heads/main")).expect("reads");
    assert_eq!(entry.expect("there").value, b"old");
    cluster.start(1);
    assert_eq!(read(&client, "refs/heads/main").as_deref(), Some("old"));
}

#[test]
fn one_that_was_removed_is_refused() {
    let cluster = Cluster::new();
    let client = cluster.client(&[0]);
    client.read_barrier(&|| false).expect("a quorum");
    let clients = cluster.node(0).clients().expect("reads");
    let id = client.identity().holder.id();
    assert_eq!(clients[&id].name, "a client");
    cluster.node(0).remove(id).expect("removed");
    let began = Instant::now();
    match client.read_barrier(&|| false) {
        Err(ProposeError::Removed(why)) => assert!(why.contains("was removed"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(began.elapsed() < Duration::from_secs(20), "at once");
}

/// A certificate of the one is none of the other.
#[test]
fn a_node_is_no_client() {
    let cluster = Cluster::new();
    let impostor = cluster.client_with(cluster.machines[0].identity(), &[0]);
    match impostor.read_barrier(&|| false) {
        Err(ProposeError::Removed(why)) => assert!(why.contains("is not a client"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn its_certificate_is_renewed() {
    let cluster = Cluster::new();
    let client = cluster.client(&[0]);
    let (old, new) = (client.identity(), client.renewed().expect("a new one"));
    assert_eq!((new.holder, new.key()), (old.holder, old.key()));
    assert_ne!(new.certificate(), old.certificate());
    let kept = new.certificate().to_vec();
    client.present(new).expect("its own");
    assert_eq!(client.identity().certificate(), kept);
    client.read_barrier(&|| false).expect("it is known");
}

/// The trash and the audit trail, which it does not keep, and a backup of more than one piece.
#[test]
fn what_it_reads_from_the_nodes_each_time() {
    let cluster = Cluster::of_three();
    let client = cluster.client(&[0, 1, 2]);
    client.read_barrier(&|| false).expect("a quorum");
    create_repo(&client);
    let large = "y".repeat(3 << 20);
    for n in 0..3 {
        let at = format!("refs/heads/large/{n}");
        write(&client, &at, Expect::Absent, &large).expect("written");
    }
    let mut bytes = Vec::new();
    let version = client.backup(&mut bytes).expect("a backup");
    assert!(bytes.len() > 9 << 20);
    let dir = tempfile::tempdir().expect("a directory");
    let config = gitmoor_replicator::NodeConfig::new(dir.path().join("restored"));
    let restored = Node::restore(config, &mut bytes.as_slice(), bytes.len() as u64).expect("whole");
    let entry =
        read::reference(restored.view(), repo(), &name("refs/heads/large/2")).expect("reads");
    assert_eq!(entry.expect("there").version, version);

    let moves = |replica: &dyn Replica| {
        let mut moves = Vec::new();
        let mut keep = |version, record| {
            moves.push((version, record));
            true
        };
        read::audit(
            replica.view(),
            Trail::Of(repo()),
            Default::default(),
            &mut keep,
        )
        .expect("reads");
        moves
    };
    assert_eq!(moves(&client).len(), 4, "its creation, and three pushes");
    let last = read::last_move(client.view(), repo())
        .expect("reads")
        .expect("kept");
    assert_eq!(last.actor.node, Some(client.identity().holder.id()));
    assert_eq!(moves(&client), moves(cluster.node(0)));
    let id: RepoId = repo();
    let delete = Command::DeleteRepo { id };
    let deleted = client.propose(Actor::default(), delete);
    assert!(matches!(deleted, Ok(Outcome::Done(_))), "{deleted:?}");
    assert_eq!(
        read::name(client.view(), &app()).expect("reads"),
        None::<NameEntry>
    );
    let trash = read::trashed_repos(client.view()).expect("reads");
    assert_eq!(trash.len(), 1);
    assert_eq!(
        trash,
        read::trashed_repos(cluster.node(0).view()).expect("reads")
    );
    assert!(!read::has_tombstone(client.view(), id, "a-key").expect("reads"));
}

/// A lock is one holder's, whoever was asked for it, and free when its client is gone.
#[test]
fn locks_of_clients() {
    let cluster = Cluster::of_three();
    let (one, other) = (cluster.client(&[0]), cluster.client(&[1]));
    let main = name("refs/heads/main");
    assert!(one.lock(repo(), &main));
    assert!(!other.lock(repo(), &main));
    assert!(!cluster.node(2).lock(repo(), &main));
    one.unlock(repo(), &main);
    cluster.until("it is free", || other.lock(repo(), &main));
    assert!(!one.lock(repo(), &main));
    drop(other);
    cluster.until("its lease is over", || one.lock(repo(), &main));
}
