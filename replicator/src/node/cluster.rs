//! A node among others: what it hears from them, what they may ask it, and who comes and goes.

use super::backups::Backups;
use super::inbox::Input;
use super::proposer::Proposer;
use super::recent::Recent;
use super::rights::Sights;
use super::serving::Beginnings;
use super::taking_in;
use crate::locks::{Lock, LockService, LockTable, OwnLocks, Renewal};
use crate::model::{Actor, Command, Member, Refusal};
use crate::net::{
    self, Admission, Authority, Handler, Identity, Joined, NetError, Network, Received,
};
use crate::peer::{Change, ChangeError, Message, RequestKind, Response};
use crate::replica::{Observer, ProposeError};
use crate::rpc::node::{NodeRequest, NodeResponse};
use crate::rpc::{MemberStatus, NodeState, Role, Status, decode, encode};
use crate::state::{ReadError, read};
use crate::storage::Database;
use crossbeam_channel::Sender;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// A node that does not say how it is in this time is not well.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);
/// A leader that does not answer in this time is none for a lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// Between attempts at what must wait for a leader or for another change.
const PAUSE: Duration = Duration::from_millis(100);

/// What makes a node one of several.
pub struct ClusterConfig {
    /// Key and certificate of this node.
    pub identity: Identity,
    /// Every node may admit others.
    pub authority: Authority,
    /// The address that this node listens on.
    pub listen: SocketAddr,
    /// Where the others were when it joined, until it has the state.
    pub others: BTreeMap<u64, String>,
    /// For snapshots that are arriving; of its own.
    pub incoming: PathBuf,
    /// Who is told what other nodes change.
    pub observer: Option<Arc<dyn Observer>>,
    /// Where the network runs. Opening a node must not happen on it.
    pub runtime: Handle,
}

/// The membership is not as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// For a reason that more time does not change.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The state machine refused the command.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no leader, or it does not answer.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// The leader cannot be reached.
    #[error("the leader: {0}")]
    Leader(NetError),
    /// Its own key or certificate cannot be used.
    #[error("{0}")]
    Own(NetError),
    /// This node is alone.
    #[error("this is not a cluster yet; `gitmoor cluster init` makes it one")]
    Alone,
    /// Reading the state failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// This node's part in the cluster.
pub(super) struct ClusterMember {
    pub(super) proposer: Arc<Proposer>,
    /// Weak, as is the network: a request that is still under way must not keep a node
    /// that has stopped from being opened again.
    pub(super) database: Weak<Database>,
    pub(super) status: Arc<RwLock<Status>>,
    pub(super) authority: Authority,
    /// Messages for the loop.
    pub(super) wire: Sender<Input>,
    pub(super) network: OnceLock<Weak<Network>>,
    pub(super) runtime: Handle,
    /// Of the cluster, while this node leads.
    pub(super) locks: LockTable,
    pub(super) own_locks: OwnLocks,
    pub(super) recent: Arc<Recent>,
    pub(super) backups: Backups,
    pub(super) sights: Sights,
    pub(super) beginnings: Beginnings,
}

#[tonic::async_trait]
impl LockService for ClusterMember {
    async fn take(&self, lock: Lock) -> Option<bool> {
        self.take_lock(self.id(), lock).await
    }

    async fn release(&self, lock: Lock) {
        self.release_lock(self.id(), lock).await;
    }

    async fn renew(&self, own: Renewal) -> Option<Vec<Lock>> {
        self.renew_locks(self.id(), own).await
    }

    fn own(&self) -> &OwnLocks {
        &self.own_locks
    }
}

impl ClusterMember {
    /// A holder wants a lock; whether it has it now. `None` when no leader remembers it.
    pub(super) async fn take_lock(&self, holder: u64, lock: Lock) -> Option<bool> {
        if let Some(term) = self.leads() {
            return self.locks.take(term, holder, &lock, Instant::now());
        }
        match self.ask_leader(NodeRequest::Lock(holder, lock)).await {
            Some(NodeResponse::Locked(taken)) => taken,
            Some(_) | None => None,
        }
    }

    /// A holder gives one back.
    pub(super) async fn release_lock(&self, holder: u64, lock: Lock) {
        match self.leads() {
            Some(_) => self.locks.release(holder, &lock),
            None => drop(self.ask_leader(NodeRequest::Unlock(holder, lock)).await),
        }
    }

