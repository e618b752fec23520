//! What the observer of a client hears: names of repositories, by the rows that a delta changes.

use super::mirror::Mirror;
use crate::model::{ChangedNames, Format, PACKED_REFS, RepoId, RepoPath};
use crate::replica::Observer;
use crate::state::{Changes, KeyRange, Table, TableChanges, read};
use std::collections::BTreeMap;

/// What a repository shows besides refs and object files.
type Settings = (BTreeMap<String, String>, Option<Format>);

/// What a delta changes, as the mirror was before.
#[derive(Default)]
pub(super) struct Heard {
    names: BTreeMap<RepoId, ChangedNames>,
    /// Repositories whose own row changes, with the settings before.
    settings: Vec<(RepoId, Option<Settings>)>,
    deleted: Vec<RepoId>,
    /// Whether the members of the cluster change.
    pub(super) is_about_members: bool,
}

impl Heard {
    pub(super) fn of(mirror: &Mirror, changes: &Changes) -> Self {
        let mut heard = Self::default();
        for (table, changes) in changes.tables() {
            match table {
                Table::Refs | Table::Catalog => heard.paths(changes, |path| path),
                Table::Packed => heard.paths(changes, |_| RepoPath::new(PACKED_REFS)),
                Table::Repositories => heard.repositories(mirror, changes),
                Table::Members => heard.is_about_members = true,
                Table::RaftLog
                | Table::RaftState
                | Table::Names
                | Table::Blocks
                | Table::Sessions
                | Table::Audit
                | Table::Trash
                | Table::Imports
                | Table::Contents
                | Table::Hooks
                | Table::Access => {}
            }
        }
        heard
    }

    /// Tells what is other in the mirror now. The machine knows the names that it changed itself.
    pub(super) fn tell(self, mirror: &Mirror, is_own: bool, observer: &dyn Observer) {
        self.deleted
            .into_iter()
            .for_each(|repo| observer.deleted(repo));
        if is_own {
            return;
        }
        let changed = self.settings.into_iter();
        let changed = changed.filter(|(repo, before)| settings(mirror, *repo) != *before);
        changed.for_each(|(repo, _)| observer.changed(repo, ChangedNames::Any));
        self.names
            .into_iter()
            .for_each(|(repo, names)| observer.changed(repo, names));
    }

    /// Rows whose keys are a repository and a path; `name` says which name stands for a path.
    fn paths(
        &mut self,
        changes: &TableChanges,
        name: impl Fn(Option<RepoPath>) -> Option<RepoPath>,
    ) {
        let cleared = changes.cleared.iter().filter_map(repo_of);
        cleared.for_each(|repo| drop(self.names.insert(repo, ChangedNames::Any)));
        for key in changes.rows.keys() {
            let Some((id, path)) = key.split_first_chunk() else {
                continue;
            };
            let names = self.names.entry(RepoId::from_bytes(*id));
            let names = names.or_insert_with(|| ChangedNames::These(Vec::new()));
            match (names, name(RepoPath::new(path))) {
                (ChangedNames::These(names), Some(name)) if names.last() != Some(&name) => {
                    names.push(name);
                }
                (ChangedNames::These(_) | ChangedNames::Any, _) => {}
            }
        }
    }

    fn repositories(&mut self, mirror: &Mirror, changes: &TableChanges) {
        for (key, value) in &changes.rows {
            let Ok(id) = key.as_slice().try_into().map(RepoId::from_bytes) else {
                continue;
            };
            match value {
                Some(_) => self.settings.push((id, settings(mirror, id))),
                None => self.deleted.push(id),
            }
        }
    }
}

fn repo_of(range: &KeyRange) -> Option<RepoId> {
    range.from.first_chunk().copied().map(RepoId::from_bytes)
}

fn settings(mirror: &Mirror, repo: RepoId) -> Option<Settings> {
    let repo = read::repo(mirror, repo).ok().flatten()?;
    Some((repo.settings, repo.format))
}
