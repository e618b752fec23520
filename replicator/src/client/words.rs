//! What a client asks the nodes, and what they answer.

use crate::locks::{Lock, Renewal};
use crate::model::{Outcome, RepoId, SessionId};
use crate::node::{MemberStatus, Status};
use crate::state::{Changes, KeyRange, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A question.
#[derive(Serialize, Deserialize)]
pub(crate) struct Question {
    /// An answer that comes later is not waited for.
    pub(crate) within: Duration,
    pub(crate) ask: Ask,
}

/// What a client has, up to which entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) index: u64,
    /// Of these repositories.
    pub(crate) repos: Vec<RepoId>,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Ask {
    /// What was acknowledged anywhere before is in the news of the answer.
    Look(Known),
    /// Commits a command; it is in the news of the answer.
    Propose {
        known: Known,
        session: SessionId,
        sequence: u64,
        /// The serialised [`crate::model::Envelope`].
        data: Vec<u8>,
    },
    /// The rows of these ranges, as many as fit, as new as what was acknowledged anywhere before.
    Rows(Vec<(Table, KeyRange)>),
    /// The lock of a ref, for the client.
    Lock(Lock),
    Unlock(Lock),
    Locks(Renewal),
    /// Who is in the cluster, and how they are.
    Members,
    /// A backup from this byte on. From 0 on it is a new one.
    Backup(u64),
    /// A new certificate for this request, PKCS #10, DER.
    Renew(Vec<u8>),
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Of the node that answers.
    pub(crate) status: Status,
    pub(crate) reply: Reply,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Reply {
    Done,
    Looked(News),
    Outcome(Outcome, News),
    Rows(Rows),
    Lock(Option<bool>),
    Members(BTreeMap<u64, MemberStatus>),
    Backup(Piece),
    Certificate(Vec<u8>),
    /// Which of its locks the client does not have any more; `None` when no leader answers.
    Lost(Option<Vec<Lock>>),
}

/// What changed since what the client has.
#[derive(Serialize, Deserialize)]
pub(crate) struct News {
    /// Up to this entry.
    pub(crate) upto: u64,
    /// `None` when that is more than nodes remember: the client takes everything anew.
    pub(crate) changes: Option<Changes>,
}

/// Rows, none of them older than entry `from`, and none newer than `to`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Rows {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) rows: Vec<(Table, Vec<u8>, Vec<u8>)>,
    /// What did not fit.
    pub(crate) rest: Vec<(Table, KeyRange)>,
}

/// A piece of a backup.
#[derive(Serialize, Deserialize)]
pub(crate) struct Piece {
    /// The last commit in it.
    pub(crate) version: u64,
    /// Of the whole.
    pub(crate) size: u64,
    pub(crate) bytes: Vec<u8>,
}

/// The tables of which a client has everything.
pub(crate) const WHOLE: [Table; 3] = [Table::Repositories, Table::Names, Table::Members];
/// Those of which it has the rows of the repositories it uses; their keys begin with a repository's id.
pub(crate) const OF_REPOSITORY: [Table; 4] =
    [Table::Refs, Table::Packed, Table::Catalog, Table::Blocks];

impl Known {
    /// Whether a row is to be told of.
    pub(crate) fn has(&self, table: Table, key: &[u8]) -> bool {
        WHOLE.contains(&table)
            || OF_REPOSITORY.contains(&table)
                && self
                    .repos
                    .iter()
                    .any(|repo| key.starts_with(repo.as_bytes()))
    }
}
