//! Requests to the object store per git command: a round trip costs what a
//! thousand system calls cost, so their number is part of the contract.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::Repo;
use gitmoor_tests::history::{self, History};
use gitmoor_tests::place::Place;
use gitmoor_tests::s3::Counts;
use gitmoor_tests::{process, wait};
use std::ffi::OsString;
use std::time::Duration;

/// A mirror of git/git (500 MB, 850,000 objects in one pack) for the test that needs it.
const LARGE: &str = "GITMOOR_TEST_LARGE_REPOSITORY";

const MIB: u64 = 1 << 20;

fn place() -> Place {
    // Ref changes publish at once; nothing idles for long here.
    Place::set(Kind::S3s, "idle-publish = \"200ms\"\n")
}

/// What an action costs, with everything that the daemon does for it later.
fn cost(place: &Place, action: impl FnOnce()) -> Counts {
    settle(place);
    place.server().reset();
    action();
    settle(place);
    place.server().counts()
}

/// Waits until the publisher has nothing left to do.
fn settle(place: &Place) {
    let settings = place.daemon().settings().clone();
    wait::until("nothing is pending", Duration::from_secs(60), || {
        settings.status()["pending"]["files"] == 0
    });
}

#[track_caller]
fn free(place: &Place, what: &str, action: impl FnOnce()) {
    let counts = cost(place, action);
    assert_eq!(counts.requests(), 0, "{what}: {counts:?}");
}

/// Nothing but these, and one look in a minute whose the store is.
#[track_caller]
fn only_puts(counts: &Counts, at_most: u64) {
    assert!(counts.put <= at_most, "{counts:?}");
    let looks = counts.list + counts.get;
    assert_eq!(counts.requests(), counts.put + looks, "{counts:?}");
    assert!(looks <= 6, "{counts:?}");
}

#[track_caller]
fn only_gets(counts: &Counts, at_most: u64) {
    assert!(counts.get <= at_most, "{counts:?}");
    assert_eq!(counts.requests(), counts.get, "{counts:?}");
}

/// A repository of exactly 318 objects in one pack.
fn packed(place: &Place) -> (Repo, Repo) {
    let (bare, work) = place.pushed("app.git", 106);
    assert_eq!(bare.object_count(), 318);
    assert_eq!(bare.counted("packs"), 1);
    assert_eq!(bare.counted("count"), 0);
    (bare, work)
}

#[test]
fn what_needs_no_objects_is_free() {
    let place = place();
    free(&place, "init", || {
        place.bare("fresh.git");
    });
    let (bare, work) = packed(&place);
    let copy = place.clone("", &bare, "copy");
    free(&place, "ls-remote", || {
        work.ok("ls-remote origin");
    });
    free(&place, "for-each-ref", || {
        bare.ok("for-each-ref");
    });
    free(&place, "fetch of nothing", || {
        copy.ok("fetch --quiet");
    });
    free(&place, "cat-file -e", || {
        bare.fail(format!("cat-file -e {}", "1".repeat(40)));
    });
    free(&place, "update-ref", || {
        bare.ok("update-ref refs/heads/more main~1");
    });
    free(&place, "rev-parse", || {
        bare.ok("rev-parse main~3^{tree}");
    });
}

/// The same with an empty cache, where the answer is in the catalog and the refs alone.
#[test]
fn refs_and_absences_are_free_when_cold() {
    let place = place();
    let (bare, _) = place.pushed("app.git", 3);
    place.cool();
    free(&place, "cat-file -e of a missing oid", || {
        bare.fail(format!("cat-file -e {}", "1".repeat(40)));
    });
    free(&place, "rev-parse", || {
        bare.ok("rev-parse --verify main");
    });
    free(&place, "symbolic-ref", || {
        bare.ok("symbolic-ref HEAD");
    });
    free(&place, "show-ref", || {
        bare.ok("for-each-ref --format=%(refname)");
    });
}

#[test]
fn push_of_one_commit() {
    let place = place();
    let (_, work) = place.pushed("app.git", 1);
    for number in 0..3 {
        work.commit(&format!("n{number}"));
        let counts = cost(&place, || {
            work.ok("push --quiet origin main");
        });
        only_puts(&counts, 3);
        assert_eq!(counts.put, 3, "{counts:?}");
    }
}

#[test]
fn push_of_ten_thousand_objects() {
    let place = place();
    let bare = place.bare("app.git");
    let work = place.work("work");
    work.import(&History::default().files("main", 9_899, 100, 100).stream());
    assert_eq!(work.object_count(), 9_999 + 1);
    let counts = cost(&place, || {
        work.ok(format!("push --quiet {} main", bare.url()));
    });
    // The pack, its idx, its rev (git 2.41 and newer), and digests.
    only_puts(&counts, 4);
    assert!(counts.put >= 2, "{counts:?}");
}

/// Many loose objects go up as one pack.
#[test]
fn push_of_fifty_objects() {
    let place = place();
    let bare = place.bare("app.git");
    let work = place.work("work");
    work.import(&history::commits(16));
    let counts = cost(&place, || {
        work.ok(format!("push --quiet {} main", bare.url()));
    });
    only_puts(&counts, 3);
    place.cool();
    bare.fsck();
}

#[test]
fn clone_of_a_small_repository() {
    let place = place();
    let (bare, _) = packed(&place);
    place.cool();
    let cold = cost(&place, || {
        place.clone("--bare", &bare, "cold.git");
    });
    only_gets(&cold, 4);
    assert!(cold.get >= 2, "a cold clone must read something: {cold:?}");
    free(&place, "a warm clone", || {
        place.clone("--bare", &bare, "warm.git");
    });
    // The cache outlives the mount.
    place.restart();
    free(&place, "a clone after a remount", || {
        place.clone("--bare", &bare, "later.git");
    });
}

/// The first answer from a large pack: `git log -1` must not fetch it whole.
fn first_answer(place: &Place, bare: &Repo) {
    place.cool();
    place.server().reset();
    bare.ok("log -1");
    let counts = place.server().counts();
    assert!(counts.get <= 12, "{counts:?}");
    assert!(counts.bytes_out <= 8 * MIB, "{counts:?}");
    assert_eq!(counts.requests(), counts.get, "{counts:?}");
}

#[test]
fn first_answer_from_a_generated_pack() {
    let place = place();
    let bare = place.bare("app.git");
    let work = place.work("work");
    let history = History::default()
        .files("main", 100_000, 620, 400)
        .commits("main", 500);
    work.import(&history.stream());
    assert!(work.object_count() >= 100_000);
    work.ok(format!("push --quiet {} main", bare.url()));
    assert_eq!(bare.counted("packs"), 1);
    assert!(bare.counted("size-pack") >= 60 * 1024, "KiB");
    first_answer(&place, &bare);
}

#[test]
#[ignore = "needs a mirror of git/git, which GITMOOR_TEST_LARGE_REPOSITORY names; nightly"]
fn first_answer_from_git_itself() {
    let mirror = std::env::var_os(LARGE).expect(LARGE);
    let place = place();
    let bare = place.repo("git.git");
    let mut words = ["clone", "--quiet", "--mirror"]
        .map(OsString::from)
        .to_vec();
    words.extend([mirror, bare.dir.clone().into_os_string()]);
    let at = place.git.at(&place.scratch);
    let output = at.run_within(Duration::from_secs(1800), words, b"");
    assert!(output.status.success(), "{}", process::report(&output));
    assert!(bare.counted("in-pack") >= 300_000);
    first_answer(&place, &bare);
}
