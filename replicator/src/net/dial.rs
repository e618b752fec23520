//! The connecting side: one connection to one machine, and how a request on it begins and ends.

use super::{CLIENT_PROTOCOL, NetError, PROTOCOL, PROTOCOL_HEADER};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tower::service_fn;

/// A node that does not answer the phone in this time is not there.
const CONNECT: Duration = Duration::from_secs(3);
/// How soon a node that stops answering is noticed, twice over.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

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
