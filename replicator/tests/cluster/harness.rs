//! Nodes that come, go and come back.

use gitmoor_model::{
    Actor, Change, ChangedNames, ClusterId, Command, Expect, Member, NamePath, Newcomer, Outcome,
    Part, RefEdit, RefEntry, Refusal, RepoChange, RepoId, RepoPath, Scope, Version,
};
use gitmoor_replicator::net::{Authority, Holder, Identity, NetError, Token, join};
use gitmoor_replicator::peer;
use gitmoor_replicator::storage::Bootstrap;
use gitmoor_replicator::{
    Client, ClientConfig, ClusterConfig, ClusterError, MembershipError, Node, NodeConfig, Observer,
    Replica, read,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// More than anything here takes on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

/// A loopback address that nobody else on this machine uses now: it has the number of this
/// process in it.
fn address() -> SocketAddr {
    static LAST: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from((Ipv4Addr::new(127, high, low, number), 7400))
}

/// What a node keeps while it does not run.
pub(crate) struct Machine {
    pub(crate) dir: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) id: u64,
    identity: [Vec<u8>; 3],
    authority: Vec<u8>,
    others: BTreeMap<u64, String>,
    has_begun: bool,
    pub(crate) told: Arc<Told>,
    node: Option<Node>,
}

/// What a node was told that others changed, in order.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) refs: Mutex<Vec<String>>,
    pub(crate) replaced: AtomicU64,
}

impl Observer for Told {
    fn applied(&self, command: &Command) {
        if let Command::Commit(change) = command {
            let names = change.refs.iter().map(|edit| edit.name.to_string());
            self.refs.lock().extend(names);
        }
    }

    fn changed(&self, _: RepoId, names: ChangedNames) {
        if let ChangedNames::These(names) = names {
            self.refs
                .lock()
                .extend(names.iter().map(ToString::to_string));
        }
    }

    fn deleted(&self, _: RepoId) {}

    fn replaced(&self) {
        self.replaced.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
    pub(crate) machines: Vec<Machine>,
    pub(crate) compact_entries: u64,
    pub(crate) propose_timeout: Duration,
    pub(crate) runtime: Runtime,
}

impl Machine {
    pub(crate) fn identity(&self) -> Identity {
        let [key, certificate, authority] = &self.identity;
        Identity::load(key, certificate, authority).expect("its own")
    }

    pub(crate) fn node(&self) -> &Node {
        self.node.as_ref().expect("it runs")
    }
}

impl Cluster {
    /// Of one node.
    pub(crate) fn new() -> Cluster {
        Self::with(10_000, Duration::from_secs(30))
    }

    pub(crate) fn with(compact_entries: u64, propose_timeout: Duration) -> Cluster {
        let (id, dir, address) = (ClusterId::random(), directory(), address());
        let alone = Node::open(NodeConfig::new(dir.path().join("replica"))).expect("opens");
        alone.found_cluster(id, &address.to_string()).expect("once");
        alone.shutdown();
        let authority = Authority::found(id).expect("a new cluster");
        let identity = authority.identity(Holder::Node(1)).expect("a certificate");
        let mut cluster = Cluster {
            id,
            machines: Vec::new(),
            compact_entries,
            propose_timeout,
            runtime: Runtime::new().expect("a runtime"),
        };
        cluster.add(dir, address, &identity, &authority, BTreeMap::new());
        cluster.machines[0].has_begun = true;
        cluster.start(0);
        cluster.until("it leads", || cluster.node(0).read_barrier().is_ok());
        cluster
    }

    /// Of three voters.
    pub(crate) fn of_three() -> Cluster {
        let mut cluster = Self::new();
        cluster.grow();
        cluster
    }

    /// Two more voters.
    pub(crate) fn grow(&mut self) {
        for _ in 0..2 {
            let machine = self.join();
            self.start(machine);
            self.promote(machine);
        }
    }

    fn add(
        &mut self,
        dir: TempDir,
        address: SocketAddr,
        identity: &Identity,
        authority: &Authority,
        others: BTreeMap<u64, String>,
    ) {
        self.machines.push(Machine {
            dir,
            address,
            id: identity.node(),
            identity: [
                identity.key(),
                identity.certificate(),
                authority.certificate(),
            ]
            .map(<[u8]>::to_vec),
            authority: authority.key().to_vec(),
            others,
            has_begun: false,
            told: Arc::default(),
            node: None,
        });
    }

    /// A token for a node, by the first machine that runs.
    pub(crate) fn token(&self) -> Token {
        self.token_for(Part::Node)
    }

    pub(crate) fn token_for(&self, part: Part) -> Token {
        self.token_within(part, Scope::default())
    }

    fn token_within(&self, part: Part, scope: Scope) -> Token {
        let machine = self.running().next().expect("one that runs");
        let secret: [u8; 32] = rand::random();
        let invited = machine.node().invite(&secret, part, scope, BOUND);
        invited.expect("it invites");
        Token {
            cluster: self.id,
            address: machine.address.to_string(),
            authority: machine.identity[2].clone(),
            secret,
            part,
        }
    }

    pub(crate) fn ask_to_join(
        &self,
        token: &Token,
        address: SocketAddr,
    ) -> Result<(Identity, Authority, BTreeMap<u64, String>), NetError> {
        let address = address.to_string();
        let node = Newcomer::Node(Member { address });
        let granted = self.runtime.block_on(join(token, node))?;
        let authority = granted.authority.expect("a node gets it");
        Ok((granted.identity, authority, granted.members))
    }

    /// One more machine, admitted and not started.
    pub(crate) fn join(&mut self) -> usize {
        self.join_at(address())
    }