    /// A holder says what it has; which of these are another's. `None` when no leader can be told.
    pub(super) async fn renew_locks(&self, holder: u64, own: Renewal) -> Option<Vec<Lock>> {
        if let Some(lost) = self.renew_here(holder, &own) {
            return Some(lost);
        }
        match self.ask_leader(NodeRequest::RenewLocks(holder, own)).await {
            Some(NodeResponse::LostLocks(lost)) => lost,
            Some(_) | None => None,
        }
    }

    fn id(&self) -> u64 {
        self.status.read().id
    }

    /// The term that this node leads.
    fn leads(&self) -> Option<u64> {
        let status = self.status.read();
        (status.role == Role::Leader).then_some(status.term)
    }

    fn lock_here(&self, holder: u64, lock: &Lock) -> Option<bool> {
        let term = self.leads()?;
        self.locks.take(term, holder, lock, Instant::now())
    }

    fn renew_here(&self, holder: u64, own: &Renewal) -> Option<Vec<Lock>> {
        let term = self.leads()?;
        Some(self.locks.renew(term, holder, own, Instant::now()))
    }

    /// About locks; `None` when nobody leads, or does not answer.
    async fn ask_leader(&self, request: NodeRequest) -> Option<NodeResponse> {
        let (leader, network) = (self.status.read().leader?, self.network().ok()?);
        let asked = network.ask(leader, encode(&request), LOCK_TIMEOUT);
        decode(&asked.await.ok()?).ok()
    }

    fn network(&self) -> Result<Arc<Network>, ProposeError> {
        let network = self.network.get().and_then(Weak::upgrade);
        network.ok_or(ProposeError::Stopped)
    }

    pub(super) fn database(&self) -> Result<Arc<Database>, ProposeError> {
        self.database.upgrade().ok_or(ProposeError::Stopped)
    }

    /// The members and how they are. One that does not answer costs the time of one question.
    pub(super) async fn members(&self) -> Result<BTreeMap<u64, MemberStatus>, MembershipError> {
        let network = self.network()?;
        let me = network.identity().node();
        let asked = read::members(&*self.database()?)?
            .into_iter()
            .map(|(node, member)| {
                let (this, network) = (self, &network);
                async move {
                    let Member { address } = member;
                    let state = match node == me {
                        true => this.state().map_err(|error| error.to_string()),
                        false => ask_state(network, node).await,
                    };
                    (node, MemberStatus { address, state })
                }
            });
        Ok(futures::future::join_all(asked).await.into_iter().collect())
    }

