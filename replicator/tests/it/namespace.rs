//! Names, repositories and the trash.

use crate::support::{World, file, id, name, oid, path, refs, set, time};
use gitmoor_model::{
    BlockDigest, Command, Envelope, FileRemoval, Outcome, Refusal, RepoChange, SessionId, Version,
};
use gitmoor_replicator::state::{KeyRange, Table, View, Visit, read};
use gitmoor_replicator::{Child, NameEntry, ReadError};

fn mkdir(path: &str) -> Command {
    Command::CreateDirectory { path: name(path) }
}

fn rename(from: &str, to: &str) -> Command {
    Command::Rename {
        from: name(from),
        to: name(to),
    }
}

#[test]
fn repositories_do_not_nest_and_names_say_what_they_are() {
    let mut world = World::with_repo(id(1));
    let refused = |path: &str| Outcome::Refused(Refusal::BadPath(name(path)));
    assert_eq!(world.run(mkdir("app.git/sub")), refused("app.git/sub"));
    assert_eq!(world.run(mkdir("other.git")), refused("other.git"));
    let inside = Command::CreateRepo {
        id: id(2),
        path: name("app.git/in.git"),
    };
    assert_eq!(world.run(inside), refused("app.git/in.git"));
    let nameless = Command::CreateRepo {
        id: id(2),
        path: name("app"),
    };
    assert_eq!(world.run(nameless), refused("app"));
    assert_eq!(world.run(rename("app.git", "app")), refused("app"));
}

#[test]
fn renaming_a_directory_moves_the_repositories_beneath_it() {
    let mut world = World::new();
    world.must(mkdir("team"));
    world.must(mkdir("team/sub"));
    world.must(mkdir("team-two"));
    world.must(Command::CreateRepo {
        id: id(1),
        path: name("team/sub/app.git"),
    });
    world.must(rename("team", "crew"));
    let view = &world.database;
    assert_eq!(read::name(view, &name("team")).expect("reads"), None);
    assert_eq!(
        read::name(view, &name("team/sub/app.git")).expect("reads"),
        None
    );
    assert_eq!(
        read::name(view, &name("team-two")).expect("reads"),
        Some(NameEntry::Directory)
    );
    let found = read::name(view, &name("crew/sub/app.git")).expect("reads");
    assert_eq!(found, Some(NameEntry::Repo(id(1))));
    assert_eq!(world.repo(id(1)).path, name("crew/sub/app.git"));
    let inside = world.run(rename("crew", "crew/sub/crew"));
    assert_eq!(
        inside,
        Outcome::Refused(Refusal::BadPath(name("crew/sub/crew")))
    );
}

#[test]
fn a_deleted_repository_keeps_everything_needed_to_restore_it() {
    let mut world = World::with_repo(id(1));
    world.must(refs(id(1), vec![set("refs/heads/main", &oid(1))]));
    let before = world.repo(id(1));
    let version = world.must(Command::DeleteRepo { id: id(1) });
    let view = &world.database;
    assert_eq!(read::name(view, &name("app.git")).expect("reads"), None);
    assert_eq!(read::repo(view, id(1)).expect("reads"), None);
    let trashed = read::trashed_repos(view).expect("reads");
    assert_eq!(trashed.len(), 1);
    assert_eq!((&trashed[0].repo, trashed[0].version), (&before, version));
    assert_eq!(trashed[0].time, time(version.0));
    let kept = read::reference(view, id(1), &path("refs/heads/main")).expect("reads");
    assert_eq!(kept.expect("is kept").value, oid(1).into_bytes());
    let gone = Outcome::Refused(Refusal::NoRepo(id(1)));
    assert_eq!(world.run(refs(id(1), vec![])), gone);
    // The name is free again, the id is not: its rows belong to the trash.
    let again = |number| Command::CreateRepo {
        id: id(number),
        path: name("app.git"),
    };
    assert_eq!(
        world.run(again(1)),
        Outcome::Refused(Refusal::Exists(name("app.git")))
    );
    world.must(again(2));
}

