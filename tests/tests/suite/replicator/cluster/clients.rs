//! Mounts that ask the nodes of a cluster and have no copy of their own.

use super::mounts::{clients_of, init, seen_at_once, work};
use crate::repository::concurrency::together;
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::{BOUND, Cluster, read};
use gitmoor_tests::wait;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Two of them and a node.
fn of_each() -> (Cluster, [usize; 3]) {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let clients = [cluster.mount_client(), cluster.mount_client()];
    (cluster, [clients[0], 1, clients[1]])
}

#[test]
fn what_one_pushes_all_see() {
    let (cluster, machines) = of_each();
    seen_at_once(&cluster, &machines, "");
}

#[test]
fn what_one_pushes_all_see_in_reftables() {
    let (cluster, machines) = of_each();
    seen_at_once(&cluster, &machines, "--ref-format=reftable");
}

#[test]
fn what_it_says_of_itself() {
    let (cluster, [client, ..]) = of_each();
    let status: Value =
        serde_json::from_str(&cluster.ok(client, &["status", "--json"])).expect("JSON");
    assert_eq!(status["replicator"]["role"], "client");
    let nodes: Vec<_> = (0..3).map(|node| cluster.address(node)).collect();
    let asks = status["asks"].as_str().expect("somebody").to_owned();
    assert!(nodes.contains(&asks), "{asks}");
    // Its first look brings it what others did since.
    std::fs::read_dir(cluster.mounted_on(client).path()).expect("a look");
    let of_client = cluster.status(client);
    assert_eq!(of_client["members"].as_array().map(Vec::len), Some(3));
    assert_eq!(of_client["members"], cluster.status(0)["members"]);
    assert_eq!(of_client["clients"], cluster.status(0)["clients"]);
    assert_eq!(
        of_client["clients"].as_object().map(serde_json::Map::len),
        Some(2)
    );
    let number = cluster.machines[client].node;
    assert_eq!(of_client["this"], format!("client {number}"));
    assert!(
        cluster
            .ok(client, &["cluster", "status"])
            .contains(&format!("client {number}  "))
    );
    // What it finds on this machine besides depends on what else runs there.
    let said = cluster.gitmoor(client, &["doctor", "--json"]).stdout;
    let checks: Vec<Value> = serde_json::from_slice(&said).expect("JSON");
    let check = checks.iter().find(|check| check["name"] == "cluster");
    let note = check.expect("it is looked at")["note"]
        .as_str()
        .expect("text");
    assert_eq!(note, format!("client {number} of 3 members"));
    // Only nodes change the cluster.
    cluster.refused(client, &["cluster", "token"], 2, &["is a client", &asks]);
    // It has not the key with which others are admitted.
    assert!(!cluster.data(client).join("cluster/authority.key").exists());
    assert!(cluster.data(0).join("cluster/authority.key").exists());
}

/// 50 pushes at once through clients and a node, while the nodes that they ask are killed.
#[test]
fn nodes_are_killed_beside_pushes() {
    const PUSHERS: usize = 24;
    let (mut cluster, machines) = of_each();
    let [one, _, other] = machines;
    init(&cluster, one, "app.git", "");
    let works = clients_of(&cluster, &[one, other], "app.git", PUSHERS);
    let (over, pushed) = (AtomicBool::new(false), AtomicUsize::new(0));
    let acknowledged = std::thread::scope(|scope| {
        let pushing = scope.spawn(|| {
            together(&works, |number, work| {
                let mut acknowledged = Vec::new();
                for round in 0.. {
                    let branch = format!("refs/heads/{number}/{round}");
                    if work.is(format!("push --quiet origin HEAD:{branch}")) {
                        acknowledged.push(branch);
                        pushed.fetch_add(1, Ordering::Relaxed);
                    }
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                }
                acknowledged
            })
        });
        let goes_on = |what: &str| {
            let before = pushed.load(Ordering::Relaxed);
            wait::until(what, BOUND, || {
                pushed.load(Ordering::Relaxed) > before + PUSHERS
            });
        };
        goes_on("it begins");
        for _ in 0..3 {
            let leader = cluster.leader(one, &[]);
            cluster.kill9(leader);
            goes_on("it goes on with two nodes");
            cluster.mount(leader);
            goes_on("it goes on with three");
        }
        over.store(true, Ordering::Relaxed);
        pushing.join().expect("no panic")
    });
    for machine in machines {
        let bare = cluster.repo(machine, "app.git");
        let names = bare.ok("for-each-ref --format=%(objectname)%20%(refname)");
        for (number, branches) in acknowledged.iter().enumerate() {
            let oid = works[number].oid("HEAD");
            for branch in branches {
                assert!(
                    names.contains(&format!("{oid} {branch}\n"))
                        || names.ends_with(&format!("{oid} {branch}")),
                    "{branch} on {machine}"
                );
            }
        }
    }
    cluster.repo(other, "app.git").fsck();
}

/// One that is alone with a minority refuses in bounded time, and goes on when there is a majority.
#[test]
fn a_minority_refuses() {
    let (mut cluster, [client, ..]) = of_each();
    init(&cluster, client, "app.git", "");
    let work = work(&cluster, client, "app.git");
    work.commit("first");
    work.ok("push --quiet origin HEAD:main");
    cluster.kill9(1);
    cluster.kill9(2);
    work.commit("second");
    let refused = work.fail("push --quiet origin HEAD:main");
    assert!(!refused.is_empty());
    wait::until("it is logged", BOUND, || {
        read(&cluster.log(client)).contains("no majority of the cluster has answered")
    });
    cluster.mount(1);
    wait::until("it goes on", BOUND, || {
        work.is("push --quiet origin HEAD:main")
    });
    assert_eq!(cluster.repo(1, "app.git").oid("main"), work.oid("HEAD"));
}

