//! A commit: object files and refs of one repository, all or nothing.

use super::apply::{Context, Halt};
use super::audit::{self, AuditEvent};
use super::refs::Before;
use super::trash::Gone;
use super::{Overlay, Table, catalog, hooks, host_files, keys, namespace, quota, refs, tombstones};
use crate::model::{Repo, RepoChange};

pub(super) fn commit(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    change: &RepoChange,
) -> Result<(), Halt> {
    commit_with(overlay, context, change, Vec::new())
}

/// The same, with more for the audit trail: a command records at most once in it.
pub(super) fn commit_with(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    change: &RepoChange,
    more: Vec<AuditEvent>,
) -> Result<(), Halt> {
    let mut repo = namespace::existing_repo(overlay, change.repo)?;
    let old = repo.clone();
    refs::check_expectations(overlay, &repo, &change.refs)?;
    let before = Before::of(overlay, change)?;
    host_files::check_added(&repo, &change.refs)?;
    let host_bytes = host_files::size_for(overlay, repo.id, &change.refs)?;
    host_files::keep_removed(overlay, repo.id, &change.refs)?;
    refs::edit_loose(overlay, context, repo.id, &change.refs)?;
    refs::check_directories(overlay, repo.id, &change.refs)?;
    catalog::check_removal(&repo, change.remove.as_ref())?;
    tombstones::check_adds(overlay, repo.id, &change.add)?;

    refs::edit_packed(overlay, repo.id, &change.packed)?;
    if !change.packed.is_empty() {
        repo.packed_version = context.version;
    }
    host_files::check_size(overlay, repo.id, &change.refs, host_bytes)?;
    let (moved, changed) = host_files::apart(before.moved(overlay, repo.id)?);
    hooks::check(overlay, context, repo.id, &moved)?;
    if !moved.is_empty() {
        repo.refs_version = context.version;
        quota::moved(&mut repo.usage, &moved);
    }
    let removed = change_catalog(overlay, context, &mut repo, change)?;
    if removed > 0 || !change.add.is_empty() {
        repo.catalog_version = context.version;
    }
    quota::check(overlay, &old, &repo)?;
    if repo != old {
        overlay.put(Table::Repositories, keys::repo(repo.id), &repo);
    }
    let removed = (removed > 0).then_some(AuditEvent::ObjectsRemoved { files: removed });
    let changed = host_files::event(changed);
    let events = audit::moves(moved).chain(changed);
    let events = events.chain(removed).chain(more);
    Ok(audit::of_repo(overlay, context, &repo, events)?)
}

/// Returns how many files were removed.
fn change_catalog(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    repo: &mut Repo,
    change: &RepoChange,
) -> Result<u64, Halt> {
    let gone = change
        .remove
        .as_ref()
        .map_or(&[][..], |removal| &removal.paths);
    let removed = catalog::remove(overlay, context, repo, gone, Gone::Removed)?;
    catalog::add(overlay, context, repo, &change.add, Gone::Removed)?;
    Ok(removed)
}
