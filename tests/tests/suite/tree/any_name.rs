//! A directory becomes a repository when it holds one, whatever its name.

use crate::{local, mounted};
use gitmoor_tests::git::names;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use std::fs;
use std::io::ErrorKind;

local!(
    without_git_in_its_name,
    every_way_of_making_one,
    as_gitaly_makes_and_moves_them,
    as_gitolite_puts_one_into_its_trash,
    as_dot_git_of_a_directory,
    a_directory_stays_one,
);
mounted!(
    a_work_tree_is_refused,
    what_administrators_do_with_it,
    copied_from_a_disk,
);

fn without_git_in_its_name(place: &Place) {
    fs::create_dir(place.root.join("team")).expect("mkdir");
    let (bare, work) = place.pushed("team/app", 2);
    place.crash();
    assert_eq!(bare.oid("main"), work.oid("main"));
    work.commit("after");
    work.ok("push --quiet origin main");
    bare.ok("repack -ad");
    bare.fsck();
    // Between names of both kinds.
    for (from, to) in [("team/app", "app.git"), ("app.git", "2026-11-29_21:42:16")] {
        fs::rename(place.root.join(from), place.root.join(to)).expect("mv");
        assert_eq!(place.repo(to).oid("main"), work.oid("main"), "{to}");
    }
    place.restart();
    let last = place.repo("2026-11-29_21:42:16");
    assert_eq!(last.oid("main"), work.oid("main"));
    fs::remove_dir_all(&last.dir).expect("rm -rf");
    assert_eq!(names(&place.root), ["team"]);
}

fn every_way_of_making_one(place: &Place) {
    let (source, work) = place.pushed("source.git", 2);
    let at = place.git.at(&place.scratch);
    let path = |name: &str| place.root.join(name).display().to_string();
    for (name, options) in [
        ("plain", ""),
        ("bare-of-all", "--template="),
        ("shared", "--shared=group"),
        ("reftable", "--ref-format=reftable --template="),
        ("reftable", "--ref-format=reftable --template="),
        ("sha256", "--object-format=sha256"),
    ] {
        if name == "reftable" && !place.git.has((2, 45), "reftable") {
            continue;
        }
        at.ok(format!("init --quiet --bare {options} {}", path(name)));
        let repo = place.repo(name);
        assert_eq!(repo.ok("rev-parse --is-bare-repository"), "true", "{name}");
        if name != "sha256" {
            work.ok(format!("push --quiet {} main", repo.path()));
            assert_eq!(repo.oid("main"), work.oid("main"), "{name}");
        }
    }
    at.ok(format!(
        "clone --quiet --mirror {} {}",
        source.url(),
        path("mirror")
    ));
    at.ok(format!(
        "clone --quiet --bare {} {}",
        source.url(),
        path("clone")
    ));
    // A directory that was there before.
    fs::create_dir(place.root.join("empty")).expect("mkdir");
    at.ok(format!(
        "clone --quiet --bare {} {}",
        source.url(),
        path("empty")
    ));
    for name in ["mirror", "clone", "empty"] {
        let repo = place.repo(name);
        assert_eq!(repo.oid("main"), work.oid("main"), "{name}");
        repo.fsck();
    }
}

fn as_gitaly_makes_and_moves_them(place: &Place) {
    let at = |name: &str| place.root.join(name);
    fs::create_dir_all(at("+gitaly/tmp")).expect("mkdir -p");
    fs::write(at(".gitaly-metadata"), "{\"uuid\":\"1\"}").expect("written");
    let new = place.init("+gitaly/tmp/repo-1", "--template=");
    new.ok("symbolic-ref HEAD refs/heads/main");
    new.ok("config gitlab.fullpath team/app");
    fs::create_dir_all(at("@hashed/ab")).expect("mkdir -p");
    fs::rename(&new.dir, at("@hashed/ab/cd.git")).expect("mv");
    assert!(!new.dir.exists());
    let repo = place.repo("@hashed/ab/cd.git");
    let work = place.work("work");
    work.import(&gitmoor_tests::history::commits(2));
    work.ok(format!("push --quiet {} main", repo.path()));
    assert_eq!(repo.ok("config gitlab.fullpath"), "team/app");
    place.restart();
    assert_eq!(repo.oid("main"), work.oid("main"));
    // Removed by rename(2) first.
    fs::rename(&repo.dir, at("+gitaly/tmp/removed-1")).expect("mv");
    fs::remove_dir_all(at("+gitaly/tmp/removed-1")).expect("rm -rf");
    assert!(names(&at("+gitaly/tmp")).is_empty());
}

fn as_gitolite_puts_one_into_its_trash(place: &Place) {
    let (old, work) = place.pushed("w.git", 2);
    fs::create_dir_all(place.root.join("Trash/w")).expect("mkdir -p");
    let trashed = place.repo("Trash/w/2026-11-29_21:42:16");
    fs::rename(&old.dir, &trashed.dir).expect("mv");
    assert!(!old.dir.exists());
    assert_eq!(trashed.oid("main"), work.oid("main"));
    fs::rename(&trashed.dir, &old.dir).expect("mv");
    place.restart();
    assert_eq!(old.oid("main"), work.oid("main"));
    old.fsck();
}

