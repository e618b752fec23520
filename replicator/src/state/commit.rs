//! A commit: object files and refs of one repository, all or nothing.

use super::apply::{Context, Halt};
use super::refs::Before;
use super::trash::Gone;
use super::{Overlay, Table, audit, catalog, condemned, keys, namespace, refs};
use crate::model::RepoChange;

pub(super) fn commit(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    change: &RepoChange,
) -> Result<(), Halt> {
    let mut repo = namespace::existing_repo(overlay, change.repo)?;
    let old = repo.clone();
    refs::check_expectations(overlay, &repo, &change.refs)?;
    let before = Before::of(overlay, change)?;
    refs::edit_loose(overlay, context, repo.id, &change.refs)?;
    refs::check_directories(overlay, repo.id, &change.refs)?;
    catalog::check_removal(&repo, change.remove.as_ref())?;
    condemned::check_adds(overlay, repo.id, &change.add)?;

    refs::edit_packed(overlay, repo.id, &change.packed)?;
    if !change.packed.is_empty() {
        repo.packed_version = context.version;
    }
    let moved = before.moved(overlay, repo.id)?;
    if !moved.is_empty() {
        repo.refs_version = context.version;
        audit::record(overlay, context, repo.id, moved);
    }
    if change_catalog(overlay, context, change)? {
        repo.catalog_version = context.version;
    }
    if repo != old {
        overlay.put(Table::Repositories, keys::repo(repo.id), &repo);
    }
    Ok(())
}

/// Returns whether the catalog changed.
fn change_catalog(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    change: &RepoChange,
) -> Result<bool, Halt> {
    let gone = change
        .remove
        .as_ref()
        .map_or(&[][..], |removal| &removal.paths);
    let removed = catalog::remove(overlay, context, change.repo, gone, Gone::Removed)?;
    catalog::add(overlay, context, change.repo, &change.add, Gone::Removed)?;
    Ok(removed || !change.add.is_empty())
}
