//! What a node answers the clients of its cluster. Any node does: what must be asked of the leader
//! it asks. What a client says is checked here, before anybody else hears of it ([`super::rights`]).

use super::cluster::ClusterMember;
use super::rights::{Rights, Wanted};
use crate::locks::{Lock, Renewal};
use crate::model::{MAX_ENTRY, Outcome, Proposal, Refusal, SessionId, Unfit};
use crate::net::Holder;
use crate::peer::{RequestKind, Response};
use crate::replica::{PROPOSE_TIMEOUT, ProposeError};
use crate::rpc::client::{ClientCall, ClientReply, ClientRequest, ClientResponse, RowsPage};
use crate::rpc::{Cursor, Delta};
use crate::state::{Changes, KeyRange, ReadError, Step, Table, View, sessions};
use crate::storage::{self, Database};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::error::Error;
use std::num::NonZeroU32;
use std::time::Instant;

/// Bytes of rows in one response.
const PAGE: usize = 4 << 20;
/// What a range costs of them, though nothing be in it.
const RANGE: usize = 64;
/// Rows between two looks at the clock.
const ROWS: usize = 1024;
/// Sessions that a client may begin at once, and one more each second. The state remembers
/// [`sessions::MAX_SESSIONS`], and nobody may have those of others forgotten.
const SESSIONS: NonZeroU32 = NonZeroU32::new(64).expect("more than none");

/// How many sessions clients begin.
pub(super) type Beginnings = DefaultKeyedRateLimiter<u64>;

pub(super) fn beginnings() -> Beginnings {
    RateLimiter::hashmap(Quota::per_second(NonZeroU32::MIN).allow_burst(SESSIONS))
}

/// A request that is being answered.
struct Serving<'m> {
    node: &'m ClusterMember,
    rights: Rights<'m>,
    client: u64,
    late: &'m dyn Fn() -> bool,
}

impl ClusterMember {
    /// Blocks.
    pub(super) fn serve(&self, client: u64, call: ClientCall) -> Result<ClientReply, String> {
        let ClientCall { within, request } = call;
        let deadline = Instant::now() + within.min(PROPOSE_TIMEOUT);
        let response = self.respond_to_client(client, request, &|| Instant::now() >= deadline);
        let response = response.map_err(|error| error.to_string())?;
        let status = self.status.read().clone();
        Ok(ClientReply { status, response })
    }

    fn respond_to_client(
        &self,
        client: u64,
        request: ClientRequest,
        late: &dyn Fn() -> bool,
    ) -> Result<ClientResponse, Box<dyn Error>> {
        let database = self.database()?;
        let of = || Rights::of(&*database, client, &self.sights);
        let mut rights = of()?;
        if rights.is_none() {
            // It may have been admitted elsewhere a moment ago.
            self.read_barrier(late)?;
            rights = of()?;
        }
        let Some(rights) = rights else {
            return Ok(denied("this cluster has no such client"));
        };
        let serving = Serving {
            node: self,
            rights,
            client,
            late,
        };
        serving.respond(request, &database)
    }

    fn read_barrier(&self, late: &dyn Fn() -> bool) -> Result<(), ProposeError> {
        self.proposer.ask(RequestKind::Read, late).map(drop)
    }
}

