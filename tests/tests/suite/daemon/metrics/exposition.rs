//! Every metric, read back with a parser of Prometheus' format: its value is that of the work, its
//! name and its labels are those of the manual.

use super::{BOUND, json, place};
use gitmoor_tests::place::Place;
use gitmoor_tests::s3::{Fault, Kind as S3};
use gitmoor_tests::wait;
use gitmoor_tests::watched::{Metrics, Watched};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// How much a value grows.
struct Grown<'a> {
    watched: &'a Watched,
    before: Metrics,
}

impl<'a> Grown<'a> {
    fn from_now(watched: &'a Watched) -> Self {
        let before = watched.metrics();
        Self { watched, before }
    }

    #[track_caller]
    fn by(&self, series: &str) -> f64 {
        self.watched.value(series) - self.before.value(series)
    }
}

fn settle(place: &Place) {
    wait::until("nothing is pending", BOUND, || {
        json(place, &["status"])["pending"]["files"] == 0
    });
}

#[test]
fn requests_are_those_that_the_store_had() {
    let (place, watched) = place();
    let (bare, work) = place.pushed("app.git", 2);
    settle(&place);
    let grown = Grown::from_now(&watched);
    place.server().reset();
    let tip = work.commit("one");
    work.ok("push --quiet origin main");
    settle(&place);
    let had = place.server().counts();
    let puts = grown.by("gitmoor_s3_requests_total{store=\"s3\",kind=\"put\",outcome=\"ok\"}");
    assert_eq!((puts, had.requests()), (3.0, 3), "{had:?}");
    assert_eq!(grown.by("gitmoor_s3_requests_total"), 3.0);
    let timed = grown.by("gitmoor_s3_request_seconds_count{store=\"s3\",kind=\"put\"}");
    assert_eq!(timed, 3.0);
    let stored: usize = place
        .server()
        .objects()
        .iter()
        .filter(|(key, _)| key.contains(&format!("{}/{}", &tip[..2], &tip[2..])))
        .map(|(_, bytes)| bytes.len())
        .sum();
    assert!(stored > 0, "the commit is among them");
    let sent = grown.by("gitmoor_s3_sent_bytes_total");
    assert!(sent >= stored as f64, "{sent} with the commit's {stored}");
    assert_eq!(grown.by("gitmoor_s3_received_bytes_total"), 0.0);
    let moved = grown.by("gitmoor_replicator_proposals_total{outcome=\"done\"}");
    assert!(moved >= 1.0, "the push");
    assert_eq!(watched.value("gitmoor_s3_in_flight_requests"), 0.0);

    // Cold, with the same port.
    place.cool();
    place.server().reset();
    let cold = Grown::from_now(&watched);
    bare.ok("cat-file -p main^{tree}");
    let (had, now) = (place.server().counts(), watched.metrics());
    let gets = "gitmoor_s3_requests_total{kind=\"get\",outcome=\"ok\"}";
    assert_eq!(cold.by(gets), had.get as f64, "{had:?}");
    let received = cold.by("gitmoor_s3_received_bytes_total");
    assert_eq!(received, had.bytes_out as f64);
    assert_eq!(cold.by("gitmoor_cache_fetched_bytes_total"), received);
    assert!(now.value("gitmoor_cache_misses_total") >= 1.0);
    let cached = json(&place, &["status"])["cache"].clone();
    assert_eq!(
        Some(now.value("gitmoor_cache_bytes")),
        cached["bytes"].as_f64()
    );
    let limit = now.value("gitmoor_cache_limit_bytes");
    assert_eq!(Some(limit), cached["limit"].as_f64());
}

#[test]
fn operations_and_errors_are_counted() {
    let (place, watched) = place();
    place.bare("full/app.git");
    let grown = Grown::from_now(&watched);
    for name in ["a", "b", "c"] {
        fs::create_dir(place.root.join(name)).expect("mkdir");
    }
    for _ in 0..2 {
        nix::sys::statvfs::statvfs(&place.root).expect("statvfs");
    }
    fs::remove_dir(place.root.join("full")).expect_err("it is not empty");
    let op = |op| {
        grown.by(&format!(
            "gitmoor_fuse_operation_seconds_count{{op=\"{op}\"}}"
        ))
    };
    assert_eq!((op("mkdir"), op("statfs"), op("rmdir")), (3.0, 2.0, 1.0));
    let errors = |errno| {
        let labels = format!("{{op=\"rmdir\",errno=\"{errno}\"}}");
        grown.by(&format!("gitmoor_fuse_errors_total{labels}"))
    };
    assert_eq!((errors("ENOTEMPTY"), errors("ENOENT")), (1.0, 0.0));
    let time = grown.by("gitmoor_fuse_operation_seconds_sum{op=\"mkdir\"}");
    assert!(time > 0.0);
}

#[test]
fn a_store_that_fails_is_counted_by_how() {
    let (place, watched) = place();
    let (_, work) = place.pushed("app.git", 1);
    settle(&place);
    let grown = Grown::from_now(&watched);
    place.server().fail(S3::Put, Fault::SlowDown, 1);
    work.commit("slow");
    work.ok("push --quiet origin main");
    assert_eq!(grown.by("gitmoor_s3_retries_total{kind=\"PUT\"}"), 1.0);
    place.server().set_down(true);
    work.commit("down");
    work.fail("push --quiet origin main");
    let down = "gitmoor_s3_requests_total{kind=\"put\",outcome=\"unavailable\"}";
    assert!(grown.by(down) >= 1.0);
    place.server().set_down(false);
}

