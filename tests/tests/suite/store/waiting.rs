//! Whoever waits for the store is named, waits for a bounded time, and can be
//! interrupted.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::{Args, Installed, Repo};
use gitmoor_tests::history::noise;
use gitmoor_tests::mount::Settings;
use gitmoor_tests::place::Place;
use gitmoor_tests::s3::{Fault, Kind as S3};
use gitmoor_tests::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Longer than any wait that is bounded otherwise.
const HANG: Fault = Fault::Delay(Duration::from_secs(3600));

/// What is to happen by itself has happened by then.
const BOUND: Duration = Duration::from_secs(30);

/// Starts a git command without waiting for it.
fn start(repo: &Repo, args: &str) -> Child {
    let mut command = repo.git.command(&repo.dir, &args.words());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("git")
}

fn waits(settings: &Settings) -> Vec<String> {
    let status = settings.status();
    let waits = status["waits"].as_array().expect("a list");
    waits.iter().map(|wait| wait.to_string()).collect()
}

/// Waits until status says that this process is doing `what`.
fn until_named(place: &Place, what: &str, child: &Child) {
    let settings = place.daemon().settings().clone();
    let who = format!("(process {})", child.id());
    wait::until(&format!("status names {what} {who}"), BOUND, || {
        let named = |wait: &String| wait.contains(what) && wait.contains(&who);
        waits(&settings).iter().any(named)
    });
}

fn ctrl_c(mut child: Child) {
    let pid = Pid::from_raw(child.id().try_into().expect("a pid"));
    kill(pid, Signal::SIGINT).expect("kill");
    let ended = wait::poll(BOUND, || child.try_wait().expect("wait"));
    if ended.is_none() {
        let _ = child.kill();
    }
    assert!(!ended.expect("Ctrl-C ends git").success());
}

/// A read of what is not cached, from a server that never answers.
#[test]
fn interrupted_read() {
    let place = Place::new(Kind::S3s, &Installed::newest());
    let (bare, work) = place.pushed("app.git", 1);
    work.write("noise.bin", noise(3 << 20, 3));
    work.commit("noise");
    work.ok("push --quiet origin main");
    bare.ok("repack --quiet -a -d");
    let good = bare.bytes("cat-file blob main:noise.bin", "");
    place.cool();
    place.server().fail(S3::Get, HANG, 1000);
    let reader = start(&bare, "cat-file blob main:noise.bin");
    until_named(&place, "reading ", &reader);
    ctrl_c(reader);
    assert!(place.daemon().is_alive());
    place.server().heal();
    assert!(bare.bytes("cat-file blob main:noise.bin", "") == good);
}

/// A ref change whose objects are on their way to a server that never answers.
#[test]
fn interrupted_ref_change() {
    let place = Place::new(Kind::S3s, &Installed::newest());
    let (bare, _) = place.pushed("app.git", 1);
    place.server().fail(S3::Put, HANG, 1000);
    let commit = bare.ok("commit-tree -m new -p main main^{tree}");
    let update = start(
        &bare,
        &format!("update-ref refs/heads/new {}", commit.trim()),
    );
    until_named(&place, "a ref change in app.git", &update);
    ctrl_c(update);
    bare.fail("rev-parse --verify --quiet refs/heads/new");
    place.server().heal();
    bare.ok(format!("update-ref refs/heads/new {}", commit.trim()));
    bare.fsck();
}

/// The settings bound both waits, and the errors reach git.
#[test]
fn patience_ends() {
    let short = |settings| Settings {
        toml: "publish-timeout = \"1s\"\nread-timeout = \"1s\"\n".to_owned(),
        ..settings
    };
    let place = Place::with(Kind::S3s, &Installed::newest(), short);
    let (bare, _) = place.pushed("app.git", 1);
    place.server().fail(S3::Put, HANG, 1000);
    let commit = bare.ok("commit-tree -m new -p main main^{tree}");
    let begin = Instant::now();
    bare.fail(format!("update-ref refs/heads/new {}", commit.trim()));
    place.server().heal();
    bare.ok(format!("update-ref refs/heads/new {}", commit.trim()));
    place.cool();
    place.server().fail(S3::Get, HANG, 1000);
    bare.run("log -1 main", b"");
    // One try alone is allowed ten seconds where no setting says less.
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
    place.server().heal();
    bare.fsck();
}
