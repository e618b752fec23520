//! A client: [`Replica`] without a copy of the state. A mount far away from the nodes, or one of many, has it.
//!
//! It has a [`mirror`] of the namespace and of the repositories that it has used, and answers reads from
//! that. Before a process is shown anything a client catches up ([`Replica::read_barrier`]): the node that it asks requests
//! a ReadIndex of the leader, and responds with the delta since the client's cursor. The delta of what a client commits
//! comes the same way, with the outcome.
//!
//! It asks one node for as long as that answers, then another ([`crate::net::Caller`]). Commands carry session and
//! sequence number, so that one which two nodes were asked to commit is applied once.

mod connection;
mod heard;
mod mirror;
mod replica;
mod view;

use crate::locks::{self, OwnLocks};
use crate::model::{
    Actor, ClientEntry, Command, Envelope, MAX_ENTRY, Outcome, RepoId, Scope, SessionId,
    StoreRecord, Timestamp,
};
use crate::net::{Caller, Identity, NetError};
use crate::replica::{BackupError, Observer, PROPOSE_TIMEOUT, ProposeError, metrics, proposal};
use crate::rpc::client::{BackupPiece, ClientRequest, ClientResponse};
use crate::rpc::{Delta, MemberStatus, Status};
use crate::state::{KeyRange, ReadError, Table, read};
use crate::trace;
use connection::ClusterConnection;
use heard::Heard;
use mirror::{Basis, Load, Merge, Mirror};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::runtime::Handle;
use tokio::time::Instant;

/// What makes a client.
pub struct ClientConfig {
    /// Key and certificate of this client.
    pub identity: Identity,
    /// Where nodes are, host:port; one at least.
    pub addresses: Vec<String>,
    /// Who is told what others change.
    pub observer: Option<Arc<dyn Observer>>,
    /// Where its requests run. Nothing of a client must be called on it.
    pub runtime: Handle,
}

/// A client of a cluster.
pub struct Client {
    connection: Arc<ClusterConnection>,
    /// Always read recursively: whoever reads rows may read others for each.
    mirror: RwLock<Mirror>,
    /// One load at a time.
    loading: Mutex<()>,
    observer: Option<Arc<dyn Observer>>,
    session: SessionId,
    /// The last sequence number given out.
    sequence: AtomicU64,
}

impl Client {
    /// A client that has nothing yet, and has asked nobody: whether the cluster answers,
    /// [`crate::Replica::read_barrier`] tells.
    pub fn new(config: ClientConfig) -> Result<Self, NetError> {
        let connection = Arc::new(ClusterConnection {
            caller: Caller::new(config.identity, config.addresses)?,
            runtime: config.runtime.clone(),
            status: RwLock::default(),
            own_locks: OwnLocks::default(),
        });
        config
            .runtime
            .spawn(locks::keep_renewing(Arc::downgrade(&connection)));
        Ok(Self {
            connection,
            mirror: RwLock::default(),
            loading: Mutex::new(()),
            observer: config.observer,
            session: SessionId::random(),
            sequence: AtomicU64::new(0),
        })
    }

    /// Key and certificate of this client.
    pub fn identity(&self) -> Arc<Identity> {
        self.connection.caller.identity()
    }

    /// Where the cluster stands, in the words of the node that answered last; what is applied is this
    /// client's.
    pub fn status(&self) -> Status {
        let applied = self.mirror.read_recursive().position();
        Status {
            applied,
            ..self.connection.status.read().clone()
        }
    }

    /// Where nodes are, host:port.
    pub fn nodes(&self) -> Vec<String> {
        self.connection.caller.addresses()
    }

    /// The node that is asked, host:port.
    pub fn asks(&self) -> String {
        self.connection.caller.address()
    }

    /// Where the cluster keeps object files.
    pub fn store(&self) -> Result<Option<StoreRecord>, ReadError> {
        read::store(&*self.mirror.read_recursive())
    }

    /// The clients of the cluster; one that is limited knows itself only.
    pub fn clients(&self) -> Result<BTreeMap<u64, ClientEntry>, ReadError> {
        read::clients(&*self.mirror.read_recursive())
    }

    /// What it may see and do.
    pub fn scope(&self) -> Result<Scope, ReadError> {
        let id = self.identity().holder.id();
        let own = read::client(&*self.mirror.read_recursive(), id)?;
        Ok(own.map(|own| own.scope).unwrap_or_default())
    }

    /// The members and how they are.
    pub fn member_states(&self) -> Result<BTreeMap<u64, MemberStatus>, ProposeError> {
        match self.ask(ClientRequest::Members, &|| false)? {
            ClientResponse::Members(members) => Ok(members),
            _ => Err(ProposeError::Senseless),
        }
    }

    /// A new certificate for its key.
    pub fn renewed(&self) -> Result<Identity, ProposeError> {
        let why = |error: NetError| ProposeError::NoNode(error.to_string());
        let request = self.identity().request().map_err(why)?;
        match self.ask(ClientRequest::RenewCertificate(request), &|| false)? {
            ClientResponse::Certificate(certificate) => {
                self.identity().renewed(&certificate).map_err(why)
            }
            _ => Err(ProposeError::Senseless),
        }
    }

    /// Shows another certificate of this client from now on.
    pub fn present(&self, renewed: Identity) -> Result<(), NetError> {
        self.connection.caller.present(renewed)
    }

    fn ask(
        &self,
        request: ClientRequest,
        give_up: &dyn Fn() -> bool,
    ) -> Result<ClientResponse, ProposeError> {
        let deadline = Instant::now() + PROPOSE_TIMEOUT;
        match self.connection.ask(request, deadline, give_up)? {
            ClientResponse::Denied(why) => Err(ProposeError::Denied(why)),
            response => Ok(response),
        }
    }

