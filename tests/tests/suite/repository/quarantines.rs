//! What a push leaves that was cut off: the directory in which git keeps what was sent goes when nobody of the push is
//! left, and not before.

use crate::mounted;
use gitmoor_tests::git::Repo;
use gitmoor_tests::place::Place;
use gitmoor_tests::wait;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

mounted!(
    of_a_push_that_was_killed,
    of_a_push_whose_child_lives,
    of_an_earlier_mount,
);

const BOUND: Duration = Duration::from_secs(30);

/// A push that has sent the beginning of a pack, too large to be unpacked; where it keeps that.
fn stopped(bare: &Repo, branch: &str) -> (Child, String) {
    let before = quarantines(bare);
    let mut push = bare
        .git
        .command(&bare.dir, &["receive-pack".into(), ".".into()]);
    push.stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut push = push.spawn().expect("git");
    let (none, some) = ("0".repeat(40), "1".repeat(40));
    let line = format!("{none} {some} refs/heads/{branch}\0report-status");
    let mut sent = format!("{:04x}{line}0000", line.len() + 4).into_bytes();
    // Version 2, of 65,536 objects.
    sent.extend(b"PACK\0\0\0\x02\0\x01\0\0");
    let stdin = push.stdin.as_mut().expect("a pipe");
    stdin.write_all(&sent).expect("it reads");
    let dir = wait::poll(BOUND, || {
        let mut now = quarantines(bare);
        now.retain(|name| !before.contains(name));
        let dir = now.pop()?;
        let begun = bare.names(format!("objects/{dir}/pack"));
        begun
            .iter()
            .any(|name| name.starts_with("tmp_pack"))
            .then_some(dir)
    });
    (push, dir.expect("index-pack begins a pack"))
}

fn quarantines(bare: &Repo) -> Vec<String> {
    let mut names = bare.names("objects");
    names.retain(|name| name.contains("incoming-"));
    names
}

/// The process alone, as the kernel does it that has no memory left.
fn kill(push: &mut Child) {
    push.kill().expect("it runs");
    push.wait().expect("it ends");
}

fn has_gone(bare: &Repo, dir: &str) {
    let gone = || !quarantines(bare).iter().any(|name| name == dir);
    wait::until("the quarantine is removed", BOUND, gone);
    let dir = bare.dir.join("objects").join(dir);
    wait::until("the kernel was told", BOUND, || !dir.exists());
}

fn of_a_push_that_was_killed(place: &Place) {
    let (bare, work) = place.pushed("app.git", 2);
    let (mut push, dir) = stopped(&bare, "cut");
    kill(&mut push);
    drop(push);
    has_gone(&bare, &dir);
    let homes = place.daemon().settings().data.join("repos");
    let left = Command::new("find")
        .arg(homes)
        .args(["-name", "tmp_*"])
        .output();
    assert_eq!(String::from_utf8_lossy(&left.expect("find").stdout), "");
    work.commit("after");
    work.ok("push --quiet origin main");
    bare.fsck();
}

fn of_a_push_whose_child_lives(place: &Place) {
    let (bare, _) = place.pushed("app.git", 2);
    let (mut push, dir) = stopped(&bare, "cut");
    let (mut other, gone) = stopped(&bare, "other");
    // index-pack reads on.
    let reads_on = push.stdin.take().expect("a pipe");
    kill(&mut push);
    kill(&mut other);
    drop(other);
    has_gone(&bare, &gone);
    assert_eq!(quarantines(&bare).join(" "), dir);
    drop(reads_on);
    has_gone(&bare, &dir);
}

fn of_an_earlier_mount(place: &Place) {
    let (bare, _) = place.pushed("app.git", 2);
    bare.write("objects/tmp_objdir-incoming-dead/12/tmp_obj_x", "half");
    bare.write("objects/tmp_objdir-incoming-dead/12/x.lock", "");
    let (mut push, dir) = stopped(&bare, "cut");
    kill(&mut push);
    drop(push);
    has_gone(&bare, &dir);
    // This process lives.
    assert_eq!(quarantines(&bare), ["tmp_objdir-incoming-dead"]);
    place.crash();
    has_gone(&bare, "tmp_objdir-incoming-dead");
    bare.fsck();
}
