//! Loans: what a lender names a borrower may name, and no key goes that either names.

use crate::support::{World, file, id, name, oid, path, refs, set};
use gitmoor_model::{
    BlockDigest, Borrowing, Command, Deletions, Digest, Envelope, FileAdd, FileEntry, FileRemoval,
    FileTouch, Limit, Loan, Outcome, Place, Proposal, Refusal, Relied, RepoChange, SessionId,
    TrashId, Unfit, Version,
};
use gitmoor_replicator::state::{AuditEvent, Trail, read};
use std::collections::BTreeSet;

const PACK: &str = "objects/pack/pack-1.pack";
const PACKS: &str = "objects/info/packs";

fn key(repo: u8) -> String {
    format!("{}/{PACK}", id(repo))
}

fn inline() -> FileAdd {
    let pack = file(PACKS, "", 0);
    let bytes = b"P pack-1.pack\n".to_vec();
    let entry = FileEntry {
        size: bytes.len() as u64,
        place: Place::Inline(bytes),
        digest: Digest([8; 32]),
        ..pack.entry
    };
    FileAdd { entry, ..pack }
}

/// Repository 1 with a pack and a file in the catalog itself; 2 and 3 are empty.
fn world() -> World {
    let mut world = World::with_repo(id(1));
    world.must(Command::Commit(RepoChange {
        add: vec![file(PACK, &key(1), 2), inline()],
        ..RepoChange::new(id(1))
    }));
    for repo in [2, 3] {
        let path = name(&format!("{repo}.git"));
        world.must(Command::CreateRepo { id: id(repo), path });
    }
    world
}

fn relied(at: &str, digest: u8) -> Relied {
    Relied {
        path: path(at),
        digest: Digest([digest; 32]),
    }
}

fn borrowing(repo: u8, from: u8, files: Vec<Relied>) -> Borrowing {
    let from = id(from);
    Borrowing {
        change: RepoChange::new(id(repo)),
        tombstones_as_of: None,
        unpruned: None,
        loans: vec![Loan { from, files }],
    }
}

fn borrow(repo: u8, from: u8) -> Command {
    let files = vec![relied(PACK, 7), relied(PACKS, 8)];
    Command::Borrow(Box::new(borrowing(repo, from, files)))
}

fn remove(repo: u8) -> Command {
    let removal = FileRemoval {
        paths: vec![path(PACK)],
        unless_refs_moved_since: None,
        unless_repacked_since: None,
    };
    Command::Commit(RepoChange {
        remove: Some(removal),
        ..RepoChange::new(id(repo))
    })
}

/// Removes the pack of a repository, from its trash too.
fn lose(world: &mut World, repo: u8) {
    let version = world.must(remove(repo));
    let path = path(PACK);
    world.must(Command::MarkDeleted(Deletions {
        repo: id(repo),
        expired: vec![TrashId { version, path }],
        leftovers: vec![],
    }));
}

fn purge(world: &mut World, repo: u8) {
    let id = id(repo);
    let version = world.must(Command::DeleteRepo { id });
    world.must(Command::ExpireRepo { id, version });
    world.must(Command::PurgeRepo { id });
}

fn tombstones(world: &World, repo: u8) -> Vec<String> {
    let keys = read::tombstones(&world.database, id(repo)).expect("reads");
    keys.into_iter().map(|tombstone| tombstone.key).collect()
}

fn entry(world: &World, repo: u8, at: &str) -> Option<FileEntry> {
    read::file(&world.database, id(repo), &path(at)).expect("reads")
}

fn is_left(world: &World, repo: u8) -> bool {
    let left = read::expired_repos(&world.database).expect("reads");
    left.iter().any(|left| left.repo.id == id(repo))
}

fn refused(outcome: &Outcome, from: u8) -> bool {
    let (from, path) = (id(from), path(PACK));
    *outcome == Outcome::Refused(Refusal::NotLent { from, path })
}

#[test]
fn the_borrower_has_the_lenders_rows() {
    let mut world = world();
    let touch = FileTouch {
        path: path(PACK),
        digest: Digest([7; 32]),
        mtime: None,
        mode: Some(0o400),
    };
    world.must(Command::Touch {
        repo: id(1),
        files: vec![touch],
    });
    let version = world.must(borrow(2, 1));
    for at in [PACK, PACKS] {
        assert_eq!(entry(&world, 2, at), entry(&world, 1, at));
    }
    let blocks = read::blocks(&world.database, id(2), &path(PACK)).expect("reads");
    assert_eq!(blocks, [BlockDigest([0; 16]), BlockDigest([1; 16])]);
    let (lender, borrower) = (world.repo(id(1)), world.repo(id(2)));
    assert_eq!(
        borrower.usage.bytes, lender.usage.bytes,
        "it counts in full"
    );
    assert_eq!(borrower.catalog_version, version);
    assert_eq!(borrower.forked_from, None);
    let shared = read::shared_keys(&world.database, id(1)).expect("reads");
    assert_eq!(shared, BTreeSet::from([key(1)]));
}

