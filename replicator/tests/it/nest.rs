//! Repositories inside repositories: whatever becomes of the one around them becomes of them.

use crate::support::{World, file, id, line, name, oid, packed, path, refs, set};
use gitmoor_model::{
    Command, Inside, Limit, MOST_AROUND, MOST_INSIDE, ModulePath, NestStep, Nesting, Outcome,
    Refusal, RepoChange, RepoId, Version,
};
use gitmoor_replicator::state::{AuditEvent, Trail, read};
use gitmoor_replicator::{Child, NameEntry};

fn nest(repo: RepoId, step: NestStep, owner: RepoId, module: &str) -> Command {
    let module = ModulePath::new(path(module)).expect("beneath modules/");
    let inside = Inside { owner, module };
    Command::Nest(Box::new(Nesting { repo, inside, step }))
}

fn delete(world: &mut World, repo: u8) -> Version {
    world.must(Command::DeleteRepo { id: id(repo) })
}

fn rename(world: &mut World, from: &str, to: &str) {
    let (from, to) = (name(from), name(to));
    world.must(Command::Rename { from, to });
}

fn path_of(world: &World, repo: RepoId) -> Option<String> {
    let repo = read::repo(&world.database, repo).expect("reads");
    repo.map(|repo| repo.path.to_string())
}

fn refused(world: &mut World, command: Command) -> Refusal {
    match world.run(command.clone()) {
        Outcome::Done(_) => panic!("{command:?} was done"),
        Outcome::Refused(refusal) => refusal,
    }
}

/// `app.git` is 1, and around 2, `modules/lib`, which is around 3, `modules/lib/modules/deep`; 4 is `modules/a/b` of 1.
fn world() -> World {
    let mut world = World::with_repo(id(1));
    for (repo, owner, module) in [
        (2, 1, "modules/lib"),
        (3, 2, "modules/deep"),
        (4, 1, "modules/a/b"),
    ] {
        world.must(nest(id(repo), NestStep::Make, id(owner), module));
    }
    world
}

fn paths(world: &World) -> [Option<String>; 4] {
    [1, 2, 3, 4].map(|repo| path_of(world, id(repo)))
}

fn around(owner: &str) -> [Option<String>; 4] {
    [
        "",
        "/modules/lib",
        "/modules/lib/modules/deep",
        "/modules/a/b",
    ]
    .map(|rest| Some(format!("{owner}{rest}")))
}

#[test]
fn they_have_the_name_of_their_owner() {
    let mut world = world();
    assert_eq!(paths(&world), around("app.git"));
    world.must(refs(id(3), vec![set("refs/heads/main", &oid(1))]));
    world.must(Command::CreateDirectory { path: name("team") });
    rename(&mut world, "app.git", "team/new.git");
    assert_eq!(paths(&world), around("team/new.git"));
    rename(&mut world, "team", "group");
    assert_eq!(paths(&world), around("group/new.git"));
    let view = &world.database;
    let main = read::reference(view, id(3), &path("refs/heads/main")).expect("reads");
    assert_eq!(main.expect("is there").value, oid(1).into_bytes());
    let stands = read::name(view, &name("group/new.git/modules/a/b")).expect("reads");
    assert_eq!(stands, Some(NameEntry::Repo(id(4))));
}

#[test]
fn a_directory_above_them_is_there_as_long_as_they_are() {
    let mut world = world();
    let modules = |world: &World, owner, dir| {
        let names = read::modules_in(&world.database, id(owner), &path(dir)).expect("reads");
        let told = |(name, child)| (String::from_utf8(name).expect("text"), child);
        names.into_iter().map(told).collect::<Vec<_>>()
    };
    let file = |name: &str| (name.to_owned(), Child::File(()));
    let dir = |name: &str| (name.to_owned(), Child::Directory);
    assert_eq!(modules(&world, 1, ""), [dir("modules")]);
    // A listing names a repository that is around another one twice; both are directories to whoever looks.
    assert_eq!(
        modules(&world, 1, "modules"),
        [dir("a"), file("lib"), dir("lib")]
    );
    assert_eq!(modules(&world, 1, "modules/a"), [file("b")]);
    assert_eq!(modules(&world, 2, "modules"), [file("deep")]);
    delete(&mut world, 4);
    assert!(modules(&world, 1, "modules/a").is_empty());
    assert!(!read::has_modules_in(&world.database, id(1), &path("modules/a")).expect("reads"));
    assert!(read::has_modules_in(&world.database, id(1), &path("modules")).expect("reads"));
}

