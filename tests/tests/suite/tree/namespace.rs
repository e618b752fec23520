//! Directories, and repositories in them, come, move and go as on a disk.

use crate::{everywhere, local, mounted};
use gitmoor_tests::git::names;
use gitmoor_tests::place::Place;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

everywhere!(nested_repositories, mirror_clone_into_the_mount);
local!(
    empty_directory_goes,
    rename_of_a_repository,
    rename_of_a_directory_of_repositories,
    removed_repository_leaves_nothing,
    long_names_are_refused,
    rename_onto_a_repository_is_refused,
    names_of_many_kinds,
);
mounted!(
    repository_in_a_repository_is_refused,
    owner_and_modes_are_sane,
);

fn nested_repositories(place: &Place) {
    fs::create_dir_all(place.root.join("team/backend")).expect("mkdir -p");
    let (app, _) = place.pushed("team/backend/app.git", 2);
    let (lib, _) = place.pushed("team/lib.git", 3);
    assert_eq!(names(&place.root), ["team"]);
    assert_eq!(names(&place.root.join("team")), ["backend", "lib.git"]);
    assert_eq!(app.ok("rev-list --count main"), "2");
    assert_eq!(lib.ok("rev-list --count main"), "3");
    place.restart();
    assert_eq!(names(&place.root.join("team")), ["backend", "lib.git"]);
    assert_eq!(app.ok("rev-list --count main"), "2");
}

fn mirror_clone_into_the_mount(place: &Place) {
    let source = place.work("source");
    source.import(&gitmoor_tests::history::refs(40));
    source.ok("tag -a -m one v1 main");
    source.ok("update-ref refs/pull/1/head main~1");
    let mirror = place.repo("mirror.git");
    place.git.at(&place.scratch).ok(format!(
        "clone --quiet --mirror {} {}",
        source.url(),
        mirror.path()
    ));
    assert_eq!(mirror.refs(), source.refs());
    mirror.fsck();

    source.ok("branch -D branch-7");
    source.ok("update-ref refs/heads/branch-8 main~1");
    mirror.ok("remote update --prune");
    assert_eq!(mirror.refs(), source.refs());
}

fn empty_directory_goes(place: &Place) {
    let dir = place.root.join("a/b");
    fs::create_dir_all(&dir).expect("mkdir -p");
    let busy = fs::remove_dir(place.root.join("a")).expect_err("a is not empty");
    assert_eq!(busy.kind(), ErrorKind::DirectoryNotEmpty);
    fs::remove_dir(&dir).expect("rmdir b");
    fs::remove_dir(place.root.join("a")).expect("rmdir a");
    assert!(names(&place.root).is_empty());
    let again = fs::create_dir(place.root.join("a/b")).expect_err("no parent");
    assert_eq!(again.kind(), ErrorKind::NotFound);
}

fn rename_of_a_repository(place: &Place) {
    let (old, work) = place.pushed("old.git", 2);
    fs::create_dir(place.root.join("attic")).expect("mkdir");
    let new = place.repo("attic/new.git");
    fs::rename(&old.dir, &new.dir).expect("mv");
    assert!(!old.dir.exists());
    assert_eq!(new.ok("rev-list --count main"), "2");

    assert!(work.fail("push origin main").contains("old.git"));
    work.ok(format!("remote set-url origin {}", new.url()));
    let tip = work.commit("after");
    work.ok("push --quiet origin main");
    assert_eq!(new.oid("main"), tip);
    place.restart();
    assert!(!old.dir.exists());
    assert_eq!(new.oid("main"), tip);
    new.fsck();
}

fn rename_of_a_directory_of_repositories(place: &Place) {
    fs::create_dir_all(place.root.join("group/deep")).expect("mkdir -p");
    let (_, work) = place.pushed("group/deep/app.git", 2);
    fs::rename(place.root.join("group"), place.root.join("team")).expect("mv");
    assert_eq!(names(&place.root), ["team"]);
    let moved = place.repo("team/deep/app.git");
    assert_eq!(moved.oid("main"), work.oid("main"));
    place.restart();
    assert_eq!(moved.oid("main"), work.oid("main"));
}

