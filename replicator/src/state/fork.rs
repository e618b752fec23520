//! A fork: a repository that begins with everything of another.
//!
//! Rows are copied, bytes are not: the fork's catalog names the keys of its parent ([`super::shared_keys`]). From then on
//! neither knows of the other. What is in the parent's trash stays there. Each repository inside the parent has its
//! fork inside the fork.

use super::apply::{Context, Halt};
use super::audit::{self, AuditEvent};
use super::view::{Step, View, decode};
use super::{Overlay, Table, keys, namespace, read, shared_keys};
use crate::model::{FORK_ROWS, FileEntry, NamePath, Refusal, Repo, RepoId, Version};

pub(super) fn fork(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    from: RepoId,
    id: RepoId,
    path: &NamePath,
) -> Result<(), Halt> {
    namespace::check_new(overlay, id, path)?;
    let parent = namespace::existing_repo(overlay, from)?;
    let event = AuditEvent::Forked {
        path: path.clone(),
        from,
    };
    audit::of_namespace(overlay, context, Some(id), event)?;
    let (mut room, old) = (FORK_ROWS, parent.path.clone());
    let inner = read::inner(overlay, &old)?;
    fork_one(overlay, context, parent, (id, path.clone()), &mut room)?;
    for parent in inner {
        let id = RepoId::of_fork(id, parent.id);
        namespace::check_id(overlay, id)?;
        let path = parent.path.moved(&old, path);
        fork_one(overlay, context, parent, (id, path), &mut room)?;
    }
    Ok(())
}

fn fork_one(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    parent: Repo,
    (id, path): (RepoId, NamePath),
    room: &mut u64,
) -> Result<(), Halt> {
    let from = parent.id;
    for table in [Table::Refs, Table::Packed, Table::Catalog, Table::Blocks] {
        copy(overlay, table, from, id, room)?;
    }
    let repo = Repo {
        id,
        path: path.clone(),
        created: context.time,
        forked_from: Some(from),
        refs_version: context.version,
        catalog_version: context.version,
        packed_version: context.version,
        repacked_version: Version::default(),
        ..parent
    };
    namespace::put_repo(overlay, &repo);
    let event = AuditEvent::Forked { path, from };
    Ok(audit::of_repo(overlay, context, &repo, [event])?)
}

fn copy(
    overlay: &mut Overlay<'_>,
    table: Table,
    from: RepoId,
    to: RepoId,
    room: &mut u64,
) -> Result<(), Halt> {
    let mut rows = Vec::new();
    overlay.scan(table, &keys::whole_repo(from), &mut |key, value| {
        rows.push((key[keys::ID..].to_vec(), value.to_vec()));
        Ok(if rows.len() as u64 > *room {
            Step::Stop
        } else {
            Step::Next
        })
    })?;
    let left = room.checked_sub(rows.len() as u64);
    *room = left.ok_or(Refusal::TooManyRows { limit: FORK_ROWS })?;
    for (rest, value) in rows {
        let key = [to.as_bytes(), rest.as_slice()].concat();
        if table == Table::Catalog {
            let file: FileEntry = decode(table, &key, &value)?;
            shared_keys::share(overlay, to, &file);
        }
        overlay.put_raw(table, key, value);
    }
    Ok(())
}
