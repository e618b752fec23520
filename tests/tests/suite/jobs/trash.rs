//! The trash: what is deleted can be had again, until gc; and gc takes nothing
//! that anybody names.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::clocks::Clocks;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::history::noise;
use gitmoor_tests::mount::Settings;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use gitmoor_tests::s3::{Fault, Kind as S3};
use gitmoor_tests::wait;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

/// Everything is old enough at once; nothing happens by itself.
fn forgetful(settings: Settings) -> Settings {
    let toml =
        "trash-keep = \"0s\"\ngc-grace = \"0s\"\ngc-period = \"1h\"\nidle-publish = \"50ms\"\n";
    Settings {
        toml: toml.to_owned(),
        ..settings
    }
}

/// Everything is published soon; nothing expires.
fn careful(settings: Settings) -> Settings {
    Settings {
        toml: "idle-publish = \"50ms\"\n".to_owned(),
        ..settings
    }
}

fn place(kind: Kind, change: impl FnOnce(Settings) -> Settings) -> Place {
    Place::with(kind, &Installed::newest(), change)
}

fn json(place: &Place, args: &[&str]) -> Value {
    let settings = place.daemon().settings().clone();
    let text = settings.gitmoor_ok(&[args, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn gitmoor(place: &Place, args: &[&str]) -> String {
    let settings = place.daemon().settings().clone();
    settings.gitmoor_ok(args)
}

#[track_caller]
fn refused(place: &Place, args: &[&str], words: &[&str]) {
    let settings = place.daemon().settings().clone();
    let output = settings.gitmoor(args);
    assert_eq!(output.status.code(), Some(1), "{}", report(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    for word in words {
        assert!(said.contains(word), "{word:?} missing in: {said}");
    }
}

fn settled(place: &Place) {
    let settings = place.daemon().settings().clone();
    wait::until("everything is published", Duration::from_secs(30), || {
        settings.status()["pending"]["files"] == 0
    });
}

#[test]
fn a_deleted_repository_comes_back() {
    let place = place(Kind::Dir, careful);
    let (bare, work) = place.pushed("team/app.git", 3);
    bare.ok("config gitweb.owner somebody");
    // Finished, but no ref names it and it is not published.
    let blob = bare.feed("hash-object -w --stdin", "unpublished\n");
    gitmoor(&place, &["repo", "delete", "--yes", "team/app.git"]);
    assert!(!bare.dir.exists());
    let trash = json(&place, &["repo", "trash"]);
    assert_eq!(trash[0]["name"], "team/app.git", "{trash:#}");
    let kept = trash[0]["kept_until"].as_i64().expect("a time");
    let deleted = trash[0]["deleted"].as_i64().expect("a time");
    assert_eq!(kept - deleted, 7 * 24 * 3600);
    assert!(gitmoor(&place, &["repo", "trash"]).contains("team/app.git"));

    place.crash();
    let restored = json(&place, &["repo", "restore", "team/app.git"]);
    assert_eq!(restored["id"], trash[0]["id"]);
    assert_eq!(bare.oid("main"), work.oid("main"));
    assert_eq!(bare.ok(format!("cat-file -p {blob}")), "unpublished");
    assert_eq!(bare.ok("config gitweb.owner"), "somebody");
    bare.fsck();
    work.commit("after");
    work.ok("push --quiet origin main");
    assert_eq!(json(&place, &["repo", "trash"]), Value::Array(vec![]));
    refused(
        &place,
        &["repo", "restore", "team/app.git"],
        &["team/app.git", "repo trash"],
    );
}

#[test]
fn a_name_that_is_taken_again() {
    let place = place(Kind::Dir, careful);
    let (_, first) = place.pushed("app.git", 2);
    gitmoor(&place, &["repo", "delete", "--yes", "app.git"]);
    let other = place.bare("app.git");
    gitmoor(&place, &["repo", "create", "other.git"]);
    let id = json(&place, &["repo", "trash"])[0]["id"].clone();
    let id = id.as_str().expect("an id");
    refused(&place, &["repo", "restore", "app.git"], &["exists", "--as"]);
    gitmoor(&place, &["repo", "restore", id, "--as", "old/app.git"]);
    let restored = place.repo("old/app.git");
    assert_eq!(restored.oid("main"), first.oid("main"));
    restored.fsck();
    other.fail("rev-parse --verify main");
}

/// rm -rf removes piece by piece; all of it comes back.
#[test]
fn rm_rf_is_undone() {
    let place = place(Kind::Dir, careful);
    let (bare, work) = place.pushed("app.git", 30);
    work.ok("push --quiet origin main:refs/heads/side HEAD~3:refs/tags/old");
    bare.ok("pack-refs --all");
    work.commit("loose");
    work.ok("push --quiet origin main");
    let (refs, head) = (bare.refs(), bare.ok("symbolic-ref HEAD"));
    settled(&place);
    fs::remove_dir_all(&bare.dir).expect("rm -rf");
    assert!(!bare.dir.exists());
    let restored = json(&place, &["repo", "restore", "app.git"]);
    assert_eq!(restored["lost"], Value::Array(vec![]), "{restored:#}");
    assert_eq!(bare.refs(), refs);
    assert_eq!(bare.ok("symbolic-ref HEAD"), head);
    bare.fsck();
    place.cool();
    bare.fsck();
    work.commit("after");
    work.ok("push --quiet origin main");
}

#[test]
fn pruned_objects_come_back() {
    let place = place(Kind::Dir, careful);
    let (bare, _) = place.pushed("app.git", 3);
    let blob = bare.feed("hash-object -w --stdin", "precious\n");
    settled(&place);
    bare.ok("gc --quiet --prune=now");
    bare.fail(format!("cat-file -e {blob}"));
    let restored = json(&place, &["repo", "restore", "app.git", "--objects"]);
    assert!(
        restored["files"].as_u64().expect("a number") > 0,
        "{restored:#}"
    );
    assert_eq!(bare.ok(format!("cat-file -p {blob}")), "precious");
    bare.fsck();
}

/// The keys of a bucket, but for its marker and who owns it.
fn keys(place: &Place) -> BTreeSet<String> {
    let objects = place.server().objects().into_keys();
    let is_own = |key: &String| !key.ends_with("gitmoor-format") && !key.contains("gitmoor-owner/");
    objects.filter(is_own).collect()
}

fn gc(place: &Place) -> Value {
    json(place, &["gc", "--trash-only"])
}

/// After gc exactly what the catalog names is left, and all of it is there.
#[test]
fn gc_removes_what_expired_and_nothing_else() {
    let place = place(Kind::S3s, forgetful);
    let (bare, work) = place.pushed("app.git", 30);
    let (_, doomed) = place.pushed("doomed.git", 3);
    for round in 0..3 {
        work.commit(&format!("round-{round}"));
        work.ok("push --quiet origin main");
    }
    bare.ok("gc --quiet --prune=now");
    gitmoor(&place, &["repo", "delete", "--yes", "doomed.git"]);
    settled(&place);
    let before = keys(&place);
    let foretold = json(&place, &["gc", "--trash-only", "--dry-run"]);
    assert_eq!(keys(&place), before, "a dry run changes nothing");
    let done = gc(&place);
    for fact in [
        "objects",
        "expired_files",
        "bytes",
        "repositories",
        "leftovers",
    ] {
        assert_eq!(done[fact], foretold[fact], "{fact}: {done:#} {foretold:#}");
    }
    assert_eq!(done["repositories"][0], "doomed.git");
    let left = keys(&place);
    let deleted = done["objects"].as_u64().expect("a number") as usize;
    assert_eq!(before.len() - left.len(), deleted, "{done:#}");
    let files = json(&place, &["repo", "info", "app.git"])["object_files"].clone();
    assert!(
        left.len() as u64 <= files.as_u64().expect("a number"),
        "{left:?}"
    );
    assert_eq!(gc(&place)["objects"], 0, "nothing is left to do");
    place.cool();
    bare.fsck();
    assert_eq!(bare.oid("main"), work.oid("main"));
    refused(&place, &["repo", "restore", "doomed.git"], &["doomed.git"]);
    doomed.fail("fetch origin");
    let files = place.daemon().settings().data.join("repos");
    assert_eq!(fs::read_dir(files).expect("a directory").count(), 1);
}

/// Writes an object, deletes it with `git prune`, and waits until the trash has it.
fn pruned(place: &Place, bare: &Repo, text: &str) -> String {
    let blob = bare.feed("hash-object -w --stdin", text);
    settled(place);
    bare.ok("prune --expire=now");
    wait::until("the trash has it", Duration::from_secs(30), || {
        let trash = json(place, &["repo", "trash"]);
        trash.as_array().is_some_and(|trash| !trash.is_empty())
    });
    blob
}

fn keys_of(place: &Place, oid: &str) -> Vec<String> {
    let name = format!("{}/{}", &oid[..2], &oid[2..]);
    keys(place)
        .into_iter()
        .filter(|key| key.contains(&name))
        .collect()
}

/// The same object again after its deletion, before gc: same key, and gc leaves it.
#[test]
fn gc_leaves_what_is_named_again() {
    let place = place(Kind::S3s, forgetful);
    let (bare, _) = place.pushed("app.git", 2);
    let blob = pruned(&place, &bare, "comes again\n");
    let stored = keys_of(&place, &blob);
    assert_eq!(stored.len(), 1);
    bare.feed("hash-object -w --stdin", "comes again\n");
    settled(&place);
    assert_eq!(keys_of(&place, &blob), stored, "adopted");
    let done = gc(&place);
    assert_eq!(done["objects"], 0, "{done:#}");
    assert_eq!(keys_of(&place, &blob), stored);
    place.cool();
    assert_eq!(bare.ok(format!("cat-file -p {blob}")), "comes again");
}

/// gc has decided and is about to delete the key; meanwhile the same object is
/// written anew and finds its bytes still in the store.
#[test]
fn an_object_pushed_again_while_gc_deletes_it() {
    let place = place(Kind::S3s, forgetful);
    let (bare, _) = place.pushed("app.git", 2);
    let blob = pruned(&place, &bare, "a race\n");
    let stored = keys_of(&place, &blob);
    // The deletion is under way for as long as the publication takes.
    place.server().reset();
    place.server().fail(S3::Delete, Fault::Hold, 1);
    std::thread::scope(|scope| {
        let collected = scope.spawn(|| gc(&place));
        wait::until("gc deletes", Duration::from_secs(30), || {
            place.server().counts().delete > 0
        });
        assert_eq!(keys_of(&place, &blob), stored, "not carried out yet");
        bare.feed("hash-object -w --stdin", "a race\n");
        settled(&place);
        let now = keys_of(&place, &blob);
        assert!(now.len() == 2, "beside the condemned one: {now:?}");
        place.server().release();
        assert_eq!(collected.join().expect("gc")["objects"], 1);
    });
    let left = keys_of(&place, &blob);
    assert_eq!(left.len(), 1);
    assert_ne!(left, stored);
    gc(&place);
    place.cool();
    assert_eq!(bare.ok(format!("cat-file -p {blob}")), "a race");
    bare.fsck();
}

/// The other way round: the publisher has found the bytes in the store, then gc condemns
/// and deletes them, then the publisher commits. It is refused, and stores again.
#[test]
fn gc_between_finding_an_object_and_naming_it() {
    let place = place(Kind::S3s, forgetful);
    let (bare, work) = place.pushed("app.git", 2);
    let blob = pruned(&place, &bare, "a race\n");
    let stored = keys_of(&place, &blob);
    let settings = place.daemon().settings().clone();
    place.server().reset();
    // Of two objects one is found (and its bytes compared), the other takes its time.
    work.write("raced.txt", "a race\n");
    work.ok("add raced.txt");
    work.ok("commit --quiet -m raced");
    place.cool();
    place.server().reset();
    place.server().fail(S3::Put, Fault::Hold, 1);
    std::thread::scope(|scope| {
        let pushed = scope.spawn(|| work.ok("push --quiet origin main"));
        wait::until("the push stores", Duration::from_secs(30), || {
            place.server().counts().put >= 2
        });
        let done: Value =
            serde_json::from_str(&settings.gitmoor_ok(&["gc", "--trash-only", "--json"]))
                .expect("JSON");
        assert_eq!(done["expired_files"], 1, "{done:#}");
        place.server().release();
        pushed.join().expect("the push");
    });
    assert_ne!(
        keys_of(&place, &blob),
        stored,
        "a condemned key is not used"
    );
    place.cool();
    assert_eq!(bare.ok("cat-file -p main:raced.txt"), "a race");
    bare.fsck();
    gc(&place);
    place.cool();
    bare.fsck();
}

/// A crash between PUT and commit, and an upload that nobody ended.
#[test]
fn leftovers_are_removed_after_their_grace() {
    let grace = |settings| Settings {
        toml: "gc-grace = \"10m\"\nidle-publish = \"50ms\"\n".to_owned(),
        ..settings
    };
    let place = place(Kind::S3s, grace);
    let (bare, work) = place.pushed("app.git", 3);
    settled(&place);
    let good = keys(&place);
    let prefix = good
        .first()
        .expect("a key")
        .split("/objects/")
        .next()
        .expect("text");
    let lost = format!("{prefix}/objects/ab/{}", "cd".repeat(19));
    place.server().plant(&lost, "left over");
    let strange = "strange/objects/ab/cd";
    place.server().plant(strange, "not ours");
    assert_eq!(gc(&place)["leftovers"], 0, "too young");
    place.server().age(Duration::from_secs(700));
    // Stored long ago, not catalogued yet: being published, not left over.
    let staged = bare.feed("hash-object -w --stdin", "staged\n");
    settled(&place);
    let done = gc(&place);
    assert_eq!(done["leftovers"], 1, "{done:#}");
    let left = keys(&place);
    assert!(!left.contains(&lost) && left.contains(strange), "{left:?}");
    assert!(good.is_subset(&left));
    place.cool();
    assert_eq!(bare.ok(format!("cat-file -p {staged}")), "staged");
    assert_eq!(bare.oid("main"), work.oid("main"));
    bare.fsck();
}

#[test]
fn abandoned_uploads_are_removed() {
    let place = place(Kind::S3s, forgetful);
    let (bare, work) = place.pushed("app.git", 1);
    work.write("noise.bin", noise(20 << 20, 3));
    work.commit("noise");
    place.server().fail(S3::Part, Fault::Hold, 10);
    std::thread::scope(|scope| {
        let push = scope.spawn(|| work.run("push --quiet origin main", b""));
        wait::until("an upload begins", Duration::from_secs(30), || {
            place.server().open_uploads() > 0
        });
        place.daemon().kill9();
        push.join().expect("the push");
    });
    place.server().heal();
    // The pack was not finished by git, or it was and goes up again.
    place.daemon().launch();
    settled(&place);
    let done = gc(&place);
    assert_eq!(place.server().open_uploads(), 0, "{done:#}");
    work.ok("push --quiet origin main");
    bare.fsck();
}

/// Without anybody's command.
#[test]
fn gc_runs_by_itself() {
    let often = |settings| Settings {
        toml: "trash-keep = \"0s\"\ngc-period = \"200ms\"\nidle-publish = \"50ms\"\n".to_owned(),
        ..settings
    };
    let place = place(Kind::S3s, often);
    let (bare, _) = place.pushed("app.git", 2);
    let blob = bare.feed("hash-object -w --stdin", "not for long\n");
    settled(&place);
    bare.ok("prune --expire=now");
    wait::until("it is gone", Duration::from_secs(30), || {
        keys_of(&place, &blob).is_empty()
    });
    place.cool();
    bare.fsck();
}

/// One that a retention or a policy keeps is named, and keeps no other.
#[test]
fn gc_goes_on_beside_what_the_bucket_keeps() {
    let place = place(Kind::S3s, forgetful);
    place.pushed("kept.git", 1);
    settled(&place);
    let kept = keys(&place).into_iter().next().expect("a key");
    place.pushed("gone.git", 1);
    let (bare, _) = place.pushed("app.git", 1);
    let blob = pruned(&place, &bare, "not for long\n");
    place.server().keep(&kept, "AccessDenied", usize::MAX);
    for name in ["kept.git", "gone.git"] {
        gitmoor(&place, &["repo", "delete", "--yes", name]);
    }
    refused(&place, &["gc", "--trash-only"], &[&kept, "AccessDenied"]);
    assert_eq!(keys_of(&place, &blob), [""; 0]);
    let files = json(&place, &["repo", "info", "app.git"])["object_files"].clone();
    assert_eq!(
        keys(&place).len() as u64,
        files.as_u64().expect("a number") + 1
    );
    place.server().keep(&kept, "", 0);
    assert_eq!(gc(&place)["repositories"], json!(["kept.git"]));
    assert!(!keys(&place).contains(&kept));
}

/// Ages are told by clocks: one that is wrong by days would empty the trash at once.
#[test]
fn a_clock_that_is_wrong_empties_no_trash() {
    let dir = tempfile::tempdir().expect("a directory");
    let clocks = Clocks::right(dir.path());
    let place = place(Kind::Dir, |settings| Settings {
        env: clocks.env(0),
        ..careful(settings)
    });
    place.pushed("new.git", 3);
    place.pushed("old.git", 3);
    settled(&place);
    clocks.set(0, "-8d");
    gitmoor(&place, &["repo", "delete", "--yes", "old.git"]);
    clocks.set(0, "+0");
    gitmoor(&place, &["repo", "delete", "--yes", "new.git"]);
    clocks.set(0, "+8d");
    refused(&place, &["gc", "--trash-only"], &["clock", "behind"]);
    clocks.set(0, "+0");
    let done = gc(&place);
    assert_eq!(done["repositories"], json!(["old.git"]), "{done:#}");
    gitmoor(&place, &["repo", "restore", "new.git"]);
    place.git.at(place.root.join("new.git")).fsck();
}
