//! What only a peer of another making says: the services are asked by hand.

use super::method::Method;
use super::presented::Presented;
use super::services::node_client::NodeClient;
use super::{Admission, Authority, ClusterId, Handler, Holder, Joined, Network, Received, Refusal};
use super::{CLIENT_PROTOCOL, PROTOCOL, PROTOCOL_HEADER, dial, tls, wire};
use parking_lot::Mutex;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};

/// Nobody hears this one.
const REMOVED: u64 = 77;

#[derive(Default)]
struct Heard {
    is_deaf: AtomicBool,
    messages: Mutex<Vec<Vec<u8>>>,
    snapshots: Mutex<Vec<Vec<u8>>>,
}

#[tonic::async_trait]
impl Handler for Heard {
    fn welcomes(&self, holder: u64) -> bool {
        holder != REMOVED && !self.is_deaf.load(Ordering::SeqCst)
    }

    fn message(&self, _: u64, message: Vec<u8>) {
        self.messages.lock().push(message);
    }

    async fn snapshot(&self, _: u64, snapshot: Received) -> Result<(), String> {
        let mut bytes = Vec::new();
        let read = snapshot
            .open()
            .and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(|error| error.to_string())?;
        self.snapshots.lock().push(bytes);
        Ok(())
    }

    fn unreachable(&self, _: u64) {}

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

    async fn admit(&self, _: Admission) -> Result<Joined, Refusal> {
        Err(Refusal::NotNow("nobody is admitted here".to_owned()))
    }
}

/// Node 2 of a cluster, which listens.
struct Second {
    authority: Authority,
    heard: Arc<Heard>,
    network: Network,
    dir: TempDir,
}

async fn second() -> Second {
    let authority = Authority::found(ClusterId::random()).expect("a cluster");
    let (dir, heard) = (tempfile::tempdir().expect("dir"), Arc::<Heard>::default());
    let any = "127.0.0.1:0".parse().expect("an address");
    let own = authority.identity(Holder::Node(2)).expect("a certificate");
    let network = Network::start(own, any, dir.path().join("incoming"), heard.clone()).await;
    Second {
        authority,
        heard,
        network: network.expect("it listens"),
        dir,
    }
}

impl Second {
    fn target(&self, tls: ClientConfig) -> dial::Target {
        dial::Target {
            address: self.network.address().to_string(),
            name: tls::node_name(self.authority.cluster(), 2),
            tls: tls.into(),
        }
    }
}

/// Node 2, and a connection to it as node 1.
struct Pair {
    heard: Arc<Heard>,
    channel: tonic::transport::Channel,
    _two: Network,
    _dir: TempDir,
}

async fn pair() -> Pair {
    let two = second().await;
    let own = two.authority.identity(Holder::Node(1));
    let own = Presented::new(own.expect("a certificate")).expect("a certificate");
    let target = two.target(tls::client(&own).expect("a certificate"));
    Pair {
        heard: two.heard,
        channel: dial::connect(&target).await.expect("connected"),
        _two: two.network,
        _dir: two.dir,
    }
}

fn messages(messages: &[&[u8]]) -> impl futures::Stream<Item = wire::PeerMessage> + use<> {
    let message = |message: &&[u8]| wire::PeerMessage {
        message: message.to_vec(),
    };
    let messages: Vec<_> = messages.iter().map(message).collect();
    futures::stream::iter(messages)
}

#[tokio::test]
async fn another_version_is_refused() {
    let pair = pair().await;
    let speak_2 = |mut request: Request<()>| {
        let version = MetadataValue::from(super::PROTOCOL + 1);
        request.metadata_mut().insert(PROTOCOL_HEADER, version);
        Ok::<_, Status>(request)
    };
    let mut newer = NodeClient::with_interceptor(pair.channel.clone(), speak_2);
    let refused = newer
        .send(messages(&[b"hello"]))
        .await
        .expect_err("refused");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains(&format!("version {PROTOCOL}")),
        "{refused}"
    );
    let mut silent = NodeClient::new(pair.channel.clone());
    let refused = silent.send(messages(&[b"hello"])).await;
    assert_eq!(
        refused.expect_err("refused").code(),
        Code::FailedPrecondition
    );
    assert!(pair.heard.messages.lock().is_empty());
}

