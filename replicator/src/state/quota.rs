//! Quotas: how much a repository has, counted with every change, and how much it may have.
//!
//! What makes a repository smaller, or leaves it as it is, is never refused: who is over a quota that was set later can delete.
//! Neither is what Gitmoor does by itself for the sake of what is there (repacking, giving back from the trash).

use super::audit::RefMove;
use super::value::RefValue;
use crate::model::{FileEntry, Limit, Refusal, Repo, Usage};

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

/// Whether a repository may become so.
pub(super) fn check(before: &Repo, after: &Repo) -> Result<(), Refusal> {
    let (old, new) = (before.usage, after.usage);
    for (limit, old, new) in [
        (Limit::Bytes, old.bytes, new.bytes),
        (Limit::Refs, old.refs, new.refs),
    ] {
        match after.limits.get(&limit) {
            Some(&most) if new > old && new > most => {
                let would_be = new;
                return Err(Refusal::OverQuota {
                    limit,
                    most,
                    would_be,
                });
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}
