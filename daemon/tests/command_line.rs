//! The binary as its users meet it: exit codes and messages, before anything is
//! mounted.

#![allow(
    clippy::disallowed_methods,
    reason = "tests start what they test, and git to compare with"
)]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Place, expect, gitmoor, gitmoor_with};

#[test]
fn help_and_version_are_no_errors() {
    let place = Place::new();
    for args in [["--help"], ["--version"]] {
        assert_eq!(gitmoor(&place.data(), &args).status.code(), Some(0));
    }
}

#[test]
fn wrong_usage_is_2() {
    let place = Place::new();
    for args in [
        &["--frobnicate"] as &[&str],
        &["mount"],
        &["mount", "--cache-size", "plenty", "/mnt"],
        &["mount", "--store", "ftp://somewhere", "/mnt"],
        &["mount", "--repo", "no-suffix", "/mnt"],
        &["mount", "--log-level", "loud", "/mnt"],
        &["repo", "config", "a.git", "gc.auto", "1", "--unset"],
        &["repo", "info", "../a.git"],
        &[],
    ] {
        expect(&gitmoor(&place.data(), args), 2, &[]);
    }
}

#[test]
fn wrong_values_say_what_is_expected() {
    let place = Place::new();
    expect(
        &place.mount(&["--store", "ftp://x"]),
        2,
        &["--store", "dir:PATH", "s3://"],
    );
    expect(
        &place.mount(&["--cache-size", "plenty"]),
        2,
        &["--cache-size", "10GiB"],
    );
    // A repository may have such a name. One that the mount would have to make may not.
    expect(&place.mount(&["--repo", "app"]), 1, &["app", "end in .git"]);
    expect(
        &place.mount(&["--metrics", "0.0.0.0:1"]),
        2,
        &["--metrics", "loopback"],
    );
}

#[test]
fn offline_needs_a_data_directory_that_was_mounted() {
    let place = Place::new();
    expect(
        &place.mount(&["--offline"]),
        2,
        &["--offline", "never mounted"],
    );
    assert!(!place.data().exists(), "a mistake begins no data directory");
    expect(&place.mount(&[]), 0, &[]);
    expect(&place.umount(&[]), 0, &[]);
    expect(&place.mount(&["--offline"]), 0, &[]);
    assert_eq!(place.status()["offline"], true);
    expect(&place.umount(&[]), 0, &[]);
}

#[test]
fn an_unknown_key_in_the_file_is_2_with_key_and_file() {
    let place = Place::new();
    std::fs::create_dir(place.data()).unwrap();
    std::fs::write(place.data().join("gitmoor.toml"), "cash-size = 1\n").unwrap();
    expect(
        &place.mount(&[]),
        2,
        &["gitmoor.toml", "cash-size", "cache-size"],
    );
}

#[test]
fn unusable_mount_points_are_2() {
    let place = Place::new();
    let at = |path: &str| gitmoor(&place.data(), &["mount", path]);
    expect(
        &at("/nonexistent/mnt"),
        2,
        &["/nonexistent/mnt", "does not exist", "mkdir"],
    );
    let file = place.dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    expect(&at(file.to_str().unwrap()), 2, &["not a directory"]);
    std::fs::write(place.dir.path().join("mnt/something"), "").unwrap();
    expect(&at(&place.mnt()), 2, &["not empty"]);
    assert!(!place.data().exists(), "nothing was begun");
}

#[test]
fn a_mount_point_in_use_is_1() {
    let place = Place::new();
    expect(
        &gitmoor(&place.data(), &["mount", "/proc"]),
        1,
        &["/proc", "proc is mounted"],
    );
}

#[test]
fn a_mount_point_inside_the_data_directory_is_2() {
    let place = Place::new();
    let inside = place.data().join("mnt");
    std::fs::create_dir_all(&inside).unwrap();
    let output = gitmoor(&place.data(), &["mount", inside.to_str().unwrap()]);
    expect(&output, 2, &["inside the data directory"]);
}

