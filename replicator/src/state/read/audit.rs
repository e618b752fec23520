//! The audit trails.

use crate::model::{RepoId, Version};
use crate::state::audit::{AuditRecord, Head, Trail};
use crate::state::view::{KeyRange, Step, View, decode, load};
use crate::state::{ReadError, Table, keys};

/// Receives audit records in the order of their versions; returns whether to go on.
pub type AuditSink<'a> = dyn FnMut(Version, AuditRecord) -> bool + 'a;

/// An audit trail, oldest first, from a version on.
pub fn audit(
    view: &dyn View,
    trail: Trail,
    since: Version,
    sink: &mut AuditSink<'_>,
) -> Result<(), ReadError> {
    let range = KeyRange {
        from: keys::audit(trail, since, 0),
        ..keys::whole_repo(trail.id())
    };
    view.scan(Table::Audit, &range, &mut |key, value| {
        let record = decode(Table::Audit, key, value)?;
        Ok(if sink(keys::version_of(key)?, record) {
            Step::Next
        } else {
            Step::Stop
        })
    })
}

/// The last record of refs that moved in a repository, if it is still kept.
pub fn last_move(view: &dyn View, repo: RepoId) -> Result<Option<AuditRecord>, ReadError> {
    let trail = Trail::Of(repo);
    let head: Option<Head> = load(view, Table::Audit, &keys::trail(trail))?;
    match head {
        Some(head) => load(view, Table::Audit, &keys::audit(trail, head.moved, 0)),
        None => Ok(None),
    }
}
