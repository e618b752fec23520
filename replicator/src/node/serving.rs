//! What a node answers the clients of its cluster. Any node does: what must be asked of the leader it asks.

use super::MembershipError;
use super::cluster::Membership;
use crate::client::words::{Answer, Ask, Known, News, Piece, Question, Reply, Rows};
use crate::net::Holder;
use crate::peer::{self, Answer as Answered};
use crate::state::{KeyRange, Step, Table, View};
use crate::storage::{self, Backup};
use crate::{ProposeError, ReadError};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Instant;

/// Bytes of rows, and of a backup, in one answer.
const PAGE: usize = 4 << 20;

/// The backups that clients are getting, the last of each.
pub(super) type Backups = Mutex<Option<(u64, u64, Arc<Vec<u8>>)>>;

impl Membership {
    /// Blocks.
    pub(super) fn serve(&self, client: u64, question: Question) -> Result<Answer, String> {
        let Question { within, known, ask } = question;
        let deadline = Instant::now() + within;
        let late = || Instant::now() >= deadline;
        let why = |error: &dyn ToString| error.to_string();
        let reply = match ask {
            Ask::Look => {
                self.catch_up(&late).map_err(|error| why(&error))?;
                Ok(Reply::Looked(self.news(&known)))
            }
            Ask::Propose {
                session,
                sequence,
                data,
            } => {
                let propose = peer::Ask::Propose {
                    session,
                    sequence,
                    data,
                };
                match self.proposer.ask(propose, &late) {
                    Ok(Answered::Outcome { outcome, .. }) => {
                        Ok(Reply::Outcome(outcome, self.news(&known)))
                    }
                    Ok(other) => unreachable!("a command has an outcome, not {other:?}"),
                    Err(error) => Err(error.to_string()),
                }
            }
            Ask::Rows(ranges) => {
                self.catch_up(&late).map_err(|error| why(&error))?;
                self.rows(ranges).map(Reply::Rows)
            }
            Ask::Lock(lock) => {
                let taken = self.runtime.block_on(self.take_lock(client, lock));
                Ok(Reply::Lock(taken))
            }
            Ask::Unlock(lock) => {
                self.runtime.block_on(self.release_lock(client, lock));
                Ok(Reply::Done)
            }
            Ask::Locks(own) => {
                self.runtime.block_on(self.renew_locks(client, own));
                Ok(Reply::Done)
            }
            Ask::Members => {
                let members = self.runtime.block_on(self.members());
                members.map(Reply::Members).map_err(|error| why(&error))
            }
            Ask::Backup(from) => {
                let piece = self.piece_of_backup(client, from);
                piece.map(Reply::Backup).map_err(|error| why(&error))
            }
            Ask::Renew(request) => {
                let renewed = self.authority.certify(Holder::Client(client), &request);
                renewed.map(Reply::Certificate).map_err(|error| why(&error))
            }
        };
        let status = self.status.read().clone();
        Ok(Answer {
            status,
            reply: reply?,
        })
    }

    fn catch_up(&self, late: &dyn Fn() -> bool) -> Result<(), ProposeError> {
        self.proposer.ask(peer::Ask::Read, late).map(drop)
    }

    fn news(&self, known: &Known) -> News {
        let wanted = |table, key: &[u8]| known.has(table, key);
        let (upto, changes) = self.recent.since(known.index, wanted);
        News { upto, changes }
    }

    fn rows(&self, ranges: Vec<(Table, KeyRange)>) -> Result<Rows, String> {
        let database = self.database().map_err(|error| error.to_string())?;
        // What is told of is written already, and what is written may not be told of yet.
        let from = self.recent.upto();
        let why = |error: ReadError| error.to_string();
        let (rows, rest) = page(&*database, ranges).map_err(why)?;
        let to = storage::applied(&*database).map_err(why)?.index;
        Ok(Rows {
            from,
            to,
            rows,
            rest,
        })
    }

    fn piece_of_backup(&self, client: u64, from: u64) -> Result<Piece, MembershipError> {
        let (version, bytes) = match (from, &*self.backups.lock()) {
            (1.., Some((of, version, bytes))) if *of == client => (*version, bytes.clone()),
            _ => {
                let backup = Backup::take(&*self.database()?)?;
                (backup.position.index, Arc::new(backup.encode()))
            }
        };
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
        let to = bytes.len().min(from + PAGE);
        let piece = Piece {
            version,
            size: bytes.len() as u64,
            bytes: bytes[from..to].to_vec(),
        };
        let is_last = to == bytes.len();
        *self.backups.lock() = (!is_last).then_some((client, version, bytes));
        Ok(piece)
    }
}

type Page = (Vec<(Table, Vec<u8>, Vec<u8>)>, Vec<(Table, KeyRange)>);

/// The rows of these ranges, as many as fit, and what is left of them.
fn page(view: &dyn View, ranges: Vec<(Table, KeyRange)>) -> Result<Page, ReadError> {
    let (mut rows, mut rest, mut bytes) = (Vec::new(), Vec::new(), 0);
    for (table, range) in ranges {
        let mut left = (bytes >= PAGE).then(|| range.clone());
        if left.is_none() {
            view.scan(table, &range, &mut |key, value| {
                if bytes >= PAGE {
                    left = Some(KeyRange {
                        from: key.to_vec(),
                        to: range.to.clone(),
                    });
                    return Ok(Step::Stop);
                }
                bytes += key.len() + value.len();
                rows.push((table, key.to_vec(), value.to_vec()));
                Ok(Step::Next)
            })?;
        }
        rest.extend(left.map(|range| (table, range)));
    }
    Ok((rows, rest))
}
