//! Maintenance takes the place of files whose objects it has.

use crate::support::{World, file, id, path, refs, set};
use gitmoor_model::{
    Command, Digest, FileRemoval, Outcome, Refusal, Relied, Repacking, RepoChange, Version,
};
use gitmoor_replicator::state::read;

const OLD: &str = "objects/pack/pack-old.pack";
const KEPT: &str = "objects/pack/pack-kept.pack";
const NEW: &str = "objects/pack/pack-new.pack";

fn add(name: &str) -> Command {
    Command::Commit(RepoChange {
        add: vec![file(name, name, 0)],
        ..RepoChange::new(id(1))
    })
}

fn remove(name: &str, repacked: Option<Version>) -> Command {
    let removal = FileRemoval {
        paths: vec![path(name)],
        unless_refs_moved_since: None,
        unless_repacked_since: repacked,
    };
    Command::Commit(RepoChange {
        remove: Some(removal),
        ..RepoChange::new(id(1))
    })
}

/// `NEW` for `OLD`, concluded from `OLD` and `KEPT`.
fn repacking() -> Repacking {
    let there = file(OLD, OLD, 0).entry.digest;
    let relied = |name| Relied {
        path: path(name),
        digest: there,
    };
    Repacking {
        repo: id(1),
        add: vec![file(NEW, NEW, 0)],
        remove: vec![path(OLD)],
        relied: vec![relied(OLD), relied(KEPT)],
        tombstones_as_of: Version(0),
        unless_refs_moved_since: None,
    }
}

/// A world with `OLD` and `KEPT`, and when somebody looked at it.
fn world() -> (World, Version) {
    let mut world = World::with_repo(id(1));
    world.must(add(OLD));
    let looked = world.must(add(KEPT));
    (world, looked)
}

fn is_there(world: &World, name: &str) -> bool {
    let found = read::file(&world.database, id(1), &path(name));
    found.expect("reads").is_some()
}

fn moves(unpruned: Version) -> Command {
    let change = RepoChange {
        refs: vec![set("refs/heads/main", "x")],
        ..RepoChange::new(id(1))
    };
    let looked = None;
    Command::MoveRefs {
        change,
        tombstones_as_of: looked,
        unpruned,
    }
}

#[test]
fn refs_may_move_before_and_after() {
    let (mut world, looked) = world();
    world.must(refs(id(1), vec![set("refs/heads/side", "x")]));
    world.must(Command::Repack(Box::new(repacking())));
    assert!(!is_there(&world, OLD) && is_there(&world, NEW));
    // Who found an object in the old pack finds it in the new one …
    world.must(moves(looked));
    // … until that goes as well.
    world.must(remove(NEW, None));
    assert_eq!(world.run(moves(looked)), Outcome::Refused(Refusal::Pruned));
}

#[test]
fn what_it_was_concluded_from_must_be_there() {
    for gone in [OLD, KEPT] {
        let (mut world, _) = world();
        world.must(remove(gone, None));
        let path = path(gone);
        let refused = Outcome::Refused(Refusal::Changed { path });
        assert_eq!(world.run(Command::Repack(Box::new(repacking()))), refused);
        assert!(!is_there(&world, NEW));
    }
    let (mut world, _) = world();
    let mut other = file(KEPT, "another", 0);
    other.entry.digest = Digest([8; 32]);
    let mut change = RepoChange::new(id(1));
    change.add.push(other);
    world.must(Command::Commit(change));
    let path = path(KEPT);
    let refused = Outcome::Refused(Refusal::Changed { path });
    assert_eq!(world.run(Command::Repack(Box::new(repacking()))), refused);
}

#[test]
fn a_lossy_one_holds_only_while_no_ref_moved() {
    let (mut world, looked) = world();
    let lossy = |since| {
        Command::Repack(Box::new(Repacking {
            unless_refs_moved_since: Some(since),
            ..repacking()
        }))
    };
    let actual = world.must(refs(id(1), vec![set("refs/heads/side", "x")]));
    let late = Outcome::Refused(Refusal::RefsMoved { actual });
    assert_eq!(world.run(lossy(looked)), late);
    world.must(lossy(actual));
    // What it removed may be missed.
    assert_eq!(world.run(moves(looked)), Outcome::Refused(Refusal::Pruned));
}

#[test]
fn a_removal_decided_on_before_is_refused() {
    let (mut world, looked) = world();
    let actual = world.must(Command::Repack(Box::new(repacking())));
    let refused = Outcome::Refused(Refusal::Repacked { actual });
    assert_eq!(world.run(remove(KEPT, Some(looked))), refused);
    assert!(is_there(&world, KEPT));
    world.must(remove(KEPT, Some(actual)));
}