#[test]
fn removed_and_replaced_object_files_go_to_the_trash() {
    let mut world = World::with_repo(id(1));
    let add = vec![
        file("objects/pack/p.pack", "p1", 3),
        file("objects/info/packs", "i1", 0),
    ];
    world.must(Command::Commit(RepoChange {
        add: add.clone(),
        ..RepoChange::new(id(1))
    }));
    let new = vec![file("objects/info/packs", "i2", 0)];
    let gone = vec![
        path("objects/pack/p.pack"),
        path("objects/pack/never-was.pack"),
    ];
    let version = world.must(Command::Commit(RepoChange {
        add: new.clone(),
        remove: Some(FileRemoval {
            paths: gone,
            unless_refs_moved_since: None,
            unless_repacked_since: None,
        }),
        ..RepoChange::new(id(1))
    }));
    let view = &world.database;
    assert_eq!(
        read::file(view, id(1), &path("objects/pack/p.pack")).expect("reads"),
        None
    );
    assert_eq!(
        read::blocks(view, id(1), &path("objects/pack/p.pack")).expect("reads"),
        vec![]
    );
    let info = read::file(view, id(1), &path("objects/info/packs")).expect("reads");
    assert_eq!(info.as_ref(), Some(&new[0].entry));
    let trashed = read::trashed_files(view, id(1), Version(0)).expect("reads");
    let trashed: Vec<_> = trashed
        .into_iter()
        .map(|file| (file.path, file.entry, file.blocks, file.version, file.time))
        .collect();
    let blocks = vec![
        BlockDigest([0; 16]),
        BlockDigest([1; 16]),
        BlockDigest([2; 16]),
    ];
    let then = time(version.0);
    assert_eq!(
        trashed,
        vec![
            (
                path("objects/info/packs"),
                add[1].entry.clone(),
                vec![],
                version,
                then
            ),
            (
                path("objects/pack/p.pack"),
                add[0].entry.clone(),
                blocks,
                version,
                then
            ),
        ]
    );
    assert_eq!(world.repo(id(1)).catalog_version, version);
    // The same bytes again are no replacement.
    world.must(Command::Commit(RepoChange {
        add: new,
        ..RepoChange::new(id(1))
    }));
    assert_eq!(
        read::trashed_files(&world.database, id(1), Version(0))
            .expect("reads")
            .len(),
        2
    );
}

#[test]
fn a_removal_holds_only_while_no_ref_moved() {
    let mut world = World::with_repo(id(1));
    let add = vec![file("objects/aa/bb", "k", 0)];
    world.must(Command::Commit(RepoChange {
        add,
        ..RepoChange::new(id(1))
    }));
    let walked = world.repo(id(1)).refs_version;
    let moved = world.must(refs(id(1), vec![set("refs/heads/main", &oid(1))]));
    let prune = |since| {
        let paths = vec![path("objects/aa/bb")];
        let remove = Some(FileRemoval {
            paths,
            unless_refs_moved_since: Some(since),
            unless_repacked_since: None,
        });
        Command::Commit(RepoChange {
            remove,
            ..RepoChange::new(id(1))
        })
    };
    let late = Outcome::Refused(Refusal::RefsMoved { actual: moved });
    assert_eq!(world.run(prune(walked)), late);
    let there = read::file(&world.database, id(1), &path("objects/aa/bb")).expect("reads");
    assert!(there.is_some());
    world.must(prune(moved));
}

#[test]
fn a_listing_does_not_walk_through_subdirectories() {
    let mut world = World::with_repo(id(1));
    let many: Vec<_> = (0..500)
        .map(|n| set(&format!("refs/heads/deep/{n}"), "x"))
        .collect();
    world.must(refs(id(1), many));
    world.must(refs(
        id(1),
        vec![set("refs/heads/deep-ends", "x"), set("refs/heads/z", "x")],
    ));
    let counting = Counting {
        view: &world.database,
        rows: 0.into(),
    };
    let found = read::references_in(&counting, id(1), &path("refs/heads")).expect("reads");
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_slice()).collect();
    assert_eq!(names, [b"deep".as_slice(), b"deep-ends", b"z"]);
    assert!(matches!(found[0].1, Child::Directory));
    assert_eq!(counting.rows.get(), 3, "one row per child");
}

/// Counts the rows that scans visit.
struct Counting<'a> {
    view: &'a dyn View,
    rows: std::cell::Cell<usize>,
}

impl View for Counting<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.view.get(table, key)
    }

    fn scan(&self, table: Table, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        self.view.scan(table, range, &mut |key, value| {
            self.rows.set(self.rows.get() + 1);
            visit(key, value)
        })
    }
}

#[test]
fn an_envelope_survives_serialisation() {
    let command = refs(id(1), vec![set("refs/heads/main", &oid(1))]);
    let session = SessionId::random();
    let sent = crate::support::envelope(session, 7, 3, command);
    let bytes = postcard::to_stdvec(&sent).expect("encodes");
    assert_eq!(
        postcard::from_bytes::<Envelope>(&bytes).expect("decodes"),
        sent
    );
}
