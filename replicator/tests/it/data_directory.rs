//! Which data directories are opened, and which are not.

use crate::support::{World, database, id, laid, oid, packed, refs, replace, set};
use gitmoor_replicator::state::{KeyRange, Step, Table, View, read};
use gitmoor_replicator::storage::{Batch, Bootstrap, Database, Disk, Stage, snapshot};
use gitmoor_replicator::{Node, NodeConfig, OpenError};
use rocksdb::{DB, IteratorMode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn edit(dir: &std::path::Path, edit: impl FnOnce(&mut Batch<'_>)) {
    let database = Database::open(dir).expect("opens");
    let mut batch = Batch::new(&database);
    edit(&mut batch);
    database.write(batch, true).expect("writes");
}

fn refusal(dir: &std::path::Path) -> OpenError {
    Node::open(NodeConfig::new(dir)).err().expect("is refused")
}

#[test]
fn an_unknown_format_is_refused_and_named() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(database(dir.path()));
    edit(dir.path(), |batch| {
        batch.put(Table::RaftState, b"format", &77_u32.to_be_bytes())
    });
    let error = refusal(dir.path());
    assert!(
        matches!(
            error,
            OpenError::UnknownFormat {
                found: 77,
                known: 6,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("77"), "{error}");
}

#[test]
fn a_directory_that_lost_its_marker_is_not_taken_for_new() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(database(dir.path()));
    edit(dir.path(), |batch| {
        batch.delete(Table::RaftState, b"format")
    });
    let error = refusal(dir.path());
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[test]
fn a_log_with_a_hole_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(Node::open(NodeConfig::new(dir.path())).expect("opens"));
    drop(Node::open(NodeConfig::new(dir.path())).expect("opens again"));
    edit(dir.path(), |batch| {
        batch.delete(Table::RaftLog, &2_u64.to_be_bytes())
    });
    let error = refusal(dir.path());
    assert!(matches!(error, OpenError::Read(_)), "{error:?}");
    assert!(error.to_string().contains("raft entry 2"), "{error}");
}

#[test]
fn a_directory_has_one_owner() {
    let dir = tempfile::tempdir().expect("a directory");
    let _node = Node::open(NodeConfig::new(dir.path())).expect("opens");
    let error = refusal(dir.path());
    assert!(matches!(error, OpenError::InUse(_)), "{error:?}");
    assert!(
        error.to_string().contains("in use by another gitmoor"),
        "{error}"
    );
}

fn rows(view: &dyn View) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    for table in Table::STATE {
        view.scan(table, &KeyRange::all(), &mut |key, value| {
            rows.push((table, key.to_vec(), value.to_vec()));
            Ok(Step::Next)
        })
        .expect("reads");
    }
    rows
}

#[test]
fn a_snapshot_replaces_everything() {
    let mut world = World::with_repo(id(1));
    world.must(refs(id(1), vec![set("refs/heads/main", &oid(1))]));
    world.must(packed(id(1), vec![crate::support::line("refs/tags/t", 2)]));
    let bytes = snapshot::encode(&world.database).expect("reads");

    let mut other = World::with_repo(id(2));
    other.must(refs(id(2), vec![set("refs/heads/gone", "x")]));
    let odd_name = vec![0xff; 255];
    let mut batch = Batch::new(&other.database);
    batch.put(Table::Names, &odd_name, b"");
    other.database.write(batch, true).expect("writes");
    // To the other side, and back.
    for _ in 0..2 {
        let before = rows(&other.database);
        let laid = laid(&other.database, &bytes).expect("is whole");
        assert_eq!(rows(&other.database), before, "nobody sees it yet");
        drop(laid);
        replace(&other.database, &bytes);
        assert_eq!(rows(&other.database), rows(&world.database));
    }
}

/// Whatever is left beside the state by one that was cut short, the next one clears.
#[test]
fn a_snapshot_that_was_half_laid_leaves_nothing() {
    let world = World::with_repo(id(1));
    let bytes = snapshot::encode(&world.database).expect("reads");
    let mut other = World::with_repo(id(2));
    other.must(refs(id(2), vec![set("refs/heads/gone", "x")]));
    let theirs = snapshot::encode(&other.database).expect("reads");
    laid(&world.database, &theirs[..theirs.len() - 1]).expect_err("is cut");
    assert_eq!(snapshot::encode(&world.database).expect("reads"), bytes);
    replace(&world.database, &bytes);
    assert_eq!(snapshot::encode(&world.database).expect("reads"), bytes);
}

/// It is found again by the next life, and refused by versions that know of one side alone.
#[test]
fn the_side_of_the_state_survives_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = World::with_repo(id(1));
    let bytes = snapshot::encode(&world.database).expect("reads");
    for _ in 0..2 {
        let database = Database::open(dir.path()).expect("opens");
        database.prepare(Bootstrap::Create(1)).expect("is ours");
        replace(&database, &bytes);
        drop(database);
        let database = Database::open(dir.path()).expect("opens");
        database.prepare(Bootstrap::Resume).expect("is ours");
        assert_eq!(snapshot::encode(&database).expect("reads"), bytes);
        let marker = database.get(Table::RaftState, b"format").expect("reads");
        assert_eq!(marker, Some(6_u32.to_be_bytes().to_vec()));
    }
}

