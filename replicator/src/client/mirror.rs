//! What a client has of the state: the namespace, and all of the repositories that it has used.
//!
//! Rows come in two ways. A delta is everything that changed between two entries. A load is what a node had
//! when it was asked, page by page, each page of another moment. To make one state of both, the mirror knows
//! two entries: it has all changes up to `position`, and may have some up to `reach`. Changes write whole
//! rows, so those after `position`, some of them for the second time, in order and at least up to `reach`, make every
//! row what it was at their end. A delta that ends earlier would take some rows back, and is refused.

use crate::model::RepoId;
use crate::rpc::client::RowsPage;
use crate::rpc::{Cursor, Delta, OF_REPOSITORY, WHOLE};
use crate::state::{Changes, KeyRange, MemoryRows, ReadError, Table, View, Visit};
use std::collections::BTreeSet;

#[derive(Default)]
pub(super) struct Mirror {
    rows: MemoryRows,
    position: u64,
    reach: u64,
    /// The repositories that deltas are asked for. `times` counts how often these were others.
    repos: BTreeSet<RepoId>,
    times: u64,
    /// Those of them that were brought to one state with the others.
    settled: BTreeSet<RepoId>,
}

/// What became of a delta.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Merge {
    /// The mirror is as new as the delta.
    Merged,
    /// It is not about all that the mirror has by now: ask again.
    AskAgain,
    /// Too much was missed: load everything.
    LoadAgain,
}

/// Where a delta begins.
pub(super) struct Basis {
    pub(super) cursor: Cursor,
    times: u64,
}

/// Rows that were loaded, before they are in the mirror.
#[derive(Default)]
pub(super) struct Load {
    from: Option<u64>,
    to: u64,
    rows: Vec<(Table, Vec<u8>, Vec<u8>)>,
}

impl Load {
    pub(super) fn add(&mut self, page: RowsPage) -> Vec<(Table, KeyRange)> {
        let RowsPage {
            from,
            to,
            rows,
            rest,
        } = page;
        self.from = Some(self.from.map_or(from, |before| before.min(from)));
        self.to = self.to.max(to);
        self.rows.extend(rows);
        rest
    }
}

/// The rows of a repository.
pub(super) fn ranges_of(repo: RepoId) -> impl Iterator<Item = (Table, KeyRange)> {
    OF_REPOSITORY
        .map(|table| (table, KeyRange::prefix(repo.as_bytes())))
        .into_iter()
}

impl Mirror {
    /// Where the next delta is to begin.
    pub(super) fn basis(&self) -> Basis {
        let cursor = Cursor {
            index: self.position,
            repos: self.repos.iter().copied().collect(),
        };
        let times = self.times;
        Basis { cursor, times }
    }

    /// All that it has, to be loaded anew.
    pub(super) fn ranges(&self) -> Vec<(Table, KeyRange)> {
        let whole = WHOLE.map(|table| (table, KeyRange::all()));
        let repos = self.repos.iter().flat_map(|&repo| ranges_of(repo));
        whole.into_iter().chain(repos).collect()
    }

    pub(super) fn has_loaded(&self, repo: RepoId) -> bool {
        self.settled.contains(&repo)
    }

