//! A snapshot from another node: one that is cut short or garbled is an error.

use gitmoor_replicator::storage::{Batch, Beginning, Database, snapshot};
use std::sync::OnceLock;

/// The bytes of a snapshot. They go into a batch that is never written.
pub fn run(data: &[u8]) {
    let mut batch = Batch::new(database());
    let whole = snapshot::replace(&mut batch, data).is_ok();
    if whole {
        let mut batch = Batch::new(database());
        let cut = &data[..data.len() - 1];
        assert!(snapshot::replace(&mut batch, cut).is_err(), "it is cut");
    }
}

fn database() -> &'static Database {
    static DATABASE: OnceLock<(tempfile::TempDir, Database)> = OnceLock::new();
    let (_, database) = DATABASE.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let database = Database::open(dir.path()).expect("opens");
        database.prepare(Beginning::Found(1)).expect("is new");
        (dir, database)
    });
    database
}
