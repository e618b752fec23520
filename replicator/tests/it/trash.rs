//! Out of the trash: back again, or for good.

use crate::support::{World, file, id, name, oid, path, refs, set};
use gitmoor_model::{
    Command, Deletions, FileRemoval, KEY_REUSE_DELAY, Outcome, Refusal, RepoChange, TrashId,
    Version,
};
use gitmoor_replicator::state::{KeyRange, Step, Table, Tombstone, View, read};

/// The name of an object, and the key that its bytes have in the store.
const LOOSE: &str = "objects/aa/bb";

fn key(name: &str) -> String {
    format!("{}/{name}", id(1))
}

fn add(name: &str) -> RepoChange {
    let add = vec![file(name, &key(name), 0)];
    RepoChange {
        add,
        ..RepoChange::new(id(1))
    }
}

fn remove(name: &str) -> Command {
    let remove = Some(FileRemoval {
        paths: vec![path(name)],
        unless_refs_moved_since: None,
        unless_repacked_since: None,
    });
    Command::Commit(RepoChange {
        remove,
        ..RepoChange::new(id(1))
    })
}

fn publish(name: &str, looked: Version) -> Command {
    let change = add(name);
    Command::Publish {
        change,
        tombstones_as_of: looked,
    }
}

fn mark_deleted(expired: Vec<TrashId>, leftovers: &[String]) -> Command {
    let leftovers = leftovers.to_vec();
    Command::MarkDeleted(Deletions {
        repo: id(1),
        expired,
        leftovers,
    })
}

fn record_deletion(deleted: &[String], expire: &[String]) -> Command {
    Command::RecordDeletion {
        repo: id(1),
        deleted: deleted.to_vec(),
        expire: expire.to_vec(),
    }
}

fn tombstones(world: &World) -> Vec<Tombstone> {
    read::tombstones(&world.database, id(1)).expect("reads")
}

fn in_trash(world: &World) -> Vec<TrashId> {
    let files = read::trashed_files(&world.database, id(1), Version(0)).expect("reads");
    let trash_id = |file: gitmoor_replicator::state::TrashedFile| TrashId {
        version: file.version,
        path: file.path,
    };
    files.into_iter().map(trash_id).collect()
}

/// A world in which the object was added and removed.
fn with_trash() -> World {
    let mut world = World::with_repo(id(1));
    world.must(Command::Commit(add(LOOSE)));
    world.must(remove(LOOSE));
    world
}

/// A ref moves to objects that were found before: what was removed since may be among them.
#[test]
fn refs_do_not_move_to_what_was_removed_meanwhile() {
    let mut world = World::with_repo(id(1));
    world.must(Command::Commit(add(LOOSE)));
    let found = world.must(Command::Commit(add("objects/cc/dd")));
    let moves = |unpruned| Command::MoveRefs {
        change: RepoChange {
            refs: vec![set("refs/heads/main", "x")],
            ..RepoChange::new(id(1))
        },
        tombstones_as_of: None,
        unpruned,
    };
    world.must(moves(found));
    world.must(remove(LOOSE));
    let refused = Outcome::Refused(Refusal::Pruned);
    assert_eq!(world.run(moves(found)), refused);
    let files = in_trash(&world);
    let repo = id(1);
    world.must(Command::RestoreFiles { repo, files });
    world.must(moves(found));
    let removed = world.must(remove(LOOSE));
    assert_eq!(world.run(moves(Version(removed.0 - 1))), refused);
    world.must(moves(removed));
    world.must(moves(Version(u64::MAX)));
    // Of another repository is no matter.
    world.must(Command::CreateRepo {
        id: id(2),
        path: name("other.git"),
    });
    let mut other = moves(Version(0));
    if let Command::MoveRefs { change, .. } = &mut other {
        change.repo = id(2);
    }
    world.must(other);
}

#[test]
fn a_repository_comes_back_with_all_it_had() {
    let mut world = World::with_repo(id(1));
    world.must(refs(id(1), vec![set("refs/heads/main", &oid(1))]));
    let before = world.repo(id(1));
    world.must(Command::DeleteRepo { id: id(1) });
    let restore = |to: &str| Command::RestoreRepo {
        id: id(1),
        path: name(to),
    };
    let refused = |refusal| Outcome::Refused(refusal);
    assert_eq!(
        world.run(restore("app")),
        refused(Refusal::BadPath(name("app")))
    );
    assert_eq!(
        world.run(restore("no/app.git")),
        refused(Refusal::NotFound(name("no")))
    );
    world.must(restore("back.git"));
    let mut expected = before;
    expected.path = name("back.git");
    assert_eq!(world.repo(id(1)), expected);
    let gone = refused(Refusal::NotInTrash(id(1)));
    assert_eq!(world.run(restore("again.git")), gone);
    world.must(refs(id(1), vec![set("refs/heads/main", &oid(2))]));
}

