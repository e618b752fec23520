//! Transactions of refs cost a cluster few entries, whichever machine they come through, and are seen by all when git
//! is done.

use super::mounts::{MACHINES, init};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::Cluster;
use gitmoor_tests::git::Repo;
use gitmoor_tests::history;

const REFS: usize = 1000;
/// Entries that a transaction may cost.
const FEW: u64 = 8;

fn entries(cluster: &Cluster, machine: usize) -> u64 {
    let status = cluster.settings(machine).status();
    status["replicator"]["commit"].as_u64().expect("a number")
}

/// One transaction through a machine, counted by the leader.
fn few(cluster: &Cluster, leader: usize, bare: &Repo, what: &str, line: &dyn Fn(usize) -> String) {
    let before = entries(cluster, leader);
    bare.feed(
        "update-ref --stdin",
        (0..REFS).map(line).collect::<String>(),
    );
    let cost = entries(cluster, leader) - before;
    println!("{what}: {cost} entries");
    assert!(cost <= FEW, "{what}: {cost} entries");
}

#[test]
fn a_thousand_refs_are_few_entries() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let client = cluster.mount_client();
    init(&cluster, 0, "app.git", "").import(&history::commits(4));
    let leader = cluster.leader(0, &[]);
    let follower = MACHINES.into_iter().find(|it| *it != leader).expect("two");
    let all = [leader, follower, client];
    let (new, old) = {
        let bare = cluster.repo(leader, "app.git");
        (bare.oid("main"), bare.oid("main~1"))
    };
    for (through, name) in all.into_iter().zip(["leader", "follower", "client"]) {
        let bare = cluster.repo(through, "app.git");
        let few = |what: &str, line: &dyn Fn(usize) -> String| {
            few(&cluster, leader, &bare, &format!("{name}: {what}"), line);
        };
        few("created", &|n| {
            format!("create refs/heads/{name}/{n} {old}\n")
        });
        few("moved", &|n| {
            format!("update refs/heads/{name}/{n} {new} {old}\n")
        });
        let refs = bare.refs();
        assert_eq!(refs.lines().count(), 1 + REFS);
        for machine in all {
            assert_eq!(cluster.repo(machine, "app.git").refs(), refs, "{machine}");
        }
        few("removed", &|n| {
            format!("delete refs/heads/{name}/{n} {new}\n")
        });
        for machine in all {
            let refs = cluster.repo(machine, "app.git").refs();
            assert_eq!(refs.lines().count(), 1, "{machine}");
        }
    }
}
