//! Quotas: what would be too much is refused, and what makes less never is.

use crate::support::{World, delete, file, id, line, oid, packed, path, refs, set};
use gitmoor_model::{
    Command, FileRemoval, Limit, Outcome, Refusal, Repacking, RepoChange, Usage, Version,
};

const MIB: u64 = 1 << 20;

fn limit(limit: Limit, value: u64) -> Command {
    let (id, value) = (id(1), Some(value));
    Command::SetLimit { id, limit, value }
}

/// A change that adds a file of so many MiB.
fn add(name: &str, mib: u8) -> RepoChange {
    RepoChange {
        add: vec![file(name, name, mib)],
        ..RepoChange::new(id(1))
    }
}

fn remove(name: &str) -> Command {
    let removal = FileRemoval {
        paths: vec![path(name)],
        unless_refs_moved_since: None,
        unless_repacked_since: None,
    };
    Command::Commit(RepoChange {
        remove: Some(removal),
        ..RepoChange::new(id(1))
    })
}

fn over(limit: Limit, most: u64, would_be: u64) -> Outcome {
    Outcome::Refused(Refusal::OverQuota {
        limit,
        most,
        would_be,
    })
}

fn usage(world: &World) -> Usage {
    world.repo(id(1)).usage
}

#[test]
fn bytes() {
    let mut world = World::with_repo(id(1));
    world.must(limit(Limit::Bytes, 3 * MIB));
    world.must(Command::Commit(add("objects/a", 2)));
    let both = RepoChange {
        refs: vec![set("refs/heads/main", &oid(1))],
        ..add("objects/b", 2)
    };
    let refused = world.run(Command::Commit(both));
    assert_eq!(refused, over(Limit::Bytes, 3 * MIB, 4 * MIB));
    assert_eq!(usage(&world).refs, 0, "nor is the ref there");
    world.must(Command::Commit(add("objects/b", 1)));
    // In place of another of its name it counts once.
    world.must(Command::Commit(add("objects/b", 1)));
    let (files, bytes) = (usage(&world).files, usage(&world).bytes);
    assert_eq!((files, bytes), (2, 3 * MIB));
}

/// Of two that fit alone, and not together, one wins, in whatever batch they come.
#[test]
fn two_at_once() {
    let mut world = World::with_repo(id(1));
    world.must(limit(Limit::Bytes, 3 * MIB));
    let pushes = ["objects/a", "objects/b"].map(|name| Command::Commit(add(name, 2)));
    let outcomes = world.run_batch(pushes.to_vec());
    assert!(matches!(outcomes[0], Outcome::Done(_)));
    assert_eq!(outcomes[1], over(Limit::Bytes, 3 * MIB, 4 * MIB));
}

/// A quota that is set below what there is refuses nothing but growth.
#[test]
fn what_makes_less_always_works() {
    let mut world = World::with_repo(id(1));
    for name in ["objects/a", "objects/b", "objects/c"] {
        world.must(Command::Commit(add(name, 2)));
    }
    let edits = ["a", "b", "c"].map(|name| set(&format!("refs/heads/{name}"), &oid(1)));
    world.must(refs(id(1), edits.to_vec()));
    world.must(limit(Limit::Bytes, MIB));
    world.must(limit(Limit::Refs, 1));
    world.must(refs(id(1), vec![delete("refs/heads/a")]));
    world.must(refs(id(1), vec![set("refs/heads/b", &oid(2))]));
    let removed = world.must(remove("objects/a"));
    assert_eq!((usage(&world).refs, usage(&world).bytes), (2, 4 * MIB));
    // Maintenance, and what comes back for the sake of a ref.
    world.must(Command::Repack(Box::new(Repacking {
        repo: id(1),
        add: vec![file("objects/p", "p", 5)],
        remove: vec![path("objects/b"), path("objects/c")],
        relied: vec![],
        tombstones_as_of: Version(0),
        unless_refs_moved_since: None,
    })));
    world.must(Command::RestoreFiles {
        repo: id(1),
        files: vec![gitmoor_model::TrashId {
            version: removed,
            path: path("objects/a"),
        }],
    });
    assert_eq!(usage(&world).bytes, 7 * MIB);
    let grown = world.run(Command::Commit(add("objects/d", 1)));
    assert_eq!(grown, over(Limit::Bytes, MIB, 8 * MIB));
}

#[test]
fn refs_of_both_layers_count_once() {
    let mut world = World::with_repo(id(1));
    world.must(limit(Limit::Refs, 2));
    let edits = ["a", "b"].map(|name| set(&format!("refs/heads/{name}"), &oid(1)));
    world.must(refs(id(1), edits.to_vec()));
    world.must(refs(id(1), vec![set("HEAD", "ref: refs/heads/a\n")]));
    world.must(packed(id(1), vec![line("refs/heads/a", 1)]));
    assert_eq!(usage(&world).refs, 2);
    world.must(refs(id(1), vec![delete("refs/heads/a")]));
    assert_eq!(usage(&world).refs, 2, "the packed line shows");
    let one_more = world.run(packed(id(1), vec![line("refs/heads/c", 1)]));
    assert_eq!(one_more, over(Limit::Refs, 2, 3));
}
