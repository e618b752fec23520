//! Quotas: how much a repository has, counted with every change, and how much it may have.
//!
//! What makes a repository smaller, or leaves it as it is, is never refused: who is over a quota that was set later can delete.
//! Neither is what Gitmoor does by itself for the sake of what is there (repacking, giving back from the trash).
//!
//! A quota of a repository is one for all that is inside it, too.

use super::apply::Halt;
use super::audit::RefMove;
use super::read::Quota;
use super::value::RefValue;
use super::{View, read};
use crate::model::{FileEntry, NamePath, Refusal, Repo, Usage};

/// A file came into the catalog.
pub(super) fn more(usage: &mut Usage, file: &FileEntry) {
    usage.files += 1;
    usage.bytes = usage.bytes.saturating_add(file.size);
}

/// A file left it.
pub(super) fn less(usage: &mut Usage, file: &FileEntry) {
    usage.files = usage.files.saturating_sub(1);
    usage.bytes = usage.bytes.saturating_sub(file.size);
}

pub(super) fn moved(usage: &mut Usage, moves: &[RefMove]) {
    let refs = moves
        .iter()
        .filter(|moved| moved.name.as_bytes().starts_with(b"refs/"));
    for RefMove { old, new, .. } in refs {
        match (old, new) {
            (RefValue::Absent, RefValue::Absent) => {}
            (RefValue::Absent, _) => usage.refs += 1,
            (_, RefValue::Absent) => usage.refs = usage.refs.saturating_sub(1),
            _ => {}
        }
    }
}

/// Whether a repository, of which the old row is still there, may become so.
pub(super) fn check(view: &dyn View, before: &Repo, after: &Repo) -> Result<(), Halt> {
    for quota in read::quotas(view, before)? {
        let (old, new) = (quota.limit.of(before.usage), quota.limit.of(after.usage));
        if new > old {
            check_growth(quota, new - old)?;
        }
    }
    Ok(())
}

/// Whether a repository may have moved from a path to where it is inside others now.
pub(super) fn check_moved(view: &dyn View, repo: &Repo, from: &NamePath) -> Result<(), Halt> {
    let around = read::owners(view, &repo.path)?;
    let moved = read::usage(view, repo)?;
    for around in around.iter().filter(|around| !from.is_within(&around.path)) {
        for quota in read::quotas_of(view, around)? {
            if quota.limit.of(moved) > 0 {
                check_growth(quota, 0)?;
            }
        }
    }
    Ok(())
}

/// Whether a quota admits so much more.
fn check_growth(quota: Quota, more: u64) -> Result<(), Refusal> {
    let Quota { limit, most, used } = quota;
    let would_be = used.saturating_add(more);
    match would_be > most {
        true => Err(Refusal::OverQuota {
            limit,
            most,
            would_be,
        }),
        false => Ok(()),
    }
}