#[tokio::test]
async fn an_oversized_message_is_refused() {
    let pair = pair().await;
    let mut client = NodeClient::with_interceptor(pair.channel.clone(), dial::speak)
        .max_encoding_message_size(usize::MAX);
    let huge = vec![0; super::MAX_MESSAGE + 1];
    let refused = client.send(messages(&[&huge])).await.expect_err("refused");
    assert_eq!(refused.code(), Code::OutOfRange);
    assert!(pair.heard.messages.lock().is_empty());
    client.send(messages(&[b"hello"])).await.expect("taken");
    assert_eq!(*pair.heard.messages.lock(), [b"hello"]);
}

fn pieces(digest: &[u8], size: u64, parts: &[(u64, &[u8])]) -> Vec<wire::SnapshotPiece> {
    let mut name = Some(wire::SnapshotName {
        digest: digest.to_vec(),
        size,
    });
    let piece = |(offset, bytes): &(u64, &[u8])| wire::SnapshotPiece {
        name: name.take(),
        offset: *offset,
        bytes: bytes.to_vec(),
    };
    parts.iter().map(piece).collect()
}

#[tokio::test]
async fn a_snapshot_that_is_not_what_it_says() {
    let pair = pair().await;
    let mut client = NodeClient::with_interceptor(pair.channel.clone(), dial::speak);
    let digest = *blake3::hash(b"the truth").as_bytes();
    let wrong: [(Code, Vec<_>); 6] = [
        (Code::DataLoss, pieces(&digest, 9, &[(0, b"the lies!")])),
        (Code::DataLoss, pieces(&[], 9, &[(0, b"the truth")])),
        (Code::Aborted, pieces(&digest, 9, &[(0, b"the")])),
        (Code::InvalidArgument, pieces(&digest, 9, &[(4, b"truth")])),
        (
            Code::InvalidArgument,
            pieces(&digest, 9, &[(3, b" truth, and more")]),
        ),
        (Code::InvalidArgument, Vec::new()),
    ];
    for (number, (code, pieces)) in wrong.into_iter().enumerate() {
        let refused = client.send_snapshot(futures::stream::iter(pieces)).await;
        assert_eq!(refused.expect_err("refused").code(), code, "{number}");
    }
    assert!(pair.heard.snapshots.lock().is_empty());
    let name = wire::SnapshotName {
        digest: digest.to_vec(),
        size: 9,
    };
    let has = client.has_snapshot(name).await.expect("answered");
    assert_eq!(
        has.into_inner().offset,
        3,
        "of the one that ended too early"
    );
    let rest = pieces(&digest, 9, &[(3, b" truth")]);
    client
        .send_snapshot(futures::stream::iter(rest))
        .await
        .expect("whole");
    assert_eq!(*pair.heard.snapshots.lock(), [b"the truth"]);
}

