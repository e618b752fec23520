//! A work tree on the plain disk, its repository on the mount: the everyday
//! commands of somebody who works in it.

use crate::{everywhere, local, mounted};
use gitmoor_tests::git::Repo;
use gitmoor_tests::mount::{Mounted, Settings, is_mount};
use gitmoor_tests::place::Place;
use std::fs;
use std::os::unix::fs::symlink;

everywhere!(separate_git_directory);
local!(
    symlinked_git_directory,
    linked_worktrees,
    worktree_is_moved_and_removed,
    bisect,
    sparse_checkout,
    interrupted_rebase_survives,
    hundred_commits,
);
mounted!(one_repository_as_dot_git, new_repository_as_dot_git);

/// A day's work; every command writes another file of the local room.
fn work_a_day(tree: &Repo) {
    tree.commit("one");
    tree.commit("two");
    branch_and_merge(tree);
    rebase(tree);
    stash(tree);
    tree.ok("cherry-pick --quit");
    tree.ok("revert --no-edit HEAD");
    tree.ok("reset --quiet --soft HEAD~1");
    tree.ok("commit --quiet --amend --allow-empty -m amended");
    tree.ok("clean -dfq");
    assert_eq!(tree.ok("status --porcelain"), "");
    tree.fsck();
}

fn branch_and_merge(tree: &Repo) {
    tree.ok("checkout --quiet -b side HEAD~1");
    tree.commit("side-one");
    tree.ok("checkout --quiet -");
    tree.ok("merge --quiet --no-ff -m merged side");
    assert_eq!(tree.ok("rev-list --count --merges HEAD"), "1");
    conflict(tree);
}

fn conflict(tree: &Repo) {
    let base = tree.commit("base");
    tree.write("base.txt", "ours\n");
    tree.ok("commit --quiet -am ours");
    tree.ok(format!("checkout --quiet -b theirs {base}"));
    tree.write("base.txt", "theirs\n");
    tree.ok("commit --quiet -am theirs");
    tree.ok("checkout --quiet @{-1}");
    tree.fail("merge theirs");
    tree.write("base.txt", "both\n");
    tree.ok("add base.txt");
    tree.ok("commit --quiet --no-edit");
    assert_eq!(tree.read("base.txt"), "both\n");
}

fn rebase(tree: &Repo) {
    tree.ok("checkout --quiet -b rebased side");
    tree.commit("r-one");
    tree.commit("r-two");
    let git = tree
        .git
        .with_env("GIT_SEQUENCE_EDITOR", "sed -i 's/^pick/reword/'");
    git.at(&tree.dir).ok("rebase --quiet -i @{-1}");
    assert_eq!(tree.ok("log --format=%s -2"), "r-two\nr-one");
    tree.ok("checkout --quiet @{-1}");
    tree.ok("merge --quiet --ff-only rebased");
}

fn stash(tree: &Repo) {
    tree.write("one.txt", "changed\n");
    tree.write("untracked", "new\n");
    tree.ok("stash push --quiet --include-untracked -m first");
    assert_eq!(tree.ok("status --porcelain"), "");
    tree.write("two.txt", "changed too\n");
    tree.ok("stash push --quiet -m second");
    assert_eq!(tree.ok("stash list").lines().count(), 2);
    tree.ok("stash drop --quiet");
    tree.ok("stash pop --quiet");
    assert_eq!(tree.read("one.txt"), "changed\n");
    tree.ok("checkout --quiet -- .");
}

fn separate(place: &Place) -> Repo {
    let tree = place.git.at(place.scratch("tree"));
    let at = place.git.at(&place.scratch);
    let bare = place.repo("app.git");
    at.ok(format!(
        "init --quiet --separate-git-dir={} {}",
        bare.path(),
        tree.path()
    ));
    tree
}

