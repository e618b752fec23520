//! Nodes with nothing but a network, and a wire between them that can be cut.

use gitmoor_model::ClusterId;
use gitmoor_model::{Member, Newcomer};
use gitmoor_replicator::ReadError;
use gitmoor_replicator::net::{
    Admission, Authority, Handler, Holder, Identity, Joined, Network, Received, Refusal, Source,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// More than anything here takes on a busy machine.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// Waits for a condition.
#[track_caller]
pub(crate) fn until(what: &str, mut probe: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let began = Instant::now();
        while !probe() {
            assert!(began.elapsed() < BOUND, "{caller}: in vain: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What a node heard.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) messages: Mutex<Vec<(u64, Vec<u8>)>>,
    pub(crate) snapshots: Mutex<Vec<(u64, Vec<u8>)>>,
    pub(crate) unreachable: Mutex<Vec<u64>>,
    pub(crate) admissions: AtomicU64,
    /// Admits who has one of these, once.
    pub(crate) secrets: Mutex<Vec<[u8; 32]>>,
    authority: Mutex<Option<Arc<Authority>>>,
}

/// No node hears this one.
pub(crate) const REMOVED: u64 = 77;

impl Heard {
    pub(crate) fn messages_of(&self, node: u64) -> Vec<Vec<u8>> {
        let messages = self.messages.lock();
        let of = messages.iter().filter(|(from, _)| *from == node);
        of.map(|(_, message)| message.clone()).collect()
    }
}

#[tonic::async_trait]
impl Handler for Heard {
    fn welcomes(&self, node: u64) -> bool {
        node != REMOVED
    }

    fn message(&self, from: u64, message: Vec<u8>) {
        self.messages.lock().push((from, message));
    }

    async fn snapshot(&self, from: u64, snapshot: Received) -> Result<(), String> {
        let mut bytes = Vec::new();
        let read = snapshot
            .open()
            .and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(|error| error.to_string())?;
        self.snapshots.lock().push((from, bytes));
        Ok(())
    }

    fn unreachable(&self, to: u64) {
        self.unreachable.lock().push(to);
    }

    async fn ask(&self, from: u64, question: Vec<u8>) -> Result<Vec<u8>, String> {
        match question.as_slice() {
            b"?" => Err(format!("node {from} asks nothing")),
            _ => Ok(question.into_iter().rev().collect()),
        }
    }

    async fn serve(&self, client: u64, question: Vec<u8>) -> Result<Vec<u8>, String> {
        match question.as_slice() {
            b"?" => Err(format!("client {client} asks nothing")),
            _ => Ok(question.into_iter().rev().collect()),
        }
    }

    async fn admit(&self, admission: Admission) -> Result<Joined, Refusal> {
        let id = 100 + self.admissions.fetch_add(1, Ordering::SeqCst);
        let Newcomer::Node(Member { address }) = admission.newcomer else {
            return Err(Refusal::Malformed("no client is admitted here".to_owned()));
        };
        {
            let mut secrets = self.secrets.lock();
            let known = secrets
                .iter()
                .position(|secret| *secret == *admission.secret);
            secrets.remove(known.ok_or(Refusal::Token)?);
        }
        let authority = self.authority.lock().clone().expect("it runs");
        let request = &admission.certificate_request;
        let certificate = authority
            .certify(Holder::Node(id), request)
            .map_err(|error| Refusal::Malformed(error.to_string()))?;
        Ok(Joined {
            id,
            certificate,
            authority_key: authority.key().to_vec(),
            members: BTreeMap::from([(id, address)]),
        })
    }
}

/// A cluster's certificates.
pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
    pub(crate) authority: Arc<Authority>,
}

impl Cluster {
    pub(crate) fn new() -> Cluster {
        let id = ClusterId::random();
        let authority = Authority::found(id).expect("a new cluster").into();
        Cluster { id, authority }
    }

    pub(crate) fn identity(&self, node: u64) -> Identity {
        let holder = Holder::Node(node);
        self.authority.identity(holder).expect("a certificate")
    }

    pub(crate) async fn node(&self, node: u64) -> TestNode {
        self.node_at(node, "127.0.0.1:0".parse().expect("an address"))
            .await
    }

    pub(crate) async fn node_at(&self, node: u64, address: SocketAddr) -> TestNode {
        TestNode::start(self, self.identity(node), address).await
    }
}

pub(crate) struct TestNode {
    pub(crate) heard: Arc<Heard>,
    pub(crate) network: Network,
    _dir: TempDir,
}

impl TestNode {
    pub(crate) async fn start(
        cluster: &Cluster,
        identity: Identity,
        address: SocketAddr,
    ) -> TestNode {
        let dir = tempfile::tempdir().expect("a directory");
        let heard = Arc::new(Heard::default());
        *heard.authority.lock() = Some(cluster.authority.clone());
        let incoming = dir.path().join("incoming");
        let network = Network::start(identity, address, incoming, heard.clone()).await;
        TestNode {
            heard,
            network: network.expect("it listens"),
            _dir: dir,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.network.address()
    }

    /// Links to one node at an address, and to no other.
    pub(crate) fn link(&self, to: u64, address: SocketAddr) {
        let nodes = BTreeMap::from([(to, address.to_string())]);
        self.network.connect(&nodes);
    }

    /// Sends until the link takes it.
    pub(crate) async fn send(&self, to: u64, message: &[u8]) {
        let taken = || self.network.send(to, message.to_vec());
        until("the link takes a message", taken).await;
    }
}

/// A wire to an address, which is cut after some bytes to it, again and again.
pub(crate) struct Wire {
    pub(crate) at: SocketAddr,
    /// Bytes that went through, to the address.
    pub(crate) carried: Arc<AtomicU64>,
    _connections: JoinSet<()>,
}

impl Wire {
    pub(crate) async fn to(address: SocketAddr, cut_after: u64) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("bound");
        let carried = Arc::new(AtomicU64::new(0));
        let mut connections = JoinSet::new();
        let counter = carried.clone();
        connections.spawn(async move {
            let mut carrying = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                carrying.spawn(carry(stream, address, cut_after, counter.clone()));
            }
        });
        Wire {
            at,
            carried,
            _connections: connections,
        }
    }
}

async fn carry(near: TcpStream, to: SocketAddr, cut_after: u64, carried: Arc<AtomicU64>) {
    let Ok(far) = TcpStream::connect(to).await else {
        return;
    };
    let ((mut near_in, mut near_out), (mut far_in, mut far_out)) =
        (near.into_split(), far.into_split());
    let there = async {
        let (mut left, mut bytes) = (cut_after, vec![0; 16 << 10]);
        while left > 0 {
            let Ok(n @ 1..) = near_in.read(&mut bytes).await else {
                return;
            };
            carried.fetch_add(n as u64, Ordering::SeqCst);
            left = left.saturating_sub(n as u64);
            if far_out.write_all(&bytes[..n]).await.is_err() {
                return;
            }
        }
    };
    let back = async {
        // The other side may be cut before this one ends.
        let _ = tokio::io::copy(&mut far_in, &mut near_out).await;
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

/// Bytes to send as a snapshot, and read piece by piece.
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Source for Bytes {
    fn pieces(&self) -> Box<dyn Iterator<Item = Result<Vec<u8>, ReadError>> + Send + '_> {
        // None of them as large as those on the wire.
        Box::new(self.0.chunks(1_500_000).map(|piece| Ok(piece.to_vec())))
    }
}
