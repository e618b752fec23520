//! Hooks: which machine may move refs.
//!
//! A machine whose hooks directory is not accepted moves no ref. Without a hooks directory in the cluster, a machine
//! moves none of a repository that lacks a hook there which another machine has, unless the machine is lenient. Both
//! are decided when the command is applied, by what is replicated then: no machine is a moment behind.
//!
//! Who is alone is asked nothing.

use super::apply::{Context, Halt};
use super::audit::{self, AuditEvent, RefMove};
use super::read::{self, MachineHooksRow};
use super::view::View;
use super::{Overlay, ReadError, Table, keys, namespace};
use crate::model::{
    AcceptedHooks, HookSet, HooksChange, MachineHooks, Refusal, RepoId, RepoPath, Timestamp,
};
use serde::Serialize;

/// What git commits of a push, and what holds refs in tables.
const PUSHED: [&[u8]; 2] = [b"refs/", b"reftable/"];

pub(super) fn change(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    change: &HooksChange,
) -> Result<(), Halt> {
    if read::cluster(overlay)?.is_none() {
        return Err(Refusal::NotFounded.into());
    }
    match change {
        HooksChange::Report(hooks) => report(overlay, proposer(context)?, hooks),
        HooksChange::Promote { directory, until } => {
            promote(overlay, context, directory.as_ref(), *until)
        }
        HooksChange::Own { repo, hooks } => {
            namespace::existing_repo(overlay, *repo)?;
            let key = keys::own_hooks(*repo, proposer(context)?);
            set(overlay, Table::Hooks, key, hooks.as_ref());
            Ok(())
        }
    }
}

/// The machine that the node which took the command has put in.
fn proposer(context: Context<'_>) -> Result<u64, Halt> {
    let nobody = || Refusal::NotPermitted("a machine tells of its own hooks alone".to_owned());
    Ok(context.actor.node.ok_or_else(nobody)?)
}

fn report(overlay: &mut Overlay<'_>, machine: u64, hooks: &MachineHooks) -> Result<(), Halt> {
    let row = MachineHooksRow {
        directory: hooks.directory.as_ref().map(HookSet::digest),
        lenient: hooks.lenient,
    };
    overlay.put(Table::Members, keys::machine_hooks(machine), &row);
    let files = keys::machine_hook_files(machine);
    set(overlay, Table::Members, files, hooks.directory.as_ref());
    let is_node = read::members(overlay)?.contains_key(&machine);
    if let (Some(directory), true) = (&hooks.directory, is_node)
        && read::accepted_hooks(overlay)?.is_none()
    {
        accept(
            overlay,
            &AcceptedHooks {
                current: row.directory,
                former: Vec::new(),
            },
            Some(directory),
        );
    }
    Ok(())
}

fn promote(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    directory: Option<&HookSet>,
    until: Timestamp,
) -> Result<(), Halt> {
    let before = read::accepted_hooks(overlay)?.unwrap_or(AcceptedHooks {
        current: None,
        former: Vec::new(),
    });
    let (old, new) = (before.current, directory.map(HookSet::digest));
    accept(
        overlay,
        &before.promoted(new, until, context.time),
        directory,
    );
    let event = AuditEvent::HooksPromoted { old, new };
    Ok(audit::of_namespace(overlay, context, None, event)?)
}

fn accept(overlay: &mut Overlay<'_>, accepted: &AcceptedHooks, directory: Option<&HookSet>) {
    overlay.put(Table::Members, keys::ACCEPTED_HOOKS.to_vec(), accepted);
    let files = keys::HOOKS_DIRECTORY.to_vec();
    set(overlay, Table::Members, files, directory);
}

/// A row says what there is; of nothing there is none.
fn set(overlay: &mut Overlay<'_>, table: Table, key: Vec<u8>, value: Option<&impl Serialize>) {
    match value {
        Some(value) => overlay.put(table, key, value),
        None => overlay.delete(table, key),
    }
}

/// Whether the machine that proposes it may move these refs of a repository.
pub(super) fn check(
    view: &dyn View,
    context: Context<'_>,
    repo: RepoId,
    moved: &[RefMove],
) -> Result<(), Halt> {
    let Some(machine) = context.actor.node.filter(|_| moved.iter().any(is_pushed)) else {
        return Ok(());
    };
    if read::cluster(view)?.is_none() {
        return Ok(());
    }
    let shown = read::machine_hooks(view, machine)?.unwrap_or_default();
    let refusal = match read::accepted_hooks(view)? {
        Some(accepted) if !accepted.accepts(shown.directory, context.time) => {
            let file = read::differing_hooks(view, machine)?;
            Some(Refusal::HooksDiffer { machine, file })
        }
        // git runs this one, and nothing that stands in a repository.
        Some(_) if shown.directory.is_some() => None,
        Some(_) | None if shown.lenient => None,
        Some(_) | None => missing(view, repo, machine)?,
    };
    refusal.map_or(Ok(()), |refusal| Err(refusal.into()))
}

fn is_pushed(moved: &RefMove) -> bool {
    let name = moved.name.as_bytes();
    PUSHED.iter().any(|prefix| name.starts_with(prefix))
}

fn missing(view: &dyn View, repo: RepoId, machine: u64) -> Result<Option<Refusal>, ReadError> {
    let elsewhere = read::hooks_elsewhere(view, repo, machine)?;
    let missing = |(on, name): (u64, RepoPath)| Refusal::HooksMissing { machine, name, on };
    Ok(elsewhere.map(missing))
}
