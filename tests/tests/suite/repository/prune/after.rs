//! A deletion that is not published yet, and ref changes that come after it: of processes
//! that began when it was over, and of those that may have seen what it took.

use super::puppet::Puppet;
use super::{object, prune, unreachable, whole};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::Repo;
use gitmoor_tests::history::History;
use gitmoor_tests::place::Place;

/// Where only a ref change publishes deletions.
pub(super) fn place() -> Place {
    Place::set(Kind::Dir, "idle-publish = \"1h\"\n")
}

pub(super) fn packs(bare: &Repo) -> Vec<String> {
    let mut packs = bare.names("objects/pack");
    packs.retain(|name| name.ends_with(".pack"));
    packs
}

/// Two packs, and with them what a repack has to do.
pub(super) fn two_packs(place: &Place) -> (Repo, Repo) {
    let (bare, work) = place.pushed("app.git", 3);
    bare.ok("repack -d --quiet");
    work.commit("more");
    work.ok("push --quiet origin main");
    bare.ok("repack -d --quiet");
    assert_eq!(packs(&bare).len(), 2, "{:?}", packs(&bare));
    (bare, work)
}

/// As anybody works: the old packs must not come back with the next commit.
#[test]
fn repacked_and_then_committed() {
    let place = place();
    let (bare, _) = two_packs(&place);
    bare.ok("repack -a -d --quiet");
    let one = packs(&bare);
    assert_eq!(one.len(), 1);
    let tip = bare.ok("commit-tree -m next -p main main^{tree}");
    bare.ok(format!("update-ref refs/heads/main {tip}"));
    assert_eq!(packs(&bare), one, "not undone");
    place.restart();
    assert_eq!(packs(&bare), one, "and published");
    whole(&place, &bare);
}

/// The first of them publishes the deletion: the second must not take it for one that
/// came while it was under way.
#[test]
fn two_ref_changes_of_a_process_that_came_after() {
    let place = place();
    let (bare, _) = two_packs(&place);
    bare.ok("repack -a -d --quiet");
    let one = packs(&bare);
    let mut later = Puppet::of(&bare);
    let tip = bare.oid("main");
    for name in ["first", "second"] {
        assert_eq!(
            later.does(&format!("move refs/heads/{name} {tip}")),
            "moved"
        );
        assert_eq!(packs(&bare), one);
    }
    later.ends();
    whole(&place, &bare);
}

/// The deleting process is not done: who looks now may find a commit whose tree is gone.
fn moved_while_the_pruner_runs(unlink: &str) {
    let place = place();
    let (bare, _, oids) = unreachable(&place);
    let (commit, blob) = (&oids[0], object(&bare, &oids[oids.len() - 1]));
    let mut pruner = Puppet::of(&bare);
    pruner.does("look");
    let said = pruner.does(&format!("{unlink} {}", blob.display()));
    assert_eq!(said, "unlinked");
    bare.ok(format!("update-ref refs/heads/rescued {commit}"));
    assert_eq!(pruner.unlinks(&object(&bare, commit)), "errno 116");
    pruner.ends();
    assert!(blob.exists(), "what hangs on the rescued commit is back");
    whole(&place, &bare);
}

#[test]
fn moved_by_who_looked_while_the_pruner_ran() {
    moved_while_the_pruner_runs("unlink");
}

/// Its process may not be done.
#[test]
fn deleted_by_a_thread_that_ended() {
    moved_while_the_pruner_runs("thread unlink");
}

/// Whoever looks when it is done finds neither.
#[test]
fn moved_by_who_looked_when_the_pruner_had_ended() {
    let place = place();
    let (bare, work, oids) = unreachable(&place);
    for oid in &oids {
        prune(&bare, oid);
    }
    bare.refuse(format!("update-ref refs/heads/lost {}", oids[0]), "");
    // It sends what is missing.
    work.ok("push --quiet origin reuse");
    assert_eq!(bare.oid("reuse"), oids[0]);
    whole(&place, &bare);
}

/// What one thread of a process has read, the others know.
fn looked_before_a_prune(look: &str, change: &str) {
    let place = place();
    let (bare, _, oids) = unreachable(&place);
    let mut server = Puppet::of(&bare);
    server.does(look);
    prune(&bare, &oids[oids.len() - 1]);
    let moved = server.does(&format!("{change} refs/heads/reuse {}", oids[0]));
    assert_eq!(moved, "moved");
    server.ends();
    assert!(object(&bare, &oids[oids.len() - 1]).exists(), "undone");
    whole(&place, &bare);
}

#[test]
fn moved_by_a_new_thread_of_an_old_process() {
    looked_before_a_prune("look", "thread move");
}

#[test]
fn looked_by_a_thread_that_ended() {
    looked_before_a_prune("thread look", "move");
}

/// The same objects come again and become the same pack, of which the kernel remembers that
/// there is none.
#[test]
fn bundled_again_under_the_same_name() {
    let place = place();
    let (bare, work) = place.pushed("app.git", 3);
    let before = packs(&bare);
    work.import(&History::seeded(7).commits("again", 4).stream());
    work.ok("push --quiet origin again");
    let mut made = packs(&bare);
    made.retain(|name| !before.contains(name));
    let [bundle] = made.as_slice() else {
        panic!("one pack, not {made:?}");
    };
    work.ok("push --quiet origin :again");
    bare.ok("repack -a -d --quiet");
    let path = bare.dir.join("objects/pack").join(bundle);
    assert!(!path.exists());
    work.ok("push --quiet origin again");
    assert!(path.exists(), "{:?}", packs(&bare));
    whole(&place, &bare);
}
