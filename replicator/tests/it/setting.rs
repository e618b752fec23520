//! The allowlist of replicated settings.

use gitmoor_model::setting::{Kind, SETTINGS, find};
use std::path::Path;
use std::process::{Command, Output};

#[test]
fn finds_keys_in_any_case_and_gives_gits_spelling() {
    assert_eq!(
        find("RECEIVE.denynonfastforwards").unwrap().key,
        "receive.denyNonFastForwards"
    );
}

#[test]
fn refuses_whatever_runs_or_names_a_file() {
    for key in [
        "core.fsmonitor",
        "core.hooksPath",
        "core.sshCommand",
        "core.pager",
        "core.alternateRefsCommand",
        "uploadpack.packObjectsHook",
        "include.path",
        "filter.lfs.smudge",
        "diff.external",
        "receive.denyCurrentBranch",
        "receive.procReceiveRefs",
        "gc.logExpiry",
        "alias.x",
        "",
    ] {
        let error = find(key).unwrap_err().to_string();
        assert!(error.contains("gc.auto"), "lists what is allowed: {error}");
    }
}

#[test]
fn checks_values() {
    let check = |key: &str, value: &str| find(key).unwrap().check(value).is_ok();
    assert!(check("gc.auto", "0"));
    assert!(check("pack.windowMemory", "512m"));
    assert!(!check("gc.auto", "never"));
    assert!(check("receive.autogc", "false"));
    assert!(!check("receive.autogc", "maybe"));
    assert!(check("core.logAllRefUpdates", "always"));
    assert!(check("transfer.hideRefs", "!refs/internal/x"));
    assert!(!check(
        "transfer.hideRefs",
        "refs/x\n[core]\nfsmonitor = evil"
    ));
    assert!(!check("transfer.hideRefs", "refs/x\"y"));
    assert!(!check("transfer.hideRefs", "internal"));
    assert!(check("transfer.hideRefs", "refs/a\n!refs/a/b"));
    assert!(!check("transfer.hideRefs", "refs/a\n"));
    for sharing in [
        "true",
        "0",
        "group",
        "all",
        "umask",
        "everybody",
        "2",
        "0660",
    ] {
        assert!(check("core.sharedRepository", sharing), "{sharing}");
    }
    for sharing in ["", "0060", "660", "08", "/etc/passwd", "0660\n"] {
        assert!(!check("core.sharedRepository", sharing), "{sharing}");
    }
}

#[test]
fn names_of_hosts_files_are_none_of_gits() {
    let check = |value: &str| find("gitmoor.replicate").unwrap().check(value).is_ok();
    for names in ["gl-extra", "info/extra", "project.json\nw_3@x+y"] {
        assert!(check(names), "{names}");
    }
    for name in [
        "",
        "HEAD",
        "FETCH_HEAD",
        "config",
        "config.worktree",
        "description",
        "hooks",
        "hooks/post-receive",
        "index",
        "info/attributes",
        "info/refs",
        "info/sparse-checkout",
        "gitmoor.config",
        "packed-refs.new",
        "refs/x",
        "commondir",
        "a/b",
        "info/a/b",
        ".x",
        "x.lock",
        "x y",
        "x\n",
        "../x",
    ] {
        assert!(!check(name), "{name}");
    }
}

#[test]
fn what_decides_about_safety() {
    let is = |key: &str| find(key).unwrap().is_for_safety();
    for key in [
        "receive.denyDeletes",
        "http.receivepack",
        "uploadpack.allowFilter",
    ] {
        assert!(is(key), "{key}");
    }
    for key in [
        "gc.auto",
        "pack.window",
        "receive.autogc",
        "repack.writeBitmaps",
    ] {
        assert!(!is(key), "{key}");
    }
}

#[test]
fn the_table_is_sorted_and_without_repetition() {
    let keys = SETTINGS.map(|setting| setting.key.to_ascii_lowercase());
    assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
}

/// What people type, and the bounds of whatever git keeps numbers in.
const NUMBERS: [&str; 32] = [
    "0",
    "1",
    "5",
    "-1",
    "-2",
    "9",
    "10",
    "42",
    "-5",
    "1k",
    "2K",
    "-1k",
    "3m",
    "1g",
    "2g",
    "-2g",
    "-3g",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "99999999999",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "",
    "k",
    "-",
    "1kk",
    "1 k",
    "x",
    "5x",
];

/// Numbers that git understands and that are refused all the same: written in a way that
/// is mistaken for another number, or beyond any use.
const REFUSED_ALL_THE_SAME: [&str; 6] = [
    "010",
    "0x10",
    "+5",
    " 5",
    "9223372036854775808",
    "8589934592g",
];

/// The settings that are numbers, each with a command that reads it.
fn numbers() -> Vec<(&'static str, &'static str)> {
    let is_number = |kind| matches!(kind, Kind::Number { .. });
    let keys = SETTINGS
        .into_iter()
        .filter(|setting| is_number(setting.kind));
    let keys = keys.map(|setting| (setting.key, reader(setting.key)));
    keys.collect()
}

fn reader(key: &str) -> &'static str {
    match key.split('.').next() {
        Some("core") => "hash-object -w --stdin",
        Some("fetch") => "fetch-pack --quiet --all .",
        Some("gc") => "gc --auto --quiet",
        Some("pack") => "pack-objects --quiet --stdout",
        Some("receive") => "receive-pack .",
        _ => panic!("{key}: say which command reads it"),
    }
}

fn git(dir: &Path, key: &str, value: &str, line: &str) -> Output {
    let mut git = Command::new("git");
    git.current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", dir);
    // An end of input that each of the commands understands.
    let input = dir.join("input");
    let text = if line.starts_with("receive-pack") {
        "0000"
    } else {
        ""
    };
    std::fs::write(&input, text).expect("writes");
    git.stdin(std::fs::File::open(input).expect("opens"));
    git.arg("-c")
        .arg(format!("{key}={value}"))
        .args(line.split(' '));
    git.output().expect("git starts")
}

/// git is the oracle: what it dies of is refused, what it takes is accepted.
#[test]
fn numbers_are_those_that_git_takes() {
    let dir = tempfile::tempdir().unwrap();
    let init = git(dir.path(), "x.y", "z", "init --quiet --bare .");
    assert!(init.status.success(), "{init:?}");
    let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    git(dir.path(), "x.y", "z", "hash-object -w -t tree --stdin");
    let identity = [
        "user.name=a",
        "-c",
        "user.email=a@b",
        "commit-tree",
        "-m",
        "m",
        tree,
    ];
    let commit = Command::new("git")
        .current_dir(&dir)
        .arg("-c")
        .args(identity)
        .output()
        .unwrap();
    let commit = String::from_utf8(commit.stdout).unwrap();
    git(
        dir.path(),
        "x.y",
        "z",
        &format!("update-ref refs/heads/main {}", commit.trim()),
    );
    for (key, line) in numbers() {
        for value in NUMBERS {
            let output = git(dir.path(), key, value, line);
            let accepted = find(key).unwrap().check(value).is_ok();
            assert_eq!(
                accepted,
                output.status.success(),
                "{key}={value}: {output:?}"
            );
        }
        for value in REFUSED_ALL_THE_SAME {
            find(key).unwrap().check(value).unwrap_err();
        }
    }
}