/// One that was killed finds what it had finished, and asks the nodes that there are by then.
#[test]
fn it_comes_back() {
    let (mut cluster, [client, ..]) = of_each();
    init(&cluster, client, "app.git", "");
    let work = work(&cluster, client, "app.git");
    work.commit("first");
    work.ok("push --quiet origin HEAD:main");
    cluster.kill9(client);
    cluster.signal(0, Signal::SIGSTOP);
    // It knows of the others, whichever it had joined by.
    cluster.mount(client);
    assert_eq!(
        cluster.repo(client, "app.git").oid("main"),
        work.oid("HEAD")
    );
    cluster.signal(0, Signal::SIGCONT);
    cluster.repo(client, "app.git").fsck();
}

#[test]
fn wrong_use() {
    let (mut cluster, [client, ..]) = of_each();
    let at = cluster.settings(client).at.display().to_string();
    let number = cluster.machines[client].node.to_string();
    // Removed, it is told so at the next mount.
    cluster.ok(0, &["cluster", "remove", &number]);
    cluster.kill9(client);
    cluster.refused(
        client,
        &["mount", &at],
        1,
        &["was removed from this cluster"],
    );
    // A client's token makes no node, and a node's no client.
    let token = cluster.ok(0, &["cluster", "token", "--client"]);
    let listen = cluster.address(7);
    cluster.refused(
        7,
        &["cluster", "join", &token, "--listen", &listen],
        2,
        &["makes a client"],
    );
    let node = cluster.ok(0, &["cluster", "token"]);
    cluster.refused(7, &["cluster", "join", &node], 2, &["--listen"]);
    cluster.ok(7, &["cluster", "join", &token]);
    cluster.refused(
        7,
        &["cluster", "join", &token],
        2,
        &["is a client of a cluster already"],
    );
    cluster.refused(
        8,
        &["cluster", "join", &token],
        1,
        &["gitmoor cluster token"],
    );
    // Addresses where there is no node, or that are none.
    let at = cluster.scratch("mnt-7").display().to_string();
    cluster.refused(
        7,
        &["mount", "--cluster", "nowhere", &at],
        2,
        &["host:port"],
    );
    cluster.refused(
        8,
        &["mount", "--cluster", "127.0.0.1:1", &at],
        2,
        &["cluster token --client"],
    );
    cluster.refused(
        0,
        &["cluster", "remove", &number],
        2,
        &["is not in this cluster"],
    );
}

/// What its token says it may: see some repositories, or change nothing.
#[test]
fn a_limited_client() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let secret = cluster.mounted_on(0).path().join("secret");
    std::fs::create_dir(secret).expect("a directory");
    init(&cluster, 0, "secret/b.git", "");
    std::fs::create_dir(cluster.mounted_on(0).path().join("team")).expect("a directory");
    init(&cluster, 0, "team/a.git", "");
    let limited = cluster.mount_limited_client(&["--repo", "team/*.git", "--repo", "new.git"]);
    let reader = cluster.mount_limited_client(&["--read-only"]);
    let names = |machine: usize, dir: &str| {
        let listed = std::fs::read_dir(cluster.mounted_on(machine).path().join(dir));
        let names = listed
            .expect("listed")
            .map(|entry| entry.expect("one").file_name());
        let mut names: Vec<_> = names
            .map(|name| name.into_string().expect("text"))
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(limited, ""), ["team"]);
    assert_eq!(names(limited, "team"), ["a.git"]);
    assert_eq!(names(reader, ""), ["secret", "team"]);
    let work = work(&cluster, limited, "team/a.git");
    work.commit("one");
    work.ok("push --quiet origin HEAD:refs/heads/main");
    assert_eq!(
        cluster.repo(reader, "team/a.git").oid("main"),
        work.oid("HEAD")
    );
    init(&cluster, limited, "new.git", "");
    let at = |machine: usize, name: &str| cluster.mounted_on(machine).path().join(name);
    for (machine, name) in [(limited, "other.git"), (limited, "d"), (reader, "d")] {
        let error = std::fs::create_dir(at(machine, name)).expect_err("not its own");
        assert!(
            matches!(error.raw_os_error(), Some(libc::EPERM | libc::EROFS)),
            "{error}"
        );
    }
    assert!(!at(limited, "secret/b.git").exists());
    let moved = std::fs::rename(at(limited, "team/a.git"), at(limited, "a.git"));
    moved.expect_err("out of what it may see");
    // By the commands of a mount too.
    cluster.refused(
        limited,
        &["repo", "config", "secret/b.git", "gc.auto", "1"],
        1,
        &[],
    );
    cluster.refused(limited, &["backup"], 1, &["all repositories"]);
    let said = cluster.ok(0, &["cluster", "status"]);
    assert!(
        said.contains("team/*.git new.git") && said.contains("read-only"),
        "{said}"
    );
    cluster.refused(
        0,
        &["cluster", "token", "--repo", "a.git"],
        2,
        &["--client"],
    );
    let wrong = ["cluster", "token", "--client", "--repo", "a//b"];
    cluster.refused(0, &wrong, 2, &["team/*.git"]);
}
