//! Nothing moves while nobody writes: what the daemon does by itself is not seen in stat(2).

use gitmoor_tests::backend::Kind;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::{self, LIMIT, report};
use gitmoor_tests::wait;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(60);

fn pending(place: &Place) -> u64 {
    let files = place.daemon().settings().status()["pending"]["files"].as_u64();
    files.expect("a number")
}

/// All that stat(2) says of a tree, a line each, but for times of access: looking moves those.
fn stats(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            let meta = fs::symlink_metadata(&path).expect("stat");
            if meta.is_dir() {
                dirs.push(path.clone());
            }
            let times = [
                (meta.mtime(), meta.mtime_nsec()),
                (meta.ctime(), meta.ctime_nsec()),
            ];
            let (mode, nlink) = (meta.mode(), meta.nlink());
            let (owner, size, blocks) = ((meta.uid(), meta.gid()), meta.size(), meta.blocks());
            let line = format!("{mode:o} {nlink} {owner:?} {size} {blocks} {times:?}");
            all.insert(path, line);
        }
    }
    all
}

#[track_caller]
fn unmoved(before: &BTreeMap<PathBuf, String>, now: &BTreeMap<PathBuf, String>) {
    for (path, line) in before {
        assert_eq!(now.get(path), Some(line), "{}", path.display());
    }
    assert_eq!(before.len(), now.len(), "nothing came");
}

#[test]
fn a_publication_moves_nothing() {
    let place = Place::set(Kind::Dir, "idle-publish = \"2s\"\n");
    let (bare, _) = place.pushed("app.git", 3);
    wait::until("a look between finishing and publishing", BOUND, || {
        bare.ok("update-ref refs/heads/x main");
        for n in 0..3 {
            bare.feed(
                "hash-object -w --stdin",
                format!("{n} {:?}", std::time::Instant::now()),
            );
        }
        bare.ok("repack -q -d");
        bare.ok("commit-graph write --reachable");
        bare.feed(
            "hash-object -w --stdin",
            format!("{:?}", std::time::Instant::now()),
        );
        let before = stats(&bare.dir);
        if pending(&place) == 0 {
            return false;
        }
        wait::until("it is published", BOUND, || pending(&place) == 0);
        unmoved(&before, &stats(&bare.dir));
        true
    });
    let before = stats(&bare.dir);
    bare.fsck();
    unmoved(&before, &stats(&bare.dir));
}

/// tar(1) calls it a failure when what it reads has changed meanwhile.
#[test]
fn tar_after_a_push_finds_nothing_changed() {
    let place = Place::set(Kind::Dir, "idle-publish = \"300ms\"\n");
    let (bare, work) = place.pushed("app.git", 2);
    let archive = place.scratch("x.tar");
    let tar = || {
        let mut command = Command::new("tar");
        command.arg("-cf").arg(&archive).arg("-C").arg(&place.root);
        let output = process::run(command.arg("app.git"), b"", LIMIT);
        assert!(output.status.success(), "{}", report(&output));
    };
    for round in 0..5 {
        work.commit(&format!("commit {round}"));
        work.ok("push --quiet origin main");
        tar();
        bare.feed("hash-object -w --stdin", format!("no ref {round}"));
        while pending(&place) > 0 {
            tar();
        }
        tar();
    }
}
