//! A hostile user at random in a repository of its own, beside an administrator who runs one command after the
//! other on that repository, and beside others: root's files stay as they are, the daemon lives, others are served, memory
//! stays bounded, nothing foreign comes into the data directory, and in the end the catalog is sound.
//!
//! `GITMOOR_ADVERSARY_SEED` is the seed to begin with, `GITMOOR_ADVERSARY_SECONDS` how long it goes on from seed to seed; by
//! hand for hours. A failure prints its seed, and the operations that came last.

use gitmoor_tests::adversary::{Adversary, Effort};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::hostile::{BOUND, Ground, INTRUDER};
use gitmoor_tests::process;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

/// Of one seed, in a run of the whole suite.
const SHORT: Effort = Effort {
    operations: 1500,
    time: Duration::from_secs(12),
};

/// Of one seed, by hand.
const LONG: Effort = Effort {
    operations: u64::MAX,
    time: Duration::from_secs(60),
};

/// The daemon never needs more memory than this, whatever the user does.
const MEMORY: u64 = 1 << 30;

/// What the administrator runs, in turn. `OLD` is a repository of the intruder's on the disk, `OUT` a directory
/// of root's, `N` the turn.
const JOBS: &[&[&str]] = &[
    &["gc", "a.git"],
    &["fsck", "a.git"],
    &["repo", "info", "a.git"],
    &["warm", "a.git"],
    &["repo", "fork", "a.git", "fork-N.git"],
    &["gc", "--full", "a.git"],
    &["export", "a.git", "OUT/export-N"],
    &["import", "OLD", "import-N.git"],
    &["backup"],
    &["repo", "config", "a.git", "gc.auto", "0"],
    &["status"],
    &["doctor"],
    &["gc"],
];

#[test]
fn on_a_directory_store() {
    campaign(Kind::Dir, 1);
}