#[test]
fn they_move_in_and_out() {
    let mut world = world();
    world.must(Command::CreateRepo {
        id: id(5),
        path: name("other.git"),
    });
    // From one owner to another, with what is inside; from the namespace, and back.
    world.must(nest(id(2), NestStep::Move, id(5), "modules/x/lib"));
    assert_eq!(
        path_of(&world, id(3)).as_deref(),
        Some("other.git/modules/x/lib/modules/deep")
    );
    rename(&mut world, "other.git/modules/x/lib", "lib.git");
    assert_eq!(
        path_of(&world, id(3)).as_deref(),
        Some("lib.git/modules/deep")
    );
    world.must(nest(id(5), NestStep::Move, id(3), "modules/other"));
    assert_eq!(
        path_of(&world, id(5)).as_deref(),
        Some("lib.git/modules/deep/modules/other")
    );
    let is_gone = |path| read::name(&world.database, &name(path)).expect("reads");
    assert_eq!(is_gone("other.git"), None);
    assert_eq!(is_gone("app.git/modules/lib"), None);
}

#[test]
fn what_is_refused() {
    let mut world = world();
    let at = |path| name(&format!("app.git/modules/{path}"));
    for (command, expected) in [
        (
            nest(id(6), NestStep::Make, id(1), "modules/lib"),
            Refusal::Exists(at("lib")),
        ),
        (
            nest(id(6), NestStep::Make, id(1), "modules/a"),
            Refusal::NotEmpty(at("a")),
        ),
        (
            nest(id(6), NestStep::Make, id(1), "modules/lib/b"),
            Refusal::BadPath(at("lib/b")),
        ),
        (
            nest(id(6), NestStep::Make, id(7), "modules/b"),
            Refusal::NoRepo(id(7)),
        ),
        (
            nest(id(2), NestStep::Make, id(1), "modules/b"),
            Refusal::Exists(at("lib")),
        ),
        (
            nest(id(7), NestStep::Move, id(1), "modules/b"),
            Refusal::NoRepo(id(7)),
        ),
        // Into itself, or into what is inside it.
        (
            nest(id(1), NestStep::Move, id(1), "modules/b"),
            Refusal::BadPath(at("b")),
        ),
        (
            nest(id(1), NestStep::Move, id(3), "modules/b"),
            Refusal::BadPath(at("lib/modules/deep/modules/b")),
        ),
        (
            nest(id(2), NestStep::Restore, id(1), "modules/b"),
            Refusal::NotInTrash(id(2)),
        ),
        (
            Command::CreateRepo {
                id: id(6),
                path: at("x.git"),
            },
            Refusal::NotFound(name("app.git/modules")),
        ),
        (
            Command::CreateDirectory { path: at("lib/x") },
            Refusal::BadPath(at("lib/x")),
        ),
    ] {
        assert_eq!(refused(&mut world, command), expected);
    }
    assert_eq!(paths(&world), around("app.git"));
}

