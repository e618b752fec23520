//! One bit turned over in a file of the replicator's database: the daemon refuses to
//! start or ends, and names the file; git is told nothing or the truth; with the file
//! restored everything is there. Every bit of the logs: `replicator/tests/it/damage.rs`.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::files::flip;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::place::Place;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Enough for tables of several blocks.
const REFS: usize = 4000;

/// A repository with many refs, on a daemon that was killed; and its refs.
fn killed(place: &Place) -> (Repo, String) {
    let (bare, work) = place.pushed("app.git", 5);
    let tip = work.oid("main");
    let create = |n| format!("create refs/heads/topic/{n} {tip}\n");
    bare.feed(
        "update-ref --stdin",
        (0..REFS).map(create).collect::<String>(),
    );
    // What the log has goes to tables when it is opened.
    place.crash();
    work.commit("in the log");
    work.ok("push --quiet origin main");
    let refs = bare.ok("for-each-ref");
    place.daemon().kill9();
    (bare, refs)
}

fn replica(place: &Place) -> PathBuf {
    place.daemon().settings().data.join("replica")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory");
    entries.map(|entry| entry.expect("entry").path()).collect()
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).expect("stat").len()
}

/// What the daemon has said so far.
fn said(place: &Place) -> usize {
    fs::read(&place.daemon().settings().log).expect("log").len()
}

#[track_caller]
fn assert_named(place: &Place, file: &Path, since: usize) {
    let log = fs::read(&place.daemon().settings().log).expect("log");
    let said = String::from_utf8_lossy(&log[since..]).into_owned();
    let name = file.file_name().expect("a name").to_string_lossy();
    assert!(
        said.contains("damaged") && said.contains(&*name),
        "{name}: {said}"
    );
}

#[test]
fn logs() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let (bare, refs) = killed(&place);
    let is_log = |path: &PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy();
        let is = name.ends_with(".log") || name.starts_with("MANIFEST") || name == "CURRENT";
        is && size(path) > 0
    };
    let logs: Vec<_> = files(&replica(&place)).into_iter().filter(is_log).collect();
    assert!(logs.len() >= 3, "{logs:?}");
    for log in &logs {
        for at in [0, size(log) / 2, size(log) - 1] {
            let since = said(&place);
            flip(log, at);
            assert!(!place.daemon().try_launch(), "{} at {at}", log.display());
            assert_named(&place, log, since);
            flip(log, at);
        }
    }
    place.daemon().launch();
    assert_eq!(bare.ok("for-each-ref"), refs);
    bare.fsck();
}

#[test]
fn tables() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let (bare, refs) = killed(&place);
    let replica = replica(&place);
    let sound = place.scratch("sound");
    copy(&replica, &sound);
    let is_table = |path: &PathBuf| path.extension().is_some_and(|e| e == "sst");
    let mut tables: Vec<_> = files(&replica).into_iter().filter(is_table).collect();
    tables.sort_by_key(|table| std::cmp::Reverse(size(table)));
    let (mut refused, mut ended) = (0, 0);
    // The three largest have the refs; each: rows, its middle, and the foot.
    for table in &tables[..3] {
        let size = size(table);
        for at in [10, size / 2, size - 1] {
            copy(&sound, &replica);
            let since = said(&place);
            flip(table, at);
            if !place.daemon().try_launch() {
                refused += 1;
                assert_named(&place, table, since);
            } else if !tells_the_truth(&bare, &refs) {
                ended += 1;
                let died = place.daemon().death(Duration::from_secs(20));
                assert!(died.is_some_and(|status| !status.success()), "{died:?}");
                assert_named(&place, table, since);
            }
            place.daemon().kill9();
        }
    }
    println!("{refused} refused, {ended} ended");
    assert!(refused >= 3, "a foot is read when the database is opened");
    assert!(ended >= 1, "rows are read when git asks");
    copy(&sound, &replica);
    place.daemon().launch();
    assert_eq!(bare.ok("for-each-ref"), refs);
    bare.fsck();
}

/// Asks for every ref in both ways; false when git was told that it cannot be had.
fn tells_the_truth(bare: &Repo, refs: &str) -> bool {
    let output = bare.run("for-each-ref", b"");
    if output.status.success() {
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(told.trim_end(), refs);
    }
    output.status.success()
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).expect("mkdir");
    for file in files(from) {
        let name = file.file_name().expect("a name");
        fs::copy(&file, to.join(name)).expect("copy");
    }
}
