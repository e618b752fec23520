//! One command of git is one trace, which a collector gets by OpenTelemetry's own protocol.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::Cluster;
use gitmoor_tests::git::Repo;
use gitmoor_tests::otlp::{Collector, attribute};
use gitmoor_tests::place::Place;
use gitmoor_tests::wait;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(60);

/// The root of the trace of a command, once that has ended.
#[track_caller]
fn root(collector: &Collector, name: &str) -> Span {
    let found = wait::poll(BOUND, || collector.root(name));
    found.unwrap_or_else(|| {
        let names: Vec<_> = collector.spans().into_iter().map(|it| it.name).collect();
        panic!("no trace of {name:?} among {names:?}")
    })
}

fn parent<'a>(trace: &'a [Span], of: &Span) -> Option<&'a Span> {
    trace.iter().find(|it| it.span_id == of.parent_span_id)
}

/// Names from the root down to a span.
fn way(trace: &[Span], to: &Span) -> Vec<String> {
    let mut way: Vec<_> = std::iter::successors(Some(to), |it| parent(trace, it))
        .map(|it| it.name.clone())
        .collect();
    way.reverse();
    way
}

fn named<'a>(trace: &'a [Span], name: &str) -> Vec<&'a Span> {
    trace.iter().filter(|it| it.name == name).collect()
}

/// A push whose client and server are both traced by git itself; the id of that session.
fn push(work: &Repo, events: &std::path::Path) -> String {
    let git = work.git.with_env("GIT_TRACE2_EVENT", events);
    git.at(&work.dir).ok("push --quiet origin main");
    let text = fs::read_to_string(events).expect("git's own trace");
    let first = text.lines().next().expect("an event");
    let event: serde_json::Value = serde_json::from_str(first).expect("JSON");
    event["sid"].as_str().expect("a session").to_owned()
}

#[test]
fn a_push_is_one_trace() {
    let collector = Collector::start();
    let place = Place::set(Kind::S3s, &collector.toml());
    let (_, work) = place.pushed("app.git", 1);
    root(&collector, "git push");
    let before = collector.spans().len();
    work.commit("one");
    let session = push(&work, &place.scratch("events"));
    let mut id = Vec::new();
    wait::until("the second push is there", BOUND, || {
        let spans = collector.spans();
        let of_it = |it: &&Span| attribute(it, "session") == session;
        let root = spans[before..].iter().find(of_it);
        id = root.map_or(Vec::new(), |it| it.trace_id.clone());
        !id.is_empty()
    });
    let trace = collector.trace(&id);
    let roots: Vec<_> = trace
        .iter()
        .filter(|it| it.parent_span_id.is_empty())
        .collect();
    assert_eq!(roots.len(), 1, "one root");
    assert_eq!(roots[0].name, "git push");
    for span in &trace {
        let way = way(&trace, span);
        assert_eq!(way[0], "git push", "{way:?} hangs together");
    }
    // Three objects, all within the rename that moves the ref, which proposes that.
    let puts = named(&trace, "put");
    assert_eq!(puts.len(), 3, "the commit, its tree and its blob");
    for put in puts {
        assert_eq!(way(&trace, put), ["git push", "rename", "put"]);
        assert!(attribute(put, "about").contains("/objects/"));
    }
    let applied = named(&trace, "apply");
    let [applied] = applied[..] else {
        panic!("applied {} times", applied.len());
    };
    let way_to_it = ["git push", "rename", "propose", "apply"];
    assert_eq!(way(&trace, applied), way_to_it);
    let proposed = parent(&trace, applied).expect("on its way");
    let renamed = parent(&trace, proposed).expect("on its way");
    assert_eq!(attribute(renamed, "path"), "app.git/refs/heads/main.lock");
    // The server's processes are the client's.
    let processes: BTreeSet<_> = trace.iter().map(|it| attribute(it, "pid")).collect();
    assert!(processes.len() > 2, "{processes:?}");
}

#[test]
fn on_every_node() {
    let collector = Collector::start();
    let toml = collector.toml();
    let mut cluster = Cluster::mounted_with(Kind::Dir, |settings| settings.toml = toml);
    let bare = cluster.scratch("work");
    let work = cluster.git.at(&bare);
    work.ok("init --quiet --initial-branch=main .");
    work.ok("commit --quiet --allow-empty -m one");
    let at = cluster.repo(1, "app.git");
    let init = cluster.git.at(bare);
    init.ok(format!("init --quiet --bare {}", at.path()));
    work.ok(format!("push --quiet {} main", at.url()));
    let id = root(&collector, "git push").trace_id;
    wait::until("every node has applied it", BOUND, || {
        let trace = collector.trace(&id);
        let applied = named(&trace, "apply");
        let of_push = |it: &&&Span| {
            let way = way(&trace, it);
            way == ["git push", "rename", "propose", "apply"]
        };
        let nodes = applied.iter().filter(of_push);
        let nodes: BTreeSet<_> = nodes.map(|it| attribute(it, "node")).collect();
        nodes.len() == 3
    });
    // They leave in peace: one after the other would wait for a majority.
    for machine in 0..3 {
        cluster.kill9(machine);
    }
}

/// The last thing a daemon does is to send what it has: then nothing came.
#[test]
fn none_of_them() {
    let collector = Collector::start();
    let place = Place::set(Kind::Dir, &format!("{}ratio = 0.0\n", collector.toml()));
    place.pushed("app.git", 1);
    place.daemon().umount();
    let names: Vec<_> = collector.spans().into_iter().map(|it| it.name).collect();
    assert!(names.is_empty(), "{names:?}");
}

/// A collector that is not there is said once, and holds up nobody.
#[test]
fn without_a_collector() {
    let gone = Collector::start().toml();
    let place = Place::set(Kind::Dir, &gone);
    let (_, work) = place.pushed("app.git", 1);
    let log = place.daemon().settings().log.clone();
    let said = || {
        let log = fs::read_to_string(&log).expect("log");
        log.matches("the collector takes no traces").count()
    };
    wait::until("it is in the log", BOUND, || said() == 1);
    work.commit("two");
    work.ok("push --quiet origin main");
    place.daemon().umount();
    assert_eq!(said(), 1);
}
