//! Snapshots: whole, and not sent anew when the wire is cut.

use crate::support::{Bytes, Cluster, Wire, until};
use std::sync::atomic::Ordering;

/// Bytes that TLS cannot make shorter, and that differ everywhere.
fn snapshot(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn arrives_whole() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.node(1).await, cluster.node(2).await);
    one.link(2, two.address());
    for size in [0, 1, (1 << 20) - 1, 1 << 20, 5_000_000] {
        let sent = snapshot(size);
        one.network
            .send_snapshot(2, &Bytes(sent.clone()))
            .await
            .expect("sent");
        let (from, got) = two.heard.snapshots.lock().pop().expect("received");
        assert_eq!(from, 1);
        assert!(got == sent, "{size} bytes");
    }
}

/// Cut every six megabytes, it goes on where it was: little is carried twice.
#[tokio::test(flavor = "multi_thread")]
async fn goes_on_where_it_was_cut_off() {
    const SIZE: usize = 40 << 20;
    let cluster = Cluster::new();
    let (one, two) = (cluster.node(1).await, cluster.node(2).await);
    let wire = Wire::to(two.address(), 6 << 20).await;
    one.link(2, wire.at);
    let sent = snapshot(SIZE);
    one.network
        .send_snapshot(2, &Bytes(sent.clone()))
        .await
        .expect("sent");
    assert!(two.heard.snapshots.lock()[0].1 == sent);
    let carried = wire.carried.load(Ordering::SeqCst);
    let ratio = carried as f64 / SIZE as f64;
    // A piece that is under way is lost with each cut, and what waits in buffers.
    assert!((1.0..1.6).contains(&ratio), "{carried} bytes for {SIZE}");
}

/// A wire that never carries enough ends in an error, not in a loop.
#[tokio::test(flavor = "multi_thread")]
async fn gives_up_without_progress() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.node(1).await, cluster.node(2).await);
    let wire = Wire::to(two.address(), 100 << 10).await;
    one.link(2, wire.at);
    let sent = one
        .network
        .send_snapshot(2, &Bytes(snapshot(3 << 20)))
        .await;
    assert!(sent.is_err());
    assert!(two.heard.snapshots.lock().is_empty());
}

/// Heartbeats must not stand behind a snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn messages_go_beside_it() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.node(1).await, cluster.node(2).await);
    one.link(2, two.address());
    one.send(2, b"before").await;
    let bytes = Bytes(snapshot(30 << 20));
    let sending = one.network.send_snapshot(2, &bytes);
    let talking = async {
        for number in 0..50u8 {
            one.send(2, &[number]).await;
            until("a heartbeat arrives", || {
                two.heard.messages_of(1).last() == Some(&vec![number])
            })
            .await;
        }
    };
    let (sent, ()) = tokio::join!(sending, talking);
    sent.expect("sent");
    assert_eq!(two.heard.snapshots.lock().len(), 1);
}
