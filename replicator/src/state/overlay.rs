//! Changes that are not written yet, readable as if they were.
//!
//! Commands of one batch must see each other, and a refused command must leave
//! nothing behind. Both come from one tool: an overlay over a view collects
//! changes and reads through them. Each command runs on an overlay of its own
//! over the batch's overlay, which absorbs it only if the command succeeded.

use super::view::{KeyRange, Step, View, Visit, any_in, encode};
use super::{ReadError, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Bound;

/// What to write: per table, first the ranges to clear, then the rows.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Changes {
    tables: BTreeMap<Table, TableChanges>,
}

/// The changes of one table.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct TableChanges {
    /// Ranges to delete before any row is written.
    pub cleared: Vec<KeyRange>,
    /// New values; `None` deletes.
    pub rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl TableChanges {
    fn clear(&mut self, range: KeyRange) {
        self.rows.retain(|key, _| !range.contains(key));
        self.cleared.push(range);
    }

    fn is_any(&self) -> bool {
        !self.cleared.is_empty() || !self.rows.is_empty()
    }

    fn clearing(&self, key: &[u8]) -> Option<&KeyRange> {
        self.cleared.iter().find(|range| range.contains(key))
    }

    /// The first changed row at or after `from` within the range.
    fn first(&self, from: Bound<&[u8]>, range: &KeyRange) -> Option<(&[u8], Option<&[u8]>)> {
        let mut rows = self.rows.range::<[u8], _>((from, Bound::Unbounded));
        let (key, value) = rows.next()?;
        range
            .contains(key)
            .then_some((key.as_slice(), value.as_deref()))
    }
}

impl Changes {
    /// The changes, by table.
    pub fn tables(&self) -> impl Iterator<Item = (Table, &TableChanges)> {
        self.tables.iter().map(|(&table, changes)| (table, changes))
    }

    /// Bytes of its keys and values.
    pub fn size(&self) -> usize {
        let row = |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| {
            key.len() + value.as_ref().map_or(0, Vec::len)
        };
        let tables = self.tables.values();
        tables.flat_map(|table| table.rows.iter().map(row)).sum()
    }

    /// Those of which `wanted` says so. Cleared ranges are all in it: they may be of any key.
    pub fn only(&self, wanted: impl Fn(Table, &[u8]) -> bool) -> Self {
        let tables = self.tables.iter().map(|(&table, changes)| {
            let rows = changes.rows.iter().filter(|(key, _)| wanted(table, key));
            let changes = TableChanges {
                cleared: changes.cleared.clone(),
                rows: rows
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect(),
            };
            (table, changes)
        });
        let tables = tables.filter(|(_, changes)| changes.is_any()).collect();
        Self { tables }
    }

    /// What `shown` makes of each row, and those of the cleared ranges that it wants to show.
    pub(crate) fn shown(&self, shown: &mut dyn Shown) -> Result<Self, ReadError> {
        let mut all = Self::default();
        for (&table, changes) in &self.tables {
            let own = all.tables.entry(table).or_default();
            let cleared = changes.cleared.iter();
            own.cleared
                .extend(cleared.filter(|range| shown.range(table, range)).cloned());
            for (key, value) in &changes.rows {
                if let Some(value) = shown.row(table, key, value.as_deref())? {
                    own.rows.insert(key.clone(), value.map(<[u8]>::to_vec));
                }
            }
        }
        all.tables.retain(|_, changes| changes.is_any());
        Ok(all)
    }

    /// Adds later changes to these.
    pub fn absorb(&mut self, later: Self) {
        for (table, changes) in later.tables {
            let own = self.tables.entry(table).or_default();
            changes
                .cleared
                .into_iter()
                .for_each(|range| own.clear(range));
            own.rows.extend(changes.rows);
        }
    }
}

/// What somebody is shown of changes.
pub(crate) trait Shown {
    /// Whether a range that was cleared.
    fn range(&mut self, table: Table, range: &KeyRange) -> bool;

    /// A row as it is shown, if it is: `Some(None)` is one that is gone.
    fn row<'r>(
        &mut self,
        table: Table,
        key: &[u8],
        value: Option<&'r [u8]>,
    ) -> Result<Option<Option<&'r [u8]>>, ReadError>;
}