#[test]
fn files_come_back_unless_their_path_is_taken() {
    let mut world = with_trash();
    let files = in_trash(&world);
    let restore = Command::RestoreFiles {
        repo: id(1),
        files: files.clone(),
    };
    world.must(Command::Commit(add(LOOSE)));
    world.must(restore.clone());
    assert_eq!(in_trash(&world), files, "not needed, so it stays");
    world.must(remove(LOOSE));
    let version = world.must(restore);
    let there = read::file(&world.database, id(1), &path(LOOSE)).expect("reads");
    assert_eq!(there, Some(add(LOOSE).add[0].entry.clone()));
    assert_eq!(world.repo(id(1)).catalog_version, version);
    assert_eq!(in_trash(&world).len(), 1, "the later removal");
}

#[test]
fn what_anybody_names_is_not_condemned() {
    let mut world = with_trash();
    let first = in_trash(&world);
    world.must(Command::Commit(add(LOOSE)));
    world.must(mark_deleted(first, &[key(LOOSE)]));
    assert_eq!(tombstones(&world), [], "the catalog names it");
    assert_eq!(in_trash(&world), [], "its time was over all the same");
    world.must(remove(LOOSE));
    world.must(mark_deleted(vec![], &[key(LOOSE)]));
    assert_eq!(tombstones(&world), [], "the trash names it");
    let digest = key("objects/pack/pack-a.pack.00ff.1");
    let mut change = add("objects/pack/pack-a.pack");
    change.add = vec![file("objects/pack/pack-a.pack", &digest, 0)];
    world.must(Command::Commit(change));
    world.must(mark_deleted(vec![], &[digest, "someone/else".into()]));
    assert_eq!(tombstones(&world), []);
}

/// The same object is pushed again while gc is about to delete it.
#[test]
fn a_publication_and_a_condemnation_exclude_each_other() {
    let refused = || {
        let key = key(LOOSE);
        Outcome::Refused(Refusal::HasTombstone { key })
    };
    // gc decides, the push commits, gc marks: in vain.
    let mut world = with_trash();
    let decided = in_trash(&world);
    world.must(publish(LOOSE, Version(0)));
    world.must(mark_deleted(decided, &[]));
    assert_eq!(tombstones(&world), []);
    // gc marks, the push finds the bytes still there and commits: refused.
    let mut world = with_trash();
    let decided = in_trash(&world);
    world.must(mark_deleted(decided, &[]));
    assert_eq!(tombstones(&world).len(), 1);
    assert_eq!(world.run(publish(LOOSE, Version(0))), refused());
    assert_eq!(world.run(Command::Commit(add(LOOSE))), refused());
    // Still while it is deleted, and for a while after that.
    world.must(record_deletion(&[key(LOOSE)], &[key(LOOSE)]));
    assert_eq!(world.run(publish(LOOSE, Version(0))), refused());
    world.index += KEY_REUSE_DELAY.as_secs();
    let forgotten = world.must(record_deletion(&[], &[key(LOOSE)]));
    assert_eq!(tombstones(&world), []);
    // Who has looked before that may have found the bytes that are gone now.
    let late = Outcome::Refused(Refusal::TombstonesExpired);
    assert_eq!(world.run(publish(LOOSE, Version(0))), late);
    world.must(publish(LOOSE, forgotten));
}

#[test]
fn what_is_not_known_to_be_deleted_is_not_forgotten() {
    let mut world = with_trash();
    let decided = in_trash(&world);
    world.must(mark_deleted(decided, &[]));
    world.index += KEY_REUSE_DELAY.as_secs();
    world.must(record_deletion(&[], &[key(LOOSE)]));
    assert_eq!(tombstones(&world).len(), 1);
    assert_eq!(
        read::tombstones_as_of(&world.database, id(1)).expect("reads"),
        Version(0)
    );
}

#[test]
fn a_purged_repository_leaves_no_row() {
    let mut world = with_trash();
    world.must(Command::Commit(add("objects/cc/dd")));
    world.must(mark_deleted(vec![], &[key("objects/ee/ff")]));
    world.must(refs(id(1), vec![set("refs/heads/main", &oid(1))]));
    let deleted = world.must(Command::DeleteRepo { id: id(1) });
    let not_there = Outcome::Refused(Refusal::NotInTrash(id(1)));
    let purge = Command::PurgeRepo { id: id(1) };
    let mark_deleted = |version| Command::ExpireRepo { id: id(1), version };
    assert_eq!(world.run(purge.clone()), not_there);
    assert_eq!(world.run(mark_deleted(Version(3))), not_there);
    world.must(mark_deleted(deleted));
    let restore = Command::RestoreRepo {
        id: id(1),
        path: name("app.git"),
    };
    assert_eq!(world.run(restore), not_there);
    let again = Command::CreateRepo {
        id: id(1),
        path: name("app.git"),
    };
    let taken = Outcome::Refused(Refusal::Exists(name("app.git")));
    assert_eq!(world.run(again), taken);
    world.must(purge);
    for table in Table::STATE {
        let expected = match table {
            Table::Sessions => continue,
            // The namespace's trail, which says what became of it: a head and four records.
            Table::Audit => 5,
            _ => 0,
        };
        assert_eq!(rows(&world, table), expected, "{}", table.name());
    }
}

fn rows(world: &World, table: Table) -> usize {
    let mut rows = 0;
    world
        .database
        .scan(table, &KeyRange::all(), &mut |_, _| {
            rows += 1;
            Ok(Step::Next)
        })
        .expect("reads");
    rows
}
