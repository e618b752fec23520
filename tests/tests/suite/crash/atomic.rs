//! Transactions of many refs: all are visible or none, whatever fails; after a
//! crash too where the ref storage has transactions, and otherwise what a disk gives.

use super::recovery::{EAGER, check_and_push, come_back_armed, disarm};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::ledger::Ledger;
use gitmoor_tests::place::Place;
use gitmoor_tests::s3::{Fault, Kind as S3};
use gitmoor_tests::{process, wait};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const REFS: usize = 50;

fn place(kind: Kind) -> Place {
    Place::set(kind, &format!("{EAGER}publish-timeout = \"2s\"\n"))
}

/// A repository and a work tree with one commit that it does not have.
fn repository(place: &Place, options: &str) -> (Repo, Repo) {
    let bare = place.init("app.git", options);
    let work = place.work("work");
    work.commit("first");
    work.ok(format!("remote add origin {}", bare.url()));
    work.ok("push --quiet origin main");
    (bare, work)
}

fn reftable() -> bool {
    Installed::newest().has((2, 45), "reftable")
}

/// `git push --atomic` of the tip to as many refs, created or moved.
fn push(prefix: &str) -> String {
    let specs: Vec<_> = names(prefix).map(|name| format!("+HEAD:{name}")).collect();
    format!("push --quiet --atomic origin {}", specs.join(" "))
}

fn names(prefix: &str) -> impl Iterator<Item = String> {
    (0..REFS).map(move |n| format!("refs/heads/{prefix}/{n}"))
}

/// The refs of a transaction that are there with the tip's value.
fn moved(bare: &Repo, prefix: &str, tip: &str) -> usize {
    let refs = bare.refs();
    let is_moved = |name: &String| refs.lines().any(|line| line == format!("{tip} {name}"));
    names(prefix).filter(is_moved).count()
}

/// The upload fails at its first object, its second, … and then not at all.
fn failed_uploads(options: &str) {
    let place = place(Kind::S3s);
    let (bare, work) = repository(&place, options);
    let mut failures = 0;
    for stored in 0.. {
        let tip = work.commit(&format!("n{stored}"));
        let server = place.server();
        server.fail(S3::Put, Fault::Delay(Duration::ZERO), stored);
        server.fail(S3::Put, Fault::InternalError, 10_000);
        let done = work.is(push("many"));
        server.heal();
        assert_eq!(moved(&bare, "many", &tip), if done { REFS } else { 0 });
        if done {
            break;
        }
        failures += 1;
        work.ok(push("many"));
        assert_eq!(moved(&bare, "many", &tip), REFS);
    }
    assert!(failures > 1, "the upload never failed in its midst");
    bare.fsck();
}

#[test]
fn failed_upload() {
    failed_uploads("");
}

#[test]
fn failed_upload_reftable() {
    if reftable() {
        failed_uploads("--ref-format=reftable");
    }
}

/// One of the refs cannot be written: the first, one in the midst, the last.
fn conflicts(
    place: &Place,
    bare: &Repo,
    work: &Repo,
    obstruct: fn(&Repo, usize),
    clear: fn(&Repo, usize),
) {
    for at in [0, REFS / 2, REFS - 1] {
        let tip = work.commit(&format!("at-{at}"));
        obstruct(bare, at);
        work.fail(push("many"));
        assert_eq!(moved(bare, "many", &tip), 0, "ref {at} was in the way");
        clear(bare, at);
        work.ok(push("many"));
        assert_eq!(moved(bare, "many", &tip), REFS);
    }
    place.crash();
    bare.fsck();
}

fn lock(bare: &Repo, at: usize) -> std::path::PathBuf {
    bare.dir.join(format!("refs/heads/many/{at}.lock"))
}

#[test]
fn locked_ref() {
    let place = place(Kind::Dir);
    let (bare, work) = repository(&place, "");
    let hold = |bare: &Repo, at| {
        fs::create_dir_all(bare.dir.join("refs/heads/many")).expect("mkdir");
        fs::write(lock(bare, at), "").expect("lock");
    };
    let release = |bare: &Repo, at| fs::remove_file(lock(bare, at)).expect("unlock");
    conflicts(&place, &bare, &work, hold, release);
}

/// An update hook that lets all but one ref pass.
fn refused_ref(options: &str) {
    let place = place(Kind::Dir);
    let (bare, work) = repository(&place, options);
    let refuse = |bare: &Repo, at| {
        let hook = format!("#!/bin/sh\ntest \"$1\" != refs/heads/many/{at}\n");
        bare.write("hooks/update", hook);
        let path = bare.dir.join("hooks/update");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
    };
    let allow = |bare: &Repo, _| fs::remove_file(bare.dir.join("hooks/update")).expect("rm");
    conflicts(&place, &bare, &work, refuse, allow);
}

#[test]
fn hook_refuses_one() {
    refused_ref("");
}

#[test]
fn hook_refuses_one_reftable() {
    if reftable() {
        refused_ref("--ref-format=reftable");
    }
}

/// Kills the daemon at a point of an atomic push; how many refs have moved after it is back.
fn crash(place: &Place, bare: &Repo, work: &Repo, point: &str) -> usize {
    let tip = work.commit(&point.replace([':', '=', '@'], "-"));
    let mut ledger = Ledger::of(bare);
    come_back_armed(place, point);
    names("many").for_each(|name| ledger.will_set(&name, &tip));
    let acknowledged = work.is(push("many"));
    wait::until("the daemon dies", process::LIMIT, || {
        !place.daemon().is_alive()
    });
    place.daemon().kill9();
    disarm(place);
    place.daemon().launch();
    let moved = moved(bare, "many", &tip);
    assert!(
        !acknowledged || moved == REFS,
        "{moved} of an acknowledged push"
    );
    check_and_push(place, bare, work, &mut ledger);
    moved
}

#[test]
fn crash_with_reftable() {
    if !reftable() {
        return;
    }
    let place = place(Kind::Dir);
    let (bare, work) = repository(&place, "--ref-format=reftable");
    let points = [
        ("publish::sent=kill@2", false),
        ("publish::stored=kill@1", false),
        // The table, which no list names yet.
        ("publish::catalogued=kill@1", false),
        ("refs::written=kill@1", false),
        ("refs::written=kill@2", true),
        ("refs::committed=kill@2", true),
    ];
    for (point, all) in points {
        let moved = crash(&place, &bare, &work, point);
        assert_eq!(moved, if all { REFS } else { 0 }, "{point}");
    }
}

/// Each ref is old or new, and whole; git renames one lock after the other, and all but the first
/// are committed with the last.
#[test]
fn crash_with_files() {
    let place = place(Kind::Dir);
    let (bare, work) = repository(&place, "");
    for (point, expected) in [
        ("publish::stored=kill@1", 0),
        ("refs::written=kill@1", 1),
        ("refs::committed=kill@1", 1),
        ("refs::gathered=kill@1", 1),
        ("refs::gathered=kill@25", 1),
        ("refs::gathered=kill@48", 1),
        ("refs::written=kill@2", 50),
        ("refs::committed=kill@2", 50),
    ] {
        assert_eq!(crash(&place, &bare, &work, point), expected, "{point}");
    }
}