/// A view with changes on top.
pub struct Overlay<'v> {
    base: &'v dyn View,
    changes: Changes,
}

impl<'v> Overlay<'v> {
    /// An overlay without changes.
    pub fn new(base: &'v dyn View) -> Self {
        Self {
            base,
            changes: Changes::default(),
        }
    }

    /// Writes a row; its value is serialised with postcard.
    pub fn put<T: Serialize + ?Sized>(&mut self, table: Table, key: Vec<u8>, value: &T) {
        self.put_raw(table, key, encode(value));
    }

    /// Writes a row whose value is these very bytes.
    pub fn put_raw(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.of(table).rows.insert(key, Some(value));
    }

    /// Deletes a row, if it is there.
    pub fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.of(table).rows.insert(key, None);
    }

    /// Deletes every row of a range. Costs RocksDB a range tombstone, which
    /// slows later scans, so an empty range is left alone.
    pub fn clear(&mut self, table: Table, range: KeyRange) -> Result<(), ReadError> {
        if any_in(self, table, &range)? {
            self.of(table).clear(range);
        }
        Ok(())
    }

    /// Gives the changes to whoever writes them.
    pub fn into_changes(self) -> Changes {
        self.changes
    }

    /// Takes over the changes of an overlay over this one.
    pub fn absorb(&mut self, changes: Changes) {
        self.changes.absorb(changes);
    }

    fn of(&mut self, table: Table) -> &mut TableChanges {
        self.changes.tables.entry(table).or_default()
    }
}

impl View for Overlay<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(own) = self.changes.tables.get(&table) else {
            return self.base.get(table, key);
        };
        match own.rows.get(key) {
            Some(value) => Ok(value.clone()),
            None if own.clearing(key).is_some() => Ok(None),
            None => self.base.get(table, key),
        }
    }

    fn scan(&self, table: Table, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        let Some(own) = self.changes.tables.get(&table) else {
            return self.base.scan(table, range, visit);
        };
        let mut merge = MergedScan {
            own,
            range,
            from: Bound::Included(range.from.clone()),
            stopped: false,
        };
        self.base.scan(table, range, &mut |key, value| {
            merge.base_row(key, value, visit)
        })?;
        merge.own_rows(None, visit)
    }
}

/// Merges the rows of the base with the changes on top, in order of keys.
struct MergedScan<'a> {
    own: &'a TableChanges,
    range: &'a KeyRange,
    /// Nothing below this is visited any more.
    from: Bound<Vec<u8>>,
    stopped: bool,
}

impl MergedScan<'_> {
    /// Visits what is due up to and including a row of the base, and tells the
    /// base's scan how to go on.
    fn base_row(
        &mut self,
        key: &[u8],
        value: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<Step, ReadError> {
        self.own_rows(Some(key), visit)?;
        if self.stopped {
            return Ok(Step::Stop);
        }
        if let Bound::Included(from) = &self.from
            && key < from.as_slice()
        {
            return Ok(Step::Seek(from.clone()));
        }
        if self.own.rows.contains_key(key) {
            return Ok(Step::Next); // overridden: visited as one of our own, next
        }
        if let Some(range) = self.own.clearing(key) {
            return Ok(range.to.clone().map_or(Step::Stop, Step::Seek));
        }
        let step = visit(key, value)?;
        self.follow(key, &step);
        Ok(step)
    }

    /// Visits our own rows below `until`.
    fn own_rows(&mut self, until: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        let own = self.own;
        while !self.stopped {
            let from = self.from.as_ref().map(Vec::as_slice);
            let Some((key, value)) = own.first(from, self.range) else {
                break;
            };
            if until.is_some_and(|until| key >= until) {
                break;
            }
            let step = value.map_or(Ok(Step::Next), |value| visit(key, value))?;
            self.follow(key, &step);
        }
        Ok(())
    }

    fn follow(&mut self, key: &[u8], step: &Step) {
        match step {
            Step::Next => self.from = Bound::Excluded(key.to_vec()),
            Step::Seek(to) => self.from = Bound::Included(to.clone()),
            Step::Stop => self.stopped = true,
        }
    }
}
