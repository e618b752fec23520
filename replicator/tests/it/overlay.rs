//! Overlays upon overlays against a plain map.

use gitmoor_replicator::ReadError;
use gitmoor_replicator::state::{KeyRange, Overlay, Step, Table, View, Visit};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

struct Base(Rows);

impl View for Base {
    fn get(&self, _: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, _: Table, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        let mut from = range.from.clone();
        while let Some((key, value)) = self.0.range(from.clone()..).next() {
            if !range.contains(key) {
                break;
            }
            match visit(key, value)? {
                Step::Next => from = [key.as_slice(), &[0]].concat(),
                Step::Seek(to) => {
                    assert!(to > *key, "a scan goes forward only");
                    from = to;
                }
                Step::Stop => break,
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Put(Vec<u8>, u8),
    Delete(Vec<u8>),
    Clear(KeyRange),
}

fn a_key() -> impl Strategy<Value = Vec<u8>> {
    vec(0..4_u8, 1..4)
}

fn a_range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        vec(0..4_u8, 0..3).prop_map(|prefix| KeyRange::prefix(&prefix)),
        (a_key(), a_key()).prop_filter_map("is not empty", |(from, to)| {
            (from < to).then_some(KeyRange { from, to: Some(to) })
        }),
    ]
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        5 => (a_key(), any::<u8>()).prop_map(|(key, value)| Edit::Put(key, value)),
        3 => a_key().prop_map(Edit::Delete),
        1 => a_range().prop_map(Edit::Clear),
    ];
    vec(edit, 0..12)
}

fn edit(overlay: &mut Overlay<'_>, rows: &mut Rows, edits: Vec<Edit>) {
    for edit in edits {
        match edit {
            Edit::Put(key, value) => {
                overlay.put_raw(Table::Refs, key.clone(), vec![value]);
                rows.insert(key, vec![value]);
            }
            Edit::Delete(key) => {
                rows.remove(&key);
                overlay.delete(Table::Refs, key);
            }
            Edit::Clear(range) => {
                rows.retain(|key, _| !range.contains(key));
                overlay.clear(Table::Refs, range).expect("reads");
            }
        }
    }
}

/// Scans with a jump after every `stride` rows; returns the keys seen.
fn scan(view: &dyn View, range: &KeyRange, stride: usize, jump: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut seen = Vec::new();
    view.scan(Table::Refs, range, &mut |key, value| {
        seen.push((key.to_vec(), value.to_vec()));
        let target = [key, jump].concat();
        Ok(if seen.len() % stride == 0 {
            Step::Seek(target)
        } else {
            Step::Next
        })
    })
    .expect("reads");
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn reads_like_a_map(
        base in edits(),
        lower in edits(),
        upper in edits(),
        range in a_range(),
        stride in 1..4_usize,
        jump in vec(1..4_u8, 1..3),
    ) {
        let mut rows = Rows::new();
        edit(&mut Overlay::new(&Base(Rows::new())), &mut rows, base);
        let base = Base(rows.clone());
        let mut overlay = Overlay::new(&base);
        edit(&mut overlay, &mut rows, lower);
        let mut above = Overlay::new(&overlay);
        edit(&mut above, &mut rows, upper);

        let map = Base(rows);
        let expected = scan(&map, &range, stride, &jump);
        prop_assert_eq!(scan(&above, &range, stride, &jump), expected.clone());
        for key in 0..4_u8 {
            prop_assert_eq!(above.get(Table::Refs, &[key]).expect("reads"), map.0.get(&vec![key]).cloned());
        }
        let changes = above.into_changes();
        overlay.absorb(changes);
        prop_assert_eq!(scan(&overlay, &range, stride, &jump), expected);
    }
}
