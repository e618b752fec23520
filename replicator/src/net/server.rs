//! The listening side: who may say what, and to whom it goes.

use super::connection::{self, Connection, Peer};
use super::join::{Admission, Joined, Refusal};
use super::presented::Presented;
use super::services::admission_server::{self, AdmissionServer};
use super::services::clients_server::{self, ClientsServer};
use super::services::node_server::{self, NodeServer};
use super::snapshot::Incoming;
use super::{Holder, MAX_MESSAGE, NetError, PROTOCOL, PROTOCOL_HEADER, tls, wire};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// A peer that says nothing, not even that it is alive, for this long, has gone.
const ALIVE: Duration = Duration::from_secs(10);
/// Accepted connections that the server has not looked at yet.
const ACCEPTED: usize = 16;

/// Who receives what the network carries. Nothing here may block.
#[tonic::async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Whether a node or client of the cluster may say anything; not when it was removed.
    fn welcomes(&self, holder: u64) -> bool;

    /// A message from a peer. It may be dropped: raft sends again.
    fn message(&self, from: u64, message: Vec<u8>);

    /// A whole snapshot from a peer, verified.
    fn snapshot(&self, from: u64, snapshot: Vec<u8>);

    /// A message to this peer did not arrive, or may not have.
    fn unreachable(&self, to: u64);

    /// A question of a peer. An error says why there is no answer.
    async fn ask(&self, from: u64, question: Vec<u8>) -> Result<Vec<u8>, String>;

    /// A question of a client of the cluster. An error says why there is no answer.
    async fn serve(&self, client: u64, question: Vec<u8>) -> Result<Vec<u8>, String>;

    /// A stranger wants to be a node or client.
    async fn admit(&self, admission: Admission) -> Result<Joined, Refusal>;
}

/// Listens until the sender of `stop` is dropped.
pub(super) async fn listen(
    own: &Arc<Presented>,
    address: SocketAddr,
    incoming: PathBuf,
    handler: Arc<dyn Handler>,
    stop: watch::Receiver<()>,
) -> Result<Listening, NetError> {
    let acceptor = TlsAcceptor::from(Arc::new(tls::server(own)?));
    let listener = TcpListener::bind(address).await;
    let bound = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (at, listener) = bound.map_err(|source| NetError::Listen { address, source })?;
    let (sender, accepted) = mpsc::channel(ACCEPTED);
    let accepting = tokio::spawn(connection::accept(listener, acceptor, sender));
    let service = Arc::new(Service {
        incoming: Incoming::new(incoming),
        handler,
        stop: stop.clone(),
    });
    let node = NodeServer::from_arc(service.clone())
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    let clients = ClientsServer::from_arc(service.clone())
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    let server = Server::builder()
        .http2_keepalive_interval(Some(ALIVE / 2))
        .http2_keepalive_timeout(Some(ALIVE / 2))
        .add_service(node)
        .add_service(clients)
        .add_service(AdmissionServer::from_arc(service))
        .serve_with_incoming_shutdown(
            ReceiverStream::<std::io::Result<Connection>>::new(accepted),
            stopped(stop),
        );
    let serving = tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the server for other nodes ended");
        }
    });
    Ok(Listening {
        address: at,
        tasks: [accepting, serving],
    })
}

/// A server that runs.
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    /// End when it has stopped.
    pub(super) tasks: [JoinHandle<()>; 2],
}

async fn stopped(mut stop: watch::Receiver<()>) {
    while stop.changed().await.is_ok() {}
}

struct Service {
    incoming: Incoming,
    handler: Arc<dyn Handler>,
    stop: watch::Receiver<()>,
}

impl Service {
    /// Streams last for as long as both nodes do: a server that stops would wait for them.
    async fn until_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        tokio::select! {
            done = work => done,
            () = stopped(self.stop.clone()) => Err(Status::unavailable("this node stops")),
        }
    }

    /// The node that asks. Others are refused, and that is logged: it is an attack or a mistake.
    fn node<T>(&self, request: &Request<T>) -> Result<u64, Status> {
        match self.holder(request)? {
            (_, Holder::Node(id)) => Ok(id),
            (address, other @ Holder::Client(_)) => Err(misplaced(address, other, "a node")),
        }
    }

    /// The client that asks, likewise.
    fn client<T>(&self, request: &Request<T>) -> Result<u64, Status> {
        match self.holder(request)? {
            (_, Holder::Client(id)) => Ok(id),
            (address, other @ Holder::Node(_)) => Err(misplaced(address, other, "a client")),
        }
    }

    fn holder<T>(&self, request: &Request<T>) -> Result<(SocketAddr, Holder), Status> {
        let Peer { address, holder } = peer(request)?;
        match holder {
            Some(holder) if self.handler.welcomes(holder.id()) => Ok((address, holder)),
            Some(holder) => {
                tracing::warn!(%address, %holder, "refused: it was removed");
                let why = format!("{holder} was removed from this cluster");
                Err(Status::permission_denied(why))
            }
            None => {
                tracing::warn!(%address, "refused: no certificate");
                let why = "this needs a certificate of the cluster: see gitmoor cluster join";
                Err(Status::unauthenticated(why))
            }
        }
    }
}

