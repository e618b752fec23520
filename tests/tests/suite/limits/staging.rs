//! What is not stored yet is bounded: writers wait for the store.

use super::{BOUND, MIB, place, usage};
use gitmoor_tests::git::{Args, Repo};
use gitmoor_tests::history::noise;
use gitmoor_tests::place::Place;
use gitmoor_tests::s3::{Fault, Kind as S3};
use gitmoor_tests::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

/// Nothing goes up by idling.
const SETTINGS: &str = "staging-size = \"4MiB\"\nidle-publish = \"1h\"\n";

/// Writes a loose object of this size, and answers its name.
fn write(repo: &Repo, bytes: usize, seed: u64) -> String {
    repo.feed("hash-object -w --stdin", noise(bytes, seed))
}

/// What the repositories hold of objects, by the disk itself.
fn on_disk(place: &Place) -> u64 {
    let repos = place.daemon().settings().data.join("repos");
    let repos = fs::read_dir(repos).expect("repositories");
    repos
        .map(|repo| usage(&repo.expect("one").path().join("files/objects")).0)
        .sum()
}

fn staged(place: &Place) -> serde_json::Value {
    place.daemon().settings().status()["staging"].clone()
}

/// Starts to write one more object, which waits.
fn start_waiting(place: &Place, bare: &Repo, seed: u64) -> Child {
    let path = place.scratch(format!("noise-{seed}"));
    fs::write(&path, noise(MIB as usize, seed)).expect("a file");
    let args = format!("hash-object -w {}", path.display());
    let mut command = bare.git.command(&bare.dir, &args.words());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().expect("git");
    let settings = place.daemon().settings().clone();
    let who = format!("a new object file in app.git (process {})", child.id());
    wait::until(&format!("status names {who}"), BOUND, || {
        let status = settings.status();
        let waits = status["waits"].as_array().expect("a list");
        let names = |wait: &serde_json::Value| {
            let wait = wait.as_str().expect("a sentence");
            wait.contains(&who) && wait.contains("staging-size is 4194304")
        };
        waits.iter().any(names)
    });
    child
}

#[test]
fn writers_wait_for_the_store() {
    let place = place(SETTINGS);
    let bare = place.bare("app.git");
    place.server().set_down(true);
    let names: Vec<_> = (0..4).map(|n| write(&bare, MIB as usize, n)).collect();
    let mut interrupted = start_waiting(&place, &bare, 4);
    let pid = Pid::from_raw(interrupted.id().try_into().expect("a pid"));
    kill(pid, Signal::SIGINT).expect("kill");
    let ended = wait::poll(BOUND, || interrupted.try_wait().expect("wait"));
    assert!(!ended.expect("Ctrl-C ends git").success());
    let mut patient = start_waiting(&place, &bare, 5);
    assert_eq!(on_disk(&place), staged(&place)["bytes"]);
    assert_eq!(staged(&place)["finished"], 4);
    // The publisher starts by itself, for the writer's sake.
    place.server().set_down(false);
    let ended = wait::poll(BOUND, || patient.try_wait().expect("wait"));
    assert!(ended.expect("there is room").success());
    let noise = bare.feed("hash-object --stdin", noise(MIB as usize, 5));
    for name in names.iter().chain([&noise]) {
        bare.ok(format!("cat-file -e {name}"));
    }
    bare.fsck();
}

/// A store that takes nothing for long is an error at last, and one that a retry mends.
#[test]
fn patience_ends() {
    let place = place(&format!("{SETTINGS}publish-timeout = \"1s\"\n"));
    let bare = place.bare("app.git");
    place.server().set_down(true);
    (0..4).for_each(|n| drop(write(&bare, MIB as usize, n)));
    let said = bare.refuse("hash-object -w --stdin", noise(1000, 5));
    assert!(said.contains("No space left on device"), "{said}");
    let log = place.daemon().settings().log.clone();
    let log = fs::read_to_string(log).expect("log");
    let line = log
        .lines()
        .find(|line| line.contains("staging-size (4194304)"));
    assert!(line.is_some_and(|line| line.contains("ERROR")), "{log}");
    place.server().set_down(false);
    let name = write(&bare, 1000, 5);
    bare.ok(format!("cat-file -e {name}"));
}

