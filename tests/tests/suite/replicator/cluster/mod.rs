//! A cluster of real processes, made and kept by commands; [`mounts`]: what they serve;
//! [`recovery`]: what is left of them.

mod beside;
mod clients;
mod clocks;
mod hooks;
mod host_files;
mod locks;
mod lost_locks;
mod modules;
pub(crate) mod mounts;
mod partitions;
mod recovery;
mod remembered;
mod safety;
mod snapshots;
mod transactions;
mod uncertain;

use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::{BOUND, Cluster, read};
use gitmoor_tests::git::Installed;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::{loopback, report};
use gitmoor_tests::wait;
use nix::sys::signal::Signal;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

#[test]
fn the_leader_is_killed_and_comes_back() {
    let mut cluster = Cluster::of_three();
    let leader = cluster.leader(0, &[]);
    cluster.kill9(leader);
    let other = (leader + 1) % 3;
    let next = cluster.leader(other, &[leader]);
    let dead = cluster.member(other, leader).expect("still a member");
    assert_eq!(dead["role"], "voter");
    assert!(
        dead["error"].as_str().is_some_and(|why| !why.is_empty()),
        "{dead}"
    );
    cluster.start(leader);
    wait::until("it has caught up", BOUND, || {
        let status = cluster.status(leader);
        let member = cluster.member(next, leader).expect("a member");
        status["leader"] == cluster.machines[next].node && member["lag"] == 0
    });
    for machine in 0..3 {
        cluster.signal(machine, Signal::SIGTERM);
        let mut process = cluster.machines[machine].process.take().expect("it runs");
        let left = wait::poll(BOUND, || process.try_wait().expect("a child"));
        assert!(left.expect("it leaves").success());
    }
}

/// It wakes up in a term that is over.
#[test]
fn a_leader_that_was_frozen() {
    let cluster = Cluster::of_three();
    let leader = cluster.leader(0, &[]);
    cluster.signal(leader, Signal::SIGSTOP);
    let other = (leader + 1) % 3;
    let next = cluster.leader(other, &[leader]);
    cluster.signal(leader, Signal::SIGCONT);
    wait::until("it follows", BOUND, || {
        cluster.status(leader)["leader"] == cluster.machines[next].node
    });
    let frozen = cluster.machines[leader].node.to_string();
    cluster.ok(other, &["cluster", "transfer-leader", &frozen]);
    assert_eq!(cluster.leader(leader, &[next]), leader);
}

#[test]
fn a_dead_node_is_removed() {
    let mut cluster = Cluster::of_three();
    let dead = (cluster.leader(0, &[]) + 1) % 3;
    let node = cluster.machines[dead].node.to_string();
    cluster.kill9(dead);
    let asked = cluster.running();
    cluster.ok(asked, &["cluster", "remove", &node]);
    assert!(cluster.member(asked, dead).is_none());
    cluster.refused(
        asked,
        &["cluster", "remove", &node],
        2,
        &["not in this cluster"],
    );
    let new = cluster.join();
    cluster.start(new);
    cluster.promote(new);
    let member = cluster.member(asked, new).expect("a member");
    assert_eq!(member["role"], "voter", "{member}");
}

/// Its certificate is good for a year, and nobody listens to it.
#[test]
fn a_removed_node_that_still_runs() {
    let mut cluster = Cluster::of_three();
    let removed = (cluster.leader(0, &[]) + 1) % 3;
    let other = (removed + 1) % 3;
    let node = cluster.machines[removed].node.to_string();
    cluster.ok(other, &["cluster", "remove", &node]);
    cluster.kill9(removed);
    cluster.start(removed);
    let told = format!("node {node} was removed from this cluster");
    wait::until("it is told", BOUND, || {
        read(&cluster.log(removed)).contains(&told)
    });
    assert!(read(&cluster.log(other)).contains("refused: it was removed"));
    let status = cluster.status(other);
    assert_eq!(
        status["members"].as_array().map(Vec::len),
        Some(2),
        "{status}"
    );
}

