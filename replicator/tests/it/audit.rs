//! Who changed what, and how much of that is kept.

use crate::support::{
    World, actor, file, id, line, name, oid, packed, packed_ref, path, refs, set, time,
};
use gitmoor_model::{
    Command, Digest, FileRemoval, Limit, PackedEdit, Repacking, RepoChange, Version,
};
use gitmoor_replicator::state::{AuditEvent, AuditRecord, RefMove, RefValue, Trail, read};

fn trail(world: &World, trail: Trail, since: Version) -> Vec<(Version, AuditRecord)> {
    let mut records = Vec::new();
    let mut keep = |version, record| {
        records.push((version, record));
        true
    };
    read::audit(&world.database, trail, since, &mut keep).expect("reads");
    records
}

fn events(world: &World, of: Trail) -> Vec<AuditEvent> {
    let records = trail(world, of, Version(0)).into_iter();
    records.map(|(_, record)| record.event).collect()
}

fn moved(name: &str, old: RefValue, new: RefValue) -> RefMove {
    let name = path(name);
    RefMove { name, old, new }
}

fn object(byte: u8) -> RefValue {
    RefValue::Object(vec![byte; 20])
}

#[test]
fn who_moved_what_is_on_record() {
    let mut world = World::with_repo(id(1));
    let first = world.must(refs(id(1), vec![set("refs/heads/main", &oid(1))]));
    let edits = vec![
        set("HEAD", "ref: refs/heads/main\n"),
        set("refs/heads/main", &oid(2)),
        set("reftable/big.ref", &"x".repeat(5000)),
    ];
    let second = world.must(refs(id(1), edits));
    let record = |version: Version, moves| {
        let record = AuditRecord {
            time: time(version.0),
            actor: actor(),
            repo: Some(id(1)),
            event: AuditEvent::RefsMoved(moves),
        };
        (version, record)
    };
    let head = RefValue::Text(b"ref: refs/heads/main\n".into());
    let digest = Digest(*blake3::hash(&[b'x'; 5000]).as_bytes());
    let big = RefValue::Long { size: 5000, digest };
    let first = record(
        first,
        vec![moved("refs/heads/main", RefValue::Absent, object(1))],
    );
    let second = record(
        second,
        vec![
            moved("HEAD", RefValue::Absent, head),
            moved("refs/heads/main", object(1), object(2)),
            moved("reftable/big.ref", RefValue::Absent, big),
        ],
    );
    let since = |version| trail(&world, Trail::Of(id(1)), version);
    assert_eq!(since(first.0), [first, second.clone()]);
    assert_eq!(since(second.0), std::slice::from_ref(&second));
    let last = read::last_move(&world.database, id(1)).expect("reads");
    assert_eq!(last, Some(second.1));
}

/// Also when the value goes from one layer to the other, and when it is refused.
#[test]
fn what_moves_nothing_is_on_no_record() {
    let mut world = World::with_repo(id(1));
    world.must(refs(id(1), vec![set("refs/heads/main", &oid(1))]));
    let before = events(&world, Trail::Of(id(1)));
    world.must(packed(id(1), vec![line("refs/heads/main", 1)]));
    world.must(refs(id(1), vec![set("refs/heads/main", &oid(1))]));
    world.run(refs(id(9), vec![set("refs/heads/main", &oid(2))]));
    assert_eq!(events(&world, Trail::Of(id(1))), before);
}

