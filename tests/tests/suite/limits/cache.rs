//! A cache smaller than what is read through it, on a disk that others need too.

use super::{BOUND, MIB, place, usage};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::disk::SmallDisk;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::history::noise;
use gitmoor_tests::mount::Settings;
use gitmoor_tests::place::Place;
use gitmoor_tests::wait;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Bytes of one fetch at most, which are on the disk before the cache makes room for them
/// (`fs/src/cache/readahead.rs`); the kernel has up to two requests of one reader under way.
const AHEAD: u64 = 2 * (8 << 20);

/// How often a measure is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// A repository whose one pack has so many MiB; and the pack.
fn packed(place: &Place, mebibytes: u64) -> (Repo, PathBuf) {
    let bare = place.bare("app.git");
    let work = place.work("work");
    work.ok("config core.compression 0");
    // Looking for differences between noises takes minutes.
    work.ok("config core.bigFileThreshold 1m");
    bare.ok("config receive.unpackLimit 1");
    for n in 0..mebibytes / 4 {
        work.write(format!("{n}.bin"), noise(4 << 20, n));
    }
    work.commit("noise");
    work.ok(format!("push --quiet {} main", bare.url()));
    let names = bare.names("objects/pack");
    let pack = names.iter().find(|name| name.ends_with(".pack"));
    let pack = bare.dir.join("objects/pack").join(pack.expect("a pack"));
    assert!(fs::metadata(&pack).expect("stat").len() >= mebibytes * MIB);
    (bare, pack)
}

fn read_once(path: &Path) {
    let mut file = File::open(path).expect("open");
    let mut buffer = vec![0; 1 << 20];
    while file.read(&mut buffer).expect("read") > 0 {}
}

/// The most that `measure` answers while `work` is done.
fn most_while(measure: impl Fn() -> u64 + Sync, work: impl FnOnce()) -> u64 {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = measure();
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK);
                most = most.max(measure());
            }
            most
        });
        work();
        done.store(true, Ordering::Relaxed);
        watch.join().expect("the watch")
    })
}

#[test]
fn a_pack_larger_than_the_cache() {
    let place = place("cache-size = \"64MiB\"\n");
    let (bare, pack) = packed(&place, 500);
    let size = fs::metadata(&pack).expect("stat").len();
    place.cool();
    let cache = place.daemon().settings().data.join("cache");
    let taken = || usage(&cache).1;
    place.server().reset();
    let most = most_while(taken, || read_once(&pack));
    assert!(most <= 64 * MIB + AHEAD, "{most}");
    assert!(most >= 32 * MIB, "the cache was used: {most}");
    let fetched = place.server().counts().bytes_out;
    assert!(
        fetched >= size && fetched * 5 <= size * 6,
        "{fetched} of {size}"
    );
    let most = most_while(taken, || {
        bare.fsck();
        bare.ok(format!("verify-pack {}", pack.display()));
    });
    // git reads through mmap in two threads.
    assert!(most <= 64 * MIB + 2 * AHEAD, "{most}");
}

fn free(dir: &Path) -> u64 {
    let stat = nix::sys::statvfs::statvfs(dir).expect("statvfs");
    stat.blocks_available() * stat.fragment_size()
}

/// Of 384 MiB the floor leaves 144: some 70 to the replicator, whose log has its space in advance,
/// the rest to the cache, which would like 96.
#[test]
fn the_floor_of_the_disk() {
    let Some(disk) = SmallDisk::of(384) else {
        return;
    };
    let place = Place::with(Kind::S3s, &Installed::newest(), |settings| Settings {
        data: disk.path().join("data"),
        toml: "cache-free-floor = \"240MiB\"\n".to_owned(),
        ..settings
    });
    let (bare, pack) = packed(&place, 96);
    place.cool();
    let total = nix::sys::statvfs::statvfs(&bare.dir).expect("statvfs");
    assert_eq!(
        total.blocks() * total.fragment_size(),
        384 * MIB,
        "df shows the disk"
    );
    let taken = || 384 * MIB - free(disk.path());
    let most = most_while(taken, || read_once(&pack));
    assert!(most <= (384 - 240) * MIB + AHEAD, "{most}");
    let cached = usage(&disk.path().join("data/cache")).1;
    assert!(cached >= 40 * MIB, "the cache was used: {cached}");
    // The cache gives way to what git writes.
    let made = bare.dir.join("objects/pack/tmp_pack_made");
    fs::write(&made, noise(32 << 20, 1)).expect("a file");
    wait::until("the floor is free again", BOUND, || {
        free(disk.path()) >= 240 * MIB
    });
    fs::remove_file(&made).expect("rm");
    bare.fsck();
}