fn removed_repository_leaves_nothing(place: &Place) {
    let (bare, work) = place.pushed("app.git", 2);
    bare.ok("update-ref refs/heads/a/b/c main");
    bare.ok("pack-refs --all");
    let repository = bare.dir.to_str().expect("UTF-8");
    let removed = std::process::Command::new("rm")
        .args(["-rf", repository])
        .output();
    let removed = removed.expect("rm");
    assert!(removed.status.success(), "{removed:?}");
    assert!(!bare.dir.exists());
    assert!(names(&place.root).is_empty());

    let again = place.bare("app.git");
    assert_eq!(again.refs(), "");
    assert_eq!(again.object_count(), 0);
    work.ok("push --quiet origin main");
    assert_eq!(again.oid("main"), work.oid("main"));
    again.fsck();
}

fn long_names_are_refused(place: &Place) {
    let long = "x".repeat(300);
    for name in [long.clone(), format!("{long}.git")] {
        let refused = fs::create_dir(place.root.join(name)).expect_err("300 bytes");
        assert_eq!(refused.raw_os_error(), Some(libc::ENAMETOOLONG));
    }
    let longest = format!("{}.git", "y".repeat(251));
    let bare = place.bare(&longest);
    bare.import(&gitmoor_tests::history::commits(1));
    assert_eq!(bare.ok("rev-list --count main"), "1");
}

fn rename_onto_a_repository_is_refused(place: &Place) {
    let (one, one_work) = place.pushed("one.git", 1);
    let (two, two_work) = place.pushed("two.git", 2);
    let refused = fs::rename(&one.dir, &two.dir).expect_err("two.git is not empty");
    assert_eq!(refused.kind(), ErrorKind::DirectoryNotEmpty);
    assert_eq!(one.oid("main"), one_work.oid("main"));
    assert_eq!(two.oid("main"), two_work.oid("main"));
}

fn names_of_many_kinds(place: &Place) {
    for name in [
        "päckchen.git",
        "-dash.git",
        "a+b,c=d.git",
        ".hidden.git",
        "UPPER.git",
        "upper.git",
    ] {
        let path = place.root.join(name);
        place.git.at(&place.scratch).ok([
            "init",
            "-q",
            "--bare",
            "--",
            path.to_str().expect("UTF-8"),
        ]);
        let repo = place.git.at(&path);
        repo.import(&gitmoor_tests::history::commits(1));
        assert_eq!(repo.ok("rev-list --count main"), "1", "{name}");
    }
    place.restart();
    assert_eq!(names(&place.root).len(), 6);
}

fn repository_in_a_repository_is_refused(place: &Place) {
    let (bare, _) = place.pushed("app.git", 1);
    let inner = bare.dir.join("inner.git");
    place
        .git
        .at(&place.scratch)
        .fail(format!("init --bare {}", inner.display()));
    let (other, _) = place.pushed("other.git", 1);
    fs::rename(&other.dir, bare.dir.join("other.git")).expect_err("mv into a repository");
    assert_eq!(names(&place.root), ["app.git", "other.git"]);
    bare.fsck();
    other.fsck();
}

fn owner_and_modes_are_sane(place: &Place) {
    use std::os::unix::fs::MetadataExt;
    let (bare, _) = place.pushed("app.git", 1);
    let own = fs::metadata(&place.scratch).expect("stat").uid();
    for name in [
        "",
        "HEAD",
        "refs",
        "refs/heads/main",
        "objects",
        "config",
        "hooks",
    ] {
        let stat = fs::metadata(bare.dir.join(name)).expect(name);
        assert_eq!(stat.uid(), own, "{name}");
        assert_eq!(stat.mode() & 0o600, 0o600, "{name}");
        let searchable = stat.permissions().mode() & 0o100 != 0;
        assert_eq!(searchable, stat.is_dir(), "{name}");
    }
}
