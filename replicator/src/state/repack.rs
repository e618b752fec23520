//! Maintenance: object files take the place of others, in one command.
//!
//! Whoever proposes it has compared the names of the objects: all that the removed files hold is in
//! added ones, or in others of the catalog. That stays true whatever refs do meanwhile, so it
//! is valid for as long as every file that it was concluded from is still there with the same bytes
//! ([`Repacking::relied`]); two of them at the same time exclude each other by that.
//!
//! What it removes is *superseded*: nobody can miss it. A ref change that found an object in a superseded file finds
//! the object in another file. If git removes that one too, the removal comes after the repack, and the ref change is
//! refused because of the removal ([`super::trash::check_unpruned`]).
//!
//! The other way round, a removal by git itself may have been concluded from a file that is superseded by one
//! that relies on what git removes. Such a removal is refused when it was decided on before
//! ([`super::catalog::check_removal`]).

use super::apply::{Context, Halt};
use super::audit::{self, AuditEvent};
use super::trash::Gone;
use super::{Overlay, Table, catalog, keys, namespace, read, tombstones};
use crate::model::{Refusal, Relied, Repacking, RepoId};

pub(super) fn repack(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    repacking: &Repacking,
) -> Result<(), Halt> {
    let id = repacking.repo;
    let mut repo = namespace::existing_repo(overlay, id)?;
    tombstones::check_as_of(overlay, id, repacking.tombstones_as_of)?;
    tombstones::check_adds(overlay, id, &repacking.add)?;
    catalog::check_unmoved(&repo, repacking.unless_refs_moved_since)?;
    check_relied(overlay, id, &repacking.relied)?;
    let gone = match repacking.unless_refs_moved_since {
        None => Gone::Superseded,
        Some(_) => Gone::Removed,
    };
    let removed = catalog::remove(overlay, context, &mut repo, &repacking.remove, gone)?;
    catalog::add(overlay, context, &mut repo, &repacking.add, gone)?;
    let added = repacking.add.len() as u64;
    let event = AuditEvent::Repacked { added, removed };
    repo.catalog_version = context.version;
    repo.repacked_version = context.version;
    overlay.put(Table::Repositories, keys::repo(id), &repo);
    Ok(audit::of_repo(overlay, context, &repo, [event])?)
}

fn check_relied(overlay: &Overlay<'_>, id: RepoId, relied: &[Relied]) -> Result<(), Halt> {
    for Relied { path, digest } in relied {
        let entry = read::file(overlay, id, path)?;
        if entry.is_none_or(|entry| entry.digest != *digest) {
            return Err(Refusal::Changed { path: path.clone() }.into());
        }
    }
    Ok(())
}