/// `foo/.git` alone, as mirrors of some build servers are.
fn as_dot_git_of_a_directory(place: &Place) {
    let (source, work) = place.pushed("source.git", 2);
    let at = place.git.at(&place.scratch);
    let dir = place.root.join("name");
    at.ok(format!(
        "clone --quiet --mirror {} {}/.git",
        source.url(),
        dir.display()
    ));
    let mirror = place.repo("name/.git");
    assert_eq!(mirror.oid("main"), work.oid("main"));
    work.commit("more");
    work.ok("push --quiet origin main");
    mirror.ok("remote update");
    place.restart();
    assert_eq!(place.repo("name").oid("main"), work.oid("main"));
    assert_eq!(names(&dir), [".git"]);
}

/// One with other names in it, or with none.
fn a_directory_stays_one(place: &Place) {
    let at = |name: &str| place.root.join(name);
    fs::create_dir(at("docs")).expect("mkdir");
    fs::write(at("docs/README"), "text").expect("written");
    fs::write(at("docs/config"), "no repository").expect("written");
    fs::create_dir(at("docs/objects")).expect("mkdir");
    let (inner, work) = place.pushed("docs/objects/app.git", 1);
    assert_eq!(inner.oid("main"), work.oid("main"));
    // A repository takes the place of an empty directory.
    fs::create_dir(at("empty")).expect("mkdir");
    fs::rename(&inner.dir, at("empty")).expect("mv -T");
    assert_eq!(place.repo("empty").oid("main"), work.oid("main"));
    let full = fs::rename(at("docs"), at("empty")).expect_err("a repository is there");
    let kinds = [ErrorKind::DirectoryNotEmpty, ErrorKind::AlreadyExists];
    assert!(kinds.contains(&full.kind()), "{full}");
    place.restart();
    assert_eq!(names(&at("docs")), ["README", "config", "objects"]);
    assert_eq!(fs::read(at("docs/config")).expect("cat"), b"no repository");
}

fn a_work_tree_is_refused(place: &Place) {
    let at = place.git.at(&place.scratch);
    let work = place.root.join("work");
    at.fail(format!("init {}", work.display()));
    fs::remove_dir_all(&work).expect("rm -rf");
    let (source, _) = place.pushed("source.git", 1);
    at.fail(format!("clone {} {}", source.url(), work.display()));
    if work.exists() {
        fs::remove_dir_all(&work).expect("rm -rf");
    }
    // What is to be done instead.
    let tree = place.scratch.join("tree");
    source.ok(format!("worktree add --quiet {} main", tree.display()));
    assert_eq!(place.git.at(&tree).ok("status --porcelain"), "");
}

fn what_administrators_do_with_it(place: &Place) {
    let (bare, work) = place.pushed("plain", 2);
    let gitmoor = |args: &[&str]| place.daemon().settings().gitmoor_ok(args);
    assert!(gitmoor(&["repo", "list"]).starts_with("plain "));
    assert!(gitmoor(&["repo", "info", "plain"]).contains("sha1"));
    gitmoor(&["repo", "fork", "plain", "fork.git"]);
    assert_eq!(place.repo("fork.git").oid("main"), work.oid("main"));
    gitmoor(&["repo", "rename", "plain", "other/name"]);
    assert_eq!(place.repo("other/name").oid("main"), work.oid("main"));
    gitmoor(&["repo", "rename", "other/name", "plain"]);
    gitmoor(&["fsck", "plain"]);
    gitmoor(&["repo", "delete", "--yes", "plain"]);
    assert!(!bare.dir.exists());
    gitmoor(&["repo", "restore", "plain"]);
    assert_eq!(bare.oid("main"), work.oid("main"));
    let refused = place
        .daemon()
        .settings()
        .gitmoor(&["repo", "create", "new"]);
    assert!(
        report(&refused).contains("did you mean new.git?"),
        "{}",
        report(&refused)
    );
}

fn copied_from_a_disk(place: &Place) {
    let disk = place.work("disk");
    disk.import(&gitmoor_tests::history::commits(3));
    let bare = place.scratch.join("copied");
    let at = place.git.at(&place.scratch);
    at.ok(format!(
        "clone --quiet --bare {} {}",
        disk.path(),
        bare.display()
    ));
    // What comes first, the disk says.
    for first in ["FETCH_HEAD", "ORIG_HEAD", "shallow", "gl-conf"] {
        let name = format!("first-{first}");
        let dir = place.root.join(&name);
        fs::create_dir(&dir).expect("mkdir");
        fs::write(dir.join(first), "").expect("written");
        let listed = place.daemon().settings().gitmoor_ok(&["repo", "list"]);
        assert!(listed.contains(&name), "{listed}");
    }
    let copied = std::process::Command::new("cp")
        .args(["-r", "copied"])
        .arg(&place.root)
        .current_dir(&place.scratch)
        .output()
        .expect("cp");
    assert!(copied.status.success(), "{}", report(&copied));
    let repo = place.repo("copied");
    assert_eq!(repo.oid("main"), disk.oid("main"));
    repo.fsck();
}