#[test]
fn a_strangers_directory_is_not_used_as_data_directory() {
    let place = Place::new();
    std::fs::create_dir(place.data()).unwrap();
    std::fs::write(place.data().join("thesis.tex"), "").unwrap();
    expect(&place.mount(&[]), 2, &["--data", "thesis.tex"]);
}

#[test]
fn an_unknown_version_of_the_data_directory_is_refused() {
    let place = Place::new();
    std::fs::create_dir(place.data()).unwrap();
    std::fs::write(place.data().join("version"), "gitmoor data 99\n").unwrap();
    expect(&place.mount(&[]), 1, &["gitmoor data 99", "gitmoor data 1"]);
}

#[test]
fn a_data_directory_in_use_names_its_owner() {
    let place = Place::new();
    std::fs::create_dir(place.data()).unwrap();
    let lock = std::fs::File::create(place.data().join("lock")).unwrap();
    lock.lock().unwrap();
    let owner = r#"{"pid":4711,"mountpoint":"/mnt/other"}"#;
    std::fs::write(place.data().join("lock"), owner).unwrap();
    expect(
        &place.mount(&[]),
        1,
        &["in use by pid 4711, mounted at /mnt/other"],
    );
    expect(&place.mount(&["--foreground"]), 1, &["in use by pid 4711"]);
}

#[test]
fn another_store_than_the_recorded_one_is_refused() {
    let place = Place::new();
    std::fs::create_dir(place.data()).unwrap();
    std::fs::write(place.data().join("version"), "gitmoor data 1\n").unwrap();
    std::fs::write(place.data().join("store.url"), "s3://there/x\n").unwrap();
    expect(
        &place.mount(&["--store", "dir:/tmp/x"]),
        2,
        &["--store", "s3://there/x"],
    );
}

#[test]
fn an_unreachable_s3_endpoint_is_named_within_10_seconds() {
    let place = Place::new();
    let begun = Instant::now();
    let output = gitmoor_with(
        &place.data(),
        &["mount", "--store", "s3://bucket/prefix", &place.mnt()],
        &[
            // The discard port of this machine: nobody listens there.
            ("S3_ENDPOINT", "http://127.0.0.1:9"),
            ("S3_REGION", "nowhere"),
            ("S3_ACCESS_KEY_ID", "id"),
            ("S3_SECRET_ACCESS_KEY", "hush-hush"),
        ],
    );
    expect(&output, 2, &["--store", "http://127.0.0.1:9"]);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    let log = std::fs::read_to_string(place.data().join("log/gitmoor.log")).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!log.contains("hush-hush") && !stderr.contains("hush-hush"));
}

#[test]
fn without_a_daemon_commands_say_how_to_start_one() {
    let place = Place::new();
    for args in [
        &["status"] as &[&str],
        &["status", "--json"],
        &["repo", "list"],
        &["repo", "delete", "a.git", "--yes"],
    ] {
        expect(
            &gitmoor(&place.data(), args),
            1,
            &["no daemon is running", "gitmoor mount"],
        );
    }
}

#[test]
fn deleting_asks_nothing_before_it_is_known_what_there_is() {
    let place = Place::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gitmoor"));
    command
        .env("GITMOOR_DATA", place.data())
        .stdin(std::process::Stdio::null());
    let output = command.args(["repo", "delete", "a.git"]).output().unwrap();
    expect(&output, 1, &["no daemon is running"]);
}

#[test]
fn a_setting_that_could_run_something_is_2() {
    let place = Place::new();
    let args = ["repo", "config", "a.git", "core.fsmonitor", "evil"];
    expect(
        &gitmoor(&place.data(), &args),
        2,
        &["core.fsmonitor", "gc.auto"],
    );
}

#[test]
fn unmounting_what_is_not_mounted_is_1() {
    let place = Place::new();
    expect(
        &gitmoor(&place.data(), &["umount", &place.mnt()]),
        1,
        &["is not mounted"],
    );
}

#[test]
fn unmounting_what_somebody_else_mounted_is_1_and_leaves_it() {
    let place = Place::new();
    expect(
        &gitmoor(&place.data(), &["umount", "/proc"]),
        1,
        &["--data"],
    );
    assert!(Path::new("/proc/self").exists());
}
