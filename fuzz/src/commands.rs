//! Raft entries from another node: one that decodes has only valid paths, and
//! applying it neither panics nor depends on anything but the entry and the state.

use crate::rows::{assert_valid, decode};
use gitmoor_model::{
    Command, Envelope, HooksChange, ImportStep, NameStep, PackedEdit, RefEdit, RepoChange,
    RepoPath, TrashId, Version,
};
use gitmoor_replicator::ReadError;
use gitmoor_replicator::state::{Changes, KeyRange, Overlay, Step, Table, View, Visit, apply};
use std::collections::BTreeMap;

/// Most entries of one input: apply is what is tested, not patience.
const ENTRIES: usize = 32;

/// Envelopes one after the other, applied in this order.
pub fn run(data: &[u8]) {
    let mut state = Rows::default();
    let mut rest = data;
    for index in 1..=ENTRIES as u64 {
        let Ok((envelope, after)) = postcard::take_from_bytes::<Envelope>(rest) else {
            break;
        };
        decode::<Envelope>(&rest[..rest.len() - after.len()]);
        rest = after;
        check_paths(&envelope.command);
        state.apply(index, &envelope);
    }
}

fn check_hooks(change: &HooksChange) {
    let directory = match change {
        HooksChange::Report(machine) => machine.directory.as_ref(),
        HooksChange::Promote { directory, .. } => directory.as_ref(),
        HooksChange::Own { hooks, .. } => {
            let names = hooks.iter().flat_map(|hooks| &hooks.names);
            names.for_each(|name| assert_valid(name.as_bytes()));
            None
        }
    };
    let files = directory
        .into_iter()
        .flat_map(|directory| directory.files());
    files.for_each(|file| assert_valid(file.path.as_bytes()));
}

fn check_paths(command: &Command) {
    match command {
        Command::CreateDirectory { path }
        | Command::RemoveDirectory { path }
        | Command::CreateRepo { path, .. }
        | Command::Fork { path, .. }
        | Command::RestoreRepo { path, .. } => assert_valid(path.as_bytes()),
        Command::Rename { from, to } => {
            assert_valid(from.as_bytes());
            assert_valid(to.as_bytes());
        }
        Command::Name(change) => {
            assert_valid(change.path.as_bytes());
            if let NameStep::Move { to, .. } = &change.step {
                assert_valid(to.as_bytes());
            }
        }
        Command::Nest(nesting) => assert_valid(nesting.inside.module.path().as_bytes()),
        Command::Hooks(change) => check_hooks(change),
        Command::DeleteRepo { .. }
        | Command::SetFormat { .. }
        | Command::SetSetting { .. }
        | Command::SetSettings { .. }
        | Command::SetLimit { .. }
        | Command::RecordDeletion { .. }
        | Command::ExpireRepo { .. }
        | Command::PurgeRepo { .. }
        | Command::FoundCluster { .. }
        | Command::Invite { .. }
        | Command::InviteClient { .. }
        | Command::Admit { .. }
        | Command::Relocate { .. }
        | Command::SettleStore(_)
        | Command::ClaimStore(_)
        | Command::RemoveMember { .. }
        | Command::Access(_) => {}
        Command::Commit(change)
        | Command::Publish { change, .. }
        | Command::MoveRefs { change, .. } => check_change(change),
        Command::RestoreFiles { files, .. } => check_trashed(files),
        Command::Repack(repacking) => {
            let added = repacking.add.iter().map(|add| &add.path);
            let relied = repacking.relied.iter().map(|relied| &relied.path);
            let named = added.chain(&repacking.remove).chain(relied);
            named.for_each(|path| assert_valid(path.as_bytes()));
        }
        Command::Borrow(borrowing) => {
            check_change(&borrowing.change);
            let files = borrowing.loans.iter().flat_map(|loan| &loan.files);
            files.for_each(|file| assert_valid(file.path.as_bytes()));
        }
        Command::MarkDeleted(deletions) => check_trashed(&deletions.expired),
        Command::Import(importing) => check_import(&importing.step),
        Command::Touch { files, .. } => {
            let paths = files.iter().map(|file| &file.path);
            paths.for_each(|path| assert_valid(path.as_bytes()));
        }
    }
}

