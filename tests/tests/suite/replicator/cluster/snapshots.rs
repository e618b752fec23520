//! Work that grows with the state is not done where everybody waits for it.

use super::mounts::{MACHINES, init, work};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::{BOUND, Cluster, read};
use gitmoor_tests::wait;

/// However long it takes to read the state for a node that joins, here for ever, others commit.
#[test]
fn commits_go_on_while_a_snapshot_is_read() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    init(&cluster, 0, "app.git", "");
    let work = work(&cluster, 0, "app.git");
    let commits = [work.commit("first"), work.commit("second")];
    work.ok("push --quiet origin HEAD:refs/heads/main");
    cluster.set_env("GITMOOR_FAILPOINTS", "snapshot::taking=pause");
    // One by one: a mount wants a majority.
    for machine in MACHINES {
        cluster.kill9(machine);
        cluster.mount(machine);
    }
    let leader = cluster.leader(0, &[]);
    let joined = cluster.join();
    cluster.spawn(joined);
    let bare = cluster.repo((leader + 1) % 3, "app.git");
    let mut commits = commits.iter().cycle();
    let mut commit = || {
        let commit = commits.next().expect("it goes round");
        bare.ok(format!("update-ref refs/heads/main {commit}"));
        assert_eq!(bare.oid("main"), *commit);
    };
    wait::until("a snapshot is under way", BOUND, || {
        commit();
        MACHINES.iter().any(|&machine| {
            let log = read(&cluster.log(machine));
            log.contains("sending a snapshot")
        })
    });
    (0..20).for_each(|_| commit());
}
