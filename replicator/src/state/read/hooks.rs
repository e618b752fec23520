//! Hooks: what machines have of them, and what the cluster accepts.

use crate::model::{AcceptedHooks, Digest, HookSet, OwnHooks, RepoId, RepoPath};
use crate::state::view::{KeyRange, Step, View, decode, load};
use crate::state::{ReadError, Table, keys, read};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a machine shows as hooks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct MachineHooksRow {
    /// Of its hooks directory; `None` without one.
    pub directory: Option<Digest>,
    /// It takes pushes to repositories that lack hooks there.
    pub lenient: bool,
}

/// The hooks directories that the cluster accepts; `None` before any node had one.
pub fn accepted_hooks(view: &dyn View) -> Result<Option<AcceptedHooks>, ReadError> {
    load(view, Table::Members, keys::ACCEPTED_HOOKS)
}

/// The files of the hooks directory that was promoted last; `None` for none.
pub fn hooks_directory(view: &dyn View) -> Result<Option<HookSet>, ReadError> {
    load(view, Table::Members, keys::HOOKS_DIRECTORY)
}

/// What a node or client shows as hooks; `None` when it has never told.
pub fn machine_hooks(view: &dyn View, machine: u64) -> Result<Option<MachineHooksRow>, ReadError> {
    load(view, Table::Members, &keys::machine_hooks(machine))
}

/// The files of a machine's hooks directory; `None` without one.
pub fn machine_hook_files(view: &dyn View, machine: u64) -> Result<Option<HookSet>, ReadError> {
    load(view, Table::Members, &keys::machine_hook_files(machine))
}

/// What each machine shows as hooks that has ever told.
pub fn machines_with_hooks(view: &dyn View) -> Result<BTreeMap<u64, MachineHooksRow>, ReadError> {
    let mut found = BTreeMap::new();
    let range = KeyRange::prefix(&[keys::MACHINE_HOOKS]);
    view.scan(Table::Members, &range, &mut |key, value| {
        let machine = key[1..].try_into().map(u64::from_be_bytes);
        let machine =
            machine.map_err(|_| ReadError::Damaged("the hooks of a machine".to_owned()))?;
        found.insert(machine, decode(Table::Members, key, value)?);
        Ok(Step::Next)
    })?;
    Ok(found)
}

/// The first file that differs between a machine's hooks directory and the one that was promoted; `None` when one of
/// both is none.
pub fn differing_hooks(view: &dyn View, machine: u64) -> Result<Option<RepoPath>, ReadError> {
    let both = (machine_hook_files(view, machine)?, hooks_directory(view)?);
    Ok(match both {
        (Some(mine), Some(promoted)) => mine.first_difference(&promoted).cloned(),
        (None, _) | (_, None) => None,
    })
}

/// The hooks that a repository has on a machine.
pub fn own_hooks(
    view: &dyn View,
    repo: RepoId,
    machine: u64,
) -> Result<Option<OwnHooks>, ReadError> {
    load(view, Table::Hooks, &keys::own_hooks(repo, machine))
}

/// The hooks that a repository has on each machine of the cluster.
pub fn own_hooks_everywhere(
    view: &dyn View,
    repo: RepoId,
) -> Result<BTreeMap<u64, OwnHooks>, ReadError> {
    let mut found = BTreeMap::new();
    view.scan(Table::Hooks, &keys::whole_repo(repo), &mut |key, value| {
        let hooks: OwnHooks = decode(Table::Hooks, key, value)?;
        found.insert(keys::machine_of_hooks(key)?, hooks);
        Ok(Step::Next)
    })?;
    if found.is_empty() {
        return Ok(found);
    }
    let (nodes, clients) = (read::members(view)?, read::clients(view)?);
    found.retain(|machine, _| nodes.contains_key(machine) || clients.contains_key(machine));
    Ok(found)
}

/// The first hook of a repository that a machine lacks and another one has, and on which machine the hook is.
pub fn hooks_elsewhere(
    view: &dyn View,
    repo: RepoId,
    machine: u64,
) -> Result<Option<(u64, RepoPath)>, ReadError> {
    let mut everywhere = own_hooks_everywhere(view, repo)?;
    let mine = everywhere.remove(&machine);
    let mine = mine.map_or(Vec::new(), |hooks| hooks.names);
    let mut others = everywhere
        .into_iter()
        .flat_map(|(on, hooks)| hooks.names.into_iter().map(move |name| (on, name)));
    Ok(others.find(|(_, name)| !mine.contains(name)))
}