    fn state(&self) -> Result<NodeState, ProposeError> {
        Ok(NodeState {
            status: self.status.read().clone(),
            certificate_expires: self.network()?.identity().expires,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    /// Has whoever leads change the membership. Blocks.
    pub(super) fn change(&self, change: Change) -> Result<(), MembershipError> {
        let deadline = Instant::now() + self.proposer.timeout();
        loop {
            let error = match self.try_change(change) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let may_pass = matches!(
                error,
                MembershipError::Change(
                    ChangeError::NotLeader { .. } | ChangeError::Busy | ChangeError::Unknown
                ) | MembershipError::Leader(_)
            );
            if !may_pass || Instant::now() + PAUSE >= deadline {
                return Err(error);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn try_change(&self, change: Change) -> Result<(), MembershipError> {
        match self.change_here(change)? {
            Err(ChangeError::NotLeader { leader }) if leader != raft::INVALID_ID => {
                let network = self.network()?;
                let request = encode(&NodeRequest::Change(change));
                let asked = network.ask(leader, request, self.proposer.timeout());
                let response = self
                    .runtime
                    .block_on(asked)
                    .map_err(MembershipError::Leader)?;
                match decode(&response) {
                    Ok(NodeResponse::Changed(changed)) => Ok(changed?),
                    Ok(
                        NodeResponse::State(_)
                        | NodeResponse::Locked(_)
                        | NodeResponse::LostLocks(_),
                    )
                    | Err(_) => {
                        let address = format!("node {leader}");
                        let why = "an answer that makes no sense".to_owned();
                        Err(MembershipError::Leader(NetError::Refused { address, why }))
                    }
                }
            }
            changed => Ok(changed?),
        }
    }

    fn change_here(&self, change: Change) -> Result<Result<(), ChangeError>, ProposeError> {
        match self.proposer.ask(RequestKind::Change(change), &|| false)? {
            Response::Changed => Ok(Ok(())),
            Response::NotChanged(why) => Ok(Err(why)),
            other => unreachable!("a change is made or not, not {other:?}"),
        }
    }

    /// A node or a client. A dead one is removed as well; it is asked nothing.
    pub(super) fn remove(&self, node: u64) -> Result<(), MembershipError> {
        let database = self.database()?;
        if read::members(&*database)?.contains_key(&node) {
            self.change(Change::Remove(node))?;
        } else if !read::clients(&*database)?.contains_key(&node) {
            return Err(Refusal::NoMember(node).into());
        }
        let remove = Command::RemoveMember { node };
        self.proposer.commit(Actor::default(), remove)?.done()?;
        Ok(())
    }

    fn respond(&self, request: &[u8]) -> Result<NodeResponse, String> {
        match decode(request)? {
            NodeRequest::Change(change) => match self.change_here(change) {
                Ok(changed) => Ok(NodeResponse::Changed(changed)),
                Err(error) => Err(error.to_string()),
            },
            NodeRequest::State => {
                let state = self.state().map_err(|error| error.to_string())?;
                Ok(NodeResponse::State(state))
            }
            NodeRequest::Lock(holder, lock) => {
                Ok(NodeResponse::Locked(self.lock_here(holder, &lock)))
            }
            NodeRequest::Unlock(holder, lock) => {
                self.locks.release(holder, &lock);
                Ok(NodeResponse::Locked(None))
            }
            NodeRequest::RenewLocks(holder, own) => {
                Ok(NodeResponse::LostLocks(self.renew_here(holder, &own)))
            }
        }
    }

    fn hear(&self, from: u64, bytes: &[u8]) {
        match Message::decode(bytes) {
            Ok(message) if message.from == from => {
                // When the loop does not keep up, raft sends again.
                let _ = self.wire.try_send(Input::Message(message));
            }
            Ok(message) => {
                tracing::warn!(
                    node = from,
                    claims = message.from,
                    "a message in another's name"
                );
            }
            Err(error) => tracing::warn!(node = from, %error, "not a message"),
        }
    }
}

async fn ask_state(network: &Network, node: u64) -> Result<NodeState, String> {
    let response = network
        .ask(node, encode(&NodeRequest::State), STATUS_TIMEOUT)
        .await
        .map_err(|error| error.to_string())?;
    match decode(&response)? {
        NodeResponse::State(state) => Ok(state),
        NodeResponse::Changed(_) | NodeResponse::Locked(_) | NodeResponse::LostLocks(_) => {
            Err("an answer to another question".to_owned())
        }
    }
}

/// What the network brings goes here. What blocks has threads of its own.
pub(super) struct PeerService(pub(super) Arc<ClusterMember>);

#[tonic::async_trait]
impl Handler for PeerService {
    /// In doubt it is one: the state of a node that has just joined knows nobody.
    fn welcomes(&self, holder: u64) -> bool {
        let database = self.0.database();
        let is_removed = database.map(|database| read::is_removed(&*database, holder));
        !matches!(is_removed, Ok(Ok(true)))
    }

    fn message(&self, from: u64, message: Vec<u8>) {
        self.0.hear(from, &message);
    }

    async fn snapshot(&self, from: u64, snapshot: Received) -> Result<(), String> {
        taking_in::take_in(self.0.clone(), from, snapshot).await
    }

    fn unreachable(&self, to: u64) {
        let _ = self.0.wire.try_send(Input::Unreachable(to));
    }

    async fn ask(&self, _from: u64, request: Vec<u8>) -> Result<Vec<u8>, String> {
        let membership = self.0.clone();
        let response = tokio::task::spawn_blocking(move || membership.respond(&request));
        let response = response.await.map_err(|error| error.to_string())??;
        Ok(encode(&response))
    }

    async fn serve(&self, client: u64, request: Vec<u8>) -> Result<Vec<u8>, String> {
        let membership = self.0.clone();
        let call = decode(&request)?;
        let serve = move || membership.serve(client, call);
        let reply = tokio::task::spawn_blocking(serve).await;
        Ok(encode(&reply.map_err(|error| error.to_string())??))
    }

    async fn admit(&self, admission: Admission) -> Result<Joined, net::Refusal> {
        let membership = self.0.clone();
        let admit = move || membership.admit_one(admission);
        let admitted = tokio::task::spawn_blocking(admit).await;
        admitted.map_err(|error| net::Refusal::NotNow(error.to_string()))?
    }
}
