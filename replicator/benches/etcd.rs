//! Ref commits per second of three nodes, against puts per second of three etcds (Debian's
//! etcd-server and etcd-client), on this machine and the same disk, in turns.
//!
//! `cargo bench --workspace --bench etcd`

#[allow(dead_code, reason = "the tests use all of it")]
#[path = "../tests/cluster/harness.rs"]
mod harness;

use gitmoor_model::Expect;
use harness::{Cluster, create_repo, write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const WRITERS: [usize; 3] = [1, 8, 64];
/// What a ref's file has in it.
const VALUE: &str = "0123456789abcdef0123456789abcdef01234567\n";

/// `PutRequest` of etcd's rpc.proto.
#[derive(Clone, PartialEq, prost::Message)]
struct Put {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

/// Three of them; killed when dropped.
struct Etcd {
    servers: Vec<Child>,
    /// Where clients reach the one that leads.
    leader: String,
    _dir: TempDir,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

impl Etcd {
    fn start() -> Etcd {
        let dir = tempfile::tempdir().expect("a directory");
        let held: Vec<_> = (0..6)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
            .collect();
        let url = |at: usize| format!("http://{}", held[at].local_addr().expect("bound"));
        let urls: Vec<_> = (0..6).map(url).collect();
        drop(held);
        let cluster: Vec<_> = (0..3).map(|n| format!("e{n}={}", urls[n])).collect();
        let servers = (0..3)
            .map(|n| {
                Command::new("etcd")
                    .args(["--name", &format!("e{n}")])
                    .arg("--data-dir")
                    .arg(dir.path().join(n.to_string()))
                    .args(["--listen-peer-urls", &urls[n]])
                    .args(["--initial-advertise-peer-urls", &urls[n]])
                    .args(["--listen-client-urls", &urls[n + 3]])
                    .args(["--advertise-client-urls", &urls[n + 3]])
                    .args(["--initial-cluster", &cluster.join(",")])
                    .args(["--initial-cluster-state", "new"])
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .expect("etcd: install etcd-server")
            })
            .collect();
        let mut etcd = Etcd {
            servers,
            leader: String::new(),
            _dir: dir,
        };
        let began = Instant::now();
        while etcd.leader.is_empty() {
            assert!(began.elapsed() < Duration::from_secs(60), "no leader");
            std::thread::sleep(Duration::from_millis(200));
            etcd.leader = leading(&urls[3..]).unwrap_or_default();
        }
        etcd
    }
}

/// The client URL of the member that leads.
fn leading(clients: &[String]) -> Option<String> {
    let endpoints = format!("--endpoints={}", clients.join(","));
    let status = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args([&endpoints, "endpoint", "status"])
        .output()
        .expect("etcdctl: install etcd-client");
    // endpoint, id, version, size, is leader, …
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    let line = text.lines().find(|line| {
        let is_leader = line.split(", ").nth(4);
        is_leader == Some("true")
    })?;
    line.split(", ").next().map(str::to_owned)
}

async fn put(channel: Channel, number: usize) {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.expect("connected");
    let request = Put {
        key: format!("0123456789abcdef/refs/heads/writer-{number}").into_bytes(),
        value: VALUE.into(),
    };
    let codec = tonic_prost::ProstCodec::<Put, PutResponse>::default();
    let path = PathAndQuery::from_static("/etcdserverpb.KV/Put");
    let put = grpc.unary(tonic::Request::new(request), path, codec);
    put.await.expect("acknowledged");
}

fn puts(runtime: &tokio::runtime::Runtime, leader: &str, writers: usize) -> f64 {
    let done = AtomicU64::new(0);
    let began = Instant::now();
    runtime.block_on(async {
        let all = (0..writers).map(|number| {
            let (done, leader) = (&done, leader.to_owned());
            async move {
                let endpoint = Endpoint::from_shared(leader).expect("a URL");
                let channel = endpoint.connect().await.expect("it listens");
                while began.elapsed() < ROUND {
                    put(channel.clone(), number).await;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        futures::future::join_all(all).await;
    });
    rate(&done, began)
}

fn commits(cluster: &Cluster, writers: usize) -> f64 {
    let (done, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let node = cluster.node(cluster.leader());
    let began = Instant::now();
    std::thread::scope(|scope| {
        let (done, over) = (&done, &over);
        for number in 0..writers {
            scope.spawn(move || {
                let name = format!("refs/heads/writer-{number}");
                while !over.load(Ordering::Relaxed) {
                    write(node, &name, Expect::Anything, VALUE).expect("committed");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(ROUND);
        over.store(true, Ordering::Relaxed);
    });
    rate(&done, began)
}

fn rate(done: &AtomicU64, began: Instant) -> f64 {
    done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn main() {
    let etcd = Etcd::start();
    let cluster = Cluster::of_three();
    create_repo(cluster.node(cluster.leader()));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!("writers  etcd puts/s  ref commits/s  ratio");
    for writers in WRITERS {
        let rounds = (0..ROUNDS).map(|_| {
            let theirs = puts(&runtime, &etcd.leader, writers);
            (theirs, commits(&cluster, writers))
        });
        let (theirs, ours): (Vec<_>, Vec<_>) = rounds.unzip();
        let (theirs, ours) = (median(theirs), median(ours));
        println!(
            "{writers:7}  {theirs:11.0}  {ours:13.0}  {:5.2}",
            ours / theirs
        );
    }
}
