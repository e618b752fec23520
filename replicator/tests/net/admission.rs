//! How a machine becomes a node.

use crate::support::{Cluster, TestNode, until};
use gitmoor_model::{Member, Newcomer, Part};
use gitmoor_replicator::net::{Granted, Holder, NetError, Token, join};
use std::sync::atomic::Ordering;

fn token(cluster: &Cluster, at: &TestNode, secret: [u8; 32]) -> Token {
    Token {
        cluster: cluster.id,
        address: at.address().to_string(),
        authority: cluster.authority.certificate().to_vec(),
        secret,
        part: Part::Node,
    }
}

fn node_at(address: &str) -> Newcomer {
    let address = address.to_owned();
    Newcomer::Node(Member { address })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_admits_once() {
    let cluster = Cluster::new();
    let one = cluster.node(1).await;
    one.heard.secrets.lock().push([7; 32]);
    // As a person copies it.
    let token = token(&cluster, &one, [7; 32]).to_string();
    let token: Token = format!("  {token}\n").parse().expect("a token");
    let granted = join(&token, node_at("127.0.0.1:7400")).await;
    let Granted {
        identity,
        authority,
        members,
    } = granted.expect("admitted");
    let node = identity.holder.id();
    assert_eq!(identity.holder, Holder::Node(node));
    assert_eq!(identity.cluster, cluster.id);
    let authority = authority.expect("a node gets it");
    assert_eq!(authority.certificate(), cluster.authority.certificate());
    assert_eq!(members[&node], "127.0.0.1:7400");

    let new = TestNode::start(&cluster, identity, "127.0.0.1:0".parse().expect("any")).await;
    new.link(1, one.address());
    new.send(1, b"here I am").await;
    until("it is heard", || one.heard.messages_of(node).len() == 1).await;

    let again = join(&token, node_at("127.0.0.1:7401")).await;
    let Err(NetError::Refused { why, .. }) = again else {
        panic!("a token works once: {:?}", again.map(|_| ()));
    };
    assert!(why.contains("gitmoor cluster token"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret() {
    let cluster = Cluster::new();
    let one = cluster.node(1).await;
    one.heard.secrets.lock().push([7; 32]);
    let wrong = join(&token(&cluster, &one, [8; 32]), node_at("127.0.0.1:7400")).await;
    assert!(matches!(wrong, Err(NetError::Refused { .. })));
    assert_eq!(one.heard.secrets.lock().len(), 1, "not used up");
}

/// The secret is for the cluster that made it: nobody else gets to see it.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_cluster() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let impostor = theirs.node(1).await;
    let secret = join(&token(&ours, &impostor, [7; 32]), node_at("127.0.0.1:7400")).await;
    assert!(matches!(secret, Err(NetError::Unreachable { .. })));
    assert_eq!(impostor.heard.admissions.load(Ordering::SeqCst), 0);
}

#[test]
fn what_is_no_token() {
    let cluster = Cluster::new();
    let token = Token {
        cluster: cluster.id,
        address: "a:1".to_owned(),
        authority: vec![1, 2, 3],
        secret: [0x5a; 32],
        part: Part::Client,
    };
    let text = token.to_string();
    assert!(text.parse::<Token>().expect("a token") == token);
    for wrong in [
        "",
        "gitmoor-join-",
        &text[..text.len() - 2],
        &format!("{text}AA"),
    ] {
        let error = wrong.parse::<Token>().expect_err("no token");
        assert!(
            error.to_string().contains("gitmoor cluster token"),
            "{error}"
        );
    }
    let shown = format!("{token:?}");
    let secret = format!("{:?}", token.secret);
    assert!(
        !shown.contains(&secret) && !shown.contains("secret"),
        "{shown}"
    );
}
