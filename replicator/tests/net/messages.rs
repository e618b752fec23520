//! Messages between nodes of one cluster.

use crate::support::{BOUND, Cluster, until};
use std::collections::BTreeMap;

fn numbered(number: u32) -> Vec<u8> {
    let mut message = number.to_be_bytes().to_vec();
    message.resize(4 + number as usize % 5000, 7);
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn arrive_whole_and_in_order() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.node(1).await, cluster.node(2).await);
    one.link(2, two.address());
    for number in 0..3000 {
        one.send(2, &numbered(number)).await;
    }
    until("all are there", || two.heard.messages_of(1).len() == 3000).await;
    let wanted: Vec<_> = (0..3000).map(numbered).collect();
    assert!(two.heard.messages_of(1) == wanted);
    assert!(one.heard.unreachable.lock().is_empty());
}

/// A raft message has at most one entry more than raft's limit, and an entry may be large.
#[tokio::test(flavor = "multi_thread")]
async fn large_ones_too() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.node(1).await, cluster.node(2).await);
    one.link(2, two.address());
    let large = vec![1; 32 << 20];
    one.send(2, &large).await;
    until("it is there", || two.heard.messages_of(1).len() == 1).await;
    assert!(two.heard.messages_of(1)[0] == large);
}

/// What cannot be sent is reported, not kept: and the link is there again when the node is.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_goes_and_comes_back() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.node(1).await, cluster.node(2).await);
    let address = two.address();
    one.link(2, address);
    one.send(2, b"before").await;
    until("it is there", || two.heard.messages_of(1).len() == 1).await;
    drop(two);
    until("it is missed", || one.heard.unreachable.lock().contains(&2)).await;
    let two = cluster.node_at(2, address).await;
    until("messages arrive again", || {
        one.network.send(2, b"after".to_vec());
        !two.heard.messages_of(1).is_empty()
    })
    .await;
    assert_eq!(two.heard.messages_of(1)[0], b"after");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_changes() {
    let cluster = Cluster::new();
    let (one, old) = (cluster.node(1).await, cluster.node(2).await);
    one.link(2, old.address());
    one.send(2, b"to the old").await;
    until("it is there", || old.heard.messages_of(1).len() == 1).await;
    let new = cluster.node(2).await;
    one.link(2, new.address());
    one.send(2, b"to the new").await;
    until("it is there", || new.heard.messages_of(1).len() == 1).await;
    assert_eq!(old.heard.messages_of(1).len(), 1);
    one.network.connect(&BTreeMap::new());
    assert!(!one.network.send(2, b"to nobody".to_vec()));
}

/// A node that does not read must not be an excuse to keep everything.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_queues_for_ever() {
    let cluster = Cluster::new();
    let one = cluster.node(1).await;
    // Accepts, and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    one.link(2, silent.local_addr().expect("bound"));
    let taken = (0..5000).filter(|_| one.network.send(2, vec![0; 100]));
    assert!(taken.count() < 1000, "a bounded queue");
    until("it is missed", || one.heard.unreachable.lock().contains(&2)).await;
    // Of large ones fewer: their bytes are what counts.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    one.link(3, silent.local_addr().expect("bound"));
    let taken = (0..200).filter(|_| one.network.send(3, vec![0; 1 << 20]));
    assert!(taken.count() < 100, "a bound of bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_answered() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.node(1).await, cluster.node(2).await);
    one.link(2, two.address());
    let ask = |question: &[u8]| one.network.ask(2, question.to_vec(), BOUND);
    assert_eq!(ask(b"abc").await.expect("an answer"), b"cba");
    let error = ask(b"?").await.expect_err("no answer").to_string();
    assert!(error.contains("node 1 asks nothing"), "{error}");
    let error = one.network.ask(3, vec![], BOUND).await;
    let error = error.expect_err("nobody").to_string();
    assert!(error.contains("node 3"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_not_waited_for_for_ever() {
    let cluster = Cluster::new();
    let one = cluster.node(1).await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    one.link(2, silent.local_addr().expect("bound"));
    let soon = std::time::Duration::from_millis(200);
    let error = one.network.ask(2, vec![1], soon).await;
    let error = error.expect_err("silent").to_string();
    assert!(error.contains("no answer in time"), "{error}");
}
