//! Rows in memory, in ordered maps: the simplest [`View`].

use super::view::{KeyRange, Step, View, Visit};
use super::{Changes, ReadError, Table};
use std::collections::BTreeMap;
use std::ops::Bound;

/// The rows of tables that are not kept anywhere else.
#[derive(Clone, Default, Debug)]
pub struct MemoryRows {
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl MemoryRows {
    /// Writes a row, or replaces the row of this key.
    pub fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.tables.entry(table).or_default().insert(key, value);
    }

    /// Whether there is a row of this key.
    pub fn has(&self, table: Table, key: &[u8]) -> bool {
        let rows = self.tables.get(&table);
        rows.is_some_and(|rows| rows.contains_key(key))
    }

    /// Deletes the rows of a range.
    pub fn clear(&mut self, table: Table, range: &KeyRange) {
        if let Some(rows) = self.tables.get_mut(&table) {
            rows.retain(|key, _| !range.contains(key));
        }
    }

    /// Applies the changes of an overlay.
    pub fn change(&mut self, changes: &Changes) {
        for (table, changes) in changes.tables() {
            let cleared = changes.cleared.iter();
            cleared.for_each(|range| self.clear(table, range));
            let rows = self.tables.entry(table).or_default();
            for (key, value) in &changes.rows {
                match value {
                    Some(value) => drop(rows.insert(key.clone(), value.clone())),
                    None => drop(rows.remove(key)),
                }
            }
        }
    }
}

impl View for MemoryRows {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self
            .tables
            .get(&table)
            .and_then(|rows| rows.get(key))
            .cloned())
    }

    fn scan(&self, table: Table, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        let Some(rows) = self.tables.get(&table) else {
            return Ok(());
        };
        let mut from = Bound::Included(range.from.clone());
        loop {
            let at = from.as_ref().map(Vec::as_slice);
            let mut ahead = rows.range::<[u8], _>((at, Bound::Unbounded));
            from = loop {
                let Some((key, value)) = ahead.next().filter(|(key, _)| range.contains(key)) else {
                    return Ok(());
                };
                match visit(key, value)? {
                    Step::Next => {}
                    Step::Seek(to) => break Bound::Included(to),
                    Step::Stop => return Ok(()),
                }
            };
        }
    }
}