#[test]
fn they_are_deleted_and_restored_with_their_owner() {
    let mut world = world();
    world.must(packed(id(4), vec![line("refs/tags/t", 2)]));
    let version = delete(&mut world, 1);
    assert_eq!(paths(&world), [None, None, None, None]);
    let trashed = read::trashed_repos(&world.database).expect("reads");
    assert_eq!(trashed.len(), 4);
    assert!(trashed.iter().all(|trashed| trashed.version == version));
    let is_refused = refused(
        &mut world,
        refs(id(3), vec![set("refs/heads/main", &oid(1))]),
    );
    assert_eq!(is_refused, Refusal::NoRepo(id(3)));
    world.must(Command::RestoreRepo {
        id: id(1),
        path: name("back.git"),
    });
    assert_eq!(paths(&world), around("back.git"));
    assert!(
        read::trashed_repos(&world.database)
            .expect("reads")
            .is_empty()
    );
    // Each has it on record.
    for repo in [1, 2, 3, 4] {
        let mut events = Vec::new();
        let trail = Trail::Of(id(repo));
        read::audit(&world.database, trail, Version(0), &mut |_, record| {
            events.push(record.event);
            true
        })
        .expect("reads");
        let came = |event: &AuditEvent| matches!(event, AuditEvent::Restored { .. });
        let went = |event: &AuditEvent| matches!(event, AuditEvent::Deleted { .. });
        assert_eq!(events.iter().filter(|event| came(event)).count(), 1);
        assert_eq!(events.iter().filter(|event| went(event)).count(), 1);
    }
}

#[test]
fn one_that_was_deleted_alone_is_restored_alone() {
    let mut world = world();
    delete(&mut world, 4);
    delete(&mut world, 1);
    world.must(Command::RestoreRepo {
        id: id(1),
        path: name("app.git"),
    });
    let [_, _, deep, alone] = around("app.git");
    assert_eq!(paths(&world)[2..], [deep.clone(), None]);
    world.must(nest(id(4), NestStep::Restore, id(1), "modules/a/b"));
    assert_eq!(paths(&world)[2..], [deep, alone]);
    // Of what went with its owner, one comes back alone, with what was inside that.
    delete(&mut world, 1);
    world.must(Command::RestoreRepo {
        id: id(2),
        path: name("lib.git"),
    });
    world.must(Command::RestoreRepo {
        id: id(1),
        path: name("app.git"),
    });
    assert_eq!(
        paths(&world),
        [
            "app.git",
            "lib.git",
            "lib.git/modules/deep",
            "app.git/modules/a/b"
        ]
        .map(|path| Some(path.to_owned()))
    );
}

#[test]
fn they_expire_with_their_owner() {
    let mut world = world();
    let version = delete(&mut world, 1);
    let expire = |repo| Command::ExpireRepo {
        id: id(repo),
        version,
    };
    world.must(expire(1));
    assert_eq!(
        refused(&mut world, expire(2)),
        Refusal::NotInTrash(id(2)),
        "it has expired"
    );
    let expired = read::expired_repos(&world.database).expect("reads");
    assert_eq!(expired.len(), 4);
    for repo in [3, 1, 4, 2] {
        world.must(Command::PurgeRepo { id: id(repo) });
    }
    assert!(
        read::expired_repos(&world.database)
            .expect("reads")
            .is_empty()
    );
}

#[test]
fn a_fork_has_forks_of_them() {
    let mut world = world();
    let pack = "objects/pack/p.pack";
    let key = format!("{}/{pack}", id(4));
    world.must(Command::Commit(RepoChange {
        add: vec![file(pack, &key, 2)],
        ..RepoChange::new(id(4))
    }));
    world.must(refs(id(4), vec![set("refs/heads/main", &oid(1))]));
    let fork = |world: &mut World| {
        world.run(Command::Fork {
            from: id(1),
            id: id(9),
            path: name("fork.git"),
        })
    };
    let Outcome::Done(_) = fork(&mut world) else {
        panic!("no fork");
    };
    let inner = read::inner(&world.database, &name("fork.git")).expect("reads");
    let told: Vec<_> = inner
        .iter()
        .map(|repo| (repo.path.to_string(), repo.forked_from))
        .collect();
    assert_eq!(
        told,
        [(4, "a/b"), (2, "lib"), (3, "lib/modules/deep")]
            .map(|(from, path)| (format!("fork.git/modules/{path}"), Some(id(from))))
    );
    let forked = inner[0].id;
    assert_eq!(forked, RepoId::of_fork(id(9), id(4)));
    assert_eq!(inner[0].usage, world.repo(id(4)).usage);
    let shared = read::shared_keys(&world.database, id(4)).expect("reads");
    assert_eq!(shared.into_iter().collect::<Vec<_>>(), [key]);
    // From then on neither knows of the other.
    delete(&mut world, 1);
    assert_eq!(
        path_of(&world, forked).as_deref(),
        Some("fork.git/modules/a/b")
    );
}

