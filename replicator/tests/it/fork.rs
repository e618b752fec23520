//! Forks: they begin with all of their parent, and no key goes that either names.

use crate::support::{World, file, id, line, name, oid, packed, path, refs, set};
use gitmoor_model::{
    Command, Deletions, FileRemoval, Limit, Outcome, Refusal, RepoChange, RepoId, TrashId, Version,
};
use gitmoor_replicator::state::read;
use std::collections::BTreeSet;

const PACK: &str = "objects/pack/p.pack";

fn key(repo: RepoId) -> String {
    format!("{repo}/{PACK}")
}

/// Repository 1 with a pack, refs and settings.
fn world() -> World {
    let mut world = World::with_repo(id(1));
    world.must(Command::Commit(RepoChange {
        add: vec![file(PACK, &key(id(1)), 2)],
        ..RepoChange::new(id(1))
    }));
    world.must(refs(id(1), vec![set("refs/heads/main", &oid(1))]));
    world.must(packed(id(1), vec![line("refs/tags/t", 2)]));
    world
}

fn fork(world: &mut World, from: u8, to: u8) -> Version {
    world.must(Command::Fork {
        from: id(from),
        id: id(to),
        path: name(&format!("fork-{to}.git")),
    })
}

/// Removes the pack of a repository, from its trash too.
fn lose(world: &mut World, repo: u8) {
    let removal = FileRemoval {
        paths: vec![path(PACK)],
        unless_refs_moved_since: None,
        unless_repacked_since: None,
    };
    let version = world.must(Command::Commit(RepoChange {
        remove: Some(removal),
        ..RepoChange::new(id(repo))
    }));
    expire(world, repo, version);
}

fn expire(world: &mut World, repo: u8, version: Version) {
    let path = path(PACK);
    world.must(Command::MarkDeleted(Deletions {
        repo: id(repo),
        expired: vec![TrashId { version, path }],
        leftovers: vec![],
    }));
}

fn purge(world: &mut World, repo: u8) {
    let version = world.must(Command::DeleteRepo { id: id(repo) });
    world.must(Command::ExpireRepo {
        id: id(repo),
        version,
    });
    world.must(Command::PurgeRepo { id: id(repo) });
}

fn tombstones(world: &World, repo: u8) -> Vec<String> {
    let keys = read::tombstones(&world.database, id(repo)).expect("reads");
    keys.into_iter().map(|tombstone| tombstone.key).collect()
}

fn is_left(world: &World, repo: u8) -> bool {
    let left = read::expired_repos(&world.database).expect("reads");
    left.iter().any(|left| left.repo.id == id(repo))
}

fn shared(world: &World, repo: u8) -> BTreeSet<String> {
    read::shared_keys(&world.database, id(repo)).expect("reads")
}

#[test]
fn it_begins_with_everything() {
    let mut world = world();
    let (limit, value) = (Limit::AuditRecords, Some(7));
    let set_limit = Command::SetLimit {
        id: id(1),
        limit,
        value,
    };
    world.must(set_limit);
    let version = fork(&mut world, 1, 2);
    let view = &world.database;
    let (parent, fork) = (world.repo(id(1)), world.repo(id(2)));
    assert_eq!(fork.limits, parent.limits);
    assert_eq!(fork.refs_version, version);
    assert_eq!(fork.forked_from, Some(id(1)));
    for name in ["refs/heads/main", "HEAD"].map(path) {
        let of = |repo| read::reference(view, repo, &name).expect("reads");
        assert_eq!(of(id(2)), of(id(1)));
    }
    let line = |repo| read::packed_ref(view, repo, &path("refs/tags/t")).expect("reads");
    assert_eq!(line(id(2)), line(id(1)));
    let file = |repo| read::file(view, repo, &path(PACK)).expect("reads");
    assert_eq!(file(id(2)), file(id(1)));
    let blocks = |repo| read::blocks(view, repo, &path(PACK)).expect("reads");
    assert_eq!(blocks(id(2)).len(), 2);
    assert_eq!(shared(&world, 1), BTreeSet::from([key(id(1))]));
}

#[test]
fn either_may_lose_it_first() {
    for (first, last) in [(1, 2), (2, 1)] {
        let mut world = world();
        fork(&mut world, 1, 2);
        lose(&mut world, first);
        assert_eq!(tombstones(&world, 1), [] as [String; 0]);
        lose(&mut world, last);
        assert_eq!(tombstones(&world, 1), [key(id(1))]);
        assert_eq!(tombstones(&world, 2), [] as [String; 0]);
        assert!(shared(&world, 1).is_empty());
    }
}

#[test]
fn a_purged_parent_stays_until_the_last_fork_gives_back() {
    let mut world = world();
    fork(&mut world, 1, 2);
    fork(&mut world, 2, 3);
    purge(&mut world, 1);
    assert!(is_left(&world, 1), "its key is shared");
    assert_eq!(shared(&world, 1), BTreeSet::from([key(id(1))]));
    let again = Command::CreateRepo {
        id: id(1),
        path: name("again.git"),
    };
    assert!(matches!(
        world.run(again),
        Outcome::Refused(Refusal::Exists(_))
    ));

    purge(&mut world, 2);
    assert!(!is_left(&world, 2), "nothing of its own is shared");
    world.must(Command::PurgeRepo { id: id(1) });
    assert!(is_left(&world, 1));
    lose(&mut world, 3);
    world.must(Command::PurgeRepo { id: id(1) });
    assert!(!is_left(&world, 1));
}

#[test]
fn a_purged_fork_gives_back() {
    let mut world = world();
    fork(&mut world, 1, 2);
    lose(&mut world, 1);
    purge(&mut world, 2);
    assert_eq!(tombstones(&world, 1), [key(id(1))]);
}

/// Two rows of the fork's trash name one key: the first to expire gives nothing back.
#[test]
fn what_the_trash_names_twice() {
    let mut world = world();
    fork(&mut world, 1, 2);
    lose(&mut world, 1);
    let remove = |world: &mut World| {
        let removal = FileRemoval {
            paths: vec![path(PACK)],
            unless_refs_moved_since: None,
            unless_repacked_since: None,
        };
        world.must(Command::Commit(RepoChange {
            remove: Some(removal),
            ..RepoChange::new(id(2))
        }))
    };
    let first = remove(&mut world);
    world.must(Command::Commit(RepoChange {
        add: vec![file(PACK, &key(id(1)), 2)],
        ..RepoChange::new(id(2))
    }));
    expire(&mut world, 2, first);
    assert_eq!(tombstones(&world, 1), [] as [String; 0]);
    lose(&mut world, 2);
    assert_eq!(tombstones(&world, 1), [key(id(1))]);
}

#[test]
fn nobody_names_what_is_not_on_loan() {
    let mut world = world();
    world.must(Command::CreateRepo {
        id: id(2),
        path: name("other.git"),
    });
    let outcome = world.run(Command::Commit(RepoChange {
        add: vec![file(PACK, &key(id(1)), 2)],
        ..RepoChange::new(id(2))
    }));
    let key = key(id(1));
    assert_eq!(outcome, Outcome::Refused(Refusal::HasTombstone { key }));
}
