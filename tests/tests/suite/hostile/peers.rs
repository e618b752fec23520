//! Who reaches a node over the network: a client, which has a certificate and may do what clients
//! do, and a stranger, who has none and may ask to be admitted.

use bytes::Bytes;
use gitmoor_model::{
    Command, NamePath, Part, RepoId, SecretDigest, SessionId, StoreRecord, Timestamp,
};
use gitmoor_replicator::parsers::{ClientRequest, ClientResponse};
use gitmoor_replicator::state::{KeyRange, Table};
use gitmoor_tests::cluster::{BOUND, Cluster};
use gitmoor_tests::peer::{Peer, ask_to_join, encoded, forged, stranger};
use gitmoor_tests::{process, wait};
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::Value;
use std::time::Duration;
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::codegen::http::Request;
use tower::Service;

/// No machine of a cluster here has this number.
const CLIENT: usize = 9;

fn repo() -> RepoId {
    RepoId::from_bytes([7; 16])
}

fn create() -> Command {
    let path = NamePath::new("app.git").expect("a path");
    Command::CreateRepo { id: repo(), path }
}

fn runtime() -> Runtime {
    Runtime::new().expect("a runtime")
}

/// Only nodes change the cluster: a client invites nobody, in whatever part.
#[test]
fn a_client_makes_no_node() {
    let cluster = Cluster::new();
    let client = Peer::client(&cluster, CLIENT, &[]);
    let secret = [3; 32];
    for (number, part) in [(1, Part::Node), (2, Part::Client)] {
        let invite = Command::Invite {
            secret: SecretDigest::of(&secret),
            expires: Timestamp {
                secs: i64::MAX,
                nanos: 0,
            },
            part,
        };
        assert!(!client.commits(number, invite));
    }
    let token = forged(&cluster, secret, Part::Node);
    let joined = runtime().block_on(ask_to_join(&token, "127.0.0.1:1"));
    assert!(joined.is_err(), "it has the cluster's key");
    let store = StoreRecord {
        id: "mine".to_owned(),
        url: "dir:/tmp".to_owned(),
    };
    assert!(!client.commits(3, Command::SettleStore(store)));
    assert!(!client.commits(4, Command::RemoveMember { node: 1 }));
    let address = "127.0.0.1:1".to_owned();
    assert!(!client.commits(5, Command::Relocate { node: 1, address }));
    // What clients are for goes on.
    assert!(client.commits(6, create()));
}

/// Settings that make git run or read something are none that a client could set.
#[test]
fn a_client_sets_what_repo_config_sets() {
    let cluster = Cluster::new();
    let client = Peer::client(&cluster, CLIENT, &[]);
    assert!(client.commits(1, create()));
    let set = |key: &str, value: &str| Command::SetSetting {
        id: repo(),
        key: key.to_owned(),
        value: Some(value.to_owned()),
    };
    let hostile = [
        ("alias.status", "!id"),
        ("core.hooksPath", "/dir"),
        ("core.fsmonitor", "id"),
        ("include.path", "/etc/passwd"),
        ("gc.auto", "1\n[core]\n\thooksPath = /dir"),
        ("receive.denydeletes", "true"),
        ("receive.hideRefs", &format!("refs/{}", "x".repeat(1 << 20))),
    ];
    for (number, (key, value)) in (2..).zip(hostile) {
        assert!(!client.commits(number, set(key, value)), "{key}");
    }
    assert!(client.commits(20, set("receive.denyDeletes", "true")));
}

/// An entry that does not decode would end every node, now and at each start.
#[test]
fn what_is_no_command_ends_no_node() {
    let mut cluster = Cluster::of_three();
    let client = Peer::client(&cluster, CLIENT, &[]);
    let session = SessionId::random();
    let good = encoded(session, 2, create());
    let hostile = [
        vec![0xff; 64],
        Vec::new(),
        vec![0],
        good[..good.len() - 1].to_vec(),
        [good.clone(), vec![0]].concat(),
        // Another number than was said.
        encoded(session, 3, create()),
    ];
    for data in hostile {
        let reply = client.propose(session, 2, data);
        assert!(!matches!(reply, Some(ClientResponse::Outcome(..))));
    }
    assert!(client.commits(1, create()));
    for machine in 0..3 {
        cluster.ok(machine, &["cluster", "status"]);
        let process = cluster.machines[machine].process.as_mut().expect("started");
        assert_eq!(process.try_wait().expect("a child"), None, "it runs");
    }
}

/// A command under a node's session, with the node's next number, would take the place of what
/// the node says next, and that would be acknowledged.
#[test]
fn a_session_is_its_own_proposers() {
    let cluster = Cluster::new();
    let client = Peer::client(&cluster, CLIENT, &[]);
    let rows = client.ask(ClientRequest::Rows(vec![(
        Table::Sessions,
        KeyRange::all(),
    )]));
    let rows = match rows {
        Some(ClientResponse::Rows(rows)) => rows.rows,
        _ => Vec::new(),
    };
    let sessions = rows.iter().filter(|(_, key, _)| key.first() == Some(&b's'));
    let sessions: Vec<[u8; 16]> = sessions
        .filter_map(|(_, key, _)| key[1..].try_into().ok())
        .collect();
    for session in &sessions {
        let session = SessionId::from_bytes(*session);
        for number in 1..20 {
            let path = NamePath::new(format!("d{number}")).expect("a path");
            let command = Command::CreateDirectory { path };
            client.propose(session, number, encoded(session, number, command));
        }
    }
    // What the node says is done, and not only acknowledged.
    let token = cluster.ok(0, &["cluster", "token", "--client"]);
    cluster.ok(CLIENT + 1, &["cluster", "join", &token]);
    assert_eq!(sessions, Vec::<[u8; 16]>::new(), "nobody reads sessions");
}

