//! Nodes are admitted, get a vote, and leave.

use crate::harness::{Cluster, create_repo, read, write};
use gitmoor_model::{Expect, Refusal};
use gitmoor_replicator::MembershipError;
use gitmoor_replicator::peer::{Change, ChangeError};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn voters(cluster: &Cluster, machine: usize) -> BTreeSet<u64> {
    cluster.node(machine).status().voters
}

#[test]
fn a_learner_learns_and_does_not_count() {
    let mut cluster = Cluster::new();
    create_repo(cluster.node(0));
    let learner = cluster.join();
    cluster.start(learner);
    write(cluster.node(0), "refs/heads/main", Expect::Absent, "x").expect("written");
    assert_eq!(
        read(cluster.node(learner), "refs/heads/main").as_deref(),
        Some("x")
    );
    write(
        cluster.node(learner),
        "refs/heads/main",
        Expect::Anything,
        "y",
    )
    .expect("by the leader");
    assert_eq!(voters(&cluster, learner), BTreeSet::from([1]));
    cluster.stop(learner);
    write(cluster.node(0), "refs/heads/main", Expect::Anything, "z").expect("without it");
}

/// The log that it would need is gone: it gets everything at once.
#[test]
fn a_newcomer_gets_a_snapshot() {
    let mut cluster = Cluster::with(50, Duration::from_secs(30));
    create_repo(cluster.node(0));
    for number in 0..300 {
        let at = format!("refs/heads/{number}");
        write(cluster.node(0), &at, Expect::Absent, "x").expect("written");
    }
    assert!(cluster.node(0).status().first_index > 100, "compacted");
    cluster.grow();
    for machine in 1..3 {
        for number in 0..300 {
            let at = format!("refs/heads/{number}");
            assert_eq!(read(cluster.node(machine), &at).as_deref(), Some("x"));
        }
    }
    // And so does one that was away for longer than the log is.
    cluster.stop(2);
    for number in 0..300 {
        let at = format!("refs/heads/{number}");
        write(cluster.node(1), &at, Expect::Anything, "y").expect("written");
    }
    cluster.start(2);
    assert_eq!(
        read(cluster.node(2), "refs/heads/299").as_deref(),
        Some("y")
    );
}

/// A replaced disk comes back as a new member, at the old address.
#[test]
fn a_dead_node_is_replaced() {
    let mut cluster = Cluster::of_three();
    create_repo(cluster.node(0));
    let dead = (cluster.leader() + 1) % 3;
    let (id, address) = (cluster.machines[dead].id, cluster.machines[dead].address);
    cluster.stop(dead);
    let other = (dead + 1) % 3;
    cluster.node(other).remove(id).expect("it is asked nothing");
    assert!(!voters(&cluster, other).contains(&id));
    assert!(
        !cluster
            .node(other)
            .members()
            .expect("reads")
            .contains_key(&id)
    );
    let again = cluster.node(other).remove(id);
    assert!(
        matches!(again, Err(MembershipError::Refused(Refusal::NoMember(it))) if it == id),
        "{again:?}"
    );
    let new = cluster.join_at(address);
    assert!(cluster.machines[new].id > id, "an id is used once");
    cluster.start(new);
    cluster.promote(new);
    write(cluster.node(new), "refs/heads/main", Expect::Absent, "x").expect("written");
    assert_eq!(voters(&cluster, new).len(), 3);
}

#[test]
fn leadership_is_handed_over() {
    let cluster = Cluster::of_three();
    for step in 1..4 {
        let target = cluster.machines[(cluster.leader() + step) % 3].id;
        // Whoever is asked.
        cluster
            .node(step % 3)
            .change(Change::TransferTo(target))
            .expect("handed over");
        cluster.until("everybody knows", || {
            cluster
                .running()
                .all(|it| it.node().status().leader == Some(target))
        });
    }
}

#[test]
fn what_could_harm_is_refused() {
    let mut cluster = Cluster::of_three();
    let leader = cluster.machines[cluster.leader()].id;
    let removed = cluster.node(0).remove(leader);
    assert!(
        matches!(removed, Err(MembershipError::Change(ChangeError::Leads(it))) if it == leader),
        "{removed:?}"
    );
    let nobody = cluster.node(1).change(Change::Promote(999));
    assert!(
        matches!(
            nobody,
            Err(MembershipError::Change(ChangeError::NotLearner(999)))
        ),
        "{nobody:?}"
    );
    // Admitted, and never started: it lacks everything.
    let silent = cluster.join();
    let id = cluster.machines[silent].id;
    let lags = cluster.node(1).change(Change::Promote(id));
    assert!(
        matches!(lags, Err(MembershipError::Change(ChangeError::Lags(it))) if it == id),
        "{lags:?}"
    );
    let leads = cluster.node(2).change(Change::TransferTo(id));
    assert!(
        matches!(leads, Err(MembershipError::Change(ChangeError::NotVoter(it))) if it == id),
        "{leads:?}"
    );
}

#[test]
fn members_say_how_they_are() {
    let mut cluster = Cluster::of_three();
    let down = (cluster.leader() + 1) % 3;
    let id = cluster.machines[down].id;
    cluster.stop(down);
    let asked = cluster.node((down + 1) % 3);
    let mut members = BTreeMap::new();
    // A busy machine may need longer than an answer is waited for, and the last that was promoted may
    // learn of it after the others.
    cluster.until("the others answer", || {
        members = asked.member_states().expect("asked");
        let states = members.values().filter_map(|it| it.state.as_ref().ok());
        states.filter(|it| it.status.voters.len() == 3).count() == 2
    });
    assert_eq!(members.len(), 3);
    for (node, member) in members {
        match member.state {
            Ok(state) => {
                assert_eq!(state.status.id, node);
            }
            Err(why) => {
                assert_eq!(node, id, "{why}");
                let address = cluster.machines[down].address.to_string();
                assert!(why.contains(&address), "{why}");
            }
        }
    }
}
