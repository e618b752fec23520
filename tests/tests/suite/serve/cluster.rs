//! A cluster of three: through the door of each node everybody sees what was pushed through the others, and who may
//! what.

use crate::tree::hooks::put;
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::Cluster;
use gitmoor_tests::door::{SERVER, free_address, status};
use gitmoor_tests::place::let_others_through;
use gitmoor_tests::wait;
use std::fs::{Permissions, set_permissions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// The doors of the three.
fn open_doors(cluster: &mut Cluster) -> [String; 3] {
    open_doors_with(cluster, &[])
}

/// The same, with more settings of each daemon.
fn open_doors_with(cluster: &mut Cluster, settings: &[(&str, &str)]) -> [String; 3] {
    let_others_through();
    set_permissions(cluster.dir.path(), Permissions::from_mode(0o755)).expect("it is root's");
    [0, 1, 2].map(|machine| {
        let address = free_address();
        let mount = cluster.machines[machine].mount.as_mut().expect("it runs");
        mount.umount();
        mount.set("GITMOOR_HTTP", &address);
        mount.set("GITMOOR_SERVE_USER", &SERVER.to_string());
        for (key, value) in settings {
            mount.set(key, value);
        }
        mount.launch();
        address
    })
}

/// A node that has lost the majority says so at once, and serves again when it is back.
#[test]
fn without_a_majority_there_is_a_reason() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let doors = open_doors(&mut cluster);
    cluster.ok(0, &["repo", "create", "app.git"]);
    cluster.ok(0, &["access", "grant", "app.git", "everyone", "read"]);
    let asked = || {
        let began = Instant::now();
        let mut stream = TcpStream::connect(&doors[0]).expect("the door is open");
        let request = "GET /app.git/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("asks");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answers");
        (answer, began.elapsed())
    };
    assert_eq!(status(&asked().0), 200);
    for machine in [1, 2] {
        cluster.kill9(machine);
    }
    let lost = wait::poll(Duration::from_secs(30), || {
        (status(&asked().0) == 503).then_some(())
    });
    assert!(lost.is_some());
    let (answer, took) = asked();
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.contains("no majority"), "{answer}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    cluster.start(1);
    let back = wait::poll(Duration::from_secs(60), || {
        (status(&asked().0) == 200).then_some(())
    });
    assert!(back.is_some());
}

#[test]
fn a_push_through_each_door_is_seen_through_all() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let doors = open_doors(&mut cluster);
    cluster.ok(0, &["repo", "create", "app.git"]);
    cluster.ok(1, &["user", "add", "alice"]);
    cluster.ok(2, &["access", "grant", "app.git", "alice", "write"]);
    let token = cluster.ok(
        0,
        &["token", "create", "--user", "alice", "--role", "write"],
    );
    let token = token.trim().to_owned();
    let url = |machine: usize| format!("http://alice:{token}@{}/app.git", doors[machine]);
    let work = cluster.git.at(cluster.scratch("work"));
    std::fs::create_dir_all(work.path()).expect("a directory");
    work.ok("init --quiet");
    for machine in 0..3 {
        let tip = work.commit(&format!("through {machine}"));
        work.ok(format!(
            "push --quiet {} HEAD:refs/heads/main",
            url(machine)
        ));
        for other in 0..3 {
            let seen = work.ok(format!("ls-remote {} refs/heads/main", url(other)));
            assert!(seen.starts_with(&tip), "{machine} {other}: {seen}");
        }
    }
    // A token that is revoked through one node is good at none.
    let id = token.split('_').nth(1).expect("an id");
    cluster.ok(1, &["token", "revoke", id]);
    for machine in 0..3 {
        work.fail(format!("ls-remote {}", url(machine)));
    }
}

/// What a door says to somebody who is about to push.
fn advertised(door: &str, token: &str, repo: &str) -> String {
    let mut stream = TcpStream::connect(door).expect("the door is open");
    let request = format!(
        "GET /{repo}/info/refs?service=git-receive-pack HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("asks");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("answers");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The time and the rest of the nonce in it.
fn nonce(advertised: &str) -> (String, String) {
    let nonce = advertised.split("push-cert=").nth(1).expect(advertised);
    let nonce = nonce.split([' ', '\n']).next().expect("something");
    let (time, rest) = nonce.split_once('-').expect("git's form");
    (time.to_owned(), rest.to_owned())
}

/// A signed push has two requests, which may come to two nodes.
#[test]
fn nonces_of_all_doors_are_the_same() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let hooks = cluster.scratch("hooks-of-machines");
    put(&hooks, "pre-receive", "exit 0");
    let doors = open_doors_with(
        &mut cluster,
        &[("GITMOOR_HOOKS", &hooks.display().to_string())],
    );
    cluster.ok(0, &["user", "add", "alice"]);
    cluster.ok(0, &["access", "grant", "/", "alice", "write"]);
    let token = ["token", "create", "--user", "alice", "--role", "write"];
    let token = cluster.ok(0, &token).trim().to_owned();
    for repo in ["app.git", "other.git"] {
        cluster.ok(0, &["repo", "create", repo]);
    }
    let at_once = wait::poll(Duration::from_secs(60), || {
        let nonces = [
            (&doors[0], "app.git"),
            (&doors[1], "app.git"),
            (&doors[2], "app.git"),
            (&doors[0], "other.git"),
        ];
        let nonces = nonces.map(|(door, repo)| nonce(&advertised(door, &token, repo)));
        let is_one_second = nonces.iter().all(|(time, _)| *time == nonces[0].0);
        is_one_second.then_some(nonces.map(|(_, rest)| rest))
    });
    let [one, two, three, other] = at_once.expect("four within a second");
    assert_eq!([&two, &three], [&one, &one]);
    assert_ne!(other, one, "of another repository");
}