#[test]
fn a_quota_is_one_for_all() {
    let mut world = world();
    world.must(Command::SetLimit {
        id: id(1),
        limit: Limit::Refs,
        value: Some(2),
    });
    let branch = |repo: u8, name: &str| {
        let name = format!("refs/heads/{name}");
        refs(id(repo), vec![set(&name, &oid(1))])
    };
    world.must(branch(1, "a"));
    world.must(branch(3, "a"));
    let over = Refusal::OverQuota {
        limit: Limit::Refs,
        most: 2,
        would_be: 3,
    };
    for repo in [1, 2, 3, 4] {
        assert_eq!(refused(&mut world, branch(repo, "b")), over);
    }
    // Of one that is inside, it is its own besides.
    world.must(Command::SetLimit {
        id: id(4),
        limit: Limit::Refs,
        value: Some(0),
    });
    assert_eq!(
        refused(&mut world, branch(4, "b")),
        Refusal::OverQuota {
            limit: Limit::Refs,
            most: 0,
            would_be: 1,
        }
    );
    // What moves in counts, what moves out does not any more.
    world.must(Command::CreateRepo {
        id: id(5),
        path: name("other.git"),
    });
    let move_in = nest(id(5), NestStep::Move, id(1), "modules/other");
    world.must(move_in.clone());
    rename(&mut world, "app.git/modules/other", "other.git");
    world.must(branch(5, "a"));
    assert_eq!(refused(&mut world, move_in.clone()), over);
    rename(&mut world, "app.git/modules/lib", "lib.git");
    world.must(move_in);
}

/// Each may be looked at for a change of one, so that their number, and how deep they are, have bounds.
#[test]
fn they_are_not_too_many() {
    let mut world = World::with_repo(id(1));
    let number = |number: u64| {
        let mut bytes = [7; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        RepoId::from_bytes(bytes)
    };
    let make = |repo, owner, at: &str| nest(repo, NestStep::Make, owner, at);
    for n in 0..MOST_AROUND as u64 {
        let owner = n.checked_sub(1).map_or(id(1), number);
        world.must(make(number(n), owner, "modules/m"));
    }
    let innermost = number(MOST_AROUND as u64 - 1);
    let deeper = make(id(9), innermost, "modules/m");
    assert!(matches!(
        refused(&mut world, deeper),
        Refusal::NotPermitted(_)
    ));
    let long = vec!["l".repeat(255); 17].join("/");
    let long = make(id(9), id(1), &format!("modules/{long}"));
    assert!(matches!(
        refused(&mut world, long),
        Refusal::NotPermitted(_)
    ));
    world.must(Command::CreateRepo {
        id: id(2),
        path: name("two.git"),
    });
    world.must(make(id(3), id(2), "modules/m"));
    let into = nest(id(2), NestStep::Move, innermost, "modules/m");
    assert!(matches!(
        refused(&mut world, into),
        Refusal::NotPermitted(_)
    ));
    for n in MOST_AROUND as u64..MOST_INSIDE as u64 {
        world.must(make(number(n), id(1), &format!("modules/{n}")));
    }
    let more = make(id(9), id(1), "modules/more");
    assert!(matches!(
        refused(&mut world, more),
        Refusal::NotPermitted(_)
    ));
    let into = nest(id(3), NestStep::Move, id(1), "modules/more");
    assert!(matches!(
        refused(&mut world, into),
        Refusal::NotPermitted(_)
    ));
    world.must(make(id(9), id(3), "modules/m"));
}
