//! Stores that fail, bytes that rot, disks that fill: an error to git, nothing
//! lost, and success when the cause is gone.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::disk::SmallDisk;
use gitmoor_tests::files;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::history::{self, noise};
use gitmoor_tests::mount::Settings;
use gitmoor_tests::place::Place;
use gitmoor_tests::s3::{Fault, Kind as S3};
use gitmoor_tests::wait;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Nobody wants to wait for the defaults of a minute and more.
fn impatient(settings: Settings) -> Settings {
    Settings {
        toml: "publish-timeout = \"3s\"\nread-timeout = \"3s\"\n".to_owned(),
        ..settings
    }
}

fn place(kind: Kind) -> Place {
    Place::with(kind, &Installed::newest(), impatient)
}

/// A push while the store is down: told, unchanged, and good when it is up again.
fn outage(place: &Place, down: impl Fn(), up: impl Fn()) {
    let (bare, work) = place.pushed("app.git", 3);
    let before = bare.oid("main");
    let tip = work.commit("during-the-outage");
    down();
    let said = work.fail("push origin main");
    assert!(
        said.contains("rejected") || said.contains("error"),
        "{said}"
    );
    assert_eq!(bare.oid("main"), before, "objects before refs");
    assert!(work.ok("ls-remote origin main").starts_with(&before));
    work.fail("push origin main:refs/heads/other");
    up();
    work.ok("push --quiet origin main");
    assert_eq!(bare.oid("main"), tip);
    place.cool();
    assert_eq!(bare.oid("main"), tip);
    bare.fsck();
}

#[test]
fn unusable_directory_store() {
    let place = place(Kind::Dir);
    let store = store_of(&place);
    let away = store.with_extension("away");
    outage(
        &place,
        || {
            fs::rename(&store, &away).expect("mv the store away");
            fs::write(&store, "in the way").expect("a file in its place");
        },
        || {
            fs::remove_file(&store).expect("rm the file");
            fs::rename(&away, &store).expect("mv the store back");
        },
    );
}

#[test]
fn unreachable_server() {
    let place = place(Kind::S3s);
    outage(
        &place,
        || place.server().set_down(true),
        || place.server().set_down(false),
    );
}

/// A server that is busy for a moment is not an error to anybody.
#[test]
fn busy_server_is_asked_again() {
    let place = Place::new(Kind::S3s, &Installed::newest());
    let (bare, work) = place.pushed("app.git", 3);
    for fault in [
        Fault::SlowDown,
        Fault::InternalError,
        Fault::Reset,
        Fault::LostAnswer,
    ] {
        let tip = work.commit(&format!("{fault:?}"));
        place.server().fail(S3::Put, fault, 2);
        work.ok("push --quiet origin main");
        assert_eq!(bare.oid("main"), tip);
        place.cool();
        place.server().fail(S3::Get, fault, 2);
        bare.fsck();
        place.server().heal();
    }
}

/// What was stored before the outage is not sent again after it.
#[test]
fn stored_objects_are_not_sent_twice() {
    let place = place(Kind::S3s);
    let (bare, work) = place.pushed("app.git", 2);
    let stored = place.server().objects().len();
    let tip = work.commit("half-stored");
    // Two of three objects arrive. The third is refused for longer than anybody waits.
    place
        .server()
        .fail(S3::Put, Fault::Delay(Duration::ZERO), 2);
    place.server().fail(S3::Put, Fault::InternalError, 10_000);
    work.fail("push origin main");
    assert_eq!(place.server().objects().len(), stored + 2);
    place.server().heal();
    place.server().reset();
    work.ok("push --quiet origin main");
    assert_eq!(bare.oid("main"), tip);
    let counts = place.server().counts();
    assert_eq!(counts.put, 1, "{counts:?}");
    bare.fsck();
}

/// One wrong answer is asked for again; wrong answers for ever are an error, never data.
#[test]
fn wrong_answers_never_reach_git() {
    let place = place(Kind::S3s);
    let bare = noisy(&place);
    let good = bare.bytes("cat-file blob main:noise.bin", "");
    for fault in [Fault::WrongBytes, Fault::Truncate] {
        place.cool();
        place.server().fail(S3::Get, fault, 1);
        assert!(
            bare.bytes("cat-file blob main:noise.bin", "") == good,
            "{fault:?}"
        );
        place.cool();
        place.server().fail(S3::Get, fault, 10_000);
        let output = bare.run("cat-file blob main:noise.bin", b"");
        assert!(
            !output.status.success(),
            "{fault:?}: git was given something"
        );
        place.server().heal();
        assert!(place.daemon().is_alive());
        assert!(
            bare.bytes("cat-file blob main:noise.bin", "") == good,
            "{fault:?}"
        );
    }
}