#[test]
fn wrong_use_of_a_cluster() {
    let mut cluster = Cluster::new();
    let at = cluster.address(9);
    let listen = ["--listen", at.as_str()];
    let with = |args: &[&'static str]| [args, &listen].concat();
    cluster.refused(
        0,
        &with(&["cluster", "init"]),
        1,
        &["in use", "a node of a cluster"],
    );
    cluster.refused(1, &["node"], 2, &["cluster init", "cluster join"]);
    cluster.refused(1, &["cluster", "status"], 1, &["gitmoor mount"]);
    cluster.refused(
        1,
        &with(&["cluster", "join", "gitmoor-join-x"]),
        2,
        &["cluster token"],
    );
    let anywhere = ["cluster", "init", "--listen", "0.0.0.0:7400"];
    cluster.refused(1, &anywhere, 2, &["--advertise"]);
    let nowhere = [&anywhere[..], &["--advertise", "here"]].concat();
    cluster.refused(1, &nowhere, 2, &["host:port"]);
    assert!(!cluster.data(1).join("cluster").exists());

    let token = cluster.ok(0, &["cluster", "token"]);
    let join = ["cluster", "join", &token, "--listen", &at];
    cluster.ok(1, &join);
    cluster.refused(2, &join, 1, &["cluster token"]);
    cluster.refused(1, &join, 2, &["already"]);
    let other = cluster.dir.path().join("mnt");
    fs::create_dir(&other).expect("mkdir");
    let other = other.to_str().expect("text");
    cluster.refused(1, &["mount", other], 2, &["no place yet", "--store"]);
    for (command, words) in [
        ("promote", "not a learner"),
        ("transfer-leader", "not a voter"),
        ("remove", "not in this cluster"),
    ] {
        cluster.refused(0, &["cluster", command, "77"], 2, &[words]);
    }
    cluster.refused(
        0,
        &["cluster", "remove", "1"],
        1,
        &["transfer the leadership"],
    );
    cluster.refused(0, &["status"], 2, &["gitmoor cluster"]);
    cluster.refused(0, &["node"], 1, &["in use"]);

    cluster.kill9(0);
    cluster.refused(0, &with(&["cluster", "init"]), 2, &["already"]);
    cluster.refused(0, &["cluster", "status"], 1, &["gitmoor mount"]);
    let taken = TcpListener::bind(cluster.address(0)).expect("it is free");
    cluster.refused(0, &["node"], 1, &["listening on"]);
    drop(taken);
    let replica = cluster.data(0).join("replica");
    fs::rename(&replica, cluster.dir.path().join("away")).expect("rename");
    cluster.refused(0, &["node"], 1, &["join anew"]);
}

/// What was one machine's is the cluster's.
#[test]
fn a_machine_with_repositories_becomes_a_cluster() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let (bare, work) = place.pushed("app.git", 1);
    let mut daemon = place.daemon();
    daemon.umount();
    let listen = format!("{}:7400", loopback(250));
    let init = ["cluster", "init", "--listen", &listen];
    daemon.settings().gitmoor_ok(&init);
    daemon.launch();
    assert_eq!(bare.oid("main"), work.oid("HEAD"));
    work.commit("second");
    work.ok("push --quiet origin HEAD:main");
    assert_eq!(bare.oid("main"), work.oid("HEAD"));
    bare.fsck();
    let status = daemon.settings().gitmoor_ok(&["cluster", "status"]);
    assert!(status.contains(&listen), "{status}");
}

/// Whoever has them is the cluster.
#[test]
fn secrets_stay_where_they_are() {
    let mut cluster = Cluster::new();
    let token = cluster.ok(0, &["cluster", "token", "--expires", "10m"]);
    let listen = cluster.address(1);
    let join = ["cluster", "join", "-", "--listen", &listen];
    let joined = cluster.told(1, &join, &format!("{token}\n"));
    assert!(joined.status.success(), "{}", report(&joined));
    let again = cluster.told(2, &join, &token);
    assert_eq!(again.status.code(), Some(1), "{}", report(&again));
    cluster.kill9(0);
    for machine in 0..2 {
        for name in ["authority.key", "node.key"] {
            let path = cluster.data(machine).join("cluster").join(name);
            let mode = fs::metadata(&path).expect("a key").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
    }
    let log = read(&cluster.log(0));
    assert!(
        log.contains("admitted id=") && log.contains("refused to admit"),
        "{log}"
    );
    assert!(!log.contains(&token), "{log}");
}
