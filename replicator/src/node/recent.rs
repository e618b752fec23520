//! What changed of late: what a client that was here a moment ago has to be told.
//!
//! The changes of consecutive entries, up to the last that was applied, as many as fit. A client that has
//! missed more gets everything anew.

use crate::engine::Changed;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of keys and values that are kept. Together they fit into one message.
const LIMIT: usize = 32 << 20;
/// How many changes are kept, however small.
const COUNT: usize = 10_000;

#[derive(Default)]
pub(super) struct Recent(Mutex<Window>);

#[derive(Default)]
struct Window {
    /// The oldest is about the entries after this one.
    after: u64,
    /// The newest is about the entries up to this one: the last that was applied.
    upto: u64,
    changes: VecDeque<(Arc<Changed>, usize)>,
    bytes: usize,
}

impl Window {
    fn begin_at(&mut self, index: u64) {
        *self = Self {
            after: index,
            upto: index,
            ..Self::default()
        };
    }

    fn drop_oldest(&mut self) {
        if let Some((oldest, size)) = self.changes.pop_front() {
            self.after = oldest.upto;
            self.bytes -= size;
        }
    }
}

impl Recent {
    /// The state is that of this entry, and how it came to be so is not known.
    pub(super) fn begin_at(&self, index: u64) {
        self.0.lock().begin_at(index);
    }

    /// Some more entries were applied.
    pub(super) fn add(&self, changed: Changed) {
        let mut kept = self.0.lock();
        if kept.upto != changed.after {
            kept.begin_at(changed.after);
        }
        let size = changed.changes.size();
        kept.upto = changed.upto;
        kept.bytes += size;
        kept.changes.push_back((Arc::new(changed), size));
        while kept.bytes > LIMIT || kept.changes.len() > COUNT {
            kept.drop_oldest();
        }
    }

    /// The last entry that was applied.
    pub(super) fn upto(&self) -> u64 {
        self.0.lock().upto
    }

    /// The same, and what changed after `known`, in order; `None` when that is too long ago.
    pub(super) fn since(&self, known: u64) -> (u64, Option<Vec<Arc<Changed>>>) {
        let kept = self.0.lock();
        if known < kept.after {
            return (kept.upto, None);
        }
        let missed = kept.changes.iter().rev().map(|(changed, _)| changed);
        let mut missed: Vec<_> = missed
            .take_while(|changed| changed.upto > known)
            .cloned()
            .collect();
        missed.reverse();
        (kept.upto, Some(missed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Changes, Overlay, Table};
    use crate::storage::Database;

    fn changed(after: u64, upto: u64, key: &[u8], value: &[u8]) -> Changed {
        let dir = tempfile::tempdir().expect("a directory");
        let database = Database::open(dir.path()).expect("opens");
        let mut overlay = Overlay::new(&database);
        overlay.put_raw(Table::Refs, key.to_vec(), value.to_vec());
        let changes = overlay.into_changes();
        Changed {
            after,
            upto,
            changes,
        }
    }

    fn rows(recent: &Recent, known: u64) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let (_, missed) = recent.since(known);
        let mut changes = Changes::default();
        for changed in missed? {
            changes.absorb(changed.changes.only(|_, key| key.starts_with(b"a")));
        }
        let rows = changes.tables().flat_map(|(_, table)| table.rows.clone());
        Some(
            rows.map(|(key, value)| (key, value.expect("set")))
                .collect(),
        )
    }

    #[test]
    fn what_came_after_and_is_wanted() {
        let recent = Recent::default();
        recent.begin_at(4);
        recent.add(changed(4, 6, b"a1", b"old"));
        recent.add(changed(6, 7, b"b1", b"another's"));
        recent.add(changed(7, 9, b"a1", b"new"));
        assert_eq!(rows(&recent, 3), None, "nobody knows what entry 4 did");
        let new = vec![(b"a1".to_vec(), b"new".to_vec())];
        assert_eq!(rows(&recent, 4), Some(new.clone()));
        assert_eq!(rows(&recent, 7), Some(new));
        assert_eq!(rows(&recent, 9), Some(vec![]));
        assert_eq!(recent.since(9).0, 9);
    }

    #[test]
    fn a_gap_begins_anew() {
        let recent = Recent::default();
        recent.add(changed(0, 6, b"a1", b"old"));
        recent.add(changed(8, 9, b"a2", b"new"));
        assert_eq!(rows(&recent, 6), None);
        assert_eq!(rows(&recent, 8).map(|rows| rows.len()), Some(1));
    }

    #[test]
    fn the_oldest_make_room() {
        let recent = Recent::default();
        let large = vec![0; LIMIT / 2];
        recent.add(changed(0, 1, b"a1", &large));
        recent.add(changed(1, 2, b"a2", b""));
        recent.add(changed(2, 3, b"a3", &large));
        assert_eq!(rows(&recent, 0), None);
        assert_eq!(rows(&recent, 1).map(|rows| rows.len()), Some(2));
        // One that is too large is not kept at all, and then nothing is.
        recent.add(changed(3, 4, b"a4", &[0; LIMIT + 1]));
        assert_eq!(rows(&recent, 3), None);
        assert_eq!(rows(&recent, 4), Some(vec![]));
    }
}
