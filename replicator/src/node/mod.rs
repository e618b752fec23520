//! A node: raft on a thread of its own, behind [`Replica`].
//!
//! Reads go to RocksDB from the caller's thread. Proposals go through a bounded
//! channel to the loop, which takes all that wait there into one raft `Ready`
//! (group commit) and answers each when its effects can be read. What happens to them
//! is [`crate::peer`]'s matter. A node alone has no port; one of a cluster has its
//! [`Network`], whose messages come to the loop by a channel of their own.

mod admission;
mod backups;
mod cluster;
mod config;
mod inbox;
mod metrics;
mod outbox;
mod proposer;
mod recent;
mod recovery;
mod rights;
mod run;
mod serving;
mod status;
mod taking_in;

pub use crate::storage::RestoreError;
pub use cluster::{ClusterConfig, MembershipError};
pub use config::NodeConfig;

use crate::engine::Incarnation;
use crate::locks::{self, LockName, LockTable, OwnLocks};
use crate::model::{
    Actor, ClientEntry, ClusterId, Command, Member, Outcome, Part, RepoId, RepoPath, Scope,
    StoreRecord, Version,
};
use crate::net::{Identity, NetError, Network};
use crate::peer::{Change, Peer, RequestKind};
use crate::replica::{self, BackupError, ProposeError, Replica};
use crate::rpc::{MemberStatus, Status};
use crate::state::{ReadError, View, read};
use crate::storage::{self, Backup, Bootstrap, Database, OpenError};
use crate::trace;
use backups::Backups;
use cluster::{ClusterMember, PeerService};
use crossbeam_channel::Receiver;
use inbox::Input;
use outbox::Outbox;
use parking_lot::{Mutex, RwLock};
use proposer::Proposer;
use recent::Recent;
use rights::Sights;
use run::LoopIo;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// The id of the node that founded its cluster, and of a node alone.
pub const FOUNDER: u64 = 1;

/// How long [`Node::open`] waits until the node leads and has applied its log.
/// Applying what a crash left unapplied takes the most of it.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// A node. Dropping it stops its thread.
pub struct Node {
    database: Arc<Database>,
    proposer: Arc<Proposer>,
    status: Arc<RwLock<Status>>,
    thread: Option<JoinHandle<()>>,
    /// `None` for a node alone. After the thread: the loop sends until its end.
    cluster: Option<Cluster>,
}

/// Of one node among several.
struct Cluster {
    membership: Arc<ClusterMember>,
    network: Arc<Network>,
}

/// Why a node of a cluster does not begin.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The data directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The node cannot listen, or has no usable certificate.
    #[error(transparent)]
    Net(#[from] NetError),
}

/// What a node and its loop share, before the loop runs.
struct Parts {
    config: NodeConfig,
    database: Arc<Database>,
    proposer: Arc<Proposer>,
    status: Arc<RwLock<Status>>,
    inbox: Receiver<Input>,
    incarnation: Incarnation,
}

impl Parts {
    fn new(config: NodeConfig, node: u64, bootstrap: Bootstrap) -> Result<Self, OpenError> {
        let database = Arc::new(Database::open(&config.dir)?);
        database.prepare(bootstrap)?;
        database.claim(node)?;
        let (sender, inbox) = crossbeam_channel::bounded(inbox::CAPACITY);
        Ok(Self {
            database,
            proposer: Arc::new(Proposer::new(sender, node, &config)),
            status: Arc::new(RwLock::new(Status::default())),
            inbox,
            incarnation: Incarnation {
                node,
                nonce: rand::random(),
            },
            config,
        })
    }

    /// Starts it without others, and returns when it leads.
    fn start_alone(self) -> Result<Node, OpenError> {
        let io = LoopIo {
            wire: crossbeam_channel::never(),
            outbox: None,
            recent: None,
            observer: None,
            session: self.proposer.session(),
        };
        let (node, is_ready) = self.start(io)?;
        is_ready
            .recv_timeout(READY_TIMEOUT)
            .map_err(|_| OpenError::NotReady(READY_TIMEOUT))?;
        Ok(node)
    }

    /// Starts the loop, which tells by the second result when the node leads.
    fn start(self, io: LoopIo) -> Result<(Node, Receiver<()>), OpenError> {
        metrics::register();
        let (limits, compaction) = (self.config.limits(), self.config.compaction());
        let peer = Peer::open(self.incarnation, self.database.clone(), limits, compaction)?;
        let (ready, is_ready) = crossbeam_channel::bounded(1);
        let (database, status) = (self.database.clone(), self.status.clone());
        let (inbox, tick) = (self.inbox, self.config.tick);
        let looped = run::Loop::new(peer, database, inbox, io, status, tick, ready);
        let thread = std::thread::Builder::new()
            .name("replicator".into())
            .spawn(|| looped.run())?;
        let node = Node {
            database: self.database,
            proposer: self.proposer,
            status: self.status,
            thread: Some(thread),
            cluster: None,
        };
        Ok((node, is_ready))
    }
}

