//! Who is refused: a node of another cluster, one that is not who it should be, one whose
//! certificate has expired, one that shows none, one that speaks no TLS.

use crate::support::{Cluster, REMOVED, TestNode, until};
use gitmoor_model::ClusterId;
use gitmoor_replicator::net::{Authority, Holder, Identity};
use rcgen::{CertificateParams, DnType, Issuer, KeyPair, SanType};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

/// It tries, is told no, and nothing arrives.
async fn is_refused(stranger: &TestNode, node: &TestNode, id: u64) {
    stranger.link(id, node.address());
    stranger.network.send(id, b"let me in".to_vec());
    until("it is refused, twice", || {
        stranger.heard.unreachable.lock().len() >= 2
    })
    .await;
    assert!(node.heard.messages.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_cluster() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let (node, stranger) = (ours.node(2).await, theirs.node(1).await);
    is_refused(&stranger, &node, 2).await;
}

/// It claims our cluster's id, in a certificate of its own making.
#[tokio::test(flavor = "multi_thread")]
async fn a_forger() {
    let ours = Cluster::new();
    let theirs = Cluster {
        id: ours.id,
        authority: Authority::found(ours.id).expect("a forgery").into(),
    };
    let (node, stranger) = (ours.node(2).await, theirs.node(1).await);
    is_refused(&stranger, &node, 2).await;
}

/// Addresses prove nothing: node 3 at the address of node 2 gets none of its messages.
#[tokio::test(flavor = "multi_thread")]
async fn another_node_of_the_cluster() {
    let cluster = Cluster::new();
    let (one, three) = (cluster.node(1).await, cluster.node(3).await);
    is_refused(&one, &three, 2).await;
}

/// It gets through the handshake, and is told no.
async fn is_told_no(stranger: &TestNode, node: &TestNode, why: &str) {
    stranger.link(2, node.address());
    stranger.network.send(2, b"let me in".to_vec());
    until("it is refused", || {
        !stranger.heard.unreachable.lock().is_empty()
    })
    .await;
    assert!(node.heard.messages.lock().is_empty());
    let asked = stranger
        .network
        .ask(2, b"well?".to_vec(), Duration::from_secs(10));
    let refused = asked.await.expect_err("nor is it answered").to_string();
    assert!(refused.contains(why), "{refused}");
}

/// A client has a certificate of the cluster, and is no node.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_talks_like_a_node() {
    let cluster = Cluster::new();
    let node = cluster.node(2).await;
    let client = cluster.authority.identity(Holder::Client(9));
    let client = TestNode::start(&cluster, client.expect("a certificate"), any()).await;
    is_told_no(&client, &node, "is not a node").await;
}

/// Its certificate is as good as ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node() {
    let cluster = Cluster::new();
    let (node, removed) = (cluster.node(2).await, cluster.node(REMOVED).await);
    is_told_no(&removed, &node, "was removed").await;
}

/// From the cluster's own key, for a year that is over.
fn expired(cluster: &Cluster, node: u64) -> Identity {
    let days = |days: u64| Duration::from_secs(days * 24 * 3600);
    let key = KeyPair::generate().expect("a key");
    let name = |id: ClusterId, prefix: String| {
        let name = format!("{prefix}node.{id}.gitmoor.internal");
        SanType::DnsName(name.try_into().expect("a DNS name"))
    };
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![
        name(cluster.id, format!("{node}.")),
        name(cluster.id, String::new()),
    ];
    params.not_before = (SystemTime::now() - days(400)).into();
    params.not_after = (SystemTime::now() - days(35)).into();
    let mut authority = CertificateParams::default();
    authority.distinguished_name = rcgen::DistinguishedName::new();
    let title = format!("gitmoor cluster {}", cluster.id);
    authority.distinguished_name.push(DnType::CommonName, title);
    let signer = KeyPair::try_from(cluster.authority.key()).expect("the cluster's key");
    let issuer = Issuer::new(authority, signer);
    let certificate = params.signed_by(&key, &issuer).expect("signed");
    let identity = Identity::load(
        key.serialized_der(),
        certificate.der(),
        cluster.authority.certificate(),
    );
    identity.expect("well formed")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate() {
    let cluster = Cluster::new();
    let node = cluster.node(2).await;
    let old = expired(&cluster, 1);
    assert!(old.expires < SystemTime::now());
    let old = TestNode::start(&cluster, old, any()).await;
    is_refused(&old, &node, 2).await;
    // Nor does anybody talk to it.
    let three = cluster.node(3).await;
    is_refused(&three, &old, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_no_tls() {
    let cluster = Cluster::new();
    let node = cluster.node(2).await;
    let mut stream = tokio::net::TcpStream::connect(node.address())
        .await
        .expect("it listens");
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .expect("sent");
    let mut answer = Vec::new();
    // An alert of TLS, or nothing at all; then the end.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    // It listens to others as before.
    let one = cluster.node(1).await;
    one.link(2, node.address());
    one.send(2, b"hello").await;
    until("it is there", || node.heard.messages_of(1).len() == 1).await;
}

/// Handshakes that never end must not keep others out.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing() {
    let cluster = Cluster::new();
    let node = cluster.node(2).await;
    let mut silent = Vec::new();
    for _ in 0..600 {
        let stream = tokio::net::TcpStream::connect(node.address()).await;
        silent.push(stream.expect("it listens"));
    }
    let one = cluster.node(1).await;
    one.link(2, node.address());
    one.send(2, b"hello").await;
    until("it is there", || node.heard.messages_of(1).len() == 1).await;
    drop(silent);
}

/// The key stays, and so does whom it is for.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate() {
    let cluster = Cluster::new();
    let old = cluster.identity(1);
    let new = cluster.authority.renew(&old).expect("renewed");
    assert_eq!((new.holder, new.key()), (old.holder, old.key()));
    assert!(new.certificate() != old.certificate() && new.expires >= old.expires);
    let anywhere = "127.0.0.1:0".parse().expect("an address");
    let one = TestNode::start(&cluster, new, anywhere).await;
    let two = cluster.node(2).await;
    one.link(2, two.address());
    one.send(2, b"still me").await;
    until("it is there", || two.heard.messages_of(1).len() == 1).await;
}