/// Reads outlast an outage that is shorter than their patience.
#[test]
fn reads_wait_for_the_server() {
    let place = Place::new(Kind::S3s, &Installed::newest());
    let bare = noisy(&place);
    place.cool();
    place.server().set_down(true);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| bare.fsck());
        let settings = place.daemon().settings().clone();
        wait::until("status names the wait", Duration::from_secs(30), || {
            settings.status()["waits"]
                .as_array()
                .is_some_and(|waits| !waits.is_empty())
        });
        place.server().set_down(false);
        reader.join().expect("the reader");
    });
}

fn store_of(place: &Place) -> PathBuf {
    let url = place.daemon().settings().store.clone();
    url.strip_prefix("dir:").expect("a directory store").into()
}

/// A repository whose one pack is larger than a block of the cache.
fn noisy(place: &Place) -> Repo {
    let (bare, work) = place.pushed("app.git", 1);
    work.write("noise.bin", noise(6 << 20, 3));
    work.commit("noise");
    work.import(
        &history::History::seeded(5)
            .files("wide", 500, 300, 50)
            .stream(),
    );
    work.ok("push --quiet origin main wide");
    bare.ok("repack --quiet -a -d");
    bare
}

#[test]
fn damaged_cache_is_fetched_again() {
    let place = place(Kind::Dir);
    let bare = noisy(&place);
    let before = bare.bytes("cat-file blob main:noise.bin", "");
    let data = place.daemon().settings().data.clone();
    place.daemon().umount();
    let cached = files::below(&data.join("cache"));
    let damaged: Vec<_> = cached
        .iter()
        .filter(|path| fs::metadata(path).expect("stat").len() > 0)
        .collect();
    assert!(!damaged.is_empty(), "nothing is cached: {cached:?}");
    damaged.iter().for_each(|path| files::flip_middle(path));
    place.daemon().launch();
    assert!(bare.bytes("cat-file blob main:noise.bin", "") == before);
    bare.fsck();
}

#[test]
fn truncated_cache_is_fetched_again() {
    let place = place(Kind::Dir);
    let bare = noisy(&place);
    let data = place.daemon().settings().data.clone();
    place.daemon().kill9();
    for path in files::below(&data.join("cache")) {
        let file = OpenOptions::new().write(true).open(&path).expect("open");
        file.set_len(file.metadata().expect("stat").len() / 3)
            .expect("truncate");
    }
    place.daemon().launch();
    bare.fsck();
}

/// What the store gives is proved before git sees it.
#[test]
fn wrong_bytes_in_the_store_never_reach_git() {
    let place = place(Kind::Dir);
    let bare = noisy(&place);
    let good = bare.bytes("cat-file blob main:noise.bin", "");
    place.daemon().umount();
    place.daemon().drop_cache();
    let packs: Vec<_> = files::below(&store_of(&place))
        .into_iter()
        .filter(|path| is_pack(path))
        .collect();
    assert!(!packs.is_empty());
    packs.iter().for_each(|path| files::flip_middle(path));
    place.daemon().launch();
    let output = bare.run("cat-file blob main:noise.bin", b"");
    assert!(!output.status.success(), "git was given something");
    assert!(place.daemon().is_alive());
    place.daemon().umount();
    packs.iter().for_each(|path| files::flip_middle(path));
    place.daemon().launch();
    assert!(bare.bytes("cat-file blob main:noise.bin", "") == good);
    bare.fsck();
}

fn is_pack(path: &Path) -> bool {
    path.to_string_lossy().contains(".pack")
}

#[test]
fn an_object_must_match_its_name() {
    let place = place(Kind::Dir);
    let (bare, work) = place.pushed("app.git", 2);
    let blob = work.feed("hash-object -w --stdin", "honest\n");
    let honest = work
        .dir
        .join(format!(".git/objects/{}/{}", &blob[..2], &blob[2..]));
    let honest = fs::read(honest).expect("a loose object");
    let half = &honest[..honest.len() / 2];
    let false_name = "12345678901234567890123456789012345678ab";
    for bytes in [&honest[..], half, b"not deflated", b""] {
        cannot_be_named(&bare, bytes, false_name);
    }
    cannot_be_named(&bare, half, &blob);
    bare.fail(format!("cat-file -e {false_name}"));
    assert_eq!(bare.feed("hash-object -w --stdin", "honest\n"), blob);
    assert_eq!(bare.ok(format!("cat-file -p {blob}")), "honest");
    place.crash();
    bare.fail(format!("cat-file -e {false_name}"));
    bare.fsck();
}

/// Both ways in which git finishes an object.
fn cannot_be_named(bare: &Repo, bytes: &[u8], oid: &str) {
    let dir = bare.dir.join("objects").join(&oid[..2]);
    let _ = fs::create_dir(&dir);
    let (temporary, name) = (dir.join("tmp_obj_wrong"), dir.join(&oid[2..]));
    fs::write(&temporary, bytes).expect("temporary file");
    fs::hard_link(&temporary, &name).expect_err("link of wrong bytes");
    fs::rename(&temporary, &name).expect_err("rename of wrong bytes");
    assert!(!name.exists());
    fs::remove_file(&temporary).expect("rm");
}