#[test]
fn on_s3() {
    campaign(Kind::S3s, 2);
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

/// One seed, or as many as there is time for.
fn campaign(kind: Kind, seed: u64) {
    let first = number("GITMOOR_ADVERSARY_SEED").unwrap_or(seed);
    let Some(seconds) = number("GITMOOR_ADVERSARY_SECONDS") else {
        return attack(kind, first, SHORT);
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    for seed in (first..).step_by(2) {
        attack(kind, seed, LONG);
        if Instant::now() >= end {
            return;
        }
    }
}

fn attack(kind: Kind, seed: u64, effort: Effort) {
    println!("-- GITMOOR_ADVERSARY_SEED={seed}");
    let ground = Ground::new(kind, "idle-publish = \"200ms\"\nlocal = [\"+mine\"]\n");
    let old = ground.home.join("old.git");
    ground.sh_ok("git clone -q --bare --no-local $M/a.git $HOME/old.git");
    let program = Path::new(env!("CARGO_BIN_EXE_adversary"));
    let local = ground.place.root.join("+mine");
    chown(&local, Some(INTRUDER), Some(INTRUDER)).expect("chown");
    let beside = [old.as_path(), local.as_path()];
    let mut adversary = Adversary::start(program, &ground, &beside, seed, effort);
    let mut turn = seed as usize;
    // A turn at least, however short it is.
    loop {
        run(&ground, &old, turn);
        serves_others(&ground, turn);
        turn += 1;
        if !adversary.works() {
            break;
        }
    }
    adversary.ends(BOUND);
    is_sound(&ground, kind);
}

/// A command of the administrator's: it comes to its end, and never by a signal or a panic.
fn run(ground: &Ground, old: &Path, turn: usize) {
    let out = ground.place.scratch("out");
    fs::create_dir_all(&out).expect("mkdir");
    let word = |word: &&str| {
        word.replace("OLD", old.to_str().expect("UTF-8"))
            .replace("OUT", out.to_str().expect("UTF-8"))
            .replace("-N", &format!("-{turn}"))
    };
    let args: Vec<_> = JOBS[turn % JOBS.len()].iter().map(word).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let output = ground.gitmoor(&args);
    ended(&args, &output);
}

#[track_caller]
fn ended(args: &[&str], output: &Output) {
    let report = process::report(output);
    let code = output.status.code();
    assert!(matches!(code, Some(0..=2)), "gitmoor {args:?} {report}");
}

/// Within a bound: a change, a read, a look.
#[track_caller]
fn serves_others(ground: &Ground, turn: usize) {
    let began = Instant::now();
    let name = format!("refs/heads/turn-{turn}");
    ground.other.ok(format!("update-ref {name} main"));
    ground.unharmed();
    ground.other.ok(format!("update-ref -d {name}"));
    let took = began.elapsed();
    assert!(took < BOUND, "other.git took {took:?}");
    let pid = ground.place.daemon().pid().expect("it runs");
    let peak = process::memory(pid, "VmHWM");
    assert!(peak < MEMORY, "the daemon has had {peak} bytes");
}

/// When the user is gone.
fn is_sound(ground: &Ground, kind: Kind) {
    ground.unharmed();
    let other = ground.gitmoor(&["fsck", "other.git"]);
    assert!(other.status.success(), "{}", process::report(&other));
    let mine = ground.gitmoor(&["fsck", "a.git", "--json"]);
    let report = process::report(&mine);
    let checked: serde_json::Value = serde_json::from_slice(&mine.stdout)
        .unwrap_or_else(|error| panic!("{error}: the check did not come to its end: {report}"));
    assert_eq!(
        checked["damaged"].as_array().map(Vec::len),
        Some(0),
        "{report}"
    );
    let settings = ground.place.daemon().settings().clone();
    let log = fs::read_to_string(&settings.log).expect("log");
    assert!(!log.contains("panicked"), "a thread of the daemon panicked");
    nothing_foreign(ground, &settings.data, kind);
    leaves(ground);
    // And comes back, with the same.
    ground.place.daemon().launch();
    ground.unharmed();
    ground.other.fsck();
}

/// Unmounted it ends; a service that is stopped has a bound.
fn leaves(ground: &Ground) {
    let mut daemon = ground.place.daemon();
    let pid = Pid::from_raw(daemon.pid().expect("it runs").try_into().expect("a pid"));
    kill(pid, Signal::SIGTERM).expect("SIGTERM");
    let ended = daemon.death(BOUND * 2);
    assert!(ended.is_some(), "the daemon does not leave");
}

/// In the data directory and in the store: what the user made is in the user's repository and local directory alone, never privileged, and none
/// of root's files elsewhere.
fn nothing_foreign(ground: &Ground, data: &Path, kind: Kind) {
    let inode = |path: &PathBuf| {
        let meta = fs::symlink_metadata(path).expect("it is there");
        (meta.dev(), meta.ino())
    };
    let canaries = everything(&ground.canaries.dir);
    let canaries: HashSet<_> = canaries.iter().map(inode).collect();
    let store = data.parent().expect("a directory").join("store");
    let store = (kind == Kind::Dir).then_some(store);
    for above in [Some(data.to_owned()), store].into_iter().flatten() {
        for path in everything(&above) {
            let Ok(meta) = fs::symlink_metadata(&path) else {
                continue;
            };
            let users = [data.join("repos"), data.join("local")];
            let is_of_users = users.iter().any(|above| path.starts_with(above));
            let privileged = meta.mode() & 0o6000 != 0 && meta.uid() != INTRUDER;
            assert!(
                !privileged || meta.is_dir(),
                "{path:?} is privileged: {meta:?}"
            );
            let is_device = meta.file_type().is_char_device() || meta.file_type().is_block_device();
            assert!(!is_device, "{path:?} is a device");
            assert!(
                !canaries.contains(&(meta.dev(), meta.ino())),
                "{path:?} is root's file"
            );
            assert!(
                is_of_users || meta.uid() == 0,
                "{path:?} is the user's: {meta:?}"
            );
            assert!(is_of_users || !meta.is_symlink(), "{path:?} is a link");
        }
    }
}

/// All that is below a directory, no link followed.
fn everything(above: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(above).into_iter().flatten().flatten();
    let with_below = |path: PathBuf| {
        let is_dir = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir());
        let below = if is_dir {
            everything(&path)
        } else {
            Vec::new()
        };
        std::iter::once(path).chain(below)
    };
    entries.flat_map(|entry| with_below(entry.path())).collect()
}
