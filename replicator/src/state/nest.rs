//! Repositories inside repositories: one stands in the `modules/` of another, its owner.
//!
//! Its name is a row beneath the row of its owner, so that it moves with the owner as what is in a directory moves
//! with that ([`namespace::move_tree`]). A directory between the two has no row. Whatever else becomes of the owner
//! becomes of it in the same command: it goes to the trash with the owner, which is noted there under the owner's id
//! ([`keys::went_with`]), comes back and expires with it, and a fork gets a fork of it.

use super::apply::{Context, Halt};
use super::trash::TrashedRepo;
use super::view::{KeyRange, Step, View, load};
use super::{NameEntry, Overlay, ReadError, Table, keys, namespace, quota, read, trash};
use crate::model::{
    Inside, LONGEST_INSIDE, MOST_AROUND, MOST_INSIDE, NamePath, NestStep, Nesting, Refusal, Repo,
};

pub(super) fn nest(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    Nesting { repo, inside, step }: &Nesting,
) -> Result<(), Halt> {
    let path = free(overlay, inside)?;
    match step {
        NestStep::Make => namespace::make_repo(overlay, context, *repo, &path)?,
        NestStep::Move => {
            let from = namespace::existing_repo(overlay, *repo)?.path;
            if path.is_within(&from) {
                return Err(Refusal::BadPath(path).into());
            }
            namespace::carry(overlay, context, (&from, &path), NameEntry::Repo(*repo))?;
            let moved = namespace::existing_repo(overlay, *repo)?;
            quota::check_moved(overlay, &moved, &from)?;
        }
        NestStep::Restore => trash::restore_to(overlay, context, *repo, &path)?,
    }
    check_bounds(overlay, &path)
}

/// Whether a repository may stand at a path inside others, with all that is inside it.
fn check_bounds(view: &dyn View, path: &NamePath) -> Result<(), Halt> {
    let outermost = read::outermost(view, path)?;
    let all = read::inner(view, &outermost)?;
    if all.len() > MOST_INSIDE {
        let why =
            format!("{outermost} has {MOST_INSIDE} repositories inside it, and may have no more");
        return Err(Refusal::NotPermitted(why).into());
    }
    for come in all.iter().filter(|repo| repo.path.is_within(path)) {
        if come.path.as_bytes().len() > LONGEST_INSIDE {
            let why = format!(
                "a repository inside {outermost} would have a name of more than {LONGEST_INSIDE} bytes"
            );
            return Err(Refusal::NotPermitted(why).into());
        }
        if read::owners(view, &come.path)?.len() > MOST_AROUND {
            let why = format!(
                "more than {MOST_AROUND} repositories would stand inside one another in {outermost}"
            );
            return Err(Refusal::NotPermitted(why).into());
        }
    }
    Ok(())
}

/// The name of a place inside a repository, where nothing stands and nothing beneath.
fn free(view: &dyn View, inside: &Inside) -> Result<NamePath, Halt> {
    let owner = namespace::existing_repo(view, inside.owner)?.path;
    let path = inside.module.beneath(&owner);
    if read::name(view, &path)?.is_some() {
        return Err(Refusal::Exists(path).into());
    }
    if read::is_around(view, &path)? {
        return Err(Refusal::NotEmpty(path).into());
    }
    let between = std::iter::successors(path.parent(), NamePath::parent);
    for above in between.take_while(|above| *above != owner) {
        if read::name(view, &above)?.is_some() {
            return Err(Refusal::BadPath(path).into());
        }
    }
    Ok(path)
}

/// Notes, of all that is inside a repository, with which ones around it each goes to the trash.
pub(super) fn note_gone(overlay: &mut Overlay<'_>, repo: &Repo) -> Result<Vec<Repo>, ReadError> {
    let inner = read::inner(overlay, &repo.path)?;
    for gone in &inner {
        let around = read::owners(overlay, &gone.path)?.into_iter();
        for around in around.filter(|around| around.path.is_within(&repo.path)) {
            overlay.put(Table::Trash, keys::went_with(around.id, gone.id), &());
        }
    }
    Ok(inner)
}

/// What went to the trash with a repository, from inside it and by the same commit, and is still there. This is not
/// known any more afterwards.
pub(super) fn take_gone(
    overlay: &mut Overlay<'_>,
    around: &TrashedRepo,
) -> Result<Vec<TrashedRepo>, ReadError> {
    let range = KeyRange::prefix(&keys::all_gone_with(around.repo.id));
    let mut ids = Vec::new();
    overlay.scan(Table::Trash, &range, &mut |key, _| {
        ids.push(keys::who_went(key)?);
        Ok(Step::Next)
    })?;
    overlay.clear(Table::Trash, range)?;
    let mut gone = Vec::new();
    for id in ids {
        let trashed: Option<TrashedRepo> = load(overlay, Table::Trash, &keys::trashed_repo(id))?;
        // One that was restored alone may have been moved, and deleted again.
        gone.extend(trashed.filter(|trashed| {
            trashed.version == around.version && trashed.repo.path.is_within(&around.repo.path)
        }));
    }
    Ok(gone)
}