fn separate_git_directory(place: &Place) {
    let tree = separate(place);
    assert!(fs::metadata(tree.dir.join(".git")).expect("stat").is_file());
    work_a_day(&tree);
    let (head, stashes) = (tree.oid("HEAD"), tree.ok("stash list"));
    place.restart();
    assert_eq!(tree.oid("HEAD"), head);
    assert_eq!(tree.ok("stash list"), stashes);
    assert_eq!(tree.ok("status --porcelain"), "");
    tree.ok("gc --quiet --prune=now");
    tree.fsck();
}

fn symlinked_git_directory(place: &Place) {
    let bare = place.bare("app.git");
    bare.ok("config core.bare false");
    let tree = place.git.at(place.scratch("tree"));
    fs::create_dir(&tree.dir).expect("mkdir");
    symlink(&bare.dir, tree.dir.join(".git")).expect("symlink");
    work_a_day(&tree);
    let copy = place.clone("", &bare, "copy");
    assert_eq!(copy.oid("HEAD"), tree.oid("HEAD"));
}

fn linked_worktrees(place: &Place) {
    let (bare, _) = place.pushed("app.git", 3);
    let one = place.git.at(place.scratch("one"));
    let two = place.git.at(place.scratch("two"));
    bare.ok(format!("worktree add --quiet {} main", one.path()));
    bare.ok(format!(
        "worktree add --quiet -b topic {} main~1",
        two.path()
    ));
    bare.fail(format!(
        "worktree add {} main",
        place.scratch("three").display()
    ));
    let tip = one.commit("in-one");
    two.commit("in-two");
    two.ok("rebase --quiet main");
    assert_eq!(two.oid("HEAD~1"), tip);
    two.write("in-two.txt", "stashed\n");
    two.ok("stash --quiet");
    two.ok("update-ref refs/worktree/mine HEAD");
    one.fail("rev-parse --verify refs/worktree/mine");
    place.crash();
    assert_eq!(one.ok("status --porcelain"), "");
    two.ok("stash pop --quiet");
    assert_eq!(two.read("in-two.txt"), "stashed\n");
    assert_eq!(two.oid("refs/worktree/mine"), two.oid("HEAD"));
    assert_eq!(bare.oid("main"), tip);
    assert_eq!(bare.ok("worktree list").lines().count(), 3);
    bare.fsck();
}

fn worktree_is_moved_and_removed(place: &Place) {
    let (bare, _) = place.pushed("app.git", 2);
    let (old, new) = (place.scratch("old"), place.scratch("new"));
    bare.ok(format!("worktree add --quiet --detach {}", old.display()));
    bare.ok(format!("worktree lock --reason busy {}", old.display()));
    bare.fail(format!("worktree remove {}", old.display()));
    bare.ok(format!("worktree unlock {}", old.display()));
    bare.ok(format!("worktree move {} {}", old.display(), new.display()));
    assert_eq!(place.git.at(&new).oid("HEAD"), bare.oid("main"));
    bare.ok(format!("worktree remove {}", new.display()));
    assert_eq!(bare.ok("worktree list").lines().count(), 1);
    bare.ok(format!("worktree add --quiet --detach {}", old.display()));
    fs::remove_dir_all(&old).expect("rm -rf");
    bare.ok("worktree prune --expire=now");
    assert_eq!(bare.names("worktrees"), [] as [&str; 0]);
}

fn bisect(place: &Place) {
    let (bare, work) = place.pushed("app.git", 1);
    let tree = place.git.at(place.scratch("tree"));
    bare.ok(format!("worktree add --quiet -b hunt {}", tree.path()));
    let commits: Vec<_> = (0..12).map(|n| tree.commit(&format!("c{n}"))).collect();
    tree.ok(format!("bisect start {} {}", commits[11], commits[0]));
    let said = tree.ok(["bisect", "run", "sh", "-c", "test ! -e c7.txt"]);
    assert!(
        said.contains(&format!("{} is the first bad commit", commits[7])),
        "{said}"
    );
    assert!(!tree.ok("for-each-ref refs/bisect").is_empty());
    assert!(
        work.ok("ls-remote origin refs/bisect/*").is_empty(),
        "refs/bisect is a worktree's own"
    );
    tree.ok("bisect reset");
    assert!(tree.ok("for-each-ref refs/bisect").is_empty());
    assert_eq!(tree.ok("symbolic-ref HEAD"), "refs/heads/hunt");
}

