//! `gitmoor import`: what comes in is what was there, and nothing is seen of it before.

mod bad;
mod database;
mod interrupted;
mod live;
mod sources;

use gitmoor_tests::git::Repo;
use gitmoor_tests::history::History;
use gitmoor_tests::mount::Settings;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use serde_json::Value;
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(60);

fn settings(place: &Place) -> Settings {
    place.daemon().settings().clone()
}

/// Imports, and answers what that did.
#[track_caller]
fn import(place: &Place, args: &[&str]) -> Value {
    let text = settings(place).gitmoor_ok(&[&["import", "--json"], args].concat());
    let events = text.lines().map(serde_json::from_str::<Value>);
    let mut events: Vec<_> = events.map(|event| event.expect("JSON")).collect();
    let last = events.pop().expect("an event");
    assert_eq!(last["event"], "imported", "{text}");
    assert!(events.iter().all(|event| event["event"] == "progress"));
    last
}

/// An import that fails; what it says. Nothing of it is to be seen.
#[track_caller]
fn refused(place: &Place, args: &[&str]) -> String {
    let output = settings(place).gitmoor(&[&["import"], args].concat());
    assert_eq!(output.status.code(), Some(1), "{}", report(&output));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn status(place: &Place) -> Vec<Value> {
    let text = settings(place).gitmoor_ok(&["import", "--status", "--json"]);
    serde_json::from_str(&text).expect("JSON")
}

#[track_caller]
fn listed(place: &Place) -> Vec<String> {
    let text = settings(place).gitmoor_ok(&["repo", "list"]);
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

/// All that there is to compare of two repositories.
#[derive(PartialEq, Eq, Debug)]
struct Shape {
    refs: String,
    head: String,
    objects: Vec<String>,
}

fn shape(repo: &Repo) -> Shape {
    let format = "--format=%(objectname) %(*objectname) %(refname) %(symref)";
    let mut objects = repo.ok("rev-list --all --objects");
    let head = repo.run("symbolic-ref -q HEAD", b"");
    let head = match head.status.success() {
        true => String::from_utf8_lossy(&head.stdout).into_owned(),
        false => {
            objects += &repo.ok("rev-list --objects HEAD");
            repo.oid("HEAD")
        }
    };
    let mut objects: Vec<_> = objects.lines().map(str::to_owned).collect();
    objects.sort();
    Shape {
        refs: repo.ok(["for-each-ref", format]),
        head,
        objects,
    }
}

#[track_caller]
fn same(place: &Place, source: &Repo, name: &str) -> Repo {
    let bare = place.repo(name);
    let expected = shape(source);
    for _ in 0..2 {
        assert_eq!(shape(&bare), expected);
        bare.fsck();
        place.cool();
    }
    bare
}

/// Two packs, loose objects, packed and loose refs, tags of tags, a symbolic ref.
fn mixed(place: &Place, name: &str, init: &str) -> Repo {
    let path = place.scratch(name);
    let at = place.git.at(&place.scratch);
    at.ok(format!("init --quiet {init} {}", path.display()));
    let work = place.git.at(path);
    for round in 0..2 {
        let history = History::seeded(round).commits(&format!("r{round}"), 40);
        let import = "-c fastimport.unpackLimit=1 fast-import --quiet --force";
        work.feed(import, history.stream());
    }
    work.ok("update-ref refs/heads/main r1");
    work.ok("tag -a -m one one r0");
    work.ok("tag -a -m two two one");
    work.ok("tag light r1");
    work.ok("pack-refs --all");
    work.ok("update-ref refs/heads/later r0~3");
    work.ok("symbolic-ref refs/remotes/origin/HEAD refs/heads/main");
    let blob = work.feed("hash-object -w --stdin", "by itself");
    work.ok(format!("update-ref refs/blobs/one {blob}"));
    work
}