/// The certificates that both sides of a new connection show.
async fn shown(network: &Network, own: &Arc<Presented>) -> [Vec<u8>; 2] {
    let connector = TlsConnector::from(Arc::new(tls::client(own).expect("a certificate")));
    let acceptor = TlsAcceptor::from(Arc::new(tls::server(own).expect("a certificate")));
    let name = tls::node_name(network.identity().cluster, network.identity().node());
    let socket = TcpStream::connect(network.address())
        .await
        .expect("connected");
    let theirs = connector.connect(name, socket).await.expect("trusted");
    let first = |chain: Option<&[CertificateDer<'_>]>| chain.expect("shown")[0].to_vec();
    let seen = first(theirs.get_ref().1.peer_certificates());
    // And what we show: to ourselves, as node 1.
    let (one, other) = tokio::io::duplex(1 << 16);
    let name = tls::node_name(own.identity().cluster, own.identity().node());
    let (_, accepted) = tokio::join!(connector.connect(name, one), acceptor.accept(other));
    let ours = first(accepted.expect("trusted").get_ref().1.peer_certificates());
    [seen, ours]
}

/// Connections that begin after a renewal show the new certificate, on both sides.
#[tokio::test]
async fn certificates_are_made_anew_while_both_run() {
    let two = second().await;
    let (authority, network) = (&two.authority, &two.network);
    let identity = |id| authority.identity(Holder::Node(id)).expect("a certificate");
    let own = Presented::new(identity(1)).expect("a certificate");
    for _ in 0..2 {
        let [theirs, ours] = shown(network, &own).await;
        assert_eq!(theirs, network.identity().certificate());
        assert_eq!(ours, own.identity().certificate());
        let renewed = authority.renew(&network.identity()).expect("renewed");
        network.present(renewed).expect("its own");
        let renewed = authority.renew(&own.identity()).expect("renewed");
        own.present(renewed).expect("its own");
        assert!(network.identity().certificate() != theirs);
        assert!(own.identity().certificate() != ours);
    }
}

/// Everybody who may be at the other end, by how it connects.
fn everybody(authority: &Authority) -> Vec<(Option<Holder>, ClientConfig)> {
    let known = |holder| {
        let own = Presented::new(authority.identity(holder).expect("a certificate"));
        tls::client(&own.expect("a certificate")).expect("its own")
    };
    let root = CertificateDer::from(authority.certificate().to_vec());
    let stranger = tls::stranger(&root).expect("the cluster's");
    let holders = [NODE, CLIENT, Holder::Node(REMOVED), Holder::Client(REMOVED)];
    let all = holders.map(|holder| (Some(holder), known(holder)));
    all.into_iter().chain([(None, stranger)]).collect()
}

const NODE: Holder = Holder::Node(1);
const CLIENT: Holder = Holder::Client(9);

/// A request, by hand.
fn request(path: &str, body: tonic::body::Body) -> http::Request<tonic::body::Body> {
    let version = match path.contains(".Clients/") {
        true => CLIENT_PROTOCOL,
        false => PROTOCOL,
    };
    http::Request::post(format!("http://node.gitmoor.internal{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header(PROTOCOL_HEADER, version)
        .body(body)
        .expect("a request")
}

/// One message of nothing.
fn nothing() -> tonic::body::Body {
    tonic::body::Body::new(http_body_util::Full::new(bytes::Bytes::from_static(
        &[0; 5],
    )))
}

/// A message that is announced and never comes.
fn announced() -> tonic::body::Body {
    let head = bytes::Bytes::from_static(&[0, 0, 0, 0, 9]);
    let head = futures::stream::iter([Ok::<_, Status>(http_body::Frame::data(head))]);
    let body = futures::StreamExt::chain(head, futures::stream::pending());
    tonic::body::Body::new(http_body_util::StreamBody::new(body))
}

/// The code with which a call is refused before it is heard.
async fn refusal(
    channel: &mut tonic::transport::Channel,
    path: &str,
    body: tonic::body::Body,
) -> Option<Code> {
    std::future::poll_fn(|cx| tower::Service::poll_ready(channel, cx))
        .await
        .expect("connected");
    let answer = tower::Service::call(channel, request(path, body));
    let answer = tokio::time::timeout(Duration::from_secs(60), answer).await;
    let answer = answer.expect("an answer").expect("an answer");
    let code = Status::from_header_map(answer.headers()).map(|status| status.code());
    code.filter(|code| {
        matches!(
            code,
            Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented
        )
    })
}

/// Each kind of caller, and each call: who may not is refused before its message is there.
#[tokio::test]
async fn who_may_call_what() {
    let two = second().await;
    for (holder, config) in everybody(&two.authority) {
        let target = two.target(config);
        let mut channel = dial::connect(&target).await.expect("let in");
        for method in Method::ALL {
            let may = match method {
                Method::Send | Method::AskNode | Method::HasSnapshot | Method::SendSnapshot => {
                    holder == Some(NODE)
                }
                Method::AskForClient => holder == Some(CLIENT),
                Method::Join => true,
            };
            let body = if may { nothing() } else { announced() };
            let refused = refusal(&mut channel, method.path(), body).await;
            assert_eq!(refused.is_none(), may, "{holder:?} {method:?}: {refused:?}");
            let expected = match holder {
                None => Code::Unauthenticated,
                Some(_) => Code::PermissionDenied,
            };
            assert!(may || refused == Some(expected), "{holder:?} {method:?}");
        }
        for path in ["/gitmoor.v1.Node/Halt", "/gitmoor.v2.Node/Ask", "/", "*"] {
            let refused = refusal(&mut channel, path, announced()).await;
            assert_eq!(refused, Some(Code::Unimplemented), "{holder:?} {path}");
        }
    }
    // The messages of node 1, and of nobody else.
    assert_eq!(two.heard.messages.lock().len(), 1);
}

/// A call that says more than it may ends, with whatever it says.
#[tokio::test]
async fn what_is_too_large_for_its_call() {
    let two = second().await;
    for (holder, config) in everybody(&two.authority) {
        let target = two.target(config);
        let methods = match holder {
            Some(NODE) => vec![Method::HasSnapshot, Method::AskNode, Method::Join],
            Some(CLIENT) => vec![Method::AskForClient, Method::Join],
            Some(_) | None => vec![Method::Join],
        };
        for method in methods {
            // Messages without an end, each of which could be one.
            let piece = bytes::Bytes::from([&[0, 0, 0, 4, 0], &[0; 1024][..]].concat());
            let pieces = std::iter::repeat_with(move || {
                Ok::<_, Status>(http_body::Frame::data(piece.clone()))
            });
            let body = http_body_util::StreamBody::new(futures::stream::iter(pieces));
            let mut channel = dial::connect(&target).await.expect("let in");
            std::future::poll_fn(|cx| tower::Service::poll_ready(&mut channel, cx))
                .await
                .expect("connected");
            let call = tower::Service::call(
                &mut channel,
                request(method.path(), tonic::body::Body::new(body)),
            );
            let ended = tokio::time::timeout(Duration::from_secs(60), call).await;
            assert!(ended.is_ok(), "{holder:?} {method:?} goes on");
        }
    }
}

/// Its stream is as old as its link.
#[tokio::test]
async fn a_node_that_is_removed_while_it_speaks() {
    let pair = pair().await;
    let (sender, messages) = tokio::sync::mpsc::channel(1);
    let mut client = NodeClient::with_interceptor(pair.channel.clone(), dial::speak);
    let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
    let speaking = tokio::spawn(async move { client.send(messages).await });
    let say = |message: &[u8]| wire::PeerMessage {
        message: message.to_vec(),
    };
    sender.send(say(b"one")).await.expect("taken");
    let heard = pair.heard.clone();
    while heard.messages.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    heard.is_deaf.store(true, Ordering::SeqCst);
    sender.send(say(b"two")).await.expect("sent");
    let refused = speaking.await.expect("it ends").expect_err("refused");
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(*heard.messages.lock(), [b"one"]);
}

/// A connection of nobody ends, at whatever stage it stands still.
#[tokio::test]
async fn strangers_that_ask_nothing_leave() {
    let two = second().await;
    let (authority, address) = (&two.authority, two.network.address());
    let connect = || async { TcpStream::connect(address).await.expect("it listens") };
    let silent = connect().await;
    let mut begun = connect().await;
    begun.write_all(&[0x16]).await.expect("sent");
    let root = CertificateDer::from(authority.certificate().to_vec());
    let connector = TlsConnector::from(Arc::new(tls::stranger(&root).expect("the cluster's")));
    let name = tls::node_name(authority.cluster(), 2);
    let through = connector
        .connect(name, connect().await)
        .await
        .expect("let in");
    let ends = async |mut stream: Box<dyn AsyncRead + Unpin>| {
        let mut left = [0; 1024];
        while !matches!(stream.read(&mut left).await, Ok(0) | Err(_)) {}
    };
    let all: [Box<dyn AsyncRead + Unpin>; 3] =
        [Box::new(silent), Box::new(begun), Box::new(through)];
    for stream in all {
        let ended = tokio::time::timeout(Duration::from_secs(60), ends(stream)).await;
        ended.expect("it ends");
    }
}
