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
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

/// Bytes of rows, and of a backup, in one answer.
const PAGE: usize = 4 << 20;

/// The backups that clients are getting, the last of each.
pub(super) type Backups = Mutex<Option<(u64, u64, Arc<Vec<u8>>)>>;

impl Membership {
    /// Blocks.
    pub(super) fn serve(&self, client: u64, question: Question) -> Result<Answer, String> {
        let Question { within, ask } = question;
        let deadline = Instant::now() + within;
        let reply = self.reply(client, ask, &|| Instant::now() >= deadline);
        let reply = reply.map_err(|error| error.to_string())?;
        let status = self.status.read().clone();
        Ok(Answer { status, reply })
    }

    fn reply(
        &self,
        client: u64,
        ask: Ask,
        late: &dyn Fn() -> bool,
    ) -> Result<Reply, Box<dyn Error>> {
        let runtime = &self.runtime;
        match ask {
            Ask::Look(known) => {
                self.catch_up(late)?;
                Ok(Reply::Looked(self.news(&known)))
            }
            Ask::Propose {
                known,
                session,
                sequence,
                data,
            } => {
                let propose = peer::Ask::Propose {
                    session,
                    sequence,
                    data,
                };
                match self.proposer.ask(propose, late)? {
                    Answered::Outcome { outcome, .. } => {
                        Ok(Reply::Outcome(outcome, self.news(&known)))
                    }
                    other => unreachable!("a command has an outcome, not {other:?}"),
                }
            }
            Ask::Rows(ranges) => {
                self.catch_up(late)?;
                Ok(Reply::Rows(self.rows(ranges)?))
            }
            Ask::Lock(lock) => Ok(Reply::Lock(runtime.block_on(self.take_lock(client, lock)))),
            Ask::Unlock(lock) => {
                runtime.block_on(self.release_lock(client, lock));
                Ok(Reply::Done)
            }
            Ask::Locks(own) => Ok(Reply::Lost(runtime.block_on(self.renew_locks(client, own)))),
            Ask::Members => Ok(Reply::Members(runtime.block_on(self.members())?)),
            Ask::Backup(from) => Ok(Reply::Backup(self.piece_of_backup(client, from)?)),
            Ask::Renew(request) => {
                let holder = Holder::Client(client);
                let certificate = self.authority.certify(holder, &request)?;
                Ok(Reply::Certificate(certificate))
            }
        }
    }

    fn catch_up(&self, late: &dyn Fn() -> bool) -> Result<(), ProposeError> {
        self.proposer.ask(peer::Ask::Read, late).map(drop)
    }

    fn news(&self, known: &Known) -> News {
        let wanted = |table, key: &[u8]| known.has(table, key);
        let (upto, changes) = self.recent.since(known.index, wanted);
        News { upto, changes }
    }

    fn rows(&self, ranges: Vec<(Table, KeyRange)>) -> Result<Rows, MembershipError> {
        let database = self.database()?;
        // What is told of is written already, and what is written may not be told of yet.
        let from = self.recent.upto();
        let (rows, rest) = page(&*database, ranges)?;
        let to = storage::applied(&*database)?.index;
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
