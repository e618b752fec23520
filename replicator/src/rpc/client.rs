//! What a client requests of the nodes, and what they respond.

use super::{Cursor, Delta, MemberStatus, Status};
use crate::locks::{Lock, Renewal};
use crate::model::{Outcome, SessionId};
use crate::state::{KeyRange, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A request on its way.
#[derive(Serialize, Deserialize)]
pub struct ClientCall {
    /// An answer that comes later is not waited for.
    pub within: Duration,
    /// What the client asks for.
    pub request: ClientRequest,
}

/// What a client may ask.
#[derive(Serialize, Deserialize)]
pub enum ClientRequest {
    /// What was acknowledged anywhere before is in the delta of the response: a ReadIndex.
    CatchUp(Cursor),
    /// Commits a command; what it did is in the delta of the response.
    Propose {
        /// Where the delta is to begin.
        cursor: Cursor,
        /// The session that the client names.
        session: SessionId,
        /// The command's number there.
        sequence: u64,
        /// The [`crate::model::Envelope`], serialised with postcard.
        data: Vec<u8>,
    },
    /// The rows of these ranges, as many as fit, as new as what was acknowledged anywhere before.
    Rows(Vec<(Table, KeyRange)>),
    /// The lock of a ref, for the client.
    Lock(Lock),
    /// Gives a lock of the client back.
    Unlock(Lock),
    /// All locks that the client has.
    RenewLocks(Renewal),
    /// Who is in the cluster, and how they are.
    Members,
    /// A backup from this byte on. From 0 on it is a new one.
    Backup(u64),
    /// A new certificate for this request, PKCS #10, DER.
    RenewCertificate(Vec<u8>),
}

/// A response on its way.
#[derive(Serialize, Deserialize)]
pub struct ClientReply {
    /// Of the node that responds.
    pub status: Status,
    /// What the node answers.
    pub response: ClientResponse,
}

/// What a node responds.
#[derive(Serialize, Deserialize)]
pub enum ClientResponse {
    /// Nothing more to say.
    Done,
    /// The response to [`ClientRequest::CatchUp`].
    CaughtUp(Delta),
    /// What became of a command.
    Outcome(Outcome, Delta),
    /// The response to [`ClientRequest::Rows`].
    Rows(RowsPage),
    /// Whether the client has the lock; `None` when nobody could be asked.
    Locked(Option<bool>),
    /// The members, by number.
    Members(BTreeMap<u64, MemberStatus>),
    /// The response to [`ClientRequest::Backup`].
    Backup(BackupPiece),
    /// The new certificate as DER.
    Certificate(Vec<u8>),
    /// Which of its locks the client does not have any more; `None` when no leader answers.
    LostLocks(Option<Vec<Lock>>),
    /// The client may not ask this, whomever it asks; why.
    Denied(String),
}

/// Rows, none of them older than entry `from`, and none newer than `to`.
#[derive(Serialize, Deserialize)]
pub struct RowsPage {
    /// No row is older.
    pub from: u64,
    /// No row is newer.
    pub to: u64,
    /// Rows as table, key and value.
    pub rows: Vec<(Table, Vec<u8>, Vec<u8>)>,
    /// What did not fit.
    pub rest: Vec<(Table, KeyRange)>,
}

/// A piece of a backup.
#[derive(Serialize, Deserialize)]
pub struct BackupPiece {
    /// The last commit in it.
    pub version: u64,
    /// Size of the whole backup in bytes.
    pub size: u64,
    /// Bytes of this piece, from the offset that was asked for.
    pub bytes: Vec<u8>,
}