impl Node {
    /// Opens the data directory of a node alone, creating it if need be, and returns when
    /// the node is ready to propose and reads reflect everything acknowledged
    /// before.
    pub fn open(config: NodeConfig) -> Result<Self, OpenError> {
        Parts::new(config, FOUNDER, Bootstrap::Create(FOUNDER))?.start_alone()
    }

    /// Opens the data directory of a node of a cluster, and returns at once: whether
    /// the cluster answers, [`Node::read_barrier`] tells. Must not be called on
    /// the network's runtime.
    pub fn open_in(
        config: NodeConfig,
        cluster: ClusterConfig,
        bootstrap: Bootstrap,
    ) -> Result<Self, ClusterError> {
        let id = cluster.identity.node();
        let parts = Parts::new(config, id, bootstrap)?;
        let (back, wire) = crossbeam_channel::bounded(inbox::CAPACITY);
        let runtime = cluster.runtime;
        let recent = Arc::new(Recent::default());
        recent.begin_at(
            storage::applied(&*parts.database)
                .map_err(OpenError::from)?
                .index,
        );
        let membership = Arc::new(ClusterMember {
            proposer: parts.proposer.clone(),
            database: Arc::downgrade(&parts.database),
            status: parts.status.clone(),
            authority: cluster.authority,
            wire: back.clone(),
            network: OnceLock::new(),
            runtime: runtime.clone(),
            locks: LockTable::default(),
            own_locks: OwnLocks::default(),
            recent: recent.clone(),
            backups: Backups::default(),
            sights: Sights::default(),
            beginnings: serving::beginnings(),
        });
        runtime.spawn(locks::keep_renewing(Arc::downgrade(&membership)));
        let (incoming, service) = (cluster.incoming, Arc::new(PeerService(membership.clone())));
        let network = Network::start(cluster.identity, cluster.listen, incoming, service);
        let network = Arc::new(runtime.block_on(network)?);
        // Nobody has asked the membership anything before this.
        let _ = membership.network.set(Arc::downgrade(&network));
        network.connect(&cluster.others);
        let outbox = Outbox {
            network: network.clone(),
            runtime,
            back,
            others: cluster.others,
            seen: 0,
            sending: Mutex::default(),
            turns: Arc::new(Semaphore::new(outbox::SENDING)),
        };
        let io = LoopIo {
            wire,
            outbox: Some(outbox),
            recent: Some(recent),
            observer: cluster.observer,
            session: parts.proposer.session(),
        };
        let (mut node, _) = parts.start(io)?;
        node.cluster = Some(Cluster {
            membership,
            network,
        });
        Ok(node)
    }

    /// Where the node stands.
    pub fn status(&self) -> Status {
        self.status.read().clone()
    }

    /// Says where the node stands in its metrics, for whoever is about to gather them.
    pub fn measure(&self) {
        metrics::measure(&self.status.read());
    }

    /// Stops the loop; proposals under way end with [`ProposeError::Stopped`].
    pub fn shutdown(self) {
        drop(self);
    }

    /// Returns when reads from now on see everything that was acknowledged anywhere
    /// before. Of a node alone they always do.
    pub fn read_barrier(&self) -> Result<(), ProposeError> {
        Replica::read_barrier(self, &|| false)
    }

    /// Where the cluster keeps object files; `None` before its first mount.
    pub fn store(&self) -> Result<Option<StoreRecord>, ReadError> {
        read::store(&*self.database)
    }

    /// The members, as far as this node knows.
    pub fn members(&self) -> Result<BTreeMap<u64, Member>, ReadError> {
        read::members(&*self.database)
    }

    /// The members and how they are, each asked by itself.
    pub fn member_states(&self) -> Result<BTreeMap<u64, MemberStatus>, MembershipError> {
        let membership = &self.in_cluster()?.membership;
        membership.runtime.block_on(membership.members())
    }

    /// Who this node is in its cluster.
    pub fn identity(&self) -> Result<Arc<Identity>, MembershipError> {
        Ok(self.in_cluster()?.network.identity())
    }