/// Rows of the other side.
fn beside(dir: &std::path::Path) -> usize {
    let options = rocksdb::Options::default();
    let families = DB::list_cf(&options, dir).expect("lists");
    let rocksdb = DB::open_cf(&options, dir, &families).expect("opens");
    let beside = families.iter().filter(|name| name.ends_with(".second"));
    let rows = beside.map(|name| {
        let family = rocksdb.cf_handle(name).expect("is open");
        rocksdb.iterator_cf(family, IteratorMode::Start).count()
    });
    rows.sum()
}

/// What nobody will ever read takes no room for ever.
#[test]
fn a_start_clears_what_was_half_laid() {
    let dir = tempfile::tempdir().expect("a directory");
    let bytes = snapshot::encode(&World::with_repo(id(1)).database).expect("reads");
    drop(laid(&database(dir.path()), &bytes).expect("is whole"));
    assert!(beside(dir.path()) > 0);
    let database = Database::open(dir.path()).expect("opens");
    database.prepare(Bootstrap::Resume).expect("is ours");
    drop(database);
    assert_eq!(beside(dir.path()), 0);
}

/// Never the side that has just been cleared.
#[test]
fn a_reader_sees_the_state_of_before_or_the_one_of_after() {
    let world = World::with_repo(id(1));
    let database = &world.database;
    let bytes = snapshot::encode(database).expect("reads");
    let is_over = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let repo = read::repo(database, id(1)).expect("reads");
                assert!(repo.is_some());
                assert!(!rows(database).is_empty());
            }
        });
        (0..100).for_each(|_| replace(database, &bytes));
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_frozen_state_stays_on_its_side() {
    let world = World::with_repo(id(1));
    let theirs = snapshot::encode(&World::with_repo(id(2)).database).expect("reads");
    let database = Arc::new(world.database);
    let before = snapshot::encode(&*database).expect("reads");
    let frozen = Arc::clone(&database).frozen();
    replace(&database, &theirs);
    replace(&database, &theirs);
    assert_eq!(snapshot::encode(frozen.view()).expect("reads"), before);
    assert_eq!(snapshot::encode(&*database).expect("reads"), theirs);
}

#[test]
fn a_cut_or_foreign_snapshot_is_refused() {
    let world = World::with_repo(id(1));
    let bytes = snapshot::encode(&world.database).expect("reads");
    for length in 0..bytes.len() {
        laid(&world.database, &bytes[..length]).expect_err("is cut");
    }
    laid(&world.database, &[&bytes[..], b"x"].concat()).expect_err("goes on");
    let mut foreign = bytes;
    foreign[3] += 1;
    let error = laid(&world.database, &foreign).expect_err("is foreign");
    assert!(error.to_string().contains("format 6"), "{error}");
}
