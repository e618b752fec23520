//! Quotas: a push over one is refused, and says why on the screen of who pushes; deleting always works.

use super::lfs;
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::Repo;
use gitmoor_tests::history::noise;
use gitmoor_tests::mount::Settings;
use gitmoor_tests::place::Place;
use gitmoor_tests::wait;
use serde_json::Value;
use std::fs;
use std::time::Duration;

const REASON: &str = "Disk quota exceeded";

fn place() -> Place {
    Place::set(Kind::Dir, "idle-publish = \"50ms\"\n")
}

fn settings(place: &Place) -> Settings {
    place.daemon().settings().clone()
}

fn gitmoor(place: &Place, args: &[&str]) -> String {
    settings(place).gitmoor_ok(args)
}

fn info(place: &Place) -> Value {
    let text = gitmoor(place, &["repo", "info", "app.git", "--json"]);
    serde_json::from_str(&text).expect("JSON")
}

fn limit(place: &Place, limit: &str, value: &str) {
    gitmoor(place, &["repo", "limit", "app.git", limit, value]);
}

fn settled(place: &Place) {
    let settings = settings(place);
    wait::until("everything is published", Duration::from_secs(30), || {
        settings.status()["pending"]["files"] == 0
    });
}

/// A commit with a file that does not get smaller.
fn commit_noise(work: &Repo, name: &str, bytes: usize, seed: u64) {
    fs::write(work.dir.join(name), noise(bytes, seed)).expect("written");
    work.ok("add .");
    work.ok(format!("commit --quiet -m {name}"));
}

#[track_caller]
fn refused(work: &Repo, push: &str) {
    let said = work.fail(push);
    assert!(said.contains(REASON), "{said}");
}

/// As git stores what a push has sent: in a pack, or object by object.
fn bytes(unpack_limit: &str) {
    let place = place();
    let (bare, work) = place.pushed("app.git", 2);
    gitmoor(
        &place,
        &[
            "repo",
            "config",
            "app.git",
            "receive.unpackLimit",
            unpack_limit,
        ],
    );
    work.ok("push --quiet origin main:refs/heads/side");
    settled(&place);
    limit(&place, "bytes", "300KB");
    let refs = bare.refs();
    commit_noise(&work, "large", 400_000, 1);
    refused(&work, "push origin main");
    assert_eq!(bare.refs(), refs);
    settled(&place);
    let used = info(&place)["object_bytes"].as_u64().expect("a number");
    assert!(used <= 300_000, "{used}");

    // Less always works, and so does what fits.
    work.ok("push --quiet origin :side");
    work.ok("reset --quiet --hard HEAD~1");
    commit_noise(&work, "small", 100_000, 2);
    work.ok("push --quiet origin main");
    // What fits alone and not with that.
    commit_noise(&work, "another", 250_000, 3);
    refused(&work, "push origin main");
    place.restart();
    refused(&work, "push origin main");
    limit(&place, "bytes", "1MB");
    work.ok("push --quiet origin main");
    assert_eq!(bare.oid("main"), work.oid("main"));
    bare.fsck();
    settled(&place);
    let info = info(&place);
    assert_eq!(info["limits"]["bytes"], 1_000_000, "{info:#}");
}

#[test]
fn bytes_in_packs() {
    bytes("1");
}

#[test]
fn bytes_object_by_object() {
    bytes("100");
}

/// Whoever brings one over the limit is told, and those that are there count.
#[test]
fn files_of_git_lfs_count() {
    let place = place();
    let (bare, work) = place.pushed("app.git", 2);
    limit(&place, "bytes", "300KB");
    let large = lfs::give(&bare, &noise(200_000, 1));
    work.commit("pointer");
    work.ok("push --quiet origin main");
    settled(&place);
    let used = info(&place)["object_bytes"].as_u64().expect("a number");
    assert!(used > 200_000, "{used}");
    commit_noise(&work, "large", 150_000, 2);
    refused(&work, "push origin main");
    fs::remove_file(bare.dir.join(large)).expect("unlink");
    wait::until("the deletion is published", Duration::from_secs(30), || {
        info(&place)["object_bytes"]
            .as_u64()
            .is_some_and(|used| used < 200_000)
    });
    work.ok("push --quiet origin main");
    bare.fsck();
}

#[test]
fn refs() {
    let place = place();
    let (bare, work) = place.pushed("app.git", 2);
    work.ok("push --quiet origin main:refs/heads/two");
    limit(&place, "refs", "2");
    refused(&work, "push origin main:refs/heads/three");
    bare.fail("rev-parse --verify refs/heads/three");
    bare.ok("pack-refs --all");
    assert_eq!(info(&place)["refs"], 2);
    // Those that are there move, loose or packed.
    work.commit("more");
    work.ok("push --quiet origin main main:refs/heads/two");
    refused(
        &work,
        "push --atomic origin main:refs/heads/three :two main:refs/tags/t",
    );
    work.ok("push --quiet origin :two");
    work.ok("push --quiet origin main:refs/heads/three");
    assert_eq!(bare.refs().lines().count(), 2);
}

/// What is finished and cannot come into the catalog holds up neither deletions nor maintenance.
#[test]
fn over_a_quota_that_came_later() {
    let place = Place::set(Kind::Dir, "idle-publish = \"1h\"\n");
    let (bare, work) = place.pushed("app.git", 2);
    commit_noise(&work, "large", 400_000, 1);
    work.ok("push --quiet origin main main:refs/heads/side");
    let blob = bare.feed("hash-object -w --stdin", noise(1000, 2));
    limit(&place, "bytes", "100KB");
    bare.ok("update-ref -d refs/heads/side");
    gitmoor(&place, &["gc", "app.git", "--full"]);
    assert_eq!(
        bare.ok(format!("cat-file -s {blob}")),
        "1000",
        "kept on this machine"
    );
    work.commit("one more");
    refused(&work, "push origin main");
    gitmoor(&place, &["repo", "limit", "app.git", "bytes", "--unset"]);
    work.ok("push --quiet origin main");
    bare.fsck();
}