#[test]
fn all_that_becomes_of_a_repository() {
    let mut world = World::with_repo(id(1));
    let (from, to) = (name("app.git"), name("dir/new.git"));
    let dir = name("dir");
    world.must(Command::CreateDirectory { path: dir.clone() });
    world.must(Command::Rename {
        from: from.clone(),
        to: to.clone(),
    });
    let set = |value: Option<&str>| Command::SetSetting {
        id: id(1),
        key: "gc.auto".to_owned(),
        value: value.map(str::to_owned),
    };
    world.must(set(Some("1")));
    world.must(set(None));
    let change = RepoChange {
        add: vec![
            file("objects/pack/a.pack", "a", 0),
            file("objects/x", "x", 0),
        ],
        ..RepoChange::new(id(1))
    };
    world.must(Command::Commit(change));
    world.must(Command::Repack(Box::new(Repacking {
        repo: id(1),
        add: vec![file("objects/pack/b.pack", "b", 0)],
        remove: vec![path("objects/pack/a.pack"), path("objects/gone")],
        relied: vec![],
        tombstones_as_of: Version(0),
        unless_refs_moved_since: None,
    })));
    let removal = FileRemoval {
        paths: vec![path("objects/x"), path("objects/gone")],
        unless_refs_moved_since: None,
        unless_repacked_since: None,
    };
    world.must(Command::Commit(RepoChange {
        remove: Some(removal),
        ..RepoChange::new(id(1))
    }));
    let deleted = world.must(Command::DeleteRepo { id: id(1) });

    let here = [
        AuditEvent::Created { path: from.clone() },
        AuditEvent::Renamed {
            from: from.clone(),
            to: to.clone(),
        },
        AuditEvent::SettingSet {
            key: "gc.auto".to_owned(),
            old: None,
            new: Some("1".to_owned()),
        },
        AuditEvent::SettingSet {
            key: "gc.auto".to_owned(),
            old: Some("1".to_owned()),
            new: None,
        },
        AuditEvent::Repacked {
            added: 1,
            removed: 1,
        },
        AuditEvent::ObjectsRemoved { files: 1 },
        AuditEvent::Deleted { path: to.clone() },
    ];
    assert_eq!(events(&world, Trail::Of(id(1))), here);

    world.must(Command::ExpireRepo {
        id: id(1),
        version: deleted,
    });
    world.must(Command::PurgeRepo { id: id(1) });
    assert_eq!(events(&world, Trail::Of(id(1))), []);
    let created = AuditEvent::Created { path: from.clone() };
    let there = [
        created,
        AuditEvent::DirectoryCreated { path: dir },
        AuditEvent::Renamed {
            from,
            to: to.clone(),
        },
        AuditEvent::Deleted { path: to.clone() },
        AuditEvent::Expired { path: to.clone() },
        AuditEvent::Purged { path: to },
    ];
    assert_eq!(events(&world, Trail::Namespace), there);
}

/// A directory of repositories is one record in the namespace, and one in each of them.
#[test]
fn a_renamed_directory_is_on_record_in_its_repositories() {
    let mut world = World::new();
    world.must(Command::CreateDirectory { path: name("a") });
    world.must(Command::CreateRepo {
        id: id(1),
        path: name("a/r.git"),
    });
    world.must(Command::Rename {
        from: name("a"),
        to: name("b"),
    });
    let renamed = AuditEvent::Renamed {
        from: name("a/r.git"),
        to: name("b/r.git"),
    };
    assert_eq!(events(&world, Trail::Of(id(1))).last(), Some(&renamed));
    let renamed = AuditEvent::Renamed {
        from: name("a"),
        to: name("b"),
    };
    assert_eq!(events(&world, Trail::Namespace).last(), Some(&renamed));
}

/// Refs that one commit moves share records, so that very many cost few rows.
#[test]
fn many_refs_at_once_are_few_records() {
    let mut world = World::with_repo(id(1));
    let edit = |n| PackedEdit::Set {
        name: path(&format!("refs/tags/{n:05}")),
        line: packed_ref(1),
    };
    world.must(packed(id(1), (0..2500).map(edit).collect()));
    let sizes: Vec<_> = events(&world, Trail::Of(id(1)))
        .iter()
        .map(|event| match event {
            AuditEvent::RefsMoved(moves) => moves.len(),
            _ => 0,
        })
        .collect();
    assert_eq!(sizes, [0, 1000, 1000, 500], "the creation, and three");
}

fn limit(limit: Limit, value: u64) -> Command {
    let (id, value) = (id(1), Some(value));
    Command::SetLimit { id, limit, value }
}

#[test]
fn the_oldest_go_beyond_the_limit() {
    let mut world = World::with_repo(id(1));
    world.must(limit(Limit::AuditRecords, 3));
    for byte in 1..=5 {
        world.must(refs(id(1), vec![set("refs/heads/main", &oid(byte))]));
    }
    let kept = events(&world, Trail::Of(id(1)));
    let moves = (3..=5).map(|byte| {
        let moved = moved("refs/heads/main", object(byte - 1), object(byte));
        AuditEvent::RefsMoved(vec![moved])
    });
    assert_eq!(kept, moves.collect::<Vec<_>>());
    assert_eq!(events(&world, Trail::Namespace).len(), 1, "not its trail");
}

/// Of very many that are too old a few go each time: a wrong clock does little harm, and no command
/// takes long.
#[test]
fn old_records_go_a_few_at_a_time() {
    let mut world = World::with_repo(id(1));
    for byte in 1..=40 {
        world.must(refs(id(1), vec![set("refs/heads/main", &oid(byte))]));
    }
    world.must(limit(Limit::AuditKeep, 1000));
    let count = |world: &World| events(world, Trail::Of(id(1))).len();
    assert_eq!(count(&world), 42);
    world.index += 2000;
    let mut left = vec![];
    for byte in 41..=44 {
        world.must(refs(id(1), vec![set("refs/heads/main", &oid(byte))]));
        left.push(count(&world));
    }
    assert_eq!(
        left,
        [26, 10, 3, 4],
        "all that are old, and none that is not"
    );
}
