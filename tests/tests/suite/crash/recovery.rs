//! What must hold of a repository after any crash, however it came.

use gitmoor_tests::files;
use gitmoor_tests::git::Repo;
use gitmoor_tests::ledger::Ledger;
use gitmoor_tests::place::Place;
use gitmoor_tests::{process, wait};
use std::path::Path;

/// Settings of every drill: what no ref change came for is published soon.
pub(super) const EAGER: &str = "idle-publish = \"100ms\"\n";

/// Nothing is published by idling.
const PATIENT: &str = "idle-publish = \"1h\"\n";

/// Comes back with a daemon that dies at some point of what the drill does next. Who else could come to the point
/// first does not: which path comes there must not depend on who is faster.
pub(super) fn come_back_armed(place: &Place, failpoints: &str) {
    let mut daemon = place.daemon();
    daemon.umount();
    daemon.arm(failpoints);
    let patient = daemon.settings().toml.replace(EAGER, PATIENT);
    daemon.configure(patient);
    daemon.launch();
}

/// Before the launch after that death: what is left is published again.
pub(super) fn disarm(place: &Place) {
    let mut daemon = place.daemon();
    daemon.arm("");
    let eager = daemon.settings().toml.replace(PATIENT, EAGER);
    daemon.configure(eager);
}

/// Acknowledged refs are there, the others are old or new, all objects are
/// whole, no lock is left, and what was staged gets published.
#[track_caller]
pub(super) fn check(place: &Place, bare: &Repo, ledger: &mut Ledger) {
    ledger.check(bare);
    bare.ok("rev-list --objects --all --quiet");
    no_lock_is_left(bare);
    // Before fsck: that reads each loose object that it has listed, while they become a pack.
    staging_is_published(place);
    bare.fsck();
}

/// Also the next push works, and git finds nothing wrong with it.
#[track_caller]
pub(super) fn check_and_push(place: &Place, bare: &Repo, work: &Repo, ledger: &mut Ledger) {
    check(place, bare, ledger);
    let tip = work.ok("commit-tree -m after HEAD^{tree}");
    let name = format!("refs/heads/after/{tip}");
    work.ok(format!("push --quiet {} {tip}:{name}", bare.url()));
    ledger.is_set(&name, &tip);
    ledger.check(bare);
    bare.fsck();
}

#[track_caller]
fn no_lock_is_left(bare: &Repo) {
    let mut locks = files::below(&bare.dir);
    locks.retain(|path| path.extension().is_some_and(|name| name == "lock"));
    assert!(locks.is_empty(), "locks of a dead mount: {locks:?}");
}

#[track_caller]
fn staging_is_published(place: &Place) {
    let settings = place.daemon().settings().clone();
    wait::until("everything pending is published", process::LIMIT, || {
        settings.status()["pending"]["files"] == 0
    });
    // A loose object that is in a pack now is published before its file is removed.
    wait::until("nothing stays in staging", process::LIMIT, || {
        let staged = files::below(&settings.data.join("repos"));
        !staged.iter().any(|path| is_object(path))
    });
}

/// `…/objects/12/34…` or `…/objects/pack/pack-…`.
fn is_object(path: &Path) -> bool {
    let mut names = path.iter().rev().map(|name| name.to_string_lossy());
    let (name, dir, above) = (names.next(), names.next(), names.next());
    let finished = name.as_ref().is_some_and(|name| !name.starts_with("tmp_"));
    let loose = finished && dir.as_ref().is_some_and(|dir| dir.len() == 2);
    let pack = dir.is_some_and(|dir| dir == "pack") && name.is_some_and(|n| n.starts_with("pack-"));
    above.is_some_and(|above| above == "objects") && (loose || pack)
}
