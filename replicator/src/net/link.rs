//! The network of a node: its port, and a link to every other node, each with a queue of its own.
//!
//! A link whose node does not answer drops what is queued: raft sends again, and old messages
//! would only be in the way of new ones. Snapshots have a connection of their own, so that
//! heartbeats do not stand behind them.

use super::dial::{Target, connect, refused, speak};
use super::handler::Handler;
use super::presented::Presented;
use super::server::{self, Listening};
use super::services::node_client::NodeClient;
use super::snapshot::Source;
use super::{Identity, MAX_MESSAGE, NetError, snapshot, tls, wire};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::AbortHandle;
use tokio_rustls::rustls::ClientConfig;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

/// Messages that wait for a link. Raft has at most this many in flight to a peer.
const QUEUE: usize = 512;
/// Bytes of them. A message that is larger than all of it has it for itself.
const QUEUE_BYTES: usize = 64 << 20;
/// Between attempts to reach a node; doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After one that said no: it was removed, or speaks another version.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);

/// What is under way when the network closes has this time to notice.
const CLOSING: Duration = Duration::from_secs(5);

/// This node's port, and its links to the others. Both end when it is dropped; the port is
/// free when it is closed.
pub struct Network {
    own: Arc<Presented>,
    client: Arc<ClientConfig>,
    links: Mutex<BTreeMap<u64, Link>>,
    /// Connections by which requests went, with the addresses.
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

    /// The address that this node listens on.
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

    /// Requests something of a node, on a connection for requests. One that was lost meanwhile is made
    /// anew; then the node may get the request twice.
    pub async fn ask(
        &self,
        to: u64,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, NetError> {
        let target = self.known(to)?;
        let ask = async {
            let before = self.asked.lock().remove(&to);
            if let Some((address, channel)) = before
                && address == target.address
            {
                match self.ask_by(to, &target, channel, request.clone()).await {
                    Err(NetError::Unreachable { .. }) => {}
                    answered => return answered,
                }
            }
            let channel = connect(&target).await?;
            self.ask_by(to, &target, channel, request).await
        };
        match tokio::time::timeout(timeout, ask).await {
            Ok(reply) => reply,
            Err(_) => Err(NetError::unreachable(&target.address, "no answer in time")),
        }
    }

    /// Keeps the connection for the next request, if this one was answered.
    async fn ask_by(
        &self,
        to: u64,
        target: &Target,
        channel: Channel,
        request: Vec<u8>,
    ) -> Result<Vec<u8>, NetError> {
        let mut client = NodeClient::with_interceptor(channel.clone(), speak)
            .max_encoding_message_size(MAX_MESSAGE)
            .max_decoding_message_size(MAX_MESSAGE);
        let reply = client.ask(wire::AskRequest { request }).await;
        let reply = reply.map_err(|status| refused(&target.address, &status))?;
        self.asked
            .lock()
            .insert(to, (target.address.clone(), channel));
        Ok(reply.into_inner().response)
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
        if sender.send(wire::PeerMessage { message }).await.is_err() {
            break;
        }
    }
    drop(sender);
    match call.await {
        Ok(Err(status)) => refused(&target.address, &status),
        Ok(Ok(_)) | Err(_) => NetError::unreachable(&target.address, "the connection was closed"),
    }
}
