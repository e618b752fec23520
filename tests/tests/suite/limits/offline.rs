//! A mount that does not ask its store.

use super::{BOUND, MIB, place};
use gitmoor_tests::git::Repo;
use gitmoor_tests::history::noise;
use gitmoor_tests::place::Place;
use gitmoor_tests::wait;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const SETTINGS: &str = "idle-publish = \"100ms\"\n";

/// Mounts again offline, with a server that nobody can reach.
fn go_offline(place: &Place) {
    place.server().set_down(true);
    place.server().reset();
    place.daemon().set("GITMOOR_OFFLINE", "true");
    place.daemon().launch();
}

fn go_online(place: &Place) {
    assert_eq!(place.server().counts().requests(), 0, "it was asked");
    place.server().set_down(false);
    place.daemon().set("GITMOOR_OFFLINE", "");
    place.daemon().launch();
}

fn log(place: &Place) -> String {
    let log = place.daemon().settings().log.clone();
    fs::read_to_string(log).expect("log")
}

/// A repository with 6 MiB in one pack.
fn packed(place: &Place) -> (Repo, PathBuf) {
    let (bare, work) = place.pushed("app.git", 3);
    work.write("noise.bin", noise(6 << 20, 3));
    work.commit("noise");
    work.ok("push --quiet origin main");
    bare.ok("repack --quiet -a -d");
    let packs = bare.names("objects/pack");
    let pack = packs.iter().find(|name| name.ends_with(".pack"));
    let pack = bare.dir.join("objects/pack").join(pack.expect("a pack"));
    (bare, pack)
}

#[test]
fn what_is_cached_is_served() {
    let place = place(SETTINGS);
    let (bare, work) = place.pushed("app.git", 3);
    let before = bare.oid("main");
    place.daemon().umount();
    go_offline(&place);
    bare.fsck();
    place.clone("--bare", &bare, "copy.git");
    bare.ok("update-ref refs/heads/more main~1");
    assert_eq!(bare.oid("more"), bare.oid("main~1"));
    // What must be stored is refused, and kept.
    let tip = work.commit("offline");
    let said = work.fail("push origin main");
    assert!(
        said.contains("rejected") || said.contains("error"),
        "{said}"
    );
    assert_eq!(bare.oid("main"), before);
    let settings = place.daemon().settings().clone();
    wait::until("the publisher was refused", BOUND, || {
        let failure = &settings.status()["pending"]["failure"];
        failure
            .as_str()
            .is_some_and(|said| said.contains("offline"))
    });
    assert_eq!(bare.oid("more"), bare.oid("main~1"));
    let told = place.daemon().umount();
    assert!(
        told.contains("kept") && told.contains("3 finished files"),
        "{told}"
    );
    go_online(&place);
    wait::until("they are stored", BOUND, || {
        settings.status()["pending"]["files"] == 0
    });
    bare.ok(format!("update-ref refs/heads/main {tip}"));
    place.cool();
    assert_eq!(bare.oid("main"), tip);
    bare.fsck();
}

#[test]
fn what_is_not_cached_is_refused() {
    let place = place(SETTINGS);
    let (bare, pack) = packed(&place);
    place.daemon().umount();
    place.daemon().drop_cache();
    go_offline(&place);
    let said = bare.fail("cat-file blob main:noise.bin");
    assert!(!said.is_empty());
    let opened = File::open(&pack).expect_err("nothing of it is cached");
    assert_eq!(opened.raw_os_error(), Some(libc::EIO));
    let key = format!(
        "/objects/pack/{}",
        pack.file_name().expect("a name").to_string_lossy()
    );
    let settings = place.daemon().settings().clone();
    let status = settings.status();
    assert_eq!(status["offline"], true);
    let refused = status["refused"].as_array().expect("a list");
    let names = |what: &serde_json::Value| what.as_str().is_some_and(|what| what.contains(&key));
    assert!(refused.iter().any(names), "{refused:?}");
    assert!(settings.gitmoor_ok(&["status"]).contains("offline"));
    let log = log(&place);
    let line = log.lines().find(|line| line.contains(&key));
    let line = line.expect("a line about the pack");
    assert!(line.contains("ERROR") && line.contains("offline"), "{line}");
    place.daemon().umount();
    go_online(&place);
    bare.fsck();
}

/// Of a file that is cached in part, that part is served.
#[test]
fn a_file_cached_in_part() {
    let place = place(SETTINGS);
    let (_, pack) = packed(&place);
    place.cool();
    let mut first = [0; 4096];
    let read = |at: u64, buffer: &mut [u8]| File::open(&pack)?.read_exact_at(buffer, at);
    read(0, &mut first).expect("online");
    place.daemon().umount();
    go_offline(&place);
    let mut again = [0; 4096];
    read(0, &mut again).expect("it is cached");
    assert_eq!(first, again);
    let last = fs::metadata(&pack).expect("stat").len() - 4096;
    let error = read(last, &mut again).expect_err("it is not cached");
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert!(last > 4 * MIB, "the kernel does not read so far ahead");
    place.daemon().umount();
    go_online(&place);
}

#[test]
fn maintenance_is_refused() {
    let place = place("gc-period = \"10ms\"\ngc-grace = \"1ms\"\ntrash-keep = \"1ms\"\n");
    let (bare, _) = place.pushed("app.git", 3);
    bare.ok("repack --quiet -a -d");
    place.daemon().umount();
    go_offline(&place);
    let settings = place.daemon().settings().clone();
    for command in [
        &["gc"] as &[&str],
        &["gc", "--dry-run"],
        &["fsck", "app.git"],
    ] {
        let output = settings.gitmoor(command);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("offline"), "{command:?}: {said}");
    }
    // Nor does gc try by itself.
    assert_eq!(settings.status()["refused"], serde_json::json!([]));
    place.daemon().umount();
    go_online(&place);
}