#[test]
fn a_node_alone_leads_itself() {
    let (place, watched) = place();
    place.pushed("app.git", 2);
    settle(&place);
    let now = watched.metrics();
    let role = |role| now.value(&format!("gitmoor_replicator_role{{role=\"{role}\"}}"));
    let roles = (role("leader"), role("follower"), role("candidate"));
    assert_eq!(roles, (1.0, 0.0, 0.0));
    assert_eq!(now.value("gitmoor_replicator_has_leader"), 1.0);
    let status = json(&place, &["status"])["replicator"].clone();
    for (metric, key) in [
        ("term", "term"),
        ("committed_index", "commit"),
        ("applied_index", "applied"),
    ] {
        let value = now.value(&format!("gitmoor_replicator_{metric}"));
        assert_eq!(Some(value), status[key].as_f64(), "{metric}");
    }
    assert_eq!(now.count("gitmoor_replicator_lag_entries"), 1);
    assert_eq!(now.value("gitmoor_replicator_lag_entries{node=\"1\"}"), 0.0);
    let applied = now.value("gitmoor_replicator_apply_seconds_count");
    assert!(applied > 0.0, "something was applied");
}

/// Of many repositories only the largest are named; all count.
#[test]
fn sizes_of_repositories() {
    let (place, watched) = place();
    place.pushed("team/large.git", 3);
    settle(&place);
    for number in 0..11 {
        place.bare(&format!("empty-{number}.git"));
    }
    let info = json(&place, &["repo", "info", "team/large.git"]);
    let now = watched.metrics();
    assert_eq!(now.value("gitmoor_repositories"), 12.0);
    for (all, one, key) in [
        ("object_files", "repository_object_files", "object_files"),
        ("object_bytes", "repository_object_bytes", "object_bytes"),
    ] {
        let total = now.value(&format!("gitmoor_{all}"));
        assert_eq!(Some(total), info[key].as_f64(), "the others are empty");
        let of = format!("gitmoor_{one}{{repository=\"team/large.git\"}}");
        assert_eq!(now.value(&of), total);
        assert_eq!(
            now.count(&format!("gitmoor_{one}")),
            10,
            "no more are named"
        );
    }
    // Counted anew when the catalog has changed.
    let before = now.value("gitmoor_object_files");
    let bare = place.repo("empty-3.git");
    bare.feed("hash-object -w --stdin", "more\n");
    wait::until("it is published and counted", BOUND, || {
        watched.value("gitmoor_object_files") == before + 1.0
    });
}

/// Of the doors, which this daemon has none of: `serve::transfer` compares them.
pub(crate) const OF_DOORS: &str = "gitmoor_serve_";

/// The items of the manual's list, ``- `NAME` (`LABEL`, …): text``: labels by name.
pub(crate) fn manual() -> BTreeMap<String, BTreeSet<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/metrics.md");
    let text = fs::read_to_string(path).expect("the manual");
    let items = text.lines().filter(|line| line.starts_with("- `gitmoor_"));
    items
        .map(|item| {
            let (head, _) = item.split_once(": ").expect("a name, and text");
            let mut quoted = head.split('`').skip(1).step_by(2).map(str::to_owned);
            (quoted.next().expect("a name"), quoted.collect())
        })
        .collect()
}

/// What makes every metric appear.
pub(super) fn do_everything(place: &Place) {
    let (_, work) = place.pushed("app.git", 1);
    settle(place);
    let settings = place.daemon().settings().clone();
    settings.gitmoor_ok(&["repo", "limit", "app.git", "bytes", "1GiB"]);
    place.server().fail(S3::Put, Fault::SlowDown, 1);
    work.commit("retried");
    work.ok("push --quiet origin main");
    fs::remove_dir(place.root.join("app.git/refs")).expect_err("it is not empty");
}

#[test]
fn the_manual_has_them_all() {
    let (place, watched) = place();
    do_everything(&place);
    let (now, mut manual) = (watched.metrics(), manual());
    manual.retain(|name, _| !name.starts_with(OF_DOORS));
    let known: BTreeSet<_> = manual.keys().map(String::as_str).collect();
    assert_eq!(
        now.names(),
        known,
        "left: served; right: docs/reference/metrics.md"
    );
    for (name, labels) in &manual {
        let histogram = now.types[name] == "histogram";
        let sampled = match histogram {
            true => format!("{name}_count"),
            false => name.clone(),
        };
        let labels: BTreeSet<_> = labels.iter().map(String::as_str).collect();
        assert_eq!(now.labels(&sampled), labels, "{name}");
        let counter = now.types[name] == "counter";
        assert_eq!(name.ends_with("_total"), counter, "{name}");
        let unit = ["_seconds", "_bytes", "_total", "_size"];
        let has_unit = unit.iter().any(|unit| name.ends_with(unit));
        assert!(!histogram || has_unit, "{name} is in base units");
    }
}