impl Serving<'_> {
    fn respond(
        &self,
        request: ClientRequest,
        database: &Database,
    ) -> Result<ClientResponse, Box<dyn Error>> {
        let (node, client) = (self.node, self.client);
        match request {
            ClientRequest::CatchUp(cursor) => {
                node.read_barrier(self.late)?;
                Ok(ClientResponse::CaughtUp(self.delta(&cursor)?))
            }
            ClientRequest::Propose {
                cursor,
                session,
                sequence,
                data,
            } => self.propose(database, &cursor, (session, sequence), &data),
            ClientRequest::Rows(ranges) => {
                if !ranges.iter().all(|(table, _)| Rights::are_for(*table)) {
                    return Ok(denied("no client reads these rows"));
                }
                node.read_barrier(self.late)?;
                Ok(ClientResponse::Rows(self.rows(database, ranges)?))
            }
            ClientRequest::Lock(lock) => self.lock(lock),
            ClientRequest::Unlock(lock) => {
                node.runtime.block_on(node.release_lock(client, lock));
                Ok(ClientResponse::Done)
            }
            ClientRequest::RenewLocks(own) => self.renew(own),
            ClientRequest::Members => Ok(ClientResponse::Members(
                node.runtime.block_on(node.members())?,
            )),
            ClientRequest::Backup(_) if self.rights.are_limited() => {
                Ok(denied("a backup is of all repositories"))
            }
            ClientRequest::Backup(from) => {
                let (database, runtime) = (node.database()?, &node.runtime);
                let piece = node.backups.piece(runtime, &database, client, from)?;
                Ok(ClientResponse::Backup(piece))
            }
            ClientRequest::RenewCertificate(csr) => {
                let holder = Holder::Client(client);
                let certificate = node.authority.certify(holder, &csr)?;
                Ok(ClientResponse::Certificate(certificate))
            }
        }
    }

    /// What a client sends is read, and what goes on is not what it sent: it is said in the client's
    /// name, in a session of its own.
    fn propose(
        &self,
        database: &Database,
        cursor: &Cursor,
        key: (SessionId, u64),
        data: &[u8],
    ) -> Result<ClientResponse, Box<dyn Error>> {
        let envelope = match Proposal::envelope(data) {
            Ok(envelope) if (envelope.session, envelope.sequence) == key => envelope,
            Ok(_) => return Ok(denied("this is another command than was said")),
            Err(unfit) => return Ok(denied(unfit)),
        };
        if self.rights.are_limited() {
            // Repositories may have been renamed.
            self.node.read_barrier(self.late)?;
        }
        if let Some(why) = self.rights.refuse(&envelope.command)? {
            return self.refused(cursor, Refusal::NotPermitted(why.to_owned()));
        }
        let proposal = match Proposal::new(&self.rights.bind(envelope), MAX_ENTRY) {
            Ok(proposal) => proposal,
            Err(Unfit::Refused(refusal)) => return self.refused(cursor, refusal),
            Err(unfit) => return Ok(denied(unfit)),
        };
        let (session, _) = proposal.key();
        let begins = !sessions::is_known(database, session)?;
        if begins && self.node.beginnings.check_key(&self.client).is_err() {
            return Err("this client begins too many sessions".into());
        }
        let kind = RequestKind::Propose(proposal);
        match self.node.proposer.ask(kind, self.late)? {
            Response::Outcome { outcome, .. } => {
                Ok(ClientResponse::Outcome(outcome, self.delta(cursor)?))
            }
            other => unreachable!("a command has an outcome, not {other:?}"),
        }
    }

    fn refused(&self, cursor: &Cursor, refusal: Refusal) -> Result<ClientResponse, Box<dyn Error>> {
        tracing::warn!(client = self.client, %refusal, "a command of a client");
        Ok(ClientResponse::Outcome(
            Outcome::Refused(refusal),
            self.delta(cursor)?,
        ))
    }

    fn lock(&self, lock: Lock) -> Result<ClientResponse, Box<dyn Error>> {
        if !self.rights.change(lock.name.repo)? {
            return Ok(denied("this client does not change this repository"));
        }
        let taken = self.node.take_lock(self.client, lock);
        Ok(ClientResponse::Locked(self.node.runtime.block_on(taken)))
    }

    fn renew(&self, mut own: Renewal) -> Result<ClientResponse, Box<dyn Error>> {
        let mut failed = None;
        own.retain(|name| {
            let may = self.rights.change(name.repo);
            may.unwrap_or_else(|error| {
                failed = Some(error);
                false
            })
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        let renewed = self.node.renew_locks(self.client, own);
        Ok(ClientResponse::LostLocks(
            self.node.runtime.block_on(renewed),
        ))
    }

    fn delta(&self, cursor: &Cursor) -> Result<Delta, ReadError> {
        let (upto, missed) = self.node.recent.since(cursor.index);
        let Some(missed) = missed else {
            return Ok(Delta {
                upto,
                changes: None,
            });
        };
        let mut wanted = Wanted::new(&self.rights, cursor);
        let mut changes = Changes::default();
        for changed in missed {
            changes.absorb(changed.changes.shown(&mut wanted)?);
        }
        Ok(Delta {
            upto,
            changes: Some(changes),
        })
    }

    fn rows(
        &self,
        view: &Database,
        ranges: Vec<(Table, KeyRange)>,
    ) -> Result<RowsPage, Box<dyn Error>> {
        // What is in a delta is written already, and what is written may not be in one yet.
        let from = self.node.recent.upto();
        let (rows, rest) = self.page(view, ranges)?;
        let to = storage::applied(view)?.index;
        Ok(RowsPage {
            from,
            to,
            rows,
            rest,
        })
    }

    /// The rows of these ranges that the client may read, as many as fit, and what is left. It
    /// ends at a row that the client may read: the next key is nothing that it must not know.
    /// Rows that it may not read take time and have no end of their own, so that its deadline ends them.
    fn page(
        &self,
        view: &dyn View,
        ranges: Vec<(Table, KeyRange)>,
    ) -> Result<Page, Box<dyn Error>> {
        let (mut rows, mut rest, mut bytes) = (Vec::new(), Vec::new(), 0);
        let (mut looked, mut is_late) = (0, false);
        for (table, range) in ranges {
            let mut left = (bytes >= PAGE).then(|| range.clone());
            bytes += RANGE;
            if left.is_none() {
                view.scan(table, &range, &mut |key, value| {
                    looked += 1;
                    is_late = looked % ROWS == 0 && (self.late)();
                    if is_late {
                        return Ok(Step::Stop);
                    }
                    if !self.rights.read(table, key)? {
                        return Ok(Step::Next);
                    }
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
            if is_late {
                return Err("it takes too long to find what this client may read".into());
            }
            rest.extend(left.map(|range| (table, range)));
        }
        Ok((rows, rest))
    }
}

fn denied(why: impl ToString) -> ClientResponse {
    ClientResponse::Denied(why.to_string())
}

type Page = (Vec<(Table, Vec<u8>, Vec<u8>)>, Vec<(Table, KeyRange)>);
