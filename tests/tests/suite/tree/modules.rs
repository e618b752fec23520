//! Repositories inside repositories: those of submodules are stored and committed like any other, and whatever becomes
//! of the one around them becomes of them.

use crate::{local, mounted};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::{Repo, names};
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use serde_json::Value;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

local!(
    submodules_with_names_of_all_kinds,
    absorbed_from_elsewhere_on_the_mount,
    deinitialized_and_removed,
    a_submodule_of_a_submodule,
    renamed_in_and_out,
    renamed_onto_what_is_there,
    removed_piece_by_piece,
);
mounted!(
    none_is_lost_with_the_machine,
    the_owner_is_renamed_and_deleted,
    rm_rf_of_the_owner_is_undone,
    a_fork_has_its_own,
    an_export_has_them,
    what_administrators_do_with_one,
    a_quota_is_one_for_all,
    fsck_and_gc_look_into_them,
    what_stays_local,
    what_is_refused,
);

fn gitmoor(place: &Place, args: &[&str]) -> String {
    let settings = place.daemon().settings().clone();
    settings.gitmoor_ok(args)
}

#[track_caller]
fn refused(place: &Place, args: &[&str], word: &str) {
    let settings = place.daemon().settings().clone();
    let output = settings.gitmoor(args);
    assert!(!output.status.success(), "{args:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(word), "{}", report(&output));
}

fn list(place: &Place) -> Vec<String> {
    let text = gitmoor(place, &["repo", "list", "--json"]);
    let repos: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let name = |repo: &Value| repo["name"].as_str().expect("text").to_owned();
    repos.iter().map(name).collect()
}

/// A work tree on the disk whose git directory is `app.git` on the mount.
fn tree(place: &Place, name: &str) -> Repo {
    let tree = place.git.at(place.scratch(name.trim_end_matches(".git")));
    let separate = format!("--separate-git-dir={}", place.repo(name).path());
    let at = place.git.at(&place.scratch);
    at.ok(format!("init --quiet {separate} {}", tree.path()));
    tree.commit("first");
    tree
}

/// The same, and `library.git` as its submodule `lib`.
fn with_library(place: &Place) -> (Repo, Repo, Repo) {
    let (library, _) = place.pushed("library.git", 2);
    let tree = tree(place, "app.git");
    tree.ok(format!("submodule --quiet add {} lib", library.url()));
    tree.ok("commit --quiet -m with-library");
    let inner = place.repo("app.git/modules/lib");
    forget_work_tree(&inner);
    (library, tree, inner)
}

/// git takes a repository for broken whose `core.worktree`, a relative path, leads nowhere after a rename.
fn forget_work_tree(inner: &Repo) {
    let config = inner.dir.join("config");
    let above = inner.git.at("/");
    above.ok(format!(
        "config --file {} --unset core.worktree",
        config.display()
    ));
}

fn submodules_with_names_of_all_kinds(place: &Place) {
    let (library, tree, _) = with_library(place);
    for name in ["deep/er/lib", "with.git", "HEAD", "modules"] {
        let path = format!("at-{}", name.replace('/', "-"));
        let url = library.url();
        tree.ok(format!("submodule --quiet add --name {name} {url} {path}"));
        let inner = place.repo(&format!("app.git/modules/{name}"));
        assert_eq!(inner.oid("HEAD"), library.oid("main"), "{name}");
    }
    tree.ok("commit --quiet -m more");
    let modules = place.root.join("app.git/modules");
    assert_eq!(
        names(&modules),
        ["HEAD", "deep", "lib", "modules", "with.git"]
    );
    assert_eq!(names(&modules.join("deep")), ["er"]);
    place.crash();
    assert_eq!(
        names(&modules),
        ["HEAD", "deep", "lib", "modules", "with.git"]
    );
    for (path, message) in [("lib", "one"), ("at-deep-er-lib", "two")] {
        let inner = place.git.at(tree.dir.join(path));
        inner.commit(message);
        inner.ok("push --quiet origin HEAD:main");
        inner.fsck();
        tree.ok("submodule --quiet foreach git fetch --quiet");
        tree.ok("submodule --quiet update --remote");
    }
    tree.ok("commit --quiet -am bump");
    assert_eq!(tree.ok("status --porcelain"), "");
    let at = place.git.at(&place.scratch);
    let copy = place.git.at(place.scratch("copy"));
    let app = place.repo("app.git");
    at.ok(format!(
        "clone --quiet --recurse-submodules {} {}",
        app.url(),
        copy.path()
    ));
    assert_eq!(copy.read("at-deep-er-lib/two.txt"), "two\n");
}

/// Work trees whose `.git` is a link to a repository on the mount, as git's own suite runs there. When that moves into
/// `modules/`, git writes through the link the file that says so.
fn linked_tree(place: &Place, dir: &Path, name: &str) -> Repo {
    fs::create_dir_all(dir).expect("mkdir -p");
    fs::create_dir(place.root.join(name)).expect("mkdir");
    symlink(place.root.join(name), dir.join(".git")).expect("ln -s");
    let tree = place.git.at(dir);
    tree.ok("init --quiet");
    tree.commit(name);
    tree
}

fn absorbed_from_elsewhere_on_the_mount(place: &Place) {
    let tree = linked_tree(place, &place.scratch("tree"), "app.git");
    for (path, git) in [("sub", "sub.git"), ("a/b", "other.git")] {
        let sub = linked_tree(place, &tree.dir.join(path), git);
        tree.ok(format!("submodule --quiet add ./{path} {path}"));
        assert_eq!(
            sub.ok("rev-parse --absolute-git-dir"),
            place.repo(git).path()
        );
    }
    tree.ok("commit --quiet -m submodules");
    let tip = place.repo("other.git").oid("HEAD");
    tree.ok("submodule absorbgitdirs");
    assert_eq!(names(&place.root.join("app.git/modules")), ["a", "sub"]);
    let inner = place.repo("app.git/modules/a/b");
    place.restart();
    assert_eq!(inner.oid("HEAD"), tip);
    assert_eq!(tree.ok("status --porcelain"), "");
    let sub = place.git.at(tree.dir.join("a/b"));
    assert_eq!(sub.ok("rev-parse --absolute-git-dir"), inner.path());
    sub.commit("after");
    assert_eq!(inner.oid("HEAD"), sub.oid("HEAD"));
    tree.ok("commit --quiet -am bump");
    inner.ok("repack -ad");
    inner.fsck();
}

fn deinitialized_and_removed(place: &Place) {
    let tree = linked_tree(place, &place.scratch("tree"), "app.git");
    linked_tree(place, &tree.dir.join("sub"), "sub.git");
    tree.ok("submodule --quiet add ./sub");
    tree.ok("commit --quiet -m submodule");
    tree.ok("submodule --quiet deinit sub");
    assert_eq!(names(&tree.dir.join("sub")), Vec::<String>::new());
    assert_eq!(names(&place.root.join("app.git/modules")), ["sub"]);
    tree.ok("submodule --quiet update --init");
    let sub = place.git.at(tree.dir.join("sub"));
    assert_eq!(
        sub.oid("HEAD"),
        place.repo("app.git/modules/sub").oid("HEAD")
    );
    // One that has its repository in itself goes with rm(1).
    linked_tree(place, &tree.dir.join("second"), "second.git");
    tree.ok("submodule --quiet add ./second");
    tree.ok("commit --quiet -m second");
    tree.ok("rm --quiet second");
    assert!(!tree.dir.join("second").exists());
    assert_eq!(
        names(&place.root.join("app.git/modules")),
        ["second", "sub"]
    );
    // As people clean up afterwards: by a process that has not looked at the objects before.
    let second = place.root.join("app.git/modules/second");
    let removed = Command::new("rm").arg("-rf").arg(second).output();
    let removed = removed.expect("rm");
    assert!(removed.status.success(), "{}", report(&removed));
    assert_eq!(names(&place.root.join("app.git/modules")), ["sub"]);
    place.restart();
    assert_eq!(names(&place.root.join("app.git/modules")), ["sub"]);
}

fn a_submodule_of_a_submodule(place: &Place) {
    let tree = linked_tree(place, &place.scratch("tree"), "app.git");
    let sub = linked_tree(place, &tree.dir.join("sub"), "sub.git");
    linked_tree(place, &sub.dir.join("deep"), "deep.git");
    sub.ok("submodule --quiet add ./deep");
    sub.ok("commit --quiet -m deep");
    tree.ok("submodule --quiet add ./sub");
    tree.ok("commit --quiet -m sub");
    let tip = place.repo("deep.git").oid("HEAD");
    tree.ok("submodule absorbgitdirs");
    let deep = place.repo("app.git/modules/sub/modules/deep");
    place.crash();
    for name in ["modules/sub/modules/deep", "modules/sub"] {
        forget_work_tree(&place.repo(&format!("app.git/{name}")));
    }
    assert_eq!(deep.oid("HEAD"), tip);
    fs::rename(place.root.join("app.git"), place.root.join("new.git")).expect("mv");
    let deep = place.repo("new.git/modules/sub/modules/deep");
    assert_eq!(deep.oid("HEAD"), tip);
    // Out with what is inside it.
    let sub = place.root.join("new.git/modules/sub");
    fs::rename(sub, place.root.join("out.git")).expect("mv");
    assert_eq!(place.repo("out.git/modules/deep").oid("HEAD"), tip);
    assert_eq!(
        names(&place.root.join("new.git/modules")),
        Vec::<String>::new()
    );
}

fn renamed_in_and_out(place: &Place) {
    let (first, work) = place.pushed("first.git", 3);
    place.bare("second.git");
    place.bare("third.git");
    let tip = work.oid("main");
    let root = |name: &str| place.root.join(name);
    fs::create_dir_all(root("second.git/modules/a")).expect("mkdir -p");
    fs::create_dir(root("third.git/modules")).expect("mkdir");
    let mut at = first;
    let places = [
        "second.git/modules/first",
        "second.git/modules/a/b",
        "third.git/modules/x",
        "plain",
        "third.git/modules/.git",
        "first.git",
    ];
    for (n, to) in places.into_iter().enumerate() {
        let moved = place.repo(to);
        fs::rename(&at.dir, &moved.dir).unwrap_or_else(|error| panic!("{to}: {error}"));
        assert!(!at.dir.exists(), "{to}");
        assert_eq!(moved.oid("main"), tip, "{to}");
        work.ok(format!("push --quiet {} main:refs/heads/{n}", moved.url()));
        at = moved;
    }
    assert_eq!(at.ok("for-each-ref refs/heads").lines().count(), 7);
    place.restart();
    assert_eq!(at.ok("for-each-ref refs/heads").lines().count(), 7);
    at.fsck();
    // What is open stays open.
    let head = fs::File::open(at.dir.join("HEAD")).expect("opens");
    fs::rename(&at.dir, root("second.git/modules/last")).expect("mv");
    assert_eq!(
        std::io::read_to_string(head).expect("reads"),
        "ref: refs/heads/main\n"
    );
}

fn renamed_onto_what_is_there(place: &Place) {
    let (inner, _) = place.pushed("inner.git", 1);
    let (other, _) = place.pushed("other.git", 1);
    place.bare("app.git");
    let modules = place.root.join("app.git/modules");
    fs::create_dir_all(modules.join("taken/by")).expect("mkdir -p");
    fs::create_dir(modules.join("empty")).expect("mkdir");
    fs::write(modules.join("file"), "a file").expect("written");
    let refused = |to: &str| {
        let error = fs::rename(&inner.dir, modules.join(to)).expect_err("something is there");
        assert!(inner.dir.join("HEAD").exists(), "{to}");
        error.kind()
    };
    assert_eq!(refused("taken"), ErrorKind::DirectoryNotEmpty);
    assert_eq!(refused("file"), ErrorKind::NotADirectory);
    fs::rename(&other.dir, modules.join("other")).expect("mv");
    assert_eq!(refused("other"), ErrorKind::DirectoryNotEmpty);
    fs::rename(&inner.dir, modules.join("empty")).expect("mv onto an empty directory");
    let inner = place.repo("app.git/modules/empty");
    assert_eq!(inner.ok("rev-list --count main"), "1");
    // Into itself.
    let error = fs::rename(&inner.dir, inner.dir.join("modules/x")).expect_err("a loop");
    assert!(matches!(
        error.kind(),
        ErrorKind::InvalidInput | ErrorKind::NotFound
    ));
    fs::rename(&inner.dir, &inner.dir).expect("nothing to do");
    assert_eq!(names(&modules), ["empty", "file", "other", "taken"]);
}

fn removed_piece_by_piece(place: &Place) {
    let (_, tree, inner) = with_library(place);
    fs::remove_dir(&inner.dir).expect_err("it is not empty");
    fs::remove_dir(inner.dir.parent().expect("modules")).expect_err("it is not empty");
    fs::remove_dir_all(&inner.dir).expect("rm -rf");
    assert!(!inner.dir.exists());
    tree.ok("submodule --quiet deinit --force lib");
    tree.ok("submodule --quiet update --init lib");
    assert_eq!(inner.ok("rev-list --count HEAD"), "2");
    fs::remove_dir_all(place.root.join("app.git")).expect("rm -rf");
    assert_eq!(names(&place.root), ["library.git"]);
}

fn none_is_lost_with_the_machine(place: &Place) {
    let (_, tree, inner) = with_library(place);
    let sub = place.git.at(tree.dir.join("lib"));
    let tip = sub.commit("inner");
    assert_eq!(
        list(place),
        ["app.git", "app.git/modules/lib", "library.git"]
    );
    // The objects are in the store: nothing else has them any more.
    place.cool();
    assert_eq!(inner.oid("HEAD"), tip);
    inner.fsck();
    let id = gitmoor(place, &["repo", "info", "app.git/modules/lib", "--json"]);
    let info: Value = serde_json::from_str(&id).expect("JSON");
    assert!(info["object_files"].as_u64() > Some(0), "{info}");
    let trail = gitmoor(place, &["audit", "app.git/modules/lib", "--json"]);
    assert!(trail.contains("refs/heads/main"), "{trail}");
}

fn the_owner_is_renamed_and_deleted(place: &Place) {
    let (_, _, inner) = with_library(place);
    let tip = inner.oid("HEAD");
    fs::create_dir(place.root.join("team")).expect("mkdir");
    fs::rename(place.root.join("app.git"), place.root.join("team/new.git")).expect("mv");
    assert_eq!(place.repo("team/new.git/modules/lib").oid("HEAD"), tip);
    gitmoor(place, &["repo", "rename", "team/new.git", "app.git"]);
    assert_eq!(inner.oid("HEAD"), tip);
    gitmoor(place, &["repo", "delete", "app.git", "--yes"]);
    assert!(!inner.dir.exists());
    assert_eq!(list(place), ["library.git"]);
    refused(
        place,
        &["repo", "restore", "app.git/modules/lib"],
        "app.git",
    );
    gitmoor(place, &["repo", "restore", "app.git", "--as", "back.git"]);
    let back = place.repo("back.git/modules/lib");
    assert_eq!(back.oid("HEAD"), tip);
    back.fsck();
    // By itself.
    gitmoor(place, &["repo", "delete", "back.git/modules/lib", "--yes"]);
    assert!(!back.dir.exists());
    assert!(!place.root.join("back.git/modules/lib").exists());
    gitmoor(place, &["repo", "restore", "back.git/modules/lib"]);
    assert_eq!(back.oid("HEAD"), tip);
}

fn rm_rf_of_the_owner_is_undone(place: &Place) {
    let (_, tree, inner) = with_library(place);
    let deep = place.repo("app.git/modules/lib/modules/deep");
    fs::create_dir(inner.dir.join("modules")).expect("mkdir");
    place.bare("deep.git");
    fs::rename(place.root.join("deep.git"), &deep.dir).expect("mv");
    tree.ok(format!("push --quiet {} HEAD:refs/heads/main", deep.url()));
    let (tip, first) = (inner.oid("HEAD"), deep.oid("main"));
    fs::remove_dir_all(place.root.join("app.git")).expect("rm -rf");
    let said = gitmoor(place, &["repo", "restore", "app.git"]);
    assert!(said.contains("app.git is back"), "{said}");
    assert_eq!(inner.oid("HEAD"), tip, "{said}");
    assert_eq!(deep.oid("main"), first, "{said}");
    inner.fsck();
    deep.fsck();
}

fn a_fork_has_its_own(place: &Place) {
    let (_, tree, inner) = with_library(place);
    let tip = inner.oid("HEAD");
    gitmoor(place, &["repo", "fork", "app.git", "fork.git"]);
    let forked = place.repo("fork.git/modules/lib");
    assert_eq!(forked.oid("HEAD"), tip);
    forked.fsck();
    let sub = place.git.at(tree.dir.join("lib"));
    let after = sub.commit("after");
    assert_eq!(forked.oid("HEAD"), tip);
    gitmoor(place, &["repo", "fork", "--copy", "app.git", "copy.git"]);
    gitmoor(place, &["repo", "delete", "app.git", "--yes"]);
    for (name, oid) in [("fork.git", tip), ("copy.git", after)] {
        let lib = place.repo(&format!("{name}/modules/lib"));
        assert_eq!(lib.oid("HEAD"), oid, "{name}");
        lib.fsck();
    }
}

fn an_export_has_them(place: &Place) {
    let (_, _, inner) = with_library(place);
    let dest = place.scratch("exported.git");
    let dest = dest.to_str().expect("UTF-8");
    gitmoor(place, &["export", "app.git", dest]);
    let exported = place.git.at(format!("{dest}/modules/lib"));
    assert_eq!(exported.oid("HEAD"), inner.oid("HEAD"));
    assert_eq!(exported.refs(), inner.refs());
    exported.fsck();
    let alone = place.scratch("lib.git");
    let alone = alone.to_str().expect("UTF-8");
    gitmoor(place, &["export", "app.git/modules/lib", alone]);
    assert_eq!(place.git.at(alone).refs(), inner.refs());
}

fn what_administrators_do_with_one(place: &Place) {
    let (_, _, inner) = with_library(place);
    let tip = inner.oid("HEAD");
    let lib = "app.git/modules/lib";
    for args in [
        &["repo", "info", lib][..],
        &["repo", "config", lib, "gc.auto", "1"],
        &["repo", "limit", lib, "bytes", "1GiB"],
        &["gc", lib],
        &["warm", lib],
        &["audit", lib],
        &["fsck", lib],
    ] {
        gitmoor(place, args);
    }
    assert_eq!(inner.ok("config gc.auto"), "1");
    gitmoor(place, &["repo", "rename", lib, "team/lib.git"]);
    assert!(!inner.dir.exists());
    assert_eq!(place.repo("team/lib.git").oid("HEAD"), tip);
    gitmoor(
        place,
        &["repo", "rename", "team/lib.git", "app.git/modules/a/b"],
    );
    assert_eq!(place.repo("app.git/modules/a/b").oid("HEAD"), tip);
    assert_eq!(names(&place.root.join("app.git/modules")), ["a"]);
    for (args, word) in [
        (&["repo", "create", "app.git/modules/new.git"][..], "inside"),
        (
            &["repo", "fork", "library.git", "app.git/modules/x.git"],
            "inside",
        ),
        (
            &["repo", "rename", "library.git", "app.git/x.git"],
            "modules/",
        ),
        (
            &["repo", "rename", "library.git", "app.git/modules/a"],
            "not empty",
        ),
        (
            &["repo", "rename", "app.git", "app.git/modules/a/c"],
            "app.git/modules/a/c",
        ),
    ] {
        refused(place, args, word);
    }
}

fn a_quota_is_one_for_all(place: &Place) {
    let (_, _, inner) = with_library(place);
    let used = |name: &str| {
        let text = gitmoor(place, &["repo", "info", name, "--json"]);
        let info: Value = serde_json::from_str(&text).expect("JSON");
        info["refs"].as_u64().expect("a number")
    };
    let all = used("app.git") + used("app.git/modules/lib");
    let most = (all + 1).to_string();
    gitmoor(place, &["repo", "limit", "app.git", "refs", &most]);
    inner.ok("branch one HEAD");
    let said = inner.fail("branch two HEAD");
    assert!(said.contains("Disk quota exceeded"), "{said}");
    let said = place.repo("app.git").fail("branch two HEAD");
    assert!(said.contains("Disk quota exceeded"), "{said}");
    let library = place.root.join("library.git");
    let error = fs::rename(library, place.root.join("app.git/modules/library"));
    assert_eq!(
        error.expect_err("over quota").kind(),
        ErrorKind::QuotaExceeded
    );
    inner.ok("branch -D one");
    place.repo("app.git").ok("branch two HEAD");
}

fn fsck_and_gc_look_into_them(place: &Place) {
    let (_, _, inner) = with_library(place);
    inner.ok("update-ref refs/heads/other HEAD");
    let text = gitmoor(place, &["fsck", "app.git", "--json"]);
    let all: Value = serde_json::from_str(&text).expect("JSON");
    let text = gitmoor(place, &["fsck", "app.git/modules/lib", "--json"]);
    let lib: Value = serde_json::from_str(&text).expect("JSON");
    assert!(lib["files"].as_u64() > Some(0), "{lib}");
    assert!(all["files"].as_u64() > lib["files"].as_u64(), "{all}");
    assert_eq!(all["repository"], "app.git");
    gitmoor(place, &["gc", "app.git"]);
    inner.fsck();
}

/// What is no repository stays on this machine, as it was before.
fn what_stays_local(place: &Place) {
    let app = place.bare("app.git");
    let modules = app.dir.join("modules");
    fs::create_dir_all(modules.join("a/b")).expect("mkdir -p");
    fs::write(modules.join("a/note"), "a note").expect("written");
    fs::write(modules.join("HEAD"), "no repository").expect("written");
    // A directory that is not empty does not become one.
    fs::create_dir(modules.join("a/refs")).expect("mkdir");
    assert_eq!(list(place), ["app.git"]);
    place.restart();
    assert_eq!(names(&modules), ["HEAD", "a"]);
    assert_eq!(names(&modules.join("a")), ["b", "note", "refs"]);
    fs::rename(modules.join("a"), modules.join("c")).expect("mv");
    // Linked work trees are of one machine, and so are their submodules.
    let inner = app.dir.join("worktrees/w/modules/lib");
    fs::create_dir_all(inner.parent().expect("modules")).expect("mkdir -p");
    let at = place.git.at(&place.scratch);
    at.ok(format!("init --quiet --bare {}", inner.display()));
    assert_eq!(list(place), ["app.git"]);
}

fn what_is_refused(place: &Place) {
    let app = place.bare("app.git");
    let (inner, _) = place.pushed("inner.git", 1);
    fs::create_dir(app.dir.join("other")).expect("mkdir");
    for to in ["other/inner", "inner", "hooks/inner"] {
        let error = fs::rename(&inner.dir, app.dir.join(to)).expect_err("not in modules/");
        assert_eq!(error.kind(), ErrorKind::CrossesDevices, "{to}");
    }
    // No link leads from where a repository may stand.
    let modules = app.dir.join("modules");
    fs::create_dir_all(modules.join("d")).expect("mkdir -p");
    fs::create_dir(app.dir.join("with-link")).expect("mkdir");
    symlink("/", app.dir.join("with-link/lib")).expect("ln -s");
    symlink("/", app.dir.join("link")).expect("ln -s");
    let error = symlink("/", modules.join("d/lib")).expect_err("no link there");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = fs::rename(app.dir.join("link"), modules.join("lib")).expect_err("nor moved");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = fs::rename(app.dir.join("with-link"), modules.join("a"));
    assert_eq!(
        error.expect_err("nor along").kind(),
        ErrorKind::CrossesDevices
    );
    // A directory takes no repositories along.
    fs::create_dir_all(app.dir.join("modules/a")).expect("mkdir -p");
    fs::rename(&inner.dir, app.dir.join("modules/a/b")).expect("mv");
    let error = fs::rename(app.dir.join("modules/a"), app.dir.join("modules/c"));
    assert_eq!(
        error.expect_err("it stays").kind(),
        ErrorKind::CrossesDevices
    );
    let error = fs::rename(app.dir.join("modules"), app.dir.join("m"));
    assert_eq!(
        error.expect_err("it stays").kind(),
        ErrorKind::CrossesDevices
    );
    assert_eq!(
        place
            .repo("app.git/modules/a/b")
            .ok("rev-list --count main"),
        "1"
    );
}

/// The row is there, and nothing of the directory yet.
#[test]
fn a_crash_while_one_is_made() {
    let place = Place::set(Kind::Dir, "");
    let (_, _, inner) = with_library(&place);
    let tip = inner.oid("HEAD");
    place.daemon().arm("repository::created=kill@1");
    place.restart();
    let at = place.git.at(&place.scratch);
    let new = place.repo("app.git/modules/new");
    let init = format!("init --quiet --bare {}", new.path());
    at.fail(init.as_str());
    let died = place.daemon().death(Duration::from_secs(30));
    died.expect("it was killed");
    place.daemon().arm("");
    place.daemon().launch();
    assert_eq!(
        list(&place),
        [
            "app.git",
            "app.git/modules/lib",
            "app.git/modules/new",
            "library.git"
        ]
    );
    at.ok(init.as_str());
    inner.ok(format!("push --quiet {} HEAD:refs/heads/main", new.url()));
    assert_eq!(new.oid("main"), tip);
}
