//! `gitmoor warm` fetches what git will need, once, and nothing else: counted in requests and bytes.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::Repo;
use gitmoor_tests::history::noise;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use gitmoor_tests::wait;
use serde_json::Value;
use std::time::Duration;

/// More than the blocks around a few small objects.
const NOISE: u64 = 4 << 20;

fn place(more: &str) -> Place {
    Place::set(Kind::S3s, &format!("idle-publish = \"100ms\"\n{more}"))
}

/// In one pack: four commits of `src/` with a few bytes, and of `assets/noise.bin` with new noise each.
fn packed(place: &Place) -> Repo {
    let (bare, work) = place.pushed("app.git", 1);
    for round in 0..4 {
        work.write("src/code.rs", format!("fn round() -> u32 {{ {round} }}\n"));
        work.write("assets/noise.bin", noise(NOISE as usize, round));
        work.commit(&format!("round {round}"));
    }
    work.ok("push --quiet origin main");
    bare.ok("repack --quiet -a -d");
    let settings = place.daemon().settings().clone();
    wait::until("it is published", Duration::from_secs(60), || {
        settings.status()["pending"]["files"] == 0
    });
    place.cool();
    place.server().reset();
    bare
}

#[track_caller]
fn warm(place: &Place, args: &[&str]) -> Value {
    let settings = place.daemon().settings().clone();
    let output = settings.gitmoor(&[&["warm", "app.git", "--json"], args].concat());
    assert!(output.status.success(), "{args:?} {}", report(&output));
    assert!(
        output.stderr.is_empty(),
        "no bar where there is no terminal: {}",
        report(&output)
    );
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[track_caller]
fn refused(place: &Place, args: &[&str], words: &[&str]) {
    let settings = place.daemon().settings().clone();
    let output = settings.gitmoor(&[&["warm"], args].concat());
    assert_eq!(
        output.status.code(),
        Some(1),
        "{args:?} {}",
        report(&output)
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for word in words {
        assert!(said.contains(word), "{word:?} missing in {said}");
    }
}

/// The second time there is nothing to fetch, and a mount without its store does what it is for.
#[track_caller]
fn is_warm(place: &Place, args: &[&str], commands: impl FnOnce()) {
    place.server().reset();
    warm(place, args);
    assert_eq!(place.server().counts().requests(), 0, "{args:?} again");
    place.daemon().umount();
    place.server().set_down(true);
    place.server().reset();
    place.daemon().set("GITMOOR_OFFLINE", "true");
    place.daemon().launch();
    commands();
    assert_eq!(place.server().counts().requests(), 0, "{args:?} offline");
}

/// Whatever git says of a page that it does not get: SIGBUS, perhaps.
#[track_caller]
fn cannot(repo: &Repo, command: &str) {
    let output = repo.run(command, b"");
    assert!(!output.status.success(), "{command} {}", report(&output));
}

#[test]
fn a_whole_repository() {
    let place = place("");
    let bare = packed(&place);
    let settings = place.daemon().settings().clone();
    let info = settings.gitmoor_ok(&["repo", "info", "app.git", "--json"]);
    let info: Value = serde_json::from_str(&info).expect("JSON");
    let told = warm(&place, &[]);
    let counts = place.server().counts();
    // Every byte of every object file that is in the store, once.
    let current = bare.names("objects/pack");
    let objects = place.server().objects();
    let is_current = |key: &str| current.iter().any(|name| key.ends_with(name));
    let stored = objects.iter().filter(|(key, _)| is_current(key));
    let stored: u64 = stored.map(|(_, bytes)| bytes.len() as u64).sum();
    assert!(stored > 4 * NOISE, "{current:?}");
    assert_eq!(counts.bytes_out, stored, "{counts:?}");
    assert_eq!(counts.requests(), counts.get, "{counts:?}");
    assert_eq!(told["bytes"], info["object_bytes"], "{told:#}");
    assert_eq!(told["files"], info["object_files"], "{told:#}");
    assert!(told["cache"]["bytes"].as_u64() >= Some(stored), "{told:#}");
    is_warm(&place, &[], || bare.fsck());
}

#[test]
fn one_path() {
    let place = place("");
    let bare = packed(&place);
    let told = warm(&place, &["--path", "src"]);
    let counts = place.server().counts();
    assert!(counts.bytes_out < NOISE, "no noise is fetched: {counts:?}");
    // Four commits touched it: each has a tree, that of src/ and the file in it.
    assert_eq!(told["objects"], 4 * 4, "{told:#}");
    is_warm(&place, &["--path", "src"], || {
        bare.bytes("archive main src", "");
        assert_eq!(bare.ok("log --format=%s -- src").lines().count(), 4);
        cannot(&bare, "cat-file blob main:assets/noise.bin");
    });
}

#[test]
fn the_last_commits() {
    let place = place("");
    let bare = packed(&place);
    warm(&place, &["--depth", "1", "--rev", "main"]);
    let counts = place.server().counts();
    assert!(
        counts.bytes_out > NOISE && counts.bytes_out < 2 * NOISE,
        "one of four: {counts:?}"
    );
    is_warm(&place, &["--depth", "1"], || {
        bare.bytes("archive main", "");
        bare.ok("log -1 --format=%s main");
        cannot(&bare, "cat-file blob main~2:assets/noise.bin");
    });
}

#[test]
fn a_cache_that_is_too_small_is_told_before() {
    let place = place("cache-size = \"8MiB\"\n");
    packed(&place);
    refused(
        &place,
        &["app.git"],
        &["app.git needs 16.", "8.0 MiB", "cache-size"],
    );
    assert_eq!(place.server().counts().requests(), 0);
    refused(
        &place,
        &["app.git", "--rev", "main"],
        &["app.git needs 16.", "--path"],
    );
    warm(&place, &["--path", "src"]);
    let counts = place.server().counts();
    assert!(counts.bytes_out < NOISE, "{counts:?}");
}

#[test]
fn what_cannot_be_warmed() {
    let place = place("");
    packed(&place);
    refused(&place, &["other.git"], &["other.git", "gitmoor repo list"]);
    refused(
        &place,
        &["app.git", "--rev", "nowhere"],
        &["rev-list", "nowhere"],
    );
    refused(
        &place,
        &["app.git", "--rev", "--all"],
        &["rev-list", "--all"],
    );
    place.server().set_down(true);
    place.daemon().set("GITMOOR_OFFLINE", "true");
    place.daemon().umount();
    place.daemon().launch();
    refused(&place, &["app.git"], &["offline"]);
    place.daemon().umount();
    refused(&place, &["app.git"], &["no daemon is running"]);
    place.daemon().launch();
}