    pub(crate) fn join_at(&mut self, address: SocketAddr) -> usize {
        let token = self.token();
        let (identity, authority, mut others) =
            self.ask_to_join(&token, address).expect("admitted");
        others.retain(|_, at| *at != address.to_string());
        self.add(directory(), address, &identity, &authority, others);
        self.machines.len() - 1
    }

    pub(crate) fn open(
        &self,
        machine: &Machine,
        dir: &Path,
        bootstrap: Bootstrap,
    ) -> Result<Node, ClusterError> {
        let config = NodeConfig {
            // Elections in a second.
            tick: Duration::from_millis(20),
            compact_entries: self.compact_entries,
            propose_timeout: self.propose_timeout,
            ..NodeConfig::new(dir.join("replica"))
        };
        let authority = Authority::load(self.id, &machine.authority, &machine.identity[2]);
        let cluster = ClusterConfig {
            identity: machine.identity(),
            authority: authority.expect("its own"),
            listen: machine.address,
            others: machine.others.clone(),
            incoming: dir.join("incoming"),
            observer: Some(machine.told.clone()),
            runtime: self.runtime.handle().clone(),
        };
        Node::open_in(config, cluster, bootstrap)
    }

    pub(crate) fn start(&mut self, machine: usize) {
        let it = &self.machines[machine];
        let bootstrap = match it.has_begun {
            true => Bootstrap::Resume,
            false => Bootstrap::Join,
        };
        let node = self.open(it, it.dir.path(), bootstrap).expect("it starts");
        let it = &mut self.machines[machine];
        (it.node, it.has_begun) = (Some(node), true);
    }

    /// A client that asks these machines.
    pub(crate) fn client(&self, asked: &[usize]) -> Client {
        self.client_with(self.client_identity(Scope::default()), asked)
    }

    /// A new client's.
    pub(crate) fn client_identity(&self, scope: Scope) -> Identity {
        let name = "a client".to_owned();
        let token = self.token_within(Part::Client, scope);
        let admit = join(&token, Newcomer::Client(gitmoor_model::Client { name }));
        let granted = self.runtime.block_on(admit).expect("admitted");
        assert!(granted.authority.is_none(), "it must not admit others");
        granted.identity
    }

    pub(crate) fn client_with(&self, identity: Identity, asked: &[usize]) -> Client {
        let addresses = asked
            .iter()
            .map(|&it| self.machines[it].address.to_string());
        let client = Client::new(ClientConfig {
            identity,
            addresses: addresses.collect(),
            observer: None,
            runtime: self.runtime.handle().clone(),
        });
        client.expect("it is one")
    }

    pub(crate) fn stop(&mut self, machine: usize) {
        self.machines[machine].node = None;
    }

    pub(crate) fn node(&self, machine: usize) -> &Node {
        self.machines[machine].node()
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Machine> {
        self.machines.iter().filter(|it| it.node.is_some())
    }

    /// The machine that leads, once all that run agree on one of them.
    pub(crate) fn leader(&self) -> usize {
        let mut leader = None;
        self.until("they have a leader", || {
            let mut named = self.running().map(|it| it.node().status().leader);
            let first = named.next().flatten();
            leader = self
                .machines
                .iter()
                .position(|it| it.node.is_some() && Some(it.id) == first);
            leader.is_some() && named.all(|name| name == first)
        });
        leader.expect("found")
    }

    /// Promotes a machine as soon as it has caught up.
    pub(crate) fn promote(&self, machine: usize) {
        let (id, by) = (self.machines[machine].id, self.leader());
        self.until("it has caught up", || {
            match self.node(by).change(peer::Change::Promote(id)) {
                Ok(()) => true,
                Err(MembershipError::Change(peer::ChangeError::Lags(_))) => false,
                Err(other) => panic!("{other}"),
            }
        });
    }

    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut probe: impl FnMut() -> bool) {
        let began = Instant::now();
        while !probe() {
            let states: Vec<_> = self.running().map(|it| it.node().status()).collect();
            assert!(began.elapsed() < BOUND, "in vain: {what}: {states:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

pub(crate) fn repo() -> RepoId {
    RepoId::from_bytes([7; 16])
}

pub(crate) fn create_repo(node: &dyn Replica) {
    let create = Command::CreateRepo {
        id: repo(),
        path: NamePath::new("app.git").expect("a path"),
    };
    let outcome = node.propose(Actor::default(), create).expect("an outcome");
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
}

pub(crate) fn name(name: &str) -> RepoPath {
    RepoPath::new(name).expect("a path")
}

/// Writes a ref if it is as expected.
pub(crate) fn write(
    node: &dyn Replica,
    at: &str,
    expect: Expect,
    value: &str,
) -> Result<Version, WriteError> {
    let change = RepoChange {
        refs: vec![RefEdit {
            name: name(at),
            expect,
            change: Change::Set {
                mode: 0o100_644,
                value: value.into(),
            },
        }],
        ..RepoChange::new(repo())
    };
    match node.propose(Actor::default(), Command::Commit(change)) {
        Ok(Outcome::Done(version)) => Ok(version),
        Ok(Outcome::Refused(refusal)) => Err(WriteError::Refused(refusal)),
        Err(error) => Err(WriteError::Unknown(error.to_string())),
    }
}

#[derive(Debug)]
pub(crate) enum WriteError {
    Refused(Refusal),
    Unknown(String),
}

pub(crate) fn reference(node: &dyn Replica, at: &str) -> Option<RefEntry> {
    read::reference(node.view(), repo(), &name(at)).expect("reads")
}

/// The value of a ref, as of now.
pub(crate) fn read(node: &dyn Replica, at: &str) -> Option<String> {
    node.read_barrier(&|| false).expect("a quorum");
    reference(node, at).map(|entry| String::from_utf8(entry.value).expect("text"))
}
