//! Many clients and many open files.

use super::{BOUND, MIB, place};
use gitmoor_tests::git::Repo;
use gitmoor_tests::history::noise;
use gitmoor_tests::mount::{Mounted, Settings};
use gitmoor_tests::place::Place;
use gitmoor_tests::s3::Counts;
use gitmoor_tests::{backend::Kind, git::Installed, process, wait};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fs::{self, File};
use std::path::PathBuf;

const CLONES: u64 = 64;

fn memory(daemon: &Mounted, line: &str) -> u64 {
    process::memory(daemon.pid().expect("it runs"), line)
}

fn clone_all(place: &Place, bare: &Repo, clones: u64) -> Counts {
    place.cool();
    place.server().reset();
    std::thread::scope(|scope| {
        for n in 0..clones {
            let name = format!("clone-{clones}-{n}.git");
            scope.spawn(move || place.clone("--bare", bare, &name));
        }
    });
    place.server().counts()
}

#[test]
fn sixty_four_clones_at_once() {
    let place = place("");
    let (bare, work) = place.pushed("app.git", 20);
    work.write("noise.bin", noise(8 << 20, 1));
    work.commit("noise");
    work.ok("push --quiet origin main");
    bare.ok("repack --quiet -a -d");
    let alone = clone_all(&place, &bare, 1);
    let before = memory(&place.daemon(), "VmRSS");
    let together = clone_all(&place, &bare, CLONES);
    // Readahead may cut the same bytes into other requests, never fetch a block twice.
    assert_eq!(
        together.bytes_out, alone.bytes_out,
        "{together:?} {alone:?}"
    );
    assert_eq!(together.requests(), together.get, "{together:?}");
    for n in 0..CLONES {
        let clone = place
            .git
            .at(place.scratch(format!("clone-{CLONES}-{n}.git")));
        assert_eq!(clone.oid("main"), bare.oid("main"));
    }
    // Were one copy of the pack kept for each clone, it would be twice as much.
    let grown = memory(&place.daemon(), "VmHWM").saturating_sub(before);
    assert!(grown <= CLONES * 8 * MIB / 2, "{grown}");
}

fn descriptors(daemon: &Mounted) -> usize {
    let pid = daemon.pid().expect("it runs");
    fs::read_dir(format!("/proc/{pid}/fd")).expect("fd").count()
}

/// So many files of the mount, stored and cached.
fn files(place: &Place, count: usize) -> Vec<PathBuf> {
    let bare = place.bare("app.git");
    bare.ok("config core.compression 0");
    let names = (0..count).map(|n| {
        let path = place.scratch(format!("blob-{n}"));
        fs::write(&path, format!("blob {n}\n")).expect("a file");
        format!("{}\n", path.display())
    });
    let oids = bare.feed(
        "hash-object -w --no-filters --stdin-paths",
        names.collect::<String>(),
    );
    let settings = place.daemon().settings().clone();
    wait::until("they are stored", BOUND, || {
        settings.status()["pending"]["files"] == 0
    });
    let path = |oid: &str| bare.dir.join("objects").join(&oid[..2]).join(&oid[2..]);
    oids.lines().map(path).collect()
}

const LOOSE: &str = "bundle-over = 100000\nidle-publish = \"100ms\"\n";

#[test]
fn two_thousand_open_files() {
    // Of this process, which has them open too.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("setrlimit");
    let place = Place::with(Kind::S3s, &Installed::newest(), |settings| Settings {
        toml: LOOSE.to_owned(),
        open_files: Some(6000),
        ..settings
    });
    let paths = files(&place, 2000);
    let before = descriptors(&place.daemon());
    let open: Vec<_> = paths
        .iter()
        .map(|path| File::open(path).expect("open"))
        .collect();
    let during = descriptors(&place.daemon());
    // Connections to the store come and go meanwhile.
    assert!(
        during + 50 >= before + 2000,
        "{before} {during}: the test opens nothing"
    );
    assert!(during <= before + 2 * 2000 + 50, "{before} {during}");
    drop(open);
    wait::until("they are closed", BOUND, || {
        descriptors(&place.daemon()) <= before + 50
    });
}

/// Without descriptors git is told so, and what the daemon itself needs is there.
#[test]
fn more_open_files_than_the_daemon_may_have() {
    let place = Place::with(Kind::S3s, &Installed::newest(), |settings| Settings {
        toml: LOOSE.to_owned(),
        open_files: Some(656),
        ..settings
    });
    let paths = files(&place, 300);
    let (open, refused): (Vec<_>, Vec<_>) = paths.iter().map(File::open).partition(Result::is_ok);
    assert_eq!(open.len(), 200);
    for error in refused.into_iter().filter_map(Result::err) {
        assert_eq!(error.raw_os_error(), Some(libc::ENFILE), "{error}");
    }
    let settings = place.daemon().settings().clone();
    let log = fs::read_to_string(settings.log.clone()).expect("log");
    assert!(log.contains("LimitNOFILE"), "the log says what to do");
    settings.gitmoor_ok(&["repo", "list"]);
    drop(open);
    wait::until("there is room again", BOUND, || {
        File::open(&paths[0]).is_ok()
    });
    place.repo("app.git").fsck();
}
