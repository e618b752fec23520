//! The connecting side: a link to every other node, each with a queue of its own.
//!
//! A link whose node does not answer drops what is queued: raft sends again, and old messages
//! would only be in the way of new ones. Snapshots have a connection of their own, so that
//! heartbeats do not stand behind them.

use super::presented::Presented;
use super::server::{self, Handler, Listening};
use super::services::node_client::NodeClient;
use super::snapshot::Source;
use super::{
    CLIENT_PROTOCOL, Identity, MAX_MESSAGE, NetError, PROTOCOL, PROTOCOL_HEADER, snapshot, tls,
    wire,
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tower::service_fn;

/// Messages that wait for a link. Raft has at most this many in flight to a peer.
const QUEUE: usize = 512;
/// Bytes of them. A message that is larger than all of it has it for itself.
const QUEUE_BYTES: usize = 64 << 20;
/// A node that does not answer the phone in this time is not there.
const CONNECT: Duration = Duration::from_secs(3);
/// How soon a node that stops answering is noticed, twice over.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Between attempts to reach a node; doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After one that said no: it was removed, or speaks another version.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);

/// What is under way when the network closes has this time to notice.
const CLOSING: Duration = Duration::from_secs(5);

/// This node's ear, and its links to the others. Both end when it is dropped; the port is
/// free when it is closed.
pub struct Network {
    own: Arc<Presented>,
    client: Arc<ClientConfig>,
    links: Mutex<BTreeMap<u64, Link>>,
    /// Connections by which questions went, with the addresses.
    asked: Mutex<BTreeMap<u64, (String, Channel)>>,
    handler: Arc<dyn Handler>,
    address: SocketAddr,
    runtime: Handle,
    /// `None` when it is closed.
    listening: Mutex<Option<(watch::Sender<()>, Listening)>>,
}

struct Link {
    address: String,
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    task: AbortHandle,
}

/// A message that waits, and the room that it takes meanwhile.
struct Queued {
    message: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl Link {
    /// Whether there was room.
    fn send(&self, message: Vec<u8>) -> bool {
        let bytes = u32::try_from(message.len().min(QUEUE_BYTES)).expect("far below 4 GiB");
        let Ok(room) = self.room.clone().try_acquire_many_owned(bytes) else {
            return false;
        };
        let queued = Queued {
            message,
            _room: room,
        };
        self.queue.try_send(queued).is_ok()
    }
}

impl Network {
    /// Listens at `address`, with pieces of snapshots in `incoming`, a directory of its own.
    pub async fn start(
        identity: Identity,
        address: SocketAddr,
        incoming: PathBuf,
        handler: Arc<dyn Handler>,
    ) -> Result<Self, NetError> {
        let (stop, stopped) = watch::channel(());
        let own = Presented::new(identity)?;
        let client = Arc::new(tls::client(&own)?);
        let listening = server::listen(&own, address, incoming, handler.clone(), stopped).await?;
        Ok(Self {
            own,
            client,
            links: Mutex::default(),
            asked: Mutex::default(),
            handler,
            address: listening.address,
            runtime: Handle::current(),
            listening: Mutex::new(Some((stop, listening))),
        })
    }

    /// Stops listening and sending, and returns when the port is free.
    pub async fn close(&self) {
        self.links.lock().clear();
        self.asked.lock().clear();
        let listening = self.listening.lock().take();
        let Some((stop, listening)) = listening else {
            return;
        };
        drop(stop);
        let closed = futures::future::join_all(listening.tasks);
        if tokio::time::timeout(CLOSING, closed).await.is_err() {
            tracing::warn!(address = %self.address, "the server for other nodes does not end");
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who this node is.
    pub fn identity(&self) -> Arc<Identity> {
        self.own.identity()
    }

    /// Shows another certificate of this node from now on.
    pub fn present(&self, renewed: Identity) -> Result<(), NetError> {
        self.own.present(renewed)
    }

    /// Links to exactly these nodes, at host:port, from now on.
    pub fn connect(&self, nodes: &BTreeMap<u64, String>) {
        let mut links = self.links.lock();
        links.retain(|id, link| nodes.get(id) == Some(&link.address));
        for (&id, address) in nodes {
            links.entry(id).or_insert_with(|| self.link(id, address));
        }
    }

    /// Sends a message, if there is a link to this node and room in its queue.
    pub fn send(&self, to: u64, message: Vec<u8>) -> bool {
        let links = self.links.lock();
        links.get(&to).is_some_and(|link| link.send(message))
    }

    /// Asks a node something, on a connection for questions. One that was lost meanwhile is made
    /// anew; then the node may get the question twice.
    pub async fn ask(
        &self,
        to: u64,
        question: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, NetError> {
        let target = self.known(to)?;
        let ask = async {
            let before = self.asked.lock().remove(&to);
            if let Some((address, channel)) = before
                && address == target.address
            {
                match self.ask_by(to, &target, channel, question.clone()).await {
                    Err(NetError::Unreachable { .. }) => {}
                    answered => return answered,
                }
            }
            let channel = connect(&target).await?;
            self.ask_by(to, &target, channel, question).await
        };
        match tokio::time::timeout(timeout, ask).await {
            Ok(reply) => reply,
            Err(_) => Err(NetError::unreachable(&target.address, "no answer in time")),
        }
    }

    /// Keeps the connection for the next question, if this one was answered.
    async fn ask_by(
        &self,
        to: u64,
        target: &Target,
        channel: Channel,
        question: Vec<u8>,
    ) -> Result<Vec<u8>, NetError> {
        let mut client = NodeClient::with_interceptor(channel.clone(), speak)
            .max_encoding_message_size(MAX_MESSAGE)
            .max_decoding_message_size(MAX_MESSAGE);
        let reply = client.ask(wire::Question { question }).await;
        let reply = reply.map_err(|status| refused(&target.address, &status))?;
        self.asked
            .lock()
            .insert(to, (target.address.clone(), channel));
        Ok(reply.into_inner().reply)
    }

    /// Sends a snapshot, and goes on where it was cut off while that brings it forward.
    pub async fn send_snapshot(&self, to: u64, snapshot: &dyn Source) -> Result<(), NetError> {
        snapshot::send(&self.known(to)?, snapshot).await
    }

    fn known(&self, to: u64) -> Result<Target, NetError> {
        let address = self.links.lock().get(&to).map(|link| link.address.clone());
        match address {
            Some(address) => Ok(self.target(to, &address)),
            None => Err(NetError::unreachable(
                &format!("node {to}"),
                "not in this cluster",
            )),
        }
    }

    fn link(&self, id: u64, address: &str) -> Link {
        let (queue, queued) = mpsc::channel(QUEUE);
        let target = self.target(id, address);
        let task = keep_up(id, target, queued, self.handler.clone());
        Link {
            address: address.to_owned(),
            queue,
            room: Arc::new(Semaphore::new(QUEUE_BYTES)),
            task: self.runtime.spawn(task).abort_handle(),
        }
    }

    fn target(&self, id: u64, address: &str) -> Target {
        Target {
            address: address.to_owned(),
            name: tls::node_name(self.identity().cluster, id),
            tls: self.client.clone(),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connects again and again.
async fn keep_up(
    id: u64,
    target: Target,
    mut queue: mpsc::Receiver<Queued>,
    handler: Arc<dyn Handler>,
) {
    let mut pause = FIRST_PAUSE;
    let mut known = None;
    loop {
        let lost = match connect(&target).await {
            Ok(channel) => {
                // Who says no each time is not news.
                if pause < REFUSED_PAUSE {
                    tracing::info!(node = id, address = target.address, "connected to a node");
                    known = None;
                }
                pause = FIRST_PAUSE;
                stream(channel, &target, &mut queue).await
            }
            Err(error) => error,
        };
        if queue.is_closed() {
            return;
        }
        let is_refusal = matches!(lost, NetError::Refused { .. });
        let lost = lost.to_string();
        if known.as_ref() != Some(&lost) {
            tracing::warn!(node = id, lost, "no connection to a node");
            known = Some(lost);
        }
        while queue.try_recv().is_ok() {}
        handler.unreachable(id);
        if is_refusal {
            pause = REFUSED_PAUSE;
        }
        tokio::time::sleep(pause).await;
        if !is_refusal {
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }
}

/// Passes on what is queued until the connection ends.
async fn stream(channel: Channel, target: &Target, queue: &mut mpsc::Receiver<Queued>) -> NetError {
    let (sender, messages) = mpsc::channel(1);
    let mut client = NodeClient::with_interceptor(channel, speak)
        .max_encoding_message_size(MAX_MESSAGE)
        .max_decoding_message_size(MAX_MESSAGE);
    // A task of its own, so that it goes on while this one waits for room in it.
    let call = tokio::spawn(async move { client.send(ReceiverStream::new(messages)).await });
    loop {
        let queued = tokio::select! {
            queued = queue.recv() => queued,
            () = sender.closed() => break,
        };
        let Some(Queued { message, _room }) = queued else {
            break;
        };
        if sender.send(wire::Message { message }).await.is_err() {
            break;
        }
    }
    drop(sender);
    match call.await {
        Ok(Err(status)) => refused(&target.address, &status),
        Ok(Ok(_)) | Err(_) => NetError::unreachable(&target.address, "the connection was closed"),
    }
}

/// Whom to connect to.
pub(super) struct Target {
    /// host:port.
    pub(super) address: String,
    /// What its certificate must say.
    pub(super) name: ServerName<'static>,
    pub(super) tls: Arc<ClientConfig>,
}

/// One connection; it is not made again when it is lost.
pub(super) async fn connect(target: &Target) -> Result<Channel, NetError> {
    let why = |why: &dyn ToString| NetError::unreachable(&target.address, why.to_string());
    let stream = tokio::time::timeout(CONNECT, dial(target))
        .await
        .map_err(|_| why(&"no answer in time"))?
        .map_err(|error| why(&error))?;
    let mut stream = Some(TokioIo::new(stream));
    let once = service_fn(move |_| {
        let stream = stream.take();
        async move { stream.ok_or_else(|| std::io::Error::other("the connection was lost")) }
    });
    Endpoint::from_static("http://node.gitmoor.internal")
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .connect_with_connector(once)
        .await
        .map_err(|error| why(&error))
}

async fn dial(target: &Target) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(&target.address).await?;
    stream.set_nodelay(true)?;
    let connector = TlsConnector::from(target.tls.clone());
    connector.connect(target.name.clone(), stream).await
}

/// Says which version of the protocol this node speaks.
pub(super) fn speak(request: Request<()>) -> Result<Request<()>, Status> {
    Ok(speaking(PROTOCOL, request))
}

/// The same of a client.
pub(super) fn speak_as_client(request: Request<()>) -> Result<Request<()>, Status> {
    Ok(speaking(CLIENT_PROTOCOL, request))
}

fn speaking(version: u32, mut request: Request<()>) -> Request<()> {
    let version = MetadataValue::from(version);
    request.metadata_mut().insert(PROTOCOL_HEADER, version);
    request
}

/// What became of a request.
pub(super) fn refused(address: &str, status: &Status) -> NetError {
    match status.code() {
        tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::Cancelled => {
            NetError::unreachable(address, status.message())
        }
        _ => NetError::Refused {
            address: address.to_owned(),
            why: status.message().to_owned(),
        },
    }
}
