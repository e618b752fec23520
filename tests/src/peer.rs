//! Who talks to the nodes of a cluster without being one of our programs: a client of another
//! making, with a client's certificate, and a stranger, who has none.

use crate::cluster::{BOUND, Cluster};
use gitmoor_model::{
    Actor, Command, Envelope, Member, Newcomer, Outcome, Part, SessionId, Timestamp,
};
use gitmoor_replicator::net::{Caller, Granted, Identity, NetError, Token, join};
use gitmoor_replicator::parsers::{ClientCall, ClientReply, ClientRequest, ClientResponse, Cursor};
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::runtime::Runtime;

/// A client of another making.
pub struct Peer {
    caller: Caller,
    runtime: Runtime,
    session: SessionId,
}

impl Peer {
    /// Admitted as a client with these options of `gitmoor cluster token`; it asks the first node.
    /// `machine` is a number that no machine of the cluster has.
    pub fn client(cluster: &Cluster, machine: usize, options: &[&str]) -> Peer {
        let token = [&["cluster", "token", "--client"], options].concat();
        let token = cluster.ok(cluster.running(), &token);
        cluster.ok(machine, &["cluster", "join", &token]);
        let read = |name: &str| {
            fs::read(cluster.data(machine).join("cluster").join(name)).expect("a file of a client")
        };
        let (key, certificate) = (read("client.key"), read("client.der"));
        let identity = Identity::load(&key, &certificate, &read("authority.der"));
        let runtime = Runtime::new().expect("a runtime");
        let _in_it = runtime.enter();
        let at = vec![cluster.address(cluster.running())];
        Peer {
            caller: Caller::new(identity.expect("a client's"), at).expect("it asks"),
            runtime,
            session: SessionId::random(),
        }
    }

    /// Sends these bytes as a request.
    pub fn say(&self, request: &[u8], bound: Duration) -> Result<Vec<u8>, NetError> {
        let deadline = tokio::time::Instant::now() + bound;
        let asked = self.caller.ask(request, bound, deadline);
        self.runtime.block_on(asked)
    }

    /// Asks something; `None` when there was no answer that means anything.
    pub fn ask(&self, request: ClientRequest) -> Option<ClientResponse> {
        let call = ClientCall {
            within: Duration::from_secs(3),
            request,
        };
        let call = postcard::to_stdvec(&call).expect("encodes");
        let reply = self.say(&call, Duration::from_secs(5)).ok()?;
        let reply: ClientReply = postcard::from_bytes(&reply).ok()?;
        Some(reply.response)
    }

    /// Proposes these bytes, as the command of this number in a session.
    pub fn propose(
        &self,
        session: SessionId,
        sequence: u64,
        data: Vec<u8>,
    ) -> Option<ClientResponse> {
        self.ask(ClientRequest::Propose {
            cursor: Cursor {
                index: 0,
                repos: Vec::new(),
            },
            session,
            sequence,
            data,
        })
    }

    /// Proposes a command in its own session; whether it was done.
    pub fn commits(&self, sequence: u64, command: Command) -> bool {
        let data = encoded(self.session, sequence, command);
        matches!(
            self.propose(self.session, sequence, data),
            Some(ClientResponse::Outcome(Outcome::Done(_), _))
        )
    }
}

/// A command as a client sends it.
pub fn encoded(session: SessionId, sequence: u64, command: Command) -> Vec<u8> {
    let envelope = Envelope {
        session,
        sequence,
        time: Timestamp::now(),
        actor: Actor::default(),
        command,
        trace: None,
    };
    postcard::to_stdvec(&envelope).expect("encodes")
}

/// A token with a secret of one's own.
pub fn forged(cluster: &Cluster, secret: [u8; 32], part: Part) -> Token {
    let machine = cluster.running();
    let authority = fs::read(cluster.data(machine).join("cluster/authority.der"));
    let status = cluster.status(machine);
    let id = status["cluster"].as_str().expect("a cluster's");
    Token {
        cluster: id.parse().expect("an id"),
        address: cluster.address(machine),
        authority: authority.expect("a node's"),
        secret,
        part,
    }
}

/// Asks to be admitted as a node.
pub async fn ask_to_join(token: &Token, address: &str) -> Result<Granted, String> {
    let address = address.to_owned();
    let joining = join(token, Newcomer::Node(Member { address }));
    match tokio::time::timeout(BOUND, joining).await {
        Ok(joined) => joined.map_err(|error| error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

/// A connection of a stranger, with TLS and HTTP/2 and without a certificate.
pub async fn stranger(token: &Token) -> tonic::transport::Channel {
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};
    let mut roots = RootCertStore::empty();
    roots.add(token.authority.clone().into()).expect("a root");
    let mut config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("it has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let address: SocketAddr = token.address.parse().expect("an address");
    let name = format!("node.{}.gitmoor.internal", token.cluster);
    let socket = tokio::net::TcpStream::connect(address)
        .await
        .expect("it listens");
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let stream = connector
        .connect(name.try_into().expect("a name"), socket)
        .await;
    let mut stream = Some(hyper_util::rt::TokioIo::new(stream.expect("it is let in")));
    let once = tower::service_fn(move |_| {
        let stream = stream.take();
        async move { stream.ok_or_else(|| std::io::Error::other("once")) }
    });
    tonic::transport::Endpoint::from_static("http://node.gitmoor.internal")
        .connect_with_connector(once)
        .await
        .expect("it speaks HTTP/2")
}
