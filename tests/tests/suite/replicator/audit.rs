//! Who changed what: refs by git, settings and repositories by administrators, and what is kept of it.

use crate::replicator::cluster::mounts::work;
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::Cluster;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use serde_json::Value;
use std::fs;
use std::process::Command;

fn place() -> Place {
    let toml = "idle-publish = \"50ms\"\ntrash-keep = \"0s\"\ngc-period = \"1h\"\n";
    Place::set(Kind::Dir, toml)
}

fn gitmoor(place: &Place, args: &[&str]) -> String {
    let settings = place.daemon().settings().clone();
    settings.gitmoor_ok(args)
}

fn audit(place: &Place, args: &[&str]) -> Vec<Value> {
    let text = gitmoor(place, &[&["audit", "--json"], args].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn told(lines: &[Value], what: &str) -> Vec<String> {
    let text = |line: &Value| line[what].as_str().unwrap_or("nothing").to_owned();
    lines.iter().map(text).collect()
}

#[test]
fn who_moved_main() {
    let place = place();
    let (_, work) = place.pushed("app.git", 2);
    let first = work.oid("main");
    let second = work.commit("second");
    let served = place.git.with_env("REMOTE_ADDR", "192.0.2.7");
    served
        .at(&work.dir)
        .ok("push --quiet origin main main:other");
    let lines = audit(&place, &["app.git", "--ref", "main"]);
    assert_eq!(told(&lines, "old"), ["nothing", first.as_str()]);
    assert_eq!(told(&lines, "new"), [first.as_str(), second.as_str()]);
    assert_eq!(told(&lines, "what"), ["refs/heads/main"; 2]);
    assert_eq!(told(&lines, "address"), ["nothing", "192.0.2.7"]);
    let me = nix::unistd::getuid().as_raw();
    for line in &lines {
        assert_eq!(line["uid"], me, "{line:#}");
        assert_eq!(line["node"], 1, "{line:#}");
        let command = line["command"].as_str().expect("a command");
        assert!(command.contains("receive-pack"), "{command}");
    }
    assert_ne!(lines[0]["pid"], lines[1]["pid"]);
    let same = audit(&place, &["app.git", "--ref", "refs/heads/main"]);
    assert_eq!(same, lines);
    let text = gitmoor(&place, &["audit", "app.git", "--ref", "main"]);
    assert!(text.contains(&format!("{first} -> {second}")), "{text}");

    let info = gitmoor(&place, &["repo", "info", "app.git", "--json"]);
    let info: Value = serde_json::from_str(&info).expect("JSON");
    assert_eq!(info["last_push"]["address"], "192.0.2.7", "{info:#}");
}

#[test]
fn since_when() {
    let place = place();
    place.pushed("app.git", 2);
    let main = |since| audit(&place, &["app.git", "--ref", "main", "--since", since]);
    assert_eq!(main("1h").len(), 1);
    assert_eq!(main("2020-01-01").len(), 1);
    assert_eq!(main("2199-12-31 23:59:59").len(), 0);
    let settings = place.daemon().settings().clone();
    let wrong = settings.gitmoor(&["audit", "app.git", "--since", "yesterday"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", report(&wrong));
}

/// What moves no ref is on no record, though it writes refs.
#[test]
fn packing_refs_moves_none() {
    let place = place();
    let (bare, work) = place.pushed("app.git", 2);
    let mut updates = String::new();
    for n in 0..2500 {
        updates += &format!("create refs/tags/{n} {}\n", work.oid("main"));
    }
    bare.feed("update-ref --stdin", &updates);
    let count = || audit(&place, &["app.git"]).len();
    let before = count();
    assert!(before > 2500);
    bare.ok("pack-refs --all");
    assert_eq!(count(), before);
    // Thousands of lines of one file, by one process: all of them are on record.
    fs::remove_file(bare.dir.join("packed-refs")).expect("rm");
    assert_eq!(count(), before + 2501);
}

#[test]
fn administrators_are_on_record() {
    let place = place();
    place.pushed("team/app.git", 2);
    let id = audit(&place, &["team/app.git"])[0]["repository"].clone();
    let id = id.as_str().expect("an id").to_owned();
    gitmoor(&place, &["repo", "config", "team/app.git", "gc.auto", "7"]);
    gitmoor(&place, &["repo", "rename", "team/app.git", "old.git"]);
    gitmoor(&place, &["repo", "delete", "--yes", "old.git"]);

    let lines = audit(&place, &[&id]);
    let events: Vec<_> = told(&lines, "event");
    let last = events.iter().rev().take(3).rev();
    assert_eq!(last.collect::<Vec<_>>(), ["setting", "renamed", "deleted"]);
    let setting = lines.iter().find(|line| line["event"] == "setting");
    let setting = setting.expect("on record");
    assert_eq!(setting["what"], "gc.auto");
    assert_eq!(setting["new"], "7");
    let command = setting["command"].as_str().expect("a command");
    assert!(
        command.ends_with("repo config team/app.git gc.auto 7"),
        "{command}"
    );
    assert_eq!(setting["uid"], nix::unistd::getuid().as_raw());
    assert_eq!(audit(&place, &["old.git"]), lines, "by its last name too");

    gitmoor(&place, &["gc", "--trash-only"]);
    assert_eq!(audit(&place, &[&id]), Vec::<Value>::new(), "purged");
    let lines = audit(&place, &[]);
    let of_it = lines
        .iter()
        .filter(|line| line["repository"] == id.as_str());
    let of_it: Vec<_> = of_it.cloned().collect();
    let events = ["created", "renamed", "deleted", "condemned", "purged"];
    assert_eq!(told(&of_it, "event"), events);
    let settings = place.daemon().settings().clone();
    let gone = settings.gitmoor(&["audit", "old.git"]);
    assert_eq!(gone.status.code(), Some(1), "{}", report(&gone));
}

/// Through the mount, not by git.
#[test]
fn commands_of_the_disk_are_on_record() {
    let place = place();
    place.bare("a.git");
    let mv = |from: &str, to: &str| {
        let status = Command::new("mv")
            .arg(place.root.join(from))
            .arg(place.root.join(to))
            .status();
        assert!(status.expect("mv runs").success());
    };
    mv("a.git", "b.git");
    let lines = audit(&place, &[]);
    let last = lines.last().expect("on record");
    assert_eq!(
        (&last["old"], &last["new"]),
        (&"a.git".into(), &"b.git".into())
    );
    let command = last["command"].as_str().expect("a command");
    assert!(command.starts_with("mv "), "{command}");
}

#[test]
fn the_oldest_go_beyond_the_limit() {
    let place = place();
    let (bare, work) = place.pushed("app.git", 2);
    let main = work.oid("main");
    gitmoor(&place, &["repo", "limit", "app.git", "audit-records", "5"]);
    assert_eq!(
        gitmoor(&place, &["repo", "limit", "app.git"]),
        "audit-records=5\n"
    );
    for n in 0..10 {
        bare.ok(format!("update-ref refs/tags/{n} {main}"));
    }
    let names: Vec<_> = (5..10).map(|n| format!("refs/tags/{n}")).collect();
    assert_eq!(told(&audit(&place, &["app.git"]), "what"), names);
    gitmoor(
        &place,
        &["repo", "limit", "app.git", "audit-records", "--unset"],
    );
    assert_eq!(gitmoor(&place, &["repo", "limit", "app.git"]), "");
    let settings = place.daemon().settings().clone();
    for wrong in [&["audit-keep", "long"], &["colour", "red"]] {
        let args = [&["repo", "limit", "app.git"], &wrong[..]].concat();
        let refused = settings.gitmoor(&args);
        assert_eq!(refused.status.code(), Some(2), "{}", report(&refused));
    }
}

/// The trail is the cluster's: each node, and a client, says through whom it was done.
#[test]
fn through_which_node() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    crate::replicator::cluster::mounts::init(&cluster, 0, "app.git", "");
    let client = cluster.mount_client();
    for (n, machine) in [1, client].into_iter().enumerate() {
        let work = work(&cluster, machine, "app.git");
        work.commit("one");
        work.ok(format!("push --quiet origin HEAD:refs/heads/{n}"));
    }
    let trail = |machine| cluster.ok(machine, &["audit", "app.git", "--json"]);
    let lines: Vec<Value> = serde_json::from_str(&trail(0)).expect("JSON");
    let through = |name: &str| {
        let line = lines.iter().find(|line| line["what"] == name);
        line.expect("on record")["node"].as_u64().expect("a number")
    };
    let (first, second) = (through("refs/heads/0"), through("refs/heads/1"));
    assert_ne!(first, second);
    assert_eq!(trail(client), trail(0));
    let status: Value =
        serde_json::from_str(&cluster.ok(0, &["cluster", "status", "--json"])).expect("JSON");
    let clients = status["clients"].as_object().expect("clients");
    assert!(clients.contains_key(&second.to_string()), "{status:#}");
}
