//! The listening side: what is said, and to whom it goes. Who may say it is [`super::gate`]'s.

use super::connection::{Connection, Doors, Entrance};
use super::gate::{Gate, Speaker};
use super::handler::Handler;
use super::join::Admission;
use super::method::Method;
use super::presented::Presented;
use super::services::admission_server::{self, AdmissionServer};
use super::services::clients_server::{self, ClientsServer};
use super::services::node_server::{self, NodeServer};
use super::snapshot::Incoming;
use super::{Holder, MAX_MESSAGE, NetError, tls, wire};
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
/// Bytes of the headers of a call.
const HEADERS: u32 = 16 << 10;
/// Calls that were taken back, by either side, and whose end is not known to both yet: who has
/// more is cut off.
const RESETS: usize = 20;

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
    let ((members, of_members), (strangers, of_strangers)) =
        (mpsc::channel(ACCEPTED), mpsc::channel(ACCEPTED));
    let doors = Doors { members, strangers };
    let cluster = own.identity().cluster;
    let entrance = Entrance::new(acceptor, cluster, handler.clone(), doors);
    let accepting = tokio::spawn(entrance.accept(listener));
    let service = Arc::new(Service {
        incoming: Incoming::new(incoming),
        handler: handler.clone(),
        stop: stop.clone(),
    });
    let gate = Gate::new(handler);
    let served = [(MEMBERS, of_members), (STRANGERS, of_strangers)];
    let [members, strangers] = served.map(|(limits, accepted)| {
        let server = serve(
            limits,
            gate.clone(),
            service.clone(),
            accepted,
            stop.clone(),
        );
        tokio::spawn(server)
    });
    Ok(Listening {
        address: at,
        tasks: [accepting, members, strangers],
    })
}

/// What HTTP/2 allows on one connection.
#[derive(Clone, Copy)]
struct Limits {
    /// Calls at a time.
    streams: u32,
    /// Bytes that are received before somebody wants them.
    window: u32,
}

const MEMBERS: Limits = Limits {
    streams: 128,
    window: 1 << 20,
};
const STRANGERS: Limits = Limits {
    streams: 2,
    window: 64 << 10,
};

/// Serves the connections of one door until told to stop.
async fn serve(
    Limits { streams, window }: Limits,
    gate: Gate,
    service: Arc<Service>,
    accepted: mpsc::Receiver<std::io::Result<Connection>>,
    stop: watch::Receiver<()>,
) {
    let node = NodeServer::from_arc(service.clone())
        .max_decoding_message_size(Method::Send.largest())
        .max_encoding_message_size(MAX_MESSAGE);
    let clients = ClientsServer::from_arc(service.clone())
        .max_decoding_message_size(Method::AskForClient.largest())
        .max_encoding_message_size(MAX_MESSAGE);
    let admission =
        AdmissionServer::from_arc(service).max_decoding_message_size(Method::Join.largest());
    let server = Server::builder()
        .http2_keepalive_interval(Some(ALIVE / 2))
        .http2_keepalive_timeout(Some(ALIVE / 2))
        .http2_max_header_list_size(HEADERS)
        .http2_max_pending_accept_reset_streams(Some(RESETS))
        .http2_max_local_error_reset_streams(Some(RESETS))
        .max_concurrent_streams(streams)
        .initial_stream_window_size(window)
        .initial_connection_window_size(window)
        .layer(gate)
        .add_service(node)
        .add_service(clients)
        .add_service(admission)
        .serve_with_incoming_shutdown(ReceiverStream::new(accepted), stopped(stop));
    if let Err(error) = server.await {
        tracing::error!(%error, "the server for other nodes ended");
    }
}

/// A server that runs.
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    /// End when it has stopped.
    pub(super) tasks: [JoinHandle<()>; 3],
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

    fn node<T>(&self, request: &Request<T>) -> Result<u64, Status> {
        match speaker(request)?.holder {
            Some(Holder::Node(id)) => Ok(id),
            Some(Holder::Client(_)) | None => Err(unlisted()),
        }
    }

    fn client<T>(&self, request: &Request<T>) -> Result<u64, Status> {
        match speaker(request)?.holder {
            Some(Holder::Client(id)) => Ok(id),
            Some(Holder::Node(_)) | None => Err(unlisted()),
        }
    }
}

/// Whom the gate let in.
fn speaker<T>(request: &Request<T>) -> Result<Speaker, Status> {
    let speaker = request.extensions().get::<Speaker>().copied();
    speaker.ok_or_else(unlisted)
}

/// The gate lets in whom [`Method::who`] names, so that this is a fault of ours.
fn unlisted() -> Status {
    Status::internal("this caller should not have come so far")
}

fn answered(answer: Result<Vec<u8>, String>) -> Result<Response<wire::AskResponse>, Status> {
    match answer {
        Ok(response) => Ok(Response::new(wire::AskResponse { response })),
        Err(why) => Err(Status::aborted(why)),
    }
}

#[tonic::async_trait]
impl clients_server::Clients for Service {
    async fn ask(
        &self,
        request: Request<wire::AskRequest>,
    ) -> Result<Response<wire::AskResponse>, Status> {
        let client = self.client(&request)?;
        let wire::AskRequest { request } = request.into_inner();
        answered(self.handler.serve(client, request).await)
    }
}

#[tonic::async_trait]
impl node_server::Node for Service {
    async fn send(
        &self,
        request: Request<Streaming<wire::PeerMessage>>,
    ) -> Result<Response<wire::Empty>, Status> {
        let from = self.node(&request)?;
        let mut messages = request.into_inner();
        self.until_stopped(async {
            while let Some(wire::PeerMessage { message }) = messages.message().await? {
                // It may be removed while it speaks.
                if !self.handler.welcomes(from) {
                    return Err(Status::permission_denied("this node was removed"));
                }
                self.handler.message(from, message);
            }
            Ok(Response::new(wire::Empty {}))
        })
        .await
    }

    async fn ask(
        &self,
        request: Request<wire::AskRequest>,
    ) -> Result<Response<wire::AskResponse>, Status> {
        let from = self.node(&request)?;
        let wire::AskRequest { request } = request.into_inner();
        answered(self.handler.ask(from, request).await)
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
    ) -> Result<Response<wire::Empty>, Status> {
        let from = self.node(&request)?;
        let receive = async {
            let snapshot = self.incoming.receive(from, request.into_inner()).await?;
            if !self.handler.welcomes(from) {
                return Err(Status::permission_denied("this node was removed"));
            }
            let taken = self.handler.snapshot(from, snapshot).await;
            taken.map_err(Status::aborted)
        };
        self.until_stopped(receive).await?;
        Ok(Response::new(wire::Empty {}))
    }
}

#[tonic::async_trait]
impl admission_server::Admission for Service {
    async fn join(
        &self,
        request: Request<wire::JoinRequest>,
    ) -> Result<Response<wire::Admitted>, Status> {
        let address = speaker(&request)?.address;
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
