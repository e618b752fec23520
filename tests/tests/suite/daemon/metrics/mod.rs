//! What the daemon counts is what happened.

mod dashboard;
pub(crate) mod exposition;
mod readiness;

use gitmoor_tests::backend::Kind;
use gitmoor_tests::place::Place;
use gitmoor_tests::wait;
use gitmoor_tests::watched::Watched;
use serde_json::Value;
use std::io::ErrorKind::ConnectionReset;
use std::io::Read;
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(60);

fn place() -> (Place, Watched) {
    let watched = Watched::new();
    let toml = format!(
        "trash-keep = \"0s\"\ngc-period = \"1h\"\nidle-publish = \"50ms\"\n\
         publish-timeout = \"1s\"\n{}",
        watched.toml()
    );
    (Place::set(Kind::S3s, &toml), watched)
}

fn json(place: &Place, args: &[&str]) -> Value {
    let settings = place.daemon().settings().clone();
    let output = settings.gitmoor(&[args, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn what_waits_to_be_published() {
    let (place, metrics) = place();
    let (bare, _) = place.pushed("app.git", 2);
    let (files, oldest) = (
        "gitmoor_publisher_pending_files",
        "gitmoor_publisher_oldest_pending_seconds",
    );
    place.server().set_down(true);
    bare.feed("hash-object -w --stdin", "one\n");
    bare.feed("hash-object -w --stdin", "two\n");
    wait::until("both are counted, and age", BOUND, || {
        metrics.value(files) == 2.0 && metrics.value(oldest) > 0.0
    });
    place.server().set_down(false);
    wait::until("nothing waits any more", BOUND, || {
        metrics.value(files) == 0.0 && metrics.value(oldest) == 0.0
    });
}

#[test]
fn what_gc_removes() {
    let (place, metrics) = place();
    let (bare, _) = place.pushed("app.git", 2);
    bare.feed("hash-object -w --stdin", "not for long\n");
    wait::until("it is published", BOUND, || {
        json(&place, &["status"])["pending"]["files"] == 0
    });
    bare.ok("prune --expire=now");
    wait::until("the trash has it", BOUND, || {
        let trash = json(&place, &["repo", "trash"]);
        trash.as_array().is_some_and(|trash| !trash.is_empty())
    });
    json(&place, &["gc", "--trash-only", "--dry-run"]);
    assert_eq!(metrics.value("gitmoor_gc_runs_total{outcome=\"ok\"}"), 0.0);
    let done = json(&place, &["gc", "--trash-only"]);
    assert_eq!(done["objects"], 1, "{done:#}");
    assert_eq!(metrics.value("gitmoor_gc_runs_total{outcome=\"ok\"}"), 1.0);
    assert_eq!(metrics.value("gitmoor_gc_removed_objects_total"), 1.0);
    let bytes = metrics.value("gitmoor_gc_removed_bytes_total");
    assert_eq!(Some(bytes), done["bytes"].as_f64());
    assert!(bytes > 0.0);
}

#[test]
fn what_fsck_finds() {
    let (place, metrics) = place();
    let (bare, _) = place.pushed("app.git", 2);
    let blob = bare.feed("hash-object -w --stdin", "to be damaged\n");
    wait::until("it is published", BOUND, || {
        json(&place, &["status"])["pending"]["files"] == 0
    });
    let objects = place.server().objects();
    let name = format!("{}/{}", &blob[..2], &blob[2..]);
    let key = objects.keys().find(|key| key.contains(&name));
    let key = key.expect("stored");
    let mut bytes = objects[key].to_vec();
    bytes[3] ^= 1;
    place.server().plant(key, bytes);
    json(&place, &["fsck", "app.git"]);
    place.server().lose(key);
    json(&place, &["fsck", "app.git"]);
    let found = |kind| metrics.value(&format!("gitmoor_fsck_damaged_total{{kind=\"{kind}\"}}"));
    assert_eq!(found("block"), 1.0);
    assert_eq!(found("missing"), 1.0);
    assert_eq!(found("staged"), 0.0);
}

/// The kernel keeps the values of refs: whoever reads them again does not ask, and sees what
/// has changed nevertheless.
#[test]
fn values_that_the_kernel_keeps() {
    let (place, metrics) = place();
    let (bare, work) = place.pushed("app.git", 2);
    let reads = || metrics.value("gitmoor_fuse_operation_seconds_count{op=\"read\"}");
    let commands = ["symbolic-ref HEAD", "for-each-ref", "rev-parse HEAD"];
    for round in 0..3 {
        for command in commands {
            bare.ok(command);
        }
        let before = reads();
        for command in commands {
            bare.ok(command);
        }
        assert_eq!(reads(), before, "round {round}");
        let tip = work.commit(&format!("round-{round}"));
        work.ok("push --quiet origin main");
        assert_eq!(bare.oid("HEAD"), tip, "moved by rename");
        bare.write("refs/heads/direct", format!("{tip}\n"));
        assert_eq!(bare.oid("direct"), tip, "written directly");
        bare.ok("symbolic-ref HEAD refs/heads/direct");
        assert_eq!(bare.ok("symbolic-ref HEAD"), "refs/heads/direct");
        bare.ok("symbolic-ref HEAD refs/heads/main");
    }
    assert!(reads() > 0.0, "it counts");
}

/// Whoever holds many connections open loses the oldest, and keeps nobody out.
#[test]
fn connections_that_say_nothing() {
    let (_place, watched) = place();
    let mut silent: Vec<_> = (0..200).map(|_| watched.connect()).collect();
    assert_eq!(watched.get("/healthz").0, 200);
    let first = &mut silent[0];
    first.set_read_timeout(Some(BOUND)).expect("a socket");
    let closed = first.read(&mut [0]);
    assert!(matches!(closed, Ok(0)) || closed.is_err_and(|error| error.kind() == ConnectionReset));
}