fn misplaced(address: SocketAddr, holder: Holder, wanted: &str) -> Status {
    tracing::warn!(%address, %holder, "refused: only {wanted} may say this");
    Status::permission_denied(format!("{holder} is not {wanted}"))
}

fn answered(answer: Result<Vec<u8>, String>) -> Result<Response<wire::Reply>, Status> {
    match answer {
        Ok(reply) => Ok(Response::new(wire::Reply { reply })),
        Err(why) => Err(Status::aborted(why)),
    }
}

#[tonic::async_trait]
impl clients_server::Clients for Service {
    async fn ask(&self, request: Request<wire::Question>) -> Result<Response<wire::Reply>, Status> {
        let client = self.client(&request)?;
        let wire::Question { question } = request.into_inner();
        answered(self.handler.serve(client, question).await)
    }
}

#[tonic::async_trait]
impl node_server::Node for Service {
    async fn send(
        &self,
        request: Request<Streaming<wire::Message>>,
    ) -> Result<Response<wire::Received>, Status> {
        let from = self.node(&request)?;
        let mut messages = request.into_inner();
        self.until_stopped(async {
            while let Some(wire::Message { message }) = messages.message().await? {
                self.handler.message(from, message);
            }
            Ok(Response::new(wire::Received {}))
        })
        .await
    }

    async fn ask(&self, request: Request<wire::Question>) -> Result<Response<wire::Reply>, Status> {
        let from = self.node(&request)?;
        let wire::Question { question } = request.into_inner();
        answered(self.handler.ask(from, question).await)
    }

    async fn has_snapshot(
        &self,
        request: Request<wire::SnapshotName>,
    ) -> Result<Response<wire::SnapshotOffset>, Status> {
        let from = self.node(&request)?;
        let offset = self.incoming.has(from, &request.into_inner()).await?;
        Ok(Response::new(wire::SnapshotOffset { offset }))
    }

    async fn send_snapshot(
        &self,
        request: Request<Streaming<wire::SnapshotPiece>>,
    ) -> Result<Response<wire::Received>, Status> {
        let from = self.node(&request)?;
        let receive = self.incoming.receive(from, request.into_inner());
        let snapshot = self.until_stopped(receive).await?;
        self.handler.snapshot(from, snapshot);
        Ok(Response::new(wire::Received {}))
    }
}

#[tonic::async_trait]
impl admission_server::Admission for Service {
    async fn join(
        &self,
        request: Request<wire::JoinRequest>,
    ) -> Result<Response<wire::Admitted>, Status> {
        let Peer { address, .. } = peer(&request)?;
        let admission = Admission::from(request.into_inner());
        let wanted = format!("{:?}", admission.newcomer);
        match self.handler.admit(admission).await {
            Ok(joined) => {
                tracing::info!(id = joined.id, wanted, "admitted");
                Ok(Response::new(joined.into()))
            }
            Err(refusal) => {
                tracing::warn!(%address, %refusal, "refused to admit");
                Err(refusal.into())
            }
        }
    }
}

/// Whoever asks, if it speaks our language.
fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    let peer = request.extensions().get::<Peer>().copied();
    let peer = peer.expect("every connection is one of ours");
    let spoken = request.metadata().get(PROTOCOL_HEADER);
    let spoken = spoken.and_then(|version| version.to_str().ok());
    if spoken == Some(PROTOCOL.to_string().as_str()) {
        return Ok(peer);
    }
    let spoken = spoken.unwrap_or("none");
    tracing::warn!(address = %peer.address, spoken, "refused: another version of the protocol");
    Err(Status::failed_precondition(format!(
        "this node speaks version {PROTOCOL} of the protocol, the other {spoken}"
    )))
}
