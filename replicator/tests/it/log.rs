//! Raft's log on disk.

use crate::support::database;
use gitmoor_replicator::storage::{Batch, Log};
use raft::eraftpb::Entry;
use raft::{GetEntriesContext, Storage};
use std::sync::Arc;

fn entries(indexes: std::ops::RangeInclusive<u64>, term: u64) -> Vec<Entry> {
    let entry = |index| Entry {
        index,
        term,
        data: vec![term as u8; 100],
        ..Entry::default()
    };
    indexes.map(entry).collect()
}

fn read(log: &Log, low: u64, high: u64, max: u64) -> Vec<Entry> {
    log.entries(low, high, max, GetEntriesContext::empty(false))
        .expect("reads")
}

#[test]
fn a_shorter_tail_replaces_a_longer_one_for_good() {
    let dir = tempfile::tempdir().expect("a directory");
    let database = Arc::new(database(dir.path()));
    let mut log = Log::open(Arc::clone(&database)).expect("opens");
    for tail in [entries(2..=9, 1), entries(4..=5, 2)] {
        let mut batch = Batch::new(&database);
        log.append(&mut batch, &tail);
        database.write(batch, true).expect("writes");
    }
    let expected = [entries(2..=3, 1), entries(4..=5, 2)].concat();
    let reopened = Log::open(Arc::clone(&database)).expect("opens");
    for log in [log, reopened] {
        assert_eq!(log.last_index().expect("reads"), 5);
        assert_eq!(read(&log, 2, 6, u64::MAX), expected);
        assert_eq!(log.term(3).expect("reads"), 1);
        assert_eq!(log.term(5).expect("reads"), 2);
        log.term(6).expect_err("is gone");
        assert_eq!(read(&log, 2, 6, 0).len(), 1, "one at least");
        assert_eq!(read(&log, 2, 6, 250).len(), 2);
    }
}