fn sparse_checkout(place: &Place) {
    let bare = place.bare("app.git");
    bare.import(
        &gitmoor_tests::history::History::default()
            .files("main", 300, 50, 100)
            .stream(),
    );
    let tree = place.git.at(place.scratch("tree"));
    bare.ok(format!(
        "worktree add --quiet --no-checkout {} main",
        tree.path()
    ));
    tree.ok("sparse-checkout set d1");
    tree.ok("checkout --quiet");
    assert_eq!(tree.names("."), [".git", "d1"]);
    tree.write("d1/new", "x\n");
    tree.ok("add d1/new");
    tree.ok("commit --quiet -m sparse");
    assert_eq!(bare.ok("ls-tree -r --name-only main").lines().count(), 301);
}

fn interrupted_rebase_survives(place: &Place) {
    let tree = separate(place);
    let base = tree.commit("base");
    tree.write("base.txt", "main\n");
    tree.ok("commit --quiet -am main-side");
    tree.ok(format!("checkout --quiet -b topic {base}"));
    tree.write("base.txt", "topic\n");
    tree.ok("commit --quiet -am topic-side");
    tree.commit("last");
    tree.fail("rebase main");
    place.crash();
    assert!(tree.ok("status").contains("rebase in progress"));
    tree.write("base.txt", "solved\n");
    tree.ok("add base.txt");
    tree.ok("rebase --continue");
    assert_eq!(
        tree.ok("log --format=%s -4"),
        "last\ntopic-side\nmain-side\nbase"
    );
    assert_eq!(tree.ok("status --porcelain"), "");
    tree.fsck();
}

fn hundred_commits(place: &Place) {
    let tree = separate(place);
    let mut tip = String::new();
    for number in 0..100 {
        tip = tree.commit(&format!("c{number}"));
    }
    place.crash();
    assert_eq!(tree.oid("HEAD"), tip);
    assert_eq!(tree.ok("rev-list --count HEAD"), "100");
    tree.fsck();
}

/// Starts a daemon of its own that shows one repository at a work tree's `.git`.
fn mount_at(place: &Place, tree: &Repo, name: &str) -> Mounted {
    let settings: Settings = place.daemon().settings().clone();
    place.daemon().umount();
    let at = tree.dir.join(".git");
    Mounted::start(Settings {
        at,
        repo: Some(name.to_owned()),
        ..settings
    })
}

fn one_repository_as_dot_git(place: &Place) {
    fs::create_dir(place.root.join("team")).expect("mkdir");
    let (bare, _) = place.pushed("team/app.git", 2);
    bare.ok("config core.bare false");
    let tip = bare.oid("main");
    let tree = place.git.at(place.scratch("tree"));
    let mut mount = mount_at(place, &tree, "team/app.git");
    assert_eq!(tree.oid("HEAD"), tip);
    tree.ok("reset --quiet --hard");
    work_a_day(&tree);
    let done = tree.oid("HEAD");
    mount.kill9();
    mount.launch();
    assert_eq!(tree.oid("HEAD"), done);
    assert_eq!(tree.ok("status --porcelain"), "");
    mount.umount();
    assert!(!is_mount(&tree.dir.join(".git")));
    drop(mount);
    place.daemon().launch();
    assert_eq!(bare.oid("HEAD"), done);
}

/// An unknown name is a new repository, which `git init` fills in place.
fn new_repository_as_dot_git(place: &Place) {
    let tree = place.git.at(place.scratch("tree"));
    let mount = mount_at(place, &tree, "fresh/app.git");
    tree.ok("init --quiet");
    let tip = tree.commit("first");
    drop(mount);
    place.daemon().launch();
    let bare = place.repo("fresh/app.git");
    assert_eq!(bare.oid("HEAD"), tip);
    bare.fsck();
}