    /// Up to where everything is in it.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn replace(&mut self, load: Load) {
        let mut repos = std::mem::take(&mut self.repos);
        let mut rows = MemoryRows::default();
        put(&mut rows, load.rows);
        let is_in =
            |rows: &MemoryRows, repo: &RepoId| rows.has(Table::Repositories, repo.as_bytes());
        // As if a delta with their deletion had been merged.
        repos.retain(|repo| !is_in(&self.rows, repo) || is_in(&rows, repo));
        let times = self.times + 1;
        *self = Self {
            position: load.from.unwrap_or_default(),
            reach: load.to.max(self.reach),
            rows,
            repos,
            times,
            settled: BTreeSet::new(),
        };
    }

    /// A repository was loaded.
    pub(super) fn add(&mut self, repo: RepoId, load: Load) {
        self.position = load
            .from
            .map_or(self.position, |from| self.position.min(from));
        self.reach = self.reach.max(load.to);
        self.repos.insert(repo);
        self.times += 1;
        put(&mut self.rows, load.rows);
    }

    /// A repository was deleted, or is out of sight: nobody tells of it any more, so that it is to
    /// be loaded anew should it come back.
    fn forget(&mut self, repo: RepoId) {
        if self.repos.remove(&repo) {
            self.times += 1;
        }
        for (table, range) in ranges_of(repo) {
            self.rows.clear(table, &range);
        }
    }

    /// Merges a delta that begins at `basis`; calls `changed` with the mirror and what it changes in it.
    pub(super) fn merge(
        &mut self,
        basis: &Basis,
        delta: Delta,
        changed: impl FnOnce(&Self, &Changes),
    ) -> Merge {
        let is_one = self.position == self.reach;
        if basis.times == self.times && is_one && delta.upto <= self.position {
            self.settled.clone_from(&self.repos);
            return Merge::Merged;
        }
        let Some(changes) = delta.changes else {
            return Merge::LoadAgain;
        };
        if basis.times != self.times || delta.upto < self.reach {
            return Merge::AskAgain;
        }
        changed(self, &changes);
        self.apply(&changes);
        (self.position, self.reach) = (delta.upto, delta.upto);
        self.settled.clone_from(&self.repos);
        Merge::Merged
    }

    fn apply(&mut self, changes: &Changes) {
        let repos = changes
            .tables()
            .filter(|(table, _)| *table == Table::Repositories);
        let gone = repos.flat_map(|(_, changes)| &changes.rows);
        let gone: Vec<_> = gone
            .filter(|(_, value)| value.is_none())
            .filter_map(|(key, _)| key.as_slice().try_into().ok().map(RepoId::from_bytes))
            .collect();
        gone.into_iter().for_each(|repo| self.forget(repo));
        self.rows.change(changes);
    }
}

fn put(rows: &mut MemoryRows, loaded: Vec<(Table, Vec<u8>, Vec<u8>)>) {
    for (table, key, value) in loaded {
        rows.put(table, key, value);
    }
}