/// Rows of others, and what keeps members apart, are no client's to read.
#[test]
fn what_a_client_reads() {
    let cluster = Cluster::new();
    let client = Peer::client(&cluster, CLIENT, &[]);
    // An invitation that nobody has used yet.
    cluster.ok(0, &["cluster", "token"]);
    for table in [
        Table::Sessions,
        Table::RaftLog,
        Table::RaftState,
        Table::Access,
    ] {
        let reply = client.ask(ClientRequest::Rows(vec![(table, KeyRange::all())]));
        assert!(
            !matches!(reply, Some(ClientResponse::Rows(_))),
            "{}",
            table.name()
        );
    }
    let Some(ClientResponse::Rows(members)) =
        client.ask(ClientRequest::Rows(vec![(Table::Members, KeyRange::all())]))
    else {
        panic!("who is in the cluster is told");
    };
    let kinds: Vec<u8> = members.rows.iter().map(|(_, key, _)| key[0]).collect();
    assert!(kinds.contains(&b'm'), "{kinds:?}");
    assert!(
        !kinds.contains(&b'i') && !kinds.contains(&b'd'),
        "{kinds:?}"
    );
}

fn applied(cluster: &Cluster) -> Value {
    let member = cluster.member(0, 0).expect("itself");
    member["applied"].clone()
}

/// Anonymous memory, bytes.
fn memory(cluster: &Cluster) -> u64 {
    let process = cluster.machines[0].process.as_ref().expect("it runs");
    process::memory(process.id(), "RssAnon")
}

/// Who may speak is decided before it is heard.
#[test]
fn a_stranger_fills_no_memory() {
    let cluster = Cluster::new();
    let token = forged(&cluster, [1; 32], Part::Node);
    let before = memory(&cluster);
    runtime().block_on(async {
        let mut calls = Vec::new();
        for path in [
            "Clients/ClientRequest",
            "Node/ClientRequest",
            "Node/Send",
            "Admission/Join",
        ] {
            for _ in 0..8 {
                let mut channel = stranger(&token).await;
                calls.push(tokio::spawn(async move {
                    std::future::poll_fn(|cx| channel.poll_ready(cx))
                        .await
                        .ok()?;
                    channel.call(unfinished(path)).await.ok()
                }));
            }
        }
        for call in calls {
            // An answer that refuses, or none; in no case one to a message that never ends.
            let _ = tokio::time::timeout(BOUND, call).await.expect("it ends");
        }
    });
    let after = memory(&cluster);
    assert!(after < before + (128 << 20), "{before}, then {after} bytes");
}

/// 60 MiB of a message of 60 MiB and a byte.
fn unfinished(path: &str) -> Request<Body> {
    const SIZE: usize = 60 << 20;
    const PIECE: usize = 1 << 20;
    let mut head = vec![0];
    head.extend_from_slice(&(SIZE as u32 + 1).to_be_bytes());
    let pieces = std::iter::once(Bytes::from(head));
    let pieces = pieces.chain((0..SIZE / PIECE).map(|_| Bytes::from(vec![0; PIECE])));
    let pieces = pieces.map(|piece| Ok::<_, std::io::Error>(Frame::data(piece)));
    let body = StreamBody::new(futures::StreamExt::chain(
        futures::stream::iter(pieces),
        futures::stream::pending(),
    ));
    Request::post(format!("http://node.gitmoor.internal/gitmoor.v1.{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("gitmoor-protocol", "3")
        .body(Body::new(body))
        .expect("a request")
}

/// Who is not invited writes nothing.
#[test]
fn made_up_secrets_do_not_grow_the_log() {
    let cluster = Cluster::new();
    let token = forged(&cluster, [1; 32], Part::Node);
    let ask_all = async || {
        for address in [&"a".repeat(3 << 20), "127.0.0.1:7400", ""] {
            for _ in 0..4 {
                let joined = ask_to_join(&token, address).await;
                assert!(joined.is_err());
            }
        }
    };
    // The cluster, which has just begun, may have had something of its own to write meanwhile.
    let quiet = (0..5).any(|_| {
        let before = applied(&cluster);
        runtime().block_on(ask_all());
        applied(&cluster) == before
    });
    assert!(quiet, "the log grows each time");
    // Who is invited comes in.
    let token = cluster.ok(0, &["cluster", "token", "--client"]);
    cluster.ok(CLIENT, &["cluster", "join", &token]);
}

/// Connections that say nothing take nobody's place, whoever makes them.
#[test]
fn idle_connections_keep_nobody_out() {
    let cluster = Cluster::new();
    let address = cluster.address(0);
    let connect = || std::net::TcpStream::connect(&address).expect("it listens");
    let silent: Vec<_> = (0..400).map(|_| connect()).collect();
    let token = cluster.ok(0, &["cluster", "token", "--client"]);
    let joined = wait::poll(Duration::from_secs(10), || {
        let joined = cluster.gitmoor(CLIENT, &["cluster", "join", &token]);
        joined.status.success().then_some(())
    });
    assert!(joined.is_some(), "it does not come in");
    drop(silent);
}