/// Offline nothing will ever go up: no reason to wait.
#[test]
fn offline_it_is_full_at_once() {
    let place = place(&format!("{SETTINGS}publish-timeout = \"1h\"\n"));
    let bare = place.bare("app.git");
    place.daemon().umount();
    place.daemon().set("GITMOOR_OFFLINE", "1");
    place.daemon().launch();
    let names: Vec<_> = (0..4).map(|n| write(&bare, MIB as usize, n)).collect();
    let said = bare.refuse("hash-object -w --stdin", noise(1000, 5));
    assert!(said.contains("No space left on device"), "{said}");
    for name in names {
        bare.ok(format!("cat-file -e {name}"));
    }
}

/// One writer is never more than its own file ahead.
#[test]
fn a_fast_writer_and_a_slow_store() {
    let place = place(SETTINGS);
    let bare = place.bare("app.git");
    let slow = Fault::Delay(Duration::from_millis(500));
    place.server().fail(S3::Put, slow, 10_000);
    let mut most = 0;
    for n in 0..24 {
        write(&bare, MIB as usize, n);
        most = most.max(on_disk(&place));
    }
    // A mebibyte of noise deflates to a little more.
    assert!(most <= 5 * MIB + 4096, "{most}");
    bare.fsck();
}

/// Refusing it would not make it smaller: see `fs/src/objects/staging.rs`.
#[test]
fn a_pack_larger_than_the_limit() {
    let place = place(SETTINGS);
    let (bare, work) = place.pushed("app.git", 1);
    work.write("noise.bin", noise(12 << 20, 1));
    let tip = work.commit("noise");
    write(&bare, 3 << 20, 2);
    work.ok("push --quiet origin main");
    assert_eq!(bare.oid("main"), tip);
    assert_eq!(staged(&place)["finished"], 0);
    place.cool();
    bare.fsck();
}

/// All of them wait for each other's objects to be stored, none for ever.
#[test]
fn many_writers_at_once() {
    let place = place(SETTINGS);
    let (bare, _) = place.pushed("app.git", 1);
    // Each push is a pack in the making, which needs an index to be finished.
    bare.ok("config receive.unpackLimit 1");
    let slow = Fault::Delay(Duration::from_millis(50));
    place.server().fail(S3::Put, slow, 10_000);
    let clones: Vec<_> = (0..8)
        .map(|n| {
            let clone = place.clone("", &bare, &format!("clone-{n}"));
            clone.write("noise.bin", noise(2 << 20, n));
            clone.commit(&format!("n{n}"));
            clone
        })
        .collect();
    std::thread::scope(|scope| {
        for (n, clone) in clones.iter().enumerate() {
            let bare = &bare;
            scope.spawn(move || {
                clone.ok(format!("push --quiet origin HEAD:refs/heads/b{n}"));
                (0..4).for_each(|m| drop(write(bare, MIB as usize, 100 + n as u64 * 10 + m)));
            });
        }
    });
    assert_eq!(bare.refs().lines().count(), 9);
    bare.fsck();
}

/// Files in the making count, whoever writes them, and also when their writer is gone.
#[test]
fn files_in_the_making_count() {
    let place = place(SETTINGS);
    let bare = place.bare("app.git");
    let path = bare.dir.join("objects/pack/tmp_pack_left");
    fs::write(&path, noise(3 << 20, 1)).expect("a file");
    let counted = |making: u64, bytes: u64| {
        wait::until("it is counted", BOUND, || {
            let staged = staged(&place);
            staged["making"] == making && staged["bytes"] == bytes
        });
    };
    counted(1, 3 << 20);
    place.crash();
    fs::metadata(&bare.dir).expect("opens the repository");
    counted(1, 3 << 20);
    let moved = bare.dir.join("objects/tmp_moved");
    fs::rename(&path, &moved).expect("rename");
    counted(1, 3 << 20);
    fs::hard_link(&moved, &path).expect("link");
    counted(2, 3 << 20);
    fs::remove_file(&path).expect("rm");
    fs::remove_file(&moved).expect("rm");
    counted(0, 0);
}