impl View for Mirror {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.rows.get(table, key)
    }

    fn scan(&self, table: Table, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        self.rows.scan(table, range, visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Overlay, Step};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type TableRows = BTreeMap<Vec<u8>, Vec<u8>>;

    /// The rows that there are, of each entry that there was.
    #[derive(Default)]
    struct Nodes(Vec<TableRows>);

    fn key(repo: u8, row: u8) -> Vec<u8> {
        [[repo; 16].as_slice(), &[row]].concat()
    }

    fn id(repo: u8) -> RepoId {
        RepoId::from_bytes([repo; 16])
    }

    impl Nodes {
        fn last(&self) -> u64 {
            self.0.len() as u64 - 1
        }

        fn at(&self, index: u64) -> &TableRows {
            &self.0[index as usize]
        }

        fn write(&mut self, repo: u8, row: u8, value: Option<u8>) {
            let mut rows = self.0.last().cloned().unwrap_or_default();
            match value {
                Some(value) => drop(rows.insert(key(repo, row), vec![value])),
                None => drop(rows.remove(&key(repo, row))),
            }
            self.0.push(rows);
        }

        /// A load whose pages, one a row, are of moments between the two.
        fn load(&self, repo: u8, from: u64, to: u64) -> Load {
            let mut load = Load::default();
            for row in 0..4 {
                let at = (from + u64::from(row)).min(to);
                let found = self.at(at).get(&key(repo, row));
                let rows = found.map(|value| (Table::Refs, key(repo, row), value.clone()));
                let page = RowsPage {
                    from: at.saturating_sub(1).max(from),
                    to: at,
                    rows: rows.into_iter().collect(),
                    rest: Vec::new(),
                };
                assert!(load.add(page).is_empty());
            }
            load
        }

        fn delta(&self, cursor: &Cursor, upto: u64) -> Delta {
            let mut changes = Changes::default();
            for index in cursor.index + 1..=upto {
                let (before, after) = (self.at(index - 1), self.at(index));
                let nothing = MemoryRows::default();
                let mut overlay = Overlay::new(&nothing);
                for (key, value) in after {
                    overlay.put_raw(Table::Refs, key.clone(), value.clone());
                }
                for key in before.keys().filter(|key| !after.contains_key(*key)) {
                    overlay.delete(Table::Refs, key.clone());
                }
                let changed = overlay.into_changes();
                changes.absorb(changed.only(|table, key| {
                    is_of(cursor, table, key) && before.get(key) != after.get(key)
                }));
            }
            let changes = Some(changes);
            Delta { upto, changes }
        }
    }

    fn is_of(cursor: &Cursor, table: Table, key: &[u8]) -> bool {
        let mut repos = cursor.repos.iter();
        table == Table::Refs && repos.any(|repo| key.starts_with(repo.as_bytes()))
    }

    fn rows_of(mirror: &Mirror, repo: u8) -> TableRows {
        let mut rows = TableRows::new();
        let range = KeyRange::prefix(&[repo; 16]);
        let mut keep = |key: &[u8], value: &[u8]| {
            rows.insert(key.to_vec(), value.to_vec());
            Ok(Step::Next)
        };
        mirror.scan(Table::Refs, &range, &mut keep).expect("reads");
        rows
    }

    #[derive(Clone, Debug)]
    enum Act {
        Write(u8, u8, Option<u8>),
        /// A load that takes so many entries.
        Load(u8, u64),
        /// A delta asked for now; it comes after so many more acts, of a node that lags by so much.
        CatchUp(usize, u64),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (1..4_u8, 0..4_u8, any::<Option<u8>>()).prop_map(|(repo, row, value)| Act::Write(repo, row, value)),
            1 => (1..4_u8, 0..4_u64).prop_map(|(repo, takes)| Act::Load(repo, takes)),
            3 => (0..4_usize, 0..4_u64).prop_map(|(after, lag)| Act::CatchUp(after, lag)),
        ]
    }

    proptest! {
        /// Whatever comes in whichever order: what is settled is of one entry, never an older one
        /// than before, and as new as the delta.
        #[test]
        fn it_is_of_one_moment(acts in prop::collection::vec(act(), 1..60)) {
            let mut nodes = Nodes::default();
            nodes.write(1, 0, Some(0));
            let mut mirror = Mirror::default();
            let mut under_way: Vec<(usize, Basis, u64)> = Vec::new();
            let mut position = 0;
            for (now, act) in acts.into_iter().enumerate() {
                match act {
                    Act::Write(repo, row, value) => nodes.write(repo, row, value),
                    Act::Load(repo, takes) => {
                        let to = nodes.last();
                        let from = to.saturating_sub(takes);
                        mirror.add(id(repo), nodes.load(repo, from, to));
                    }
                    Act::CatchUp(after, lag) => under_way.push((now + after, mirror.basis(), lag)),
                }
                let (due, later): (Vec<_>, Vec<_>) =
                    under_way.into_iter().partition(|(at, ..)| *at <= now);
                under_way = later;
                for (_, basis, lag) in due {
                    let upto = nodes.last().saturating_sub(lag).max(basis.cursor.index);
                    let delta = nodes.delta(&basis.cursor, upto);
                    let merged = mirror.merge(&basis, delta, |_, _| {});
                    if merged != Merge::Merged {
                        continue;
                    }
                    prop_assert!(basis.cursor.repos.iter().all(|&repo| mirror.has_loaded(repo)));
                    prop_assert!(mirror.position >= position.max(upto));
                    position = mirror.position;
                    for repo in mirror.settled.clone() {
                        let repo = repo.as_bytes()[0];
                        let there = nodes.at(position).iter().filter(|(key, _)| key[0] == repo);
                        let there: TableRows = there.map(|(k, v)| (k.clone(), v.clone())).collect();
                        prop_assert_eq!(rows_of(&mirror, repo), there);
                    }
                }
            }
        }
    }
}