    /// A secret for this purpose, which all nodes of the cluster have, and nobody else.
    pub fn secret(&self, purpose: &str) -> Result<[u8; 32], MembershipError> {
        let authority = &self.in_cluster()?.membership.authority;
        Ok(blake3::derive_key(purpose, authority.key()))
    }

    /// A new certificate for its key.
    pub fn renewed(&self) -> Result<Identity, MembershipError> {
        let cluster = self.in_cluster()?;
        let renewed = cluster
            .membership
            .authority
            .renew(&cluster.network.identity());
        renewed.map_err(MembershipError::Own)
    }

    /// Shows another certificate of this node from now on.
    pub fn present(&self, renewed: Identity) -> Result<(), MembershipError> {
        let presented = self.in_cluster()?.network.present(renewed);
        presented.map_err(MembershipError::Own)
    }

    /// Has whoever leads change the membership.
    pub fn change(&self, change: Change) -> Result<(), MembershipError> {
        self.in_cluster()?.membership.change(change)
    }

    /// A node, dead or alive, or a client, is none any more.
    pub fn remove(&self, node: u64) -> Result<(), MembershipError> {
        self.in_cluster()?.membership.remove(node)
    }

    /// Makes this node alone, reached at `address` from now on, the first of a cluster.
    pub fn found_cluster(&self, id: ClusterId, address: &str) -> Result<(), MembershipError> {
        self.settle(Command::FoundCluster {
            id,
            node: self.status().id,
            address: address.to_owned(),
        })
    }

    /// The clients, as far as this node knows.
    pub fn clients(&self) -> Result<BTreeMap<u64, ClientEntry>, ReadError> {
        read::clients(&*self.database)
    }

    /// Whoever shows this secret in the given time is admitted, once. A scope is a client's.
    pub fn invite(
        &self,
        secret: &[u8],
        part: Part,
        scope: Scope,
        within: Duration,
    ) -> Result<(), MembershipError> {
        self.settle(admission::invitation(secret, part, scope, within))
    }

    fn settle(&self, command: Command) -> Result<(), MembershipError> {
        self.proposer.commit(Actor::default(), command)?.done()?;
        Ok(())
    }

    fn in_cluster(&self) -> Result<&Cluster, MembershipError> {
        self.cluster.as_ref().ok_or(MembershipError::Alone)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.proposer.stop();
        if let Some(thread) = self.thread.take() {
            // A panic of the loop ends the process by itself.
            let _ = thread.join();
        }
        if let Some(cluster) = &self.cluster {
            let runtime = &cluster.membership.runtime;
            runtime.block_on(cluster.network.close());
            cluster.membership.backups.let_go();
        }
    }
}

impl Replica for Node {
    fn view(&self) -> &dyn View {
        &*self.database
    }

    fn propose(&self, actor: Actor, command: Command) -> Result<Outcome, ProposeError> {
        let kind = command.kind();
        let began = Instant::now();
        let _in_step = trace::step("propose", || kind.to_owned()).entered();
        let result = self.proposer.commit(actor, command);
        replica::metrics::proposed(kind, &result, began.elapsed());
        result
    }

    fn read_barrier(&self, give_up: &dyn Fn() -> bool) -> Result<(), ProposeError> {
        let _timer = metrics::catching_up();
        let _in_step = trace::step("catch up", String::new).entered();
        self.proposer.ask(RequestKind::Read, give_up).map(drop)
    }

    fn is_alone(&self) -> bool {
        self.cluster.is_none()
    }

    fn machine(&self) -> Option<u64> {
        self.cluster.as_ref().map(|_| self.status().id)
    }

    fn lock(&self, repo: RepoId, name: &RepoPath) -> bool {
        let name = name.clone();
        let cluster = self.cluster.as_ref();
        cluster.is_none_or(|Cluster { membership, .. }| {
            locks::lock(&**membership, &membership.runtime, LockName { repo, name })
        })
    }

    fn unlock(&self, repo: RepoId, name: &RepoPath) {
        let name = name.clone();
        if let Some(Cluster { membership, .. }) = &self.cluster {
            locks::unlock(membership, &membership.runtime, &LockName { repo, name });
        }
    }

    fn lost(&self, repo: RepoId, name: &RepoPath) -> bool {
        let name = name.clone();
        let cluster = self.cluster.as_ref();
        cluster.is_some_and(|Cluster { membership, .. }| {
            membership.own_locks.is_lost(&LockName { repo, name })
        })
    }

    fn backup(&self, out: &mut dyn Write) -> Result<Version, BackupError> {
        replica::write_backup(Backup::take(&self.database)?, out)
    }
}
