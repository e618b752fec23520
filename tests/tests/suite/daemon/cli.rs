//! The command line: its contract, and clear answers to wrong use.

use gitmoor_tests::backend::{Kind, Store};
use gitmoor_tests::git::Installed;
use gitmoor_tests::mount::{Settings, detach, is_mount};
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use gitmoor_tests::wait;
use std::fs;
use std::process::Output;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Settings of a mount that nobody has started.
fn unused() -> (TempDir, Settings) {
    let dir = tempfile::Builder::new().prefix("gitmoor-cli-").tempdir();
    let dir = dir.expect("temporary directory");
    let settings = Store::Dir.settings(dir.path());
    (dir, settings)
}

fn place() -> Place {
    Place::new(Kind::Dir, &Installed::newest())
}

/// A refusal: that exit code, all of these words, no panic.
#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(output.status.code(), Some(code), "{}", report(output));
    let said = String::from_utf8_lossy(&output.stderr);
    for word in words {
        assert!(said.contains(word), "{word:?} missing in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("the tests' own paths are UTF-8")
}

/// `gitmoor mount` of those settings, which is expected to fail soon.
fn mount(settings: &Settings) -> Output {
    let output = settings.gitmoor(&["mount", "--store", &settings.store, text(&settings.at)]);
    if output.status.success() {
        detach(&settings.at);
    }
    output
}

#[test]
fn mount_returns_when_it_answers() {
    let (_dir, settings) = unused();
    fs::create_dir(&settings.at).expect("mkdir");
    let at = text(&settings.at);
    settings.gitmoor_ok(&["mount", "--store", &settings.store, at]);
    assert!(is_mount(&settings.at), "mounted when the command returns");
    let status = settings.status();
    let pid = status["pid"]
        .as_u64()
        .unwrap_or_else(|| panic!("{status:#}"));
    assert!(status.to_string().contains(at), "{status:#}");
    settings.gitmoor_ok(&["umount", at]);
    assert!(!is_mount(&settings.at), "gone when the command returns");
    let process = format!("/proc/{pid}");
    wait::until("the daemon leaves", Duration::from_secs(20), || {
        !std::path::Path::new(&process).exists()
    });
    refused(&settings.gitmoor(&["status"]), 1, &[]);
}

#[test]
fn repositories_by_command() {
    let place = place();
    let settings = place.daemon().settings().clone();
    settings.gitmoor_ok(&["repo", "create", "team/app.git"]);
    let bare = place.repo("team/app.git");
    bare.import(&gitmoor_tests::history::commits(3));
    assert!(
        settings
            .gitmoor_ok(&["repo", "list"])
            .contains("team/app.git")
    );
    // A ref that is loose and packed is one.
    bare.ok("pack-refs --all --no-prune");
    let info = settings.gitmoor_ok(&["repo", "info", "team/app.git", "--json"]);
    let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    assert_eq!(info["refs"], 1, "{info:#}");
    assert_eq!(info["object_format"], "sha1", "{info:#}");

    settings.gitmoor_ok(&["repo", "rename", "team/app.git", "other/new.git"]);
    assert!(!bare.dir.exists());
    let moved = place.repo("other/new.git");
    assert_eq!(moved.ok("rev-list --count main"), "3");
    let taken = settings.gitmoor(&["repo", "create", "other/new.git"]);
    refused(&taken, 1, &["other/new.git"]);
    // That there is none comes before any question.
    for delete in [
        &["repo", "delete", "nope.git"][..],
        &["repo", "delete", "--yes", "nope.git"],
    ] {
        refused(&settings.gitmoor(delete), 1, &["nope.git"]);
    }
    let unsaid = settings.gitmoor(&["repo", "delete", "other/new.git"]);
    refused(&unsaid, 2, &["--yes"]);
    settings.gitmoor_ok(&["repo", "delete", "--yes", "other/new.git"]);
    assert!(!moved.dir.exists());
    assert!(!settings.gitmoor_ok(&["repo", "list"]).contains(".git"));
    refused(
        &settings.gitmoor(&["repo", "info", "other/new.git"]),
        1,
        &["other/new.git"],
    );
}

#[test]
fn created_with_every_format() {
    let place = place();
    let settings = place.daemon().settings().clone();
    settings.gitmoor_ok(&[
        "repo",
        "create",
        "a.git",
        "--object-format",
        "sha256",
        "--default-branch",
        "trunk",
    ]);
    let bare = place.repo("a.git");
    assert_eq!(bare.ok("rev-parse --show-object-format"), "sha256");
    assert_eq!(bare.ok("symbolic-ref HEAD"), "refs/heads/trunk");
    if place.git.has((2, 45), "reftable") {
        settings.gitmoor_ok(&["repo", "create", "b.git", "--ref-format", "reftable"]);
        let bare = place.repo("b.git");
        bare.import(&gitmoor_tests::history::commits(2));
        assert_eq!(bare.ok("rev-parse --show-ref-format"), "reftable");
    }
}

#[test]
fn hostile_names() {
    let place = place();
    let settings = place.daemon().settings().clone();
    let long = format!("{}.git", "x".repeat(300));
    for name in [
        "../escape.git",
        "/absolute.git",
        "a/../b.git",
        "a.git/b.git",
        "no-suffix",
        "a//b.git",
        ".git",
        "./x.git",
        &long,
    ] {
        let output = settings.gitmoor(&["repo", "create", name]);
        assert!(
            output
                .status
                .code()
                .is_some_and(|code| code == 1 || code == 2),
            "{name}: {}",
            report(&output)
        );
    }
    assert!(gitmoor_tests::git::names(&place.root).is_empty());
}

#[test]
fn wrong_usage() {
    let (_dir, settings) = unused();
    refused(
        &settings.gitmoor(&["mount", "--no-such-flag", "x"]),
        2,
        &["--no-such-flag"],
    );
    refused(
        &settings.gitmoor(&["no-such-command"]),
        2,
        &["no-such-command"],
    );
    refused(&settings.gitmoor(&["mount"]), 2, &["MOUNTPOINT"]);
    let at = text(&settings.at);
    refused(
        &settings.gitmoor(&["mount", "--store", "ftp://x", at]),
        2,
        &["ftp://x"],
    );
}

#[test]
fn unknown_setting_in_the_file() {
    let (dir, settings) = unused();
    fs::create_dir(&settings.at).expect("mkdir");
    let file = dir.path().join("settings.toml");
    fs::write(&file, "cache-sise = \"1GB\"\n").expect("write");
    let output = settings.gitmoor(&["mount", "--config", text(&file), text(&settings.at)]);
    refused(&output, 2, &["cache-sise"]);
    assert!(!is_mount(&settings.at));
}

#[test]
fn unusable_mount_points() {
    let (dir, settings) = unused();
    refused(
        &mount(&settings),
        2,
        &["does not exist", text(&settings.at)],
    );
    fs::create_dir(&settings.at).expect("mkdir");
    fs::write(settings.at.join("file"), "x").expect("write");
    refused(&mount(&settings), 2, &["not empty", text(&settings.at)]);
    let file = dir.path().join("file");
    fs::write(&file, "x").expect("write");
    let settings = Settings {
        at: file,
        ..settings
    };
    refused(&mount(&settings), 2, &["directory"]);
}

#[test]
fn mounted_already() {
    let place = place();
    let (_dir, other) = unused();
    let again = Settings {
        at: place.root.clone(),
        ..other
    };
    refused(&mount(&again), 1, &["mounted"]);
    assert!(place.daemon().is_alive());
    place.bare("still-works.git");
}

#[test]
fn data_directory_in_use() {
    let place = place();
    let settings = place.daemon().settings().clone();
    let second = Settings {
        at: place.scratch("second"),
        ..settings
    };
    fs::create_dir(&second.at).expect("mkdir");
    let output = mount(&second);
    assert!(
        output
            .status
            .code()
            .is_some_and(|code| code == 1 || code == 2),
        "{}",
        report(&output)
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(text(&second.data)), "{said}");
    assert!(!is_mount(&second.at));
    place.bare("still-works.git");
}

#[test]
fn data_directory_is_a_file() {
    let (_dir, settings) = unused();
    fs::create_dir(&settings.at).expect("mkdir");
    fs::write(&settings.data, "x").expect("write");
    refused(&mount(&settings), 2, &[text(&settings.data)]);
}

#[test]
fn unreachable_endpoint() {
    let (_dir, settings) = unused();
    fs::create_dir(&settings.at).expect("mkdir");
    // Port 9 of the loopback: nobody listens there.
    let endpoint = "http://127.0.0.1:9";
    let env = [
        ("S3_ENDPOINT", endpoint),
        ("S3_REGION", "none"),
        ("S3_USE_PATH_STYLE", "true"),
        ("S3_ACCESS_KEY_ID", "key"),
        ("S3_SECRET_ACCESS_KEY", "secret"),
    ];
    let settings = Settings {
        store: "s3://bucket/prefix".to_owned(),
        env: env
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec(),
        ..settings
    };
    let began = Instant::now();
    let output = mount(&settings);
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    refused(&output, 2, &[endpoint]);
    assert!(!is_mount(&settings.at));
}

#[test]
fn sigterm_publishes_and_unmounts() {
    let place = place();
    let bare = place.bare("app.git");
    let blob = bare.feed("hash-object -w --stdin", "pending\n");
    let pid = place.daemon().pid().expect("running");
    let pid = nix::unistd::Pid::from_raw(pid.try_into().expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("kill");
    let mut daemon = place.daemon();
    wait::until("the daemon leaves", Duration::from_secs(30), || {
        !daemon.is_alive()
    });
    assert!(!is_mount(&place.root));
    daemon.kill9();
    daemon.launch();
    let status = daemon.settings().status();
    drop(daemon);
    assert_eq!(status["pending"]["files"], 0, "{status:#}");
    assert_eq!(bare.ok(format!("cat-file -p {blob}")), "pending");
}