fn check_import(step: &ImportStep) {
    let check = |path: &RepoPath| assert_valid(path.as_bytes());
    match step {
        ImportStep::Begin { path, .. } => assert_valid(path.as_bytes()),
        ImportStep::Store(files) => files.iter().for_each(|add| check(&add.path)),
        ImportStep::Verify { paths, .. } | ImportStep::Drop(paths) => paths.iter().for_each(check),
        ImportStep::Refs { loose, packed, .. } => check_refs(loose, packed),
        ImportStep::Reach { .. }
        | ImportStep::Finish { .. }
        | ImportStep::Abandon
        | ImportStep::GiveTo { .. } => {}
    }
}

fn check_trashed(files: &[TrashId]) {
    files.iter().for_each(|id| assert_valid(id.path.as_bytes()));
}

fn check_change(change: &RepoChange) {
    let files = change.add.iter().map(|add| &add.path);
    let gone = change.remove.iter().flat_map(|removal| &removal.paths);
    for path in files.chain(gone) {
        assert_valid(path.as_bytes());
    }
    check_refs(&change.refs, &change.packed);
}

fn check_refs(loose: &[RefEdit], packed: &[PackedEdit]) {
    let loose = loose.iter().map(|edit| &edit.name);
    let packed = packed.iter().filter_map(|edit| match edit {
        PackedEdit::Clear => None,
        PackedEdit::Set { name, .. } | PackedEdit::Delete { name } => Some(name),
    });
    for path in loose.chain(packed) {
        assert_valid(path.as_bytes());
    }
}

/// The state in memory.
#[derive(Default)]
pub(crate) struct Rows(BTreeMap<(Table, Vec<u8>), Vec<u8>>);

impl Rows {
    pub(crate) fn insert(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.0.insert((table, key.to_vec()), value.to_vec());
    }

    /// Twice from the same state: another node comes to the same rows.
    fn apply(&mut self, index: u64, envelope: &Envelope) {
        let Some((outcome, changes)) = self.applied(index, envelope) else {
            return;
        };
        let again = self.applied(index, envelope).expect("as the first time");
        let text = |changes: &Changes| format!("{:?}", changes.tables().collect::<Vec<_>>());
        assert_eq!(outcome, again.0);
        assert_eq!(text(&changes), text(&again.1));
        self.absorb(&changes);
    }

    fn applied(&self, index: u64, envelope: &Envelope) -> Option<(String, Changes)> {
        let mut overlay = Overlay::new(self);
        let outcome = apply(&mut overlay, Version(index), envelope).ok()?;
        Some((format!("{outcome:?}"), overlay.into_changes()))
    }

    fn absorb(&mut self, changes: &Changes) {
        for (table, changes) in changes.tables() {
            for range in &changes.cleared {
                self.0
                    .retain(|(of, key), _| *of != table || !range.contains(key));
            }
            for (key, value) in &changes.rows {
                match value {
                    Some(value) => drop(self.0.insert((table, key.clone()), value.clone())),
                    None => drop(self.0.remove(&(table, key.clone()))),
                }
            }
        }
    }
}

impl View for Rows {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.0.get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        let mut from = range.from.clone();
        loop {
            let mut rows = self.0.range((table, from.clone())..);
            let next = rows.next().filter(|((of, _), _)| *of == table);
            let Some(((_, key), value)) = next.filter(|((_, key), _)| range.contains(key)) else {
                return Ok(());
            };
            from = match visit(key, value)? {
                Step::Next => [key.as_slice(), &[0]].concat(),
                Step::Seek(to) => to,
                Step::Stop => return Ok(()),
            };
        }
    }
}
