//! The audit trail: who changed what, when, from what to what.
//!
//! Every repository has a trail; the namespace has one of its own, in which repositories come and go,
//! so that it says of a purged one who purged it. A record costs one row, and the trail's head another. Refs that
//! one commit moves share a record, up to [`MOVES`] of them: who rewrites `packed-refs` writes few rows.
//!
//! A trail is kept by number and age of its records ([`Limit::AuditRecords`], [`Limit::AuditKeep`]). What is beyond them
//! goes when something is recorded, a little at a time and by the proposer's clock, so that every node drops the same,
//! and a clock that is wrong drops little.

use super::apply::Context;
use super::value::RefValue;
use super::view::{KeyRange, Step, View, load};
use super::{Overlay, ReadError, Table, keys, read};
use crate::model::{
    Actor, Digest, Format, Limit, NamePath, Repo, RepoId, RepoPath, Timestamp, Version,
};
use serde::{Deserialize, Serialize};

/// Moves of refs in one record at most.
const MOVES: usize = 1000;

/// Records that a trail keeps unless its repository's limits say otherwise …
const RECORDS: u64 = 100_000;

/// … and for how many seconds: a year.
const AGE: u64 = 365 * 24 * 3600;

/// How many old records go at most with a new one, beside one for each that comes.
const AT_ONCE: u64 = 16;

/// The audit trail of the namespace, or of a repository.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trail {
    /// Of the namespace: what became of directories and repositories.
    Namespace,
    /// Of a repository, which may be in the trash.
    Of(RepoId),
}

impl Trail {
    /// At the front of its keys. No command makes a repository of the namespace's id.
    pub(super) fn id(self) -> RepoId {
        match self {
            Self::Namespace => RepoId::NAMESPACE,
            Self::Of(repo) => repo,
        }
    }
}

/// A change, by whom it was made, and when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuditRecord {
    /// The proposer's clock. First, so that it can be read without the rest.
    pub time: Timestamp,
    /// On whose behalf the change was made.
    pub actor: Actor,
    /// To which repository; none of a directory of the namespace.
    pub repo: Option<RepoId>,
    /// The change that was made.
    pub event: AuditEvent,
}

/// A change that is on record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AuditEvent {
    /// Refs were created, moved or deleted.
    RefsMoved(Vec<RefMove>),
    /// Object files went to the trash.
    ObjectsRemoved {
        /// How many object files.
        files: u64,
    },
    /// Object files came back from the trash.
    ObjectsRestored {
        /// How many object files.
        files: u64,
    },
    /// Object files left the trash for good.
    ObjectsExpired {
        /// How many object files.
        files: u64,
    },
    /// Object files took the place of others.
    Repacked {
        /// How many object files came.
        added: u64,
        /// How many object files went to the trash.
        removed: u64,
    },
    /// A repository was created.
    Created {
        /// Path in the namespace.
        path: NamePath,
    },
    /// A repository, or a directory with all beneath it, was renamed.
    Renamed {
        /// Path before the rename.
        from: NamePath,
        /// Path after the rename.
        to: NamePath,
    },
    /// A repository went to the trash.
    Deleted {
        /// The last path in the namespace.
        path: NamePath,
    },
    /// A repository came back from the trash.
    Restored {
        /// Path in the namespace.
        path: NamePath,
    },
    /// A repository left the trash for good.
    Expired {
        /// The last path in the namespace.
        path: NamePath,
    },
    /// Everything of a repository is gone.
    Purged {
        /// The last path in the namespace.
        path: NamePath,
    },
    /// The format was written.
    FormatSet(Format),
    /// A setting was set or removed.
    SettingSet {
        /// Key of the setting, such as `gc.auto`.
        key: String,
        /// The value before; `None` when unset.
        old: Option<String>,
        /// The value after; `None` when removed.
        new: Option<String>,
    },
    /// A limit was set or removed.
    LimitSet {
        /// The limit that changed.
        limit: Limit,
        /// The value before; `None` when unset.
        old: Option<u64>,
        /// The value after; `None` when removed.
        new: Option<u64>,
    },
    /// A directory of the namespace was created.
    DirectoryCreated {
        /// Path in the namespace.
        path: NamePath,
    },
    /// A directory of the namespace was removed.
    DirectoryRemoved {
        /// Path that the directory had.
        path: NamePath,
    },
    /// A repository was created as a fork.
    Forked {
        /// Path in the namespace.
        path: NamePath,
        /// The repository that was forked.
        from: RepoId,
    },
    /// A repository was brought in from elsewhere.
    Imported {
        /// Path in the namespace.
        path: NamePath,
        /// Where it came from, without secrets.
        source: String,
    },
    /// Object files of another repository are this one's as well.
    Borrowed {
        /// How many.
        files: u64,
        /// Whose they are.
        from: RepoId,
    },
    /// A file beside repositories was created or written.
    FileWritten {
        /// Where.
        path: NamePath,
        /// Bytes.
        size: u64,
        /// BLAKE3 of them.
        digest: Digest,
    },
    /// A symbolic link beside repositories was made.
    Linked {
        /// Where.
        path: NamePath,
        /// Where it leads.
        target: Vec<u8>,
    },
    /// A file or a symbolic link beside repositories was removed.
    Unlinked {
        /// Where it was.
        path: NamePath,
    },
    /// Files that hosts keep in a repository have another text.
    HostFilesChanged(Vec<RefMove>),
    /// All machines are to have another hooks directory.
    HooksPromoted {
        /// The one before; `None` for none.
        old: Option<Digest>,
        /// The one that they are to have; `None` for none.
        new: Option<Digest>,
    },
    /// Who may do what through the doors changed.
    Access {
        /// Of what: `user alice`, `token 00f1…`, `grant alice team/app.git`.
        what: String,
        /// What held before; `None` for nothing.
        old: Option<String>,
        /// What holds from then on; `None` for nothing.
        new: Option<String>,
    },
}

