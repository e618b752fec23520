//! What takes long is named in the log: the operation, the file, and what it waited for.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::{Args, Installed, Repo};
use gitmoor_tests::history::noise;
use gitmoor_tests::mount::Settings;
use gitmoor_tests::place::Place;
use gitmoor_tests::s3::{Fault, Kind as S3};
use gitmoor_tests::wait;
use std::process::{Child, Stdio};
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(60);

/// Longer than the threshold, [`place`].
const SLOW: Fault = Fault::Delay(Duration::from_millis(300));

fn place(settings: &str) -> Place {
    let toml = format!("slow-operation = \"50ms\"\n{settings}");
    Place::set(Kind::S3s, &toml)
}

/// The line about an operation on a path, with these words about what it waited for.
#[track_caller]
fn told(place: &Place, op: &str, path: &str, waited_for: &str) {
    let log = place.daemon().settings().log.clone();
    let begin = format!("slow op=\"{op}\" path=\"{path}");
    let mut text = String::new();
    let found = wait::poll(BOUND, || {
        text = std::fs::read_to_string(&log).expect("log");
        let is_it = |line: &str| {
            let rest = line.split_once(&begin).map(|(_, rest)| rest);
            let rest = rest.and_then(|rest| rest.split_once("waited_for=\""));
            rest.is_some_and(|(took, what)| took.contains("elapsed=") && what.contains(waited_for))
        };
        text.lines().any(is_it).then_some(())
    });
    let lines: Vec<_> = text.lines().filter(|line| line.contains("slow")).collect();
    let lines = lines.join("\n");
    assert!(
        found.is_some(),
        "{begin}…{waited_for} is not among\n{lines}"
    );
}

/// Starts a git command without waiting for it.
fn start(repo: &Repo, args: &str) -> Child {
    let mut command = repo.git.command(&repo.dir, &args.words());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("git")
}

fn until_waiting(place: &Place, what: &str) {
    let settings = place.daemon().settings().clone();
    wait::until(what, BOUND, || {
        settings.status()["waits"].to_string().contains(what)
    });
}

#[test]
fn the_store() {
    let place = place("");
    let (bare, work) = place.pushed("app.git", 3);
    place.cool();
    place.server().fail(S3::Get, SLOW, 10_000);
    bare.ok("log --oneline main");
    place.server().heal();
    told(&place, "read", "app.git/objects/", "GET ");
    let tip = work.commit("one");
    place.server().fail(S3::Put, SLOW, 10_000);
    work.ok("push --quiet origin main");
    place.server().heal();
    let key = format!("/objects/{}/{}", &tip[..2], &tip[2..]);
    // Of three files at once the longest is named first, and each is named.
    told(&place, "rename", "app.git/refs/heads/main.lock", &key);
}

#[test]
fn another_publication() {
    let place = place("");
    let (bare, work) = place.pushed("app.git", 1);
    work.commit("one");
    place.server().fail(S3::Put, Fault::Hold, 1);
    let mut first = start(&work, "push --quiet origin main:one");
    until_waiting(&place, "a ref change in app.git");
    work.ok("commit --quiet --allow-empty -m two");
    // In another directory: the kernel renames one after the other in each.
    let mut second = start(&bare, "update-ref refs/tags/two main");
    until_waiting(&place, "another publication");
    // More than the threshold, however busy the machine is.
    std::thread::sleep(Duration::from_millis(60));
    place.server().release();
    for child in [&mut first, &mut second] {
        assert!(child.wait().expect("it ends").success());
    }
    let what = "another publication of the same repository";
    told(&place, "rename", "app.git/refs/tags/two.lock", what);
}

#[test]
fn the_replicator() {
    let change = |mut settings: Settings| {
        let slow = "raft::unwritten=sleep(60)".to_owned();
        settings.env.push(("GITMOOR_FAILPOINTS".to_owned(), slow));
        settings.toml = "slow-operation = \"50ms\"\n".to_owned();
        settings
    };
    let place = Place::with(Kind::Dir, &Installed::newest(), change);
    let (bare, _) = place.pushed("app.git", 1);
    bare.ok("update-ref refs/heads/two main");
    let path = "app.git/refs/heads/two.lock";
    told(&place, "rename", path, "the replicator's move_refs");
}

#[test]
fn room_in_staging() {
    let place = place("staging-size = \"1MiB\"\nidle-publish = \"1h\"\n");
    let bare = place.bare("app.git");
    place.server().set_down(true);
    bare.feed("hash-object -w --stdin", noise(2 << 20, 1));
    place.scratch("more").metadata().expect_err("not there yet");
    std::fs::write(place.scratch("more"), "more").expect("a file");
    let args = format!("hash-object -w {}", place.scratch("more").display());
    let mut writer = start(&bare, &args);
    until_waiting(&place, "a new object file in app.git");
    std::thread::sleep(Duration::from_millis(60));
    place.server().set_down(false);
    assert!(writer.wait().expect("it ends").success());
    told(&place, "create", "app.git/objects/", "room in staging");
}
