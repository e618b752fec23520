//! Health and readiness: the answer names what is wrong, and is well again when that is.

use super::{BOUND, place};
use gitmoor_tests::cluster::Cluster;
use gitmoor_tests::wait;
use gitmoor_tests::watched::Watched;
use std::fs::{self, File};

/// Waits until the daemon says that it is not ready, for this reason.
#[track_caller]
fn unready(watched: &Watched, reason: &str) {
    let mut said = String::new();
    let waited = wait::poll(BOUND, || {
        let (status, text) = watched.get("/readyz");
        said = text;
        (status == 503 && said.contains(reason)).then_some(())
    });
    assert!(waited.is_some(), "{reason:?} is not said: {said}");
    let (status, text) = watched.get("/healthz");
    assert_eq!((status, text.as_str()), (200, "alive\n"), "it lives");
}

#[track_caller]
fn ready(watched: &Watched) {
    wait::until("it is ready", BOUND, || {
        watched.get("/readyz") == (200, "ready\n".to_owned())
    });
}

#[test]
fn a_store_that_is_gone() {
    let (place, watched) = place();
    ready(&watched);
    place.server().set_down(true);
    unready(&watched, "the store ");
    place.server().set_down(false);
    ready(&watched);
    assert_eq!(watched.get("/readiness").0, 404);
}

#[test]
fn a_mount_that_is_out_of_the_way() {
    let (place, watched) = place();
    let bare = place.bare("app.git");
    let open = File::open(bare.dir.join("HEAD")).expect("open");
    let at = place.root.to_str().expect("UTF-8");
    let settings = place.daemon().settings().clone();
    settings.gitmoor_ok(&["umount", "--lazy", at]);
    unready(&watched, "nothing is mounted there any more");
    drop(open);
}

#[test]
fn a_cluster_without_a_leader() {
    let mut cluster = Cluster::of_three();
    let watched = Watched::new();
    cluster.kill9(2);
    fs::write(cluster.data(2).join("gitmoor.toml"), watched.toml()).expect("settings");
    cluster.start(2);
    ready(&watched);
    assert_eq!(watched.value("gitmoor_replicator_has_leader"), 1.0);
    cluster.kill9(0);
    cluster.kill9(1);
    unready(&watched, "no leader of the cluster is known");
    assert_eq!(watched.value("gitmoor_replicator_has_leader"), 0.0);
    cluster.start(0);
    ready(&watched);
    // Whoever leads knows how far the others are.
    let leads = cluster.leader(2, &[1]) == 2;
    let lags = watched.metrics().count("gitmoor_replicator_lag_entries");
    assert_eq!(lags, if leads { 3 } else { 1 });
}
