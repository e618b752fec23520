//! What a client asks the nodes, and what they answer.

use super::{MemberStatus, Status};
use crate::locks::{Lock, Renewal};
use crate::model::{Outcome, RepoId, SessionId};
use crate::state::{Changes, KeyRange, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A question.
#[derive(Serialize, Deserialize)]
pub struct Question {
    /// An answer that comes later is not waited for.
    pub within: Duration,
    /// What is asked.
    pub ask: Ask,
}

/// What a client has, up to which entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Known {
    /// The entry.
    pub index: u64,
    /// Of these repositories.
    pub repos: Vec<RepoId>,
}

/// What a client may ask.
#[derive(Serialize, Deserialize)]
pub enum Ask {
    /// What was acknowledged anywhere before is in the news of the answer.
    Look(Known),
    /// Commits a command; it is in the news of the answer.
    Propose {
        /// What the news are to begin with.
        known: Known,
        /// The session that the client names.
        session: SessionId,
        /// The command's number there.
        sequence: u64,
        /// The serialised [`crate::model::Envelope`].
        data: Vec<u8>,
    },
    /// The rows of these ranges, as many as fit, as new as what was acknowledged anywhere before.
    Rows(Vec<(Table, KeyRange)>),
    /// The lock of a ref, for the client.
    Lock(Lock),
    /// Gives it back.
    Unlock(Lock),
    /// All locks that the client has.
    Locks(Renewal),
    /// Who is in the cluster, and how they are.
    Members,
    /// A backup from this byte on. From 0 on it is a new one.
    Backup(u64),
    /// A new certificate for this request, PKCS #10, DER.
    Renew(Vec<u8>),
}

/// An answer.
#[derive(Serialize, Deserialize)]
pub struct Answer {
    /// Of the node that answers.
    pub status: Status,
    /// To what was asked.
    pub reply: Reply,
}

/// What is answered.
#[derive(Serialize, Deserialize)]
pub enum Reply {
    /// Nothing more to say.
    Done,
    /// Of a look.
    Looked(News),
    /// What became of a command.
    Outcome(Outcome, News),
    /// Of rows.
    Rows(Rows),
    /// Whether the client has the lock; `None` when nobody could be asked.
    Lock(Option<bool>),
    /// The members, by number.
    Members(BTreeMap<u64, MemberStatus>),
    /// Of a backup.
    Backup(Piece),
    /// DER.
    Certificate(Vec<u8>),
    /// Which of its locks the client does not have any more; `None` when no leader answers.
    Lost(Option<Vec<Lock>>),
    /// The client may not ask this, whomever it asks; why.
    Denied(String),
}

/// What changed since what the client has.
#[derive(Serialize, Deserialize)]
pub struct News {
    /// Up to this entry.
    pub upto: u64,
    /// `None` when that is more than nodes remember: the client takes everything anew.
    pub changes: Option<Changes>,
}

/// Rows, none of them older than entry `from`, and none newer than `to`.
#[derive(Serialize, Deserialize)]
pub struct Rows {
    /// No row is older.
    pub from: u64,
    /// No row is newer.
    pub to: u64,
    /// Table, key, value.
    pub rows: Vec<(Table, Vec<u8>, Vec<u8>)>,
    /// What did not fit.
    pub rest: Vec<(Table, KeyRange)>,
}

/// A piece of a backup.
#[derive(Serialize, Deserialize)]
pub struct Piece {
    /// The last commit in it.
    pub version: u64,
    /// Of the whole.
    pub size: u64,
    /// The piece.
    pub bytes: Vec<u8>,
}

/// The tables of which a client has everything.
pub(crate) const WHOLE: [Table; 3] = [Table::Repositories, Table::Names, Table::Members];
/// Those of which it has the rows of the repositories it uses; their keys begin with a repository's id.
pub(crate) const OF_REPOSITORY: [Table; 4] =
    [Table::Refs, Table::Packed, Table::Catalog, Table::Blocks];
