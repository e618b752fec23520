//! Forks: made at once, without a byte, and neither harms the other whatever becomes of it.

use bytes::Bytes;
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::history::noise;
use gitmoor_tests::mount::Settings;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use gitmoor_tests::s3::{Counts, Fault, Kind as S3};
use gitmoor_tests::wait;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// What is deleted is gone with the next gc.
fn place(kind: Kind) -> Place {
    let toml =
        "trash-keep = \"0s\"\ngc-grace = \"0s\"\ngc-period = \"1h\"\nidle-publish = \"50ms\"\n";
    Place::set(kind, toml)
}

pub(crate) fn settings(place: &Place) -> Settings {
    place.daemon().settings().clone()
}

pub(crate) fn gitmoor(place: &Place, args: &[&str]) -> String {
    settings(place).gitmoor_ok(args)
}

pub(crate) fn json(place: &Place, args: &[&str]) -> Value {
    let text = gitmoor(place, &[args, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

pub(crate) fn settled(place: &Place) {
    let settings = settings(place);
    wait::until("everything is published", Duration::from_secs(30), || {
        settings.status()["pending"]["files"] == 0
    });
}

pub(crate) fn id(place: &Place, name: &str) -> String {
    let info = json(place, &["repo", "info", name]);
    info["id"].as_str().expect("an id").to_owned()
}

fn fork(place: &Place, from: &str, to: &str) -> Repo {
    gitmoor(place, &["repo", "fork", from, to]);
    place.repo(to)
}

/// Everything that may expire does.
pub(crate) fn gc(place: &Place) {
    settled(place);
    gitmoor(place, &["gc", "--trash-only"]);
}

/// Readable to the last byte, with nothing of it on this machine.
fn sound(place: &Place, repo: &Repo, tip: &str) {
    place.cool();
    assert_eq!(repo.oid("main"), tip);
    repo.fsck();
    let name = repo.dir.strip_prefix(&place.root).expect("in the root");
    gitmoor(place, &["fsck", name.to_str().expect("text")]);
}

fn of_format(options: &str) {
    let place = place(Kind::S3s);
    let bare = place.init("team/app.git", options);
    let work = place.scratch("work");
    let at = place.git.at(&place.scratch);
    at.ok(format!("clone --quiet {} {}", bare.url(), work.display()));
    let work = place.git.at(work);
    for n in 0..20 {
        work.commit(&format!("file-{n}"));
    }
    work.ok("push --quiet origin HEAD:main HEAD~1:refs/heads/side HEAD~2:refs/tags/t");
    bare.ok("pack-refs --all");
    gitmoor(&place, &["repo", "config", "team/app.git", "gc.auto", "7"]);
    settled(&place);

    let (refs, tip) = (bare.refs(), bare.oid("main"));
    let before = place.server().counts();
    let fork = fork(&place, "team/app.git", "other/fork.git");
    assert_eq!(place.server().counts(), before, "without a request");
    assert_eq!(fork.refs(), refs);
    assert_eq!(fork.ok("symbolic-ref HEAD"), bare.ok("symbolic-ref HEAD"));
    assert_eq!(fork.ok("config gc.auto"), "7");
    let info = json(&place, &["repo", "info", "other/fork.git"]);
    assert_eq!(info["forked_from"], "team/app.git", "{info:#}");
    fork.fsck();

    work.ok(format!("remote add fork {}", fork.url()));
    let ahead = work.commit("only-in-the-fork");
    work.ok("push --quiet fork HEAD:main :side");
    assert_eq!(bare.refs(), refs, "the parent is as it was");
    bare.fail(format!("cat-file -e {ahead}"));
    sound(&place, &fork, &ahead);
    sound(&place, &bare, &tip);
}

#[test]
fn it_begins_with_everything() {
    of_format("");
}

#[test]
fn with_sha256_and_reftables() {
    let newest = Installed::newest().with_home(Path::new("/nonexistent"));
    if newest.has((2, 45), "reftables") {
        of_format("--object-format=sha256 --ref-format=reftable");
    }
}

/// The keys of repositories in the bucket.
fn keys(place: &Place, ids: &[&String]) -> BTreeSet<String> {
    let objects = place.server().objects().into_keys();
    let of = |key: &String| ids.iter().any(|id| key.contains(*id));
    objects.filter(of).collect()
}

/// The parent is repacked, deleted and purged; what the fork names of it stays until that goes too.
#[test]
fn the_parent_goes_first() {
    let place = place(Kind::S3s);
    let (bare, work) = place.pushed("app.git", 30);
    let fork = fork(&place, "app.git", "fork.git");
    let ids = [id(&place, "app.git"), id(&place, "fork.git")];
    let tip = work.oid("main");
    work.commit("after");
    work.ok("push --quiet origin main");
    bare.ok("repack -a -d --quiet");
    bare.ok("prune --expire=now");
    gc(&place);
    sound(&place, &fork, &tip);
    gitmoor(&place, &["repo", "delete", "--yes", "app.git"]);
    gc(&place);
    gc(&place);
    sound(&place, &fork, &tip);
    let left = keys(&place, &[&ids[0]]);
    assert!(!left.is_empty(), "the fork's objects are its parent's");

    // Repacked, the fork needs nothing of it any more.
    gitmoor(&place, &["gc", "fork.git", "--full"]);
    gc(&place);
    gc(&place);
    assert_eq!(keys(&place, &[&ids[0]]), BTreeSet::new());
    sound(&place, &fork, &tip);
    gitmoor(&place, &["repo", "delete", "--yes", "fork.git"]);
    gc(&place);
    assert_eq!(keys(&place, &[&ids[0], &ids[1]]), BTreeSet::new());
}

/// A fork of a fork, and the one between goes: what it had borrowed does not go with it.
#[test]
fn the_fork_between_goes_first() {
    let place = place(Kind::S3s);
    let (bare, work) = place.pushed("app.git", 30);
    let between = fork(&place, "app.git", "between.git");
    let tip = work.commit("between");
    work.ok(format!("push --quiet {} main", between.url()));
    let last = fork(&place, "between.git", "last.git");
    let ids = ["app.git", "between.git"].map(|name| id(&place, name));
    gitmoor(&place, &["repo", "delete", "--yes", "between.git"]);
    gc(&place);
    sound(&place, &last, &tip);
    let parent = bare.oid("main");
    sound(&place, &bare, &parent);

    gitmoor(&place, &["repo", "delete", "--yes", "last.git"]);
    gc(&place);
    gc(&place);
    assert_eq!(keys(&place, &[&ids[1]]), BTreeSet::new());
    sound(&place, &bare, &parent);
    gitmoor(&place, &["repo", "delete", "--yes", "app.git"]);
    gc(&place);
    assert_eq!(keys(&place, &[&ids[0]]), BTreeSet::new());
}

/// `rm -rf` of a fork, and back: also what it borrowed.
#[test]
fn a_fork_comes_back_from_the_trash() {
    let place = Place::set(Kind::Dir, "idle-publish = \"50ms\"\n");
    let (_, work) = place.pushed("app.git", 5);
    let fork = fork(&place, "app.git", "fork.git");
    let tip = work.oid("main");
    fs::remove_dir_all(&fork.dir).expect("rm -rf");
    gitmoor(&place, &["repo", "delete", "--yes", "app.git"]);
    gitmoor(&place, &["repo", "restore", "fork.git"]);
    sound(&place, &fork, &tip);
}

/// The store copies, of large files nothing comes to this machine, and the parent's objects go with the parent.
fn independent(kind: Kind) {
    let place = place(kind);
    let work = large_parent(&place);
    let before = (kind == Kind::S3s).then(|| place.server().counts());
    let made = json(&place, &["repo", "fork", "app.git", "copy.git", "--copy"]);
    let ids = ["app.git", "copy.git"].map(|name| id(&place, name));
    if let Some(before) = before {
        let after = place.server().counts();
        let [theirs, ours] = ids.each_ref().map(|id| contents(&place, id));
        assert_eq!(made["copied"]["files"], ours.len(), "{made:#}");
        for (key, bytes) in &ours {
            assert!(theirs.get(key) == Some(bytes), "{key}: under the same name");
        }
        let small = ours.len() as u64 - 1;
        let expected = Counts {
            // Whether the large one is there.
            get: before.get + small + 1,
            put: before.put + small,
            copy: before.copy + 1,
            multipart: before.multipart + 2,
            bytes_in: after.bytes_in,
            bytes_out: after.bytes_out,
            ..before
        };
        assert_eq!(after, expected);
        let moved = after.bytes_in - before.bytes_in + after.bytes_out - before.bytes_out;
        assert!(moved < LARGE as u64, "{moved}");
    }
    let tip = work.oid("main");
    gitmoor(&place, &["repo", "delete", "--yes", "app.git"]);
    gc(&place);
    gc(&place);
    if kind == Kind::S3s {
        assert_eq!(keys(&place, &[&ids[0]]), BTreeSet::new());
    }
    let copy = place.repo("copy.git");
    sound(&place, &copy, &tip);
    work.commit("later");
    work.ok(format!("push --quiet {} main", copy.url()));
    sound(&place, &copy, &work.oid("main"));
}

/// Bytes of a pack that the store copies itself.
const LARGE: usize = 500_000;

/// With one large pack, and with loose objects; its work tree.
fn large_parent(place: &Place) -> Repo {
    let (bare, work) = place.pushed("app.git", 30);
    work.write("large", noise(LARGE, 1));
    work.commit("large");
    work.ok("push --quiet origin main");
    bare.ok("repack -a -d --quiet");
    work.commit("loose");
    work.ok("push --quiet origin main");
    settled(place);
    work
}

/// The objects of a repository in the bucket, without its id.
fn contents(place: &Place, id: &str) -> BTreeMap<String, Bytes> {
    let objects = place.server().objects().into_iter();
    let of = |(key, bytes): (String, Bytes)| {
        let (_, rest) = key.split_once(&format!("{id}/"))?;
        Some((rest.to_owned(), bytes))
    };
    objects.filter_map(of).collect()
}

#[test]
fn a_copy_is_independent() {
    independent(Kind::S3s);
}

#[test]
fn a_copy_in_a_directory() {
    independent(Kind::Dir);
}

#[test]
fn a_copy_in_garage() {
    independent(Kind::Garage);
}

/// Whether the daemon dies or the store fails: it is a fork, and the same command goes on with what is left, also
/// when the parent is gone.
fn goes_on(stop: &str) -> (Counts, Value) {
    let place = place(Kind::S3s);
    let tip = large_parent(&place).oid("main");
    let copy = ["repo", "fork", "app.git", "copy.git", "--copy"];
    if stop.is_empty() {
        place.server().fail(S3::Copy, Fault::InternalError, 100);
    } else {
        place.daemon().arm(stop);
        place.crash();
    }
    let output = settings(&place).gitmoor(&copy);
    assert!(!output.status.success(), "{}", report(&output));
    if stop.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("the same command goes on"), "{said}");
        place.server().heal();
    } else {
        place.daemon().arm("");
        place.crash();
    }
    let fork = place.repo("copy.git");
    assert_eq!(fork.oid("main"), tip);
    fork.fsck();
    let parent = id(&place, "app.git");
    gitmoor(&place, &["repo", "delete", "--yes", "app.git"]);
    place.server().reset();
    let made = json(&place, &copy);
    let counts = place.server().counts();
    gc(&place);
    gc(&place);
    assert_eq!(keys(&place, &[&parent]), BTreeSet::new());
    sound(&place, &fork, &tip);
    assert_eq!(place.server().open_uploads(), 0);
    (counts, made["copied"]["files"].clone())
}

#[test]
fn a_copy_goes_on() {
    let (counts, files) = goes_on("own::copied=kill@1");
    assert_eq!(counts.copy, 0, "it was copied");
    assert!(files.as_u64() > Some(3), "{files}");
    let (counts, files) = goes_on("own::published=kill@1");
    assert_eq!((counts.copy, files), (0, 0.into()));
    let (counts, files) = goes_on("");
    assert_eq!(counts.copy, 1);
    assert!(files.as_u64() > Some(3), "{files}");
}

/// Works in a fork while the store copies; afterwards nothing of its parent is left.
fn used_meanwhile(place: &Place, work: impl FnOnce(&Repo)) {
    let server = place.server();
    server.fail(S3::Copy, Fault::Hold, 1);
    let command = ["repo", "fork", "app.git", "copy.git", "--copy"];
    let mut copying = settings(place)
        .command(&command)
        .spawn()
        .expect("it starts");
    wait::until("it copies", Duration::from_secs(30), || {
        server.counts().copy > 0
    });
    work(&place.repo("copy.git"));
    settled(place);
    server.release();
    let ended = wait::poll(Duration::from_secs(60), || {
        copying.try_wait().expect("wait")
    });
    assert!(ended.expect("it comes to its end").success());
    let parent = id(place, "app.git");
    gitmoor(place, &["repo", "delete", "--yes", "app.git"]);
    gc(place);
    gc(place);
    assert_eq!(keys(place, &[&parent]), BTreeSet::new());
}

/// Pushes and repacks.
#[test]
fn used_while_it_is_copied() {
    let place = place(Kind::S3s);
    let work = large_parent(&place);
    used_meanwhile(&place, |fork| {
        work.commit("meanwhile");
        work.ok(format!("push --quiet {} main", fork.url()));
        fork.ok("repack -a -d --quiet");
    });
    sound(&place, &place.repo("copy.git"), &work.oid("main"));
}

/// git gives an object that it would have written again a new time, so that it is not pruned soon.
#[test]
fn new_times_while_it_is_copied() {
    let place = place(Kind::S3s);
    let work = large_parent(&place);
    let time = |repo: &Repo| {
        let oid = repo.oid("main:loose.txt");
        let at = repo.dir.join("objects").join(&oid[..2]).join(&oid[2..]);
        let meta = fs::metadata(at).expect("a loose object");
        meta.modified().expect("a time")
    };
    let before = time(&place.repo("app.git"));
    let mut renewed = None;
    used_meanwhile(&place, |fork| {
        fork.feed("hash-object -w --stdin", "loose\n");
        renewed = Some(time(fork));
    });
    let fork = place.repo("copy.git");
    assert!(renewed > Some(before), "{renewed:?}, {before:?}");
    assert_eq!(Some(time(&fork)), renewed);
    place.cool();
    assert_eq!(Some(time(&fork)), renewed);
    sound(&place, &fork, &work.oid("main"));
}

/// By hand: the objects of a fork are those under its own prefix and under its parent's, in one directory.
#[test]
fn read_from_the_bucket_by_hand() {
    let place = place(Kind::Dir);
    let (_, work) = place.pushed("app.git", 5);
    let fork = fork(&place, "app.git", "fork.git");
    let tip = work.commit("only-in-the-fork");
    work.ok(format!("push --quiet {} main", fork.url()));
    settled(&place);
    let by_hand = place.work("by-hand");
    let store = settings(&place).store;
    let store = Path::new(store.strip_prefix("dir:").expect("a directory"));
    for name in ["app.git", "fork.git"] {
        let objects = store.join(id(&place, name)).join("objects");
        let to = by_hand.dir.join(".git/objects");
        let copied = std::process::Command::new("cp")
            .args(["-r", "-n", "-T"])
            .args([objects, to])
            .status();
        assert!(copied.expect("cp runs").success());
    }
    by_hand.ok(format!("update-ref refs/heads/main {tip}"));
    assert_eq!(by_hand.ok("rev-list --count main"), "6");
    by_hand.fsck();
}

#[test]
fn wrong_use() {
    let place = place(Kind::Dir);
    place.bare("app.git");
    place.bare("other.git");
    let refused = |args: &[&str], word: &str| {
        let output = settings(&place).gitmoor(&[&["repo", "fork"], args].concat());
        assert_eq!(output.status.code(), Some(1), "{}", report(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(word), "{said}");
    };
    refused(&["app.git", "other.git"], "exists already");
    refused(&["app.git", "other.git", "--copy"], "exists already");
    refused(&["none.git", "new.git"], "there is no repository none.git");
    // The fork of an empty repository is one.
    let fork = fork(&place, "app.git", "new.git");
    assert_eq!(fork.ok("symbolic-ref HEAD"), "refs/heads/main");
}
