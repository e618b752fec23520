//! Machines that disagree about the time of day. Nothing that keeps a push or orders reads may ask what time it is.

use super::mounts::{MACHINES, seen_at_once};
use super::partitions::{all_go_on, beside_clients, goes_on};
use gitmoor_tests::cluster::{BOUND, Cluster, read};
use gitmoor_tests::wait;

/// Within the hour that certificates allow they may even start anew; a jump of any length is nothing to
/// those that know each other.
#[test]
fn they_differ_and_jump() {
    let cluster = Cluster::with_clocks();
    cluster.set_clock(0, "-50m");
    cluster.set_clock(2, "+50m");
    beside_clients(cluster, |cluster| {
        all_go_on(cluster);
        for offset in ["+30d", "-30d", "+0"] {
            let leader = cluster.leader(0, &[]);
            cluster.set_clock(leader, offset);
            all_go_on(cluster);
        }
        let leader = cluster.leader(0, &[]);
        let follower = (leader + 1) % 3;
        cluster.set_clock(leader, "-50m");
        cluster.set_clock(follower, "+50m");
        cluster.kill9(leader);
        cluster.mount(leader);
        all_go_on(cluster);
    });
}

/// It believes nobody, and says why; the others go on without it.
#[test]
fn a_machine_that_starts_before_the_certificates() {
    beside_clients(Cluster::with_clocks(), |cluster| {
        let wrong = (cluster.leader(0, &[]) + 1) % 3;
        cluster.kill9(wrong);
        cluster.set_clock(wrong, "-3d");
        cluster.start(wrong);
        wait::until("it says why", BOUND, || {
            let members = cluster.status(wrong)["members"].clone();
            let others = members.as_array().into_iter().flatten();
            let mut said = others.filter_map(|member| member["error"].as_str());
            said.any(|why| why.contains("not valid yet"))
        });
        for other in MACHINES.into_iter().filter(|&it| it != wrong) {
            goes_on(cluster, other);
        }
        cluster.kill9(wrong);
        cluster.set_clock(wrong, "+0");
        cluster.mount(wrong);
        all_go_on(cluster);
    });
}

/// When each machine's certificate expires, by the word of all of them.
fn expiries(cluster: &Cluster) -> Vec<u64> {
    let members = MACHINES.map(|machine| cluster.member(0, machine).expect("a member"));
    let expiries = members.iter().map(|it| it["certificate_expires"].as_u64());
    expiries
        .map(|expires| expires.expect("it answers"))
        .collect()
}

/// They are good for a year; machines run for longer, and so do clients.
#[test]
fn certificates_are_renewed_while_machines_run() {
    const DAY: u64 = 24 * 3600;
    let mut cluster = Cluster::with_clocks();
    let client = cluster.mount_client();
    let first = expiries(&cluster);
    let machines = [MACHINES.to_vec(), vec![client]].concat();
    for days in [200, 400] {
        for &machine in &machines {
            cluster.set_clock(machine, &format!("+{days}d"));
        }
        wait::until("all are renewed", BOUND, || {
            let now = expiries(&cluster);
            now.iter()
                .zip(&first)
                .all(|(now, first)| *now > first + (days - 1) * DAY)
        });
        wait::until("the client is, too", BOUND, || {
            let said = read(&cluster.log(client))
                .matches("has a new certificate")
                .count();
            said as u64 >= days / 200
        });
    }
    // Those that they began with expired a month ago.
    cluster.kill9(1);
    cluster.mount(1);
    cluster.kill9(client);
    cluster.mount(client);
    seen_at_once(&cluster, &machines, "");
}