/// One ref that moved, or one file of a host that changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefMove {
    /// Full name of the ref, or path of the file.
    pub name: RepoPath,
    /// Where the ref pointed before.
    pub old: RefValue,
    /// Where the ref points now.
    pub new: RefValue,
}

/// What there is of a trail.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Head {
    records: u64,
    /// The commit of the oldest: a scan from here meets no deleted rows.
    first: Version,
    since: Timestamp,
    /// The last commit that moved refs.
    pub(super) moved: Version,
}

/// How much of a trail is kept.
struct Keep {
    records: u64,
    seconds: u64,
}

impl Keep {
    fn of(repo: Option<&Repo>) -> Self {
        let limit = |limit| repo.and_then(|repo| repo.limits.get(&limit).copied());
        Self {
            records: limit(Limit::AuditRecords).unwrap_or(RECORDS),
            seconds: limit(Limit::AuditKeep).unwrap_or(AGE),
        }
    }
}

/// Moves of refs as events: one, unless there are very many.
pub(super) fn moves(moves: Vec<RefMove>) -> impl Iterator<Item = AuditEvent> {
    let mut moves = moves.into_iter();
    std::iter::from_fn(move || {
        let some: Vec<_> = moves.by_ref().take(MOVES).collect();
        (!some.is_empty()).then_some(AuditEvent::RefsMoved(some))
    })
}

/// Records what happened in a repository. At most once in a command for each repository.
pub(super) fn of_repo(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    repo: &Repo,
    events: impl IntoIterator<Item = AuditEvent>,
) -> Result<(), ReadError> {
    let trail = Trail::Of(repo.id);
    let keep = Keep::of(Some(repo));
    append(overlay, context, trail, &keep, Some(repo.id), events)
}

/// Records what happened to a repository in its own trail, and in that of the namespace.
pub(super) fn of_both(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    repo: &Repo,
    event: AuditEvent,
) -> Result<(), ReadError> {
    of_namespace(overlay, context, Some(repo.id), event.clone())?;
    of_repo(overlay, context, repo, [event])
}

/// Records what happened to a repository where its name is on record: in the trail of the namespace, or, of one that is
/// inside others, in that of the outermost of these. Who may write in there fills no trail but that. At most once in a
/// command.
pub(super) fn of_place(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    path: &NamePath,
    repo: Option<RepoId>,
    event: AuditEvent,
) -> Result<(), ReadError> {
    match read::owners(overlay, path)?.last() {
        Some(around) => {
            let (trail, keep) = (Trail::Of(around.id), Keep::of(Some(around)));
            append(overlay, context, trail, &keep, repo, [event])
        }
        None => of_namespace(overlay, context, repo, event),
    }
}

/// Records what happened in the namespace. At most once in a command.
pub(super) fn of_namespace(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    repo: Option<RepoId>,
    event: AuditEvent,
) -> Result<(), ReadError> {
    let trail = Trail::Namespace;
    append(overlay, context, trail, &Keep::of(None), repo, [event])
}

fn append(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    trail: Trail,
    keep: &Keep,
    repo: Option<RepoId>,
    events: impl IntoIterator<Item = AuditEvent>,
) -> Result<(), ReadError> {
    let mut head: Head = load(overlay, Table::Audit, &keys::trail(trail))?.unwrap_or_default();
    let mut added = 0;
    for (ordinal, event) in (0..).zip(events) {
        if let AuditEvent::RefsMoved(_) = event {
            head.moved = context.version;
        }
        let record = AuditRecord {
            time: context.time,
            actor: context.actor.clone(),
            repo,
            event,
        };
        let key = keys::audit(trail, context.version, ordinal);
        overlay.put(Table::Audit, key, &record);
        added += 1;
    }
    if added == 0 {
        return Ok(());
    }
    if head.records == 0 {
        (head.first, head.since) = (context.version, context.time);
    }
    head.records += added;
    trim(overlay, context, trail, &mut head, keep, added + AT_ONCE)?;
    overlay.put(Table::Audit, keys::trail(trail), &head);
    Ok(())
}

/// Drops the oldest records that are beyond what is kept, `most` at most.
fn trim(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    trail: Trail,
    head: &mut Head,
    keep: &Keep,
    most: u64,
) -> Result<(), ReadError> {
    let over = head.records.saturating_sub(keep.records);
    let oldest = context.time.secs.saturating_sub_unsigned(keep.seconds);
    if over == 0 && head.since.secs >= oldest {
        return Ok(());
    }
    let range = KeyRange {
        from: keys::audit(trail, head.first, 0),
        ..keys::whole_repo(trail.id())
    };
    let mut gone = Vec::new();
    overlay.scan(Table::Audit, &range, &mut |key, value| {
        let (count, time) = (gone.len() as u64, time_of(key, value)?);
        if count >= most || count >= over && time.secs >= oldest {
            (head.first, head.since) = (keys::version_of(key)?, time);
            return Ok(Step::Stop);
        }
        gone.push(key.to_vec());
        Ok(Step::Next)
    })?;
    head.records -= gone.len() as u64;
    for key in gone {
        overlay.delete(Table::Audit, key);
    }
    Ok(())
}

fn time_of(key: &[u8], value: &[u8]) -> Result<Timestamp, ReadError> {
    let (time, _) = postcard::take_from_bytes(value)
        .map_err(|_| ReadError::Damaged(format!("audit record {}", key.escape_ascii())))?;
    Ok(time)
}