#[test]
fn refs_move_with_it_or_nothing_happens() {
    let mut world = world();
    let with_ref = |from, value: &str| {
        let mut borrowing = borrowing(2, from, vec![relied(PACK, 7)]);
        borrowing.change.refs = vec![set("refs/heads/main", value)];
        Command::Borrow(Box::new(borrowing))
    };
    assert!(refused(&world.run(with_ref(3, &oid(1))), 3));
    let main = path("refs/heads/main");
    let main = |world: &World| read::reference(&world.database, id(2), &main).expect("reads");
    assert!(main(&world).is_none());
    let version = world.must(with_ref(1, &oid(1)));
    assert_eq!(main(&world).expect("there").version, version);
    let mut events = Vec::new();
    let mut keep = |_, record: gitmoor_replicator::state::AuditRecord| {
        events.push(record.event);
        true
    };
    let trail = Trail::Of(id(2));
    read::audit(&world.database, trail, Version(version.0 - 1), &mut keep).expect("reads");
    assert!(matches!(events[0], AuditEvent::RefsMoved(_)), "{events:?}");
    let (files, from) = (1, id(1));
    assert_eq!(events[1..], [AuditEvent::Borrowed { files, from }]);
}

#[test]
fn what_the_lender_has_not_is_not_lent() {
    let mut world = world();
    let other = Command::Borrow(Box::new(borrowing(2, 1, vec![relied(PACK, 9)])));
    assert!(refused(&world.run(other), 1), "other bytes");
    let removed = world.must(remove(1));
    assert!(refused(&world.run(borrow(2, 1)), 1), "in the trash");
    let path = path(PACK);
    world.must(Command::RestoreFiles {
        repo: id(1),
        files: vec![TrashId {
            version: removed,
            path,
        }],
    });
    let version = world.must(Command::DeleteRepo { id: id(1) });
    assert!(refused(&world.run(borrow(2, 1)), 1), "deleted");
    world.must(Command::ExpireRepo { id: id(1), version });
    assert!(refused(&world.run(borrow(2, 1)), 1), "expired");
    let shared = read::shared_keys(&world.database, id(1)).expect("reads");
    assert!(shared.is_empty(), "a refusal shares nothing");
}

#[test]
fn either_may_lose_it_first() {
    for (first, last) in [(1, 2), (2, 1)] {
        let mut world = world();
        world.must(borrow(2, 1));
        lose(&mut world, first);
        assert_eq!(tombstones(&world, 1), [] as [String; 0]);
        lose(&mut world, last);
        assert_eq!(tombstones(&world, 1), [key(1)]);
    }
}

/// The one between has lost it: that had it from the first, which has it still.
#[test]
fn a_loan_of_a_loan() {
    let mut world = world();
    world.must(borrow(2, 1));
    world.must(borrow(3, 2));
    purge(&mut world, 1);
    purge(&mut world, 2);
    assert!(is_left(&world, 1) && !is_left(&world, 2));
    assert_eq!(entry(&world, 3, PACK).expect("there").key(), Some(&*key(1)));
    lose(&mut world, 3);
    world.must(Command::PurgeRepo { id: id(1) });
    assert!(!is_left(&world, 1));
}

/// What the owner has lost comes back to it under its own key.
#[test]
fn the_owner_borrows_its_own_back() {
    let mut world = world();
    world.must(borrow(2, 1));
    lose(&mut world, 1);
    world.must(borrow(1, 2));
    lose(&mut world, 2);
    assert_eq!(tombstones(&world, 1), [] as [String; 0]);
    lose(&mut world, 1);
    assert_eq!(tombstones(&world, 1), [key(1)]);
}

#[test]
fn a_quota_counts_what_is_borrowed() {
    let mut world = world();
    world.must(Command::SetLimit {
        id: id(2),
        limit: Limit::Bytes,
        value: Some(1 << 20),
    });
    let outcome = world.run(borrow(2, 1));
    assert!(
        matches!(outcome, Outcome::Refused(Refusal::OverQuota { .. })),
        "{outcome:?}"
    );
    assert!(entry(&world, 2, PACKS).is_none());
}

/// As for any change of refs, and any that something was stored for.
#[test]
fn what_it_was_concluded_from_must_hold() {
    let mut world = world();
    world.must(refs(id(2), vec![set("refs/heads/main", &oid(1))]));
    let late = |repo, from, as_of, unpruned| {
        let files = vec![relied(PACK, 7)];
        Command::Borrow(Box::new(Borrowing {
            tombstones_as_of: as_of,
            unpruned,
            ..borrowing(repo, from, files)
        }))
    };
    let outcome = world.run(late(2, 1, Some(Version(9)), None));
    assert_eq!(outcome, Outcome::Refused(Refusal::TombstonesExpired));
    world.must(borrow(2, 1));
    let removed = world.must(remove(2));
    let before = Some(Version(removed.0 - 1));
    let outcome = world.run(late(2, 1, None, before));
    assert_eq!(outcome, Outcome::Refused(Refusal::Pruned));
    world.must(late(2, 1, Some(Version(0)), Some(removed)));
}

#[test]
fn what_nobody_may_propose() {
    let propose = |borrowing: Borrowing| {
        let envelope = Envelope {
            session: SessionId::random(),
            sequence: 1,
            time: Default::default(),
            actor: Default::default(),
            command: Command::Borrow(Box::new(borrowing)),
            trace: None,
        };
        Proposal::new(&envelope, 1 << 20)
    };
    let pack = || vec![relied(PACK, 7)];
    propose(borrowing(2, 1, pack())).expect("as git links it");
    let mut twice = borrowing(2, 1, pack());
    twice.loans.push(twice.loans[0].clone());
    let mut added = borrowing(2, 1, pack());
    added.change.add = vec![file(PACK, &key(2), 1)];
    for wrong in [
        borrowing(1, 1, pack()),
        borrowing(2, 1, vec![relied("HEAD", 7)]),
        twice,
        added,
    ] {
        let refused = propose(wrong);
        assert!(matches!(refused, Err(Unfit::Refused(_))), "{refused:?}");
    }
}