    /// Returns when the mirror has what was acknowledged anywhere before.
    fn sync(&self, give_up: &dyn Fn() -> bool) -> Result<(), ProposeError> {
        let began = Instant::now();
        while began.elapsed() < PROPOSE_TIMEOUT {
            let basis = self.mirror.read_recursive().basis();
            let request = ClientRequest::CatchUp(basis.cursor.clone());
            let ClientResponse::CaughtUp(delta) = self.ask(request, give_up)? else {
                return Err(ProposeError::Senseless);
            };
            match self.merge(&basis, delta, false) {
                Merge::Merged => return Ok(()),
                Merge::AskAgain => {}
                Merge::LoadAgain => self.load_everything(give_up)?,
            }
        }
        Err(ProposeError::Timeout(PROPOSE_TIMEOUT))
    }

    /// Merges a delta, and tells the observer; `is_own` if only this client's own command is in it.
    fn merge(&self, basis: &Basis, delta: Delta, is_own: bool) -> Merge {
        let mut mirror = self.mirror.write();
        let mut heard = Heard::default();
        let merged = mirror.merge(basis, delta, |mirror, changes| {
            heard = Heard::of(mirror, changes);
        });
        if heard.is_about_members {
            self.learn_nodes(&mirror);
        }
        // While nobody can read the mirror.
        if let Some(observer) = &self.observer {
            heard.tell(&mirror, is_own, &**observer);
        }
        merged
    }

    fn learn_nodes(&self, mirror: &Mirror) {
        if let Ok(members) = read::members(mirror) {
            let addresses = members.into_values().map(|member| member.address);
            self.connection.caller.learn(addresses);
        }
    }

    fn load_everything(&self, give_up: &dyn Fn() -> bool) -> Result<(), ProposeError> {
        let _one = self.loading.lock();
        let ranges = self.mirror.read_recursive().ranges();
        let load = self.load(ranges, give_up)?;
        let mut mirror = self.mirror.write();
        mirror.replace(load);
        self.learn_nodes(&mirror);
        if let Some(observer) = &self.observer {
            observer.replaced();
        }
        Ok(())
    }

    fn load(
        &self,
        mut ranges: Vec<(Table, KeyRange)>,
        give_up: &dyn Fn() -> bool,
    ) -> Result<Load, ProposeError> {
        let mut load = Load::default();
        while !ranges.is_empty() {
            ranges = match self.ask(ClientRequest::Rows(ranges), give_up)? {
                ClientResponse::Rows(page) => load.add(page),
                _ => return Err(ProposeError::Senseless),
            };
        }
        Ok(load)
    }

    /// Gets what belongs to a repository, if it is not here.
    fn load_repo(&self, repo: RepoId, give_up: &dyn Fn() -> bool) -> Result<(), ProposeError> {
        if self.mirror.read_recursive().has_loaded(repo) {
            return Ok(());
        }
        let one = self.loading.lock();
        if !self.mirror.read_recursive().has_loaded(repo) {
            let load = self.load(mirror::ranges_of(repo).collect(), give_up)?;
            self.mirror.write().add(repo, load);
        }
        drop(one);
        let is_settled = self.mirror.read_recursive().has_loaded(repo);
        match is_settled {
            true => Ok(()),
            false => self.sync(give_up),
        }
    }

    fn commit(&self, actor: Actor, command: Command) -> Result<Outcome, ProposeError> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let envelope = Envelope {
            session: self.session,
            sequence,
            time: Timestamp::now(),
            trace: trace::context(),
            actor: Actor {
                node: Some(self.identity().holder.id()),
                ..actor
            },
            command,
        };
        let basis = self.mirror.read_recursive().basis();
        let proposal = match proposal(&envelope, MAX_ENTRY)? {
            Ok(proposal) => proposal,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let propose = ClientRequest::Propose {
            cursor: basis.cursor.clone(),
            session: self.session,
            sequence,
            data: proposal.into_data(),
        };
        match self.ask(propose, &|| false)? {
            ClientResponse::Outcome(outcome, delta) => {
                // The command is one of the entries behind the cursor.
                let is_own = delta.upto == basis.cursor.index + 1;
                match self.merge(&basis, delta, is_own) {
                    Merge::Merged => Ok(outcome),
                    Merge::AskAgain | Merge::LoadAgain => self.sync(&|| false).map(|()| outcome),
                }
            }
            _ => Err(ProposeError::Senseless),
        }
    }

    /// Commits a command, as every proposer does.
    fn proposed(&self, actor: Actor, command: Command) -> Result<Outcome, ProposeError> {
        let (kind, began) = (command.kind(), Instant::now());
        let result = self.commit(actor, command);
        metrics::proposed(kind, &result, began.elapsed());
        result
    }

    /// A backup, whose pieces are all of one node and one moment. Returns its last commit.
    fn whole_backup(&self, out: &mut dyn Write) -> Result<u64, BackupError> {
        let away = |error: ProposeError| ReadError::Away(error.to_string());
        let (mut first, mut at) = (None, 0);
        loop {
            let response = self
                .ask(ClientRequest::Backup(at), &|| false)
                .map_err(away)?;
            let ClientResponse::Backup(piece) = response else {
                return Err(away(ProposeError::Senseless).into());
            };
            let BackupPiece {
                version,
                size,
                bytes,
            } = piece;
            let goes_on = *first.get_or_insert((version, size)) == (version, size);
            if !goes_on {
                let why = "it began another backup; try again".to_owned();
                return Err(ReadError::Away(why).into());
            }
            out.write_all(&bytes)?;
            at += bytes.len() as u64;
            if at >= size {
                return Ok(version);
            }
        }
    }
}
