//! `packed-refs` as git wrote it: what counts as usual is given back byte for byte,
//! and the difference of two files leads from one to the other.

use crate::fields;
use gitmoor_fs::parsers::packed::{Diff, HEADER, Lines, is_usual, lines_of, write_line};
use gitmoor_model::{PackedEdit, PackedRef};
use std::collections::BTreeMap;

type Table = BTreeMap<Vec<u8>, PackedRef>;

/// Two files, without their headers, with 0xff between them.
pub fn run(data: &[u8]) {
    // As it is, for headers that are not the usual one.
    check_round_trip(data);
    let mut files = fields(data).map(|body| [HEADER, body].concat());
    let old = files.next().unwrap_or_default();
    let new = files.next().unwrap_or_default();
    check_round_trip(&old);
    if let (Some(old), Some(new)) = (table(&old), table(&new)) {
        check_diff(&old, &new);
        assert!(edits(&new, &new).is_empty(), "nothing to do");
    }
}

fn table(file: &[u8]) -> Option<Table> {
    let lines = Lines::new(file).filter(|_| is_usual(file))?;
    Some(lines.flatten().map(|(n, l)| (n.to_vec(), l)).collect())
}

fn render(table: &Table) -> Vec<u8> {
    let mut file = HEADER.to_vec();
    for (name, line) in table {
        write_line(&mut file, name, line).expect("writing to memory");
    }
    file
}

fn check_round_trip(file: &[u8]) {
    let any = lines_of(file);
    if let Some(lines) = &any {
        let ascends = lines.windows(2).all(|pair| pair[0].0 < pair[1].0);
        assert!(ascends, "in the table's order");
    }
    if let Some(table) = table(file) {
        assert!(render(&table) == file, "given back byte for byte");
        let lines = any.expect("what is usual is a table");
        let same = table.iter().map(|(name, line)| (name.as_slice(), line));
        assert!(same.eq(lines.iter().map(|(name, line)| (*name, line))));
    }
}

fn edits(old: &Table, new: &Table) -> Vec<PackedEdit> {
    let file = render(new);
    let mut diff = Diff::towards(&file).expect("a rendering is usual");
    for (name, line) in old {
        diff.old(name, line);
    }
    diff.finish()
}

fn check_diff(old: &Table, new: &Table) {
    let edits = edits(old, new);
    assert!(edits.len() <= old.len() + new.len());
    let mut table = old.clone();
    for edit in edits {
        match edit {
            PackedEdit::Clear => table.clear(),
            PackedEdit::Set { name, line } => {
                let before = table.insert(name.as_bytes().to_vec(), line.clone());
                assert_ne!(before, Some(line), "an edit that changes nothing");
            }
            PackedEdit::Delete { name } => {
                let before = table.remove(name.as_bytes());
                assert!(before.is_some(), "a deletion of what is not there");
            }
        }
    }
    assert!(table == *new, "the difference leads to the new file");
}