/// What cp(1) writes under a final name without a rename is checked when it is closed.
#[test]
fn what_is_copied_to_a_name_must_match_it() {
    let place = place(Kind::Dir);
    let bare = place.bare("app.git");
    let other = place.work("other");
    let right = other.feed("hash-object -w --stdin", "right\n");
    let wrong = other.feed("hash-object -w --stdin", "wrong\n");
    let path = |repo: &Path, oid: &str| repo.join("objects").join(&oid[..2]).join(&oid[2..]);
    let from = |oid: &str| path(&other.dir.join(".git"), oid);
    let to = path(&bare.dir, &right);
    fs::create_dir_all(to.parent().expect("a directory")).expect("mkdir");
    let copy = |oid: &str| Command::new("cp").arg(from(oid)).arg(&to).status();
    assert!(!copy(&wrong).expect("cp").success(), "close(2) must say it");
    wait::until("it is not there", Duration::from_secs(10), || {
        !bare.is(format!("cat-file -e {right}"))
    });
    assert!(copy(&right).expect("cp").success());
    assert_eq!(bare.ok(format!("cat-file -p {right}")), "right");
    assert_eq!(place.daemon().settings().status()["pending"]["files"], 1);
    place.crash();
    assert_eq!(bare.ok(format!("cat-file -p {right}")), "right");
}

/// A damaged pack can neither be finished nor replace one that is.
#[test]
fn a_pack_must_match_its_trailer() {
    let place = place(Kind::Dir);
    let (bare, work) = place.pushed("app.git", 30);
    let dir = bare.dir.join("objects/pack");
    let good = files::below(&dir)
        .into_iter()
        .find(|path| path.extension().is_some_and(|ext| ext == "pack"))
        .expect("a pack");
    let temporary = dir.join("tmp_pack_wrong");
    fs::copy(&good, &temporary).expect("copy");
    files::flip_middle(&temporary);
    fs::rename(&temporary, &good).expect_err("rename over a good one");
    let new = dir.join(format!("pack-{}.pack", "1".repeat(40)));
    fs::hard_link(&temporary, &new).expect_err("link to a new name");
    fs::remove_file(&temporary).expect("rm");
    bare.fsck();
    let tip = work.commit("goes on");
    work.ok("push --quiet origin main");
    assert_eq!(bare.oid("main"), tip);
}

/// A power cut may leave a finished file short; it must not be taken for the object.
#[test]
fn torn_staging_is_noticed() {
    let place = place(Kind::Dir);
    let bare = place.bare("app.git");
    let names: Vec<_> = (0..5)
        .map(|n| bare.feed("hash-object -w --stdin", noise(3000, n)))
        .collect();
    place.daemon().kill9();
    let torn = &names[2];
    let path = staged(&place, torn);
    let file = OpenOptions::new().write(true).open(path).expect("open");
    file.set_len(1000).expect("truncate");
    place.daemon().launch();
    for name in names.iter().filter(|name| *name != torn) {
        bare.ok(format!("cat-file blob {name}"));
    }
    bare.fail(format!("cat-file blob {torn}"));
    // The same object again is good, and does not stand in the way of a push.
    assert_eq!(&bare.feed("hash-object -w --stdin", noise(3000, 2)), torn);
    assert!(bare.bytes(format!("cat-file blob {torn}"), "") == noise(3000, 2));
    bare.import(&history::commits(2));
    place.cool();
    assert!(bare.bytes(format!("cat-file blob {torn}"), "") == noise(3000, 2));
}

/// Where the data directory keeps an object that is not stored yet.
fn staged(place: &Place, oid: &str) -> PathBuf {
    let data = place.daemon().settings().data.clone();
    let tail = format!("{}/{}", &oid[..2], &oid[2..]);
    let mut found = files::below(&data)
        .into_iter()
        .filter(|path| path.ends_with(&tail));
    found
        .next()
        .unwrap_or_else(|| panic!("{oid} is not staged in {}", data.display()))
}

#[test]
fn full_disk() {
    let Some(disk) = SmallDisk::of(192) else {
        return;
    };
    let place = Place::with(Kind::Dir, &Installed::newest(), |settings| Settings {
        data: disk.path().join("data"),
        ..impatient(settings)
    });
    let (bare, work) = place.pushed("app.git", 2);
    let before = bare.oid("main");
    work.write("huge.bin", noise(300 << 20, 1));
    work.commit("huge");
    let said = work.fail("push origin main");
    assert!(said.contains("No space left on device"), "{said}");
    assert!(place.daemon().is_alive());
    assert_eq!(bare.oid("main"), before);
    bare.fsck();
    // The failed push cleans up after itself: there is room again.
    work.ok("reset --quiet --hard HEAD~1");
    let tip = work.commit("small");
    work.ok("push --quiet origin main");
    assert_eq!(bare.oid("main"), tip);
    place.restart();
    assert_eq!(bare.oid("main"), tip);
    bare.fsck();
}
