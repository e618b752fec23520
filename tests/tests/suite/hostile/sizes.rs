//! A user's number decides neither the daemon's memory nor its life.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::hostile::{Ground, as_intruder};
use gitmoor_tests::process::report;
use gitmoor_tests::wait;
use std::fs::{self, File};
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// How much more memory the daemon may come to need, whatever a file's size.
const SOME: u64 = 200 * MIB;

/// The most memory that the daemon has had, bytes.
fn peak(ground: &Ground) -> u64 {
    let pid = ground.place.daemon().pid().expect("it runs");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.expect("a number") << 10
}

#[track_caller]
fn bounded(ground: &Ground, before: u64, what: &str) {
    let grown = peak(ground).saturating_sub(before);
    assert!(grown < SOME, "{what}: {} MiB more", grown / MIB);
    ground.unharmed();
}

/// A file without bytes on the disk.
fn sparse(ground: &Ground, name: &str, size: u64) {
    let at = ground.mine.dir.join(name);
    let made = as_intruder(|| File::create(at)?.set_len(size));
    made.expect("the intruder's own repository");
}

#[test]
fn a_config_of_any_size_is_written_and_not_read() {
    let ground = Ground::new(Kind::Dir, "");
    let before = peak(&ground);
    let config = ground.mine.dir.join("config");
    let written = as_intruder(|| File::options().append(true).open(&config)?.set_len(3 << 30));
    drop(written);
    bounded(&ground, before, "config");
    ground.place.crash();
    ground.unharmed();
    as_intruder(|| File::options().write(true).open(&config)?.set_len(100)).expect("it is theirs");
    ground.sh_ok("printf '[core]\\n\\trepositoryformatversion = 0\\n\\tbare = true\\n' >config");
    ground.mine.fsck();
}

/// Names under `objects/` that git may rewrite have any size, in the catalog too; they are copied piece by piece.
#[test]
fn a_large_file_that_may_be_rewritten_is_copied_in_pieces() {
    let ground = Ground::new(Kind::Dir, "idle-publish = \"50ms\"\n");
    let info = |name: &str| ground.mine.dir.join("objects/info").join(name);
    sparse(&ground, "objects/info/tmp_large", 300 * MIB);
    as_intruder(|| fs::rename(info("tmp_large"), info("large"))).expect("rename");
    let settings = ground.place.daemon().settings().clone();
    wait::until("it is published", Duration::from_secs(60), || {
        settings.status()["pending"]["files"] == 0
    });
    let before = peak(&ground);
    as_intruder(|| fs::rename(info("large"), info("renamed"))).expect("rename");
    bounded(&ground, before, "renamed");
    as_intruder(|| fs::hard_link(info("renamed"), info("linked"))).expect("link");
    bounded(&ground, before, "linked");
    as_intruder(|| File::options().append(true).open(info("linked"))).expect("open");
    bounded(&ground, before, "written to");
    let checked = ground.gitmoor(&["gc", "a.git"]);
    assert!(checked.status.success(), "{}", report(&checked));
    bounded(&ground, before, "gc");
}
