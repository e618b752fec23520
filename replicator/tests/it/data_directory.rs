//! Which data directories are opened, and which are not.

use crate::support::{World, database, id, oid, packed, refs, set};
use gitmoor_replicator::state::{KeyRange, Step, Table, View};
use gitmoor_replicator::storage::{Batch, Database, Stage, snapshot};
use gitmoor_replicator::{Node, NodeConfig, OpenError};

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
                known: 5,
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
    snapshot::replace(&mut batch, &bytes).expect("is whole");
    other.database.write(batch, true).expect("writes");
    assert_eq!(rows(&other.database), rows(&world.database));
}

#[test]
fn a_cut_or_foreign_snapshot_is_refused() {
    let world = World::with_repo(id(1));
    let bytes = snapshot::encode(&world.database).expect("reads");
    for length in 0..bytes.len() {
        let mut batch = Batch::new(&world.database);
        snapshot::replace(&mut batch, &bytes[..length]).expect_err("is cut");
    }
    let mut foreign = bytes;
    foreign[3] += 1;
    let error = snapshot::replace(&mut Batch::new(&world.database), &foreign);
    assert!(
        error
            .expect_err("is foreign")
            .to_string()
            .contains("format 6")
    );
}
