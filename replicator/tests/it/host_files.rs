//! Files of hosts: values like refs, that are none.

use crate::support::{World, actor, delete, id, oid, path, refs, set, set_if, time};
use gitmoor_model::{
    Change, Command, Envelope, Expect, Limit, Outcome, Proposal, RefEdit, Refusal, RepoChange,
    RepoPath, SessionId, Unfit, Version, host_file,
};
use gitmoor_replicator::state::{AuditEvent, RefMove, RefValue, Trail, read};

const DESCRIPTION: &str = "description";

fn text(world: &World, name: &str) -> Option<Vec<u8>> {
    let entry = read::reference(&world.database, id(1), &path(name)).expect("reads");
    entry.map(|entry| entry.value)
}

fn events(world: &World) -> Vec<AuditEvent> {
    let mut events = Vec::new();
    let trail = Trail::Of(id(1));
    read::audit(&world.database, trail, Version::default(), &mut |_, it| {
        events.push(it.event);
        true
    })
    .expect("reads");
    events
}

#[test]
fn they_are_compared_and_swapped_and_move_no_ref() {
    let mut world = World::with_repo(id(1));
    world.must(Command::SetLimit {
        id: id(1),
        limit: Limit::Refs,
        value: Some(1),
    });
    world.must(refs(id(1), vec![set("refs/heads/main", &oid(1))]));
    let before = world.repo(id(1));
    let first = set_if(DESCRIPTION, Expect::Absent, "one\n");
    let version = world.must(refs(id(1), vec![first.clone()]));
    let lost = world.run(refs(id(1), vec![first]));
    let moved = Refusal::RefMoved {
        name: path(DESCRIPTION),
        actual: Some(version),
    };
    assert_eq!(lost, Outcome::Refused(moved));
    world.must(refs(
        id(1),
        vec![set("branches/a", "x"), set("gl-conf", "y")],
    ));
    let two = set_if(DESCRIPTION, Expect::Is(version), "two\n");
    world.must(refs(id(1), vec![two]));
    assert_eq!(text(&world, DESCRIPTION), Some(b"two\n".to_vec()));
    let names = read::host_files(&world.database, id(1)).expect("reads");
    let names: Vec<_> = names.iter().map(|(path, _)| path.to_string()).collect();
    assert_eq!(names, ["description", "gl-conf", "branches/a"]);
    world.must(refs(id(1), vec![delete(DESCRIPTION)]));
    assert_eq!(text(&world, DESCRIPTION), None);
    assert_eq!(world.repo(id(1)), before, "no version, no usage");
}

#[test]
fn their_changes_are_on_record_but_for_the_template_of_git() {
    let mut world = World::with_repo(id(1));
    let began = events(&world).len();
    let template = "Unnamed repository; edit this file 'description' to name the repository.\n";
    world.must(refs(id(1), vec![set(DESCRIPTION, template)]));
    assert_eq!(events(&world).len(), began, "a template is no event");
    world.must(refs(
        id(1),
        vec![set(DESCRIPTION, "ours\n"), set("HEAD", "x")],
    ));
    world.must(refs(id(1), vec![delete(DESCRIPTION)]));
    let value = |text: &str| RefValue::Text(text.into());
    let changed = |old, new| {
        AuditEvent::HostFilesChanged(vec![RefMove {
            name: path(DESCRIPTION),
            old,
            new,
        }])
    };
    let head = RefMove {
        name: path("HEAD"),
        old: RefValue::Absent,
        new: value("x"),
    };
    let expected = [
        AuditEvent::RefsMoved(vec![head.clone()]),
        changed(value(template), value("ours\n")),
        changed(value("ours\n"), RefValue::Absent),
    ];
    assert_eq!(events(&world)[began..], expected);
    let last = read::last_move(&world.database, id(1)).expect("reads");
    let last = last.expect("a push").event;
    assert_eq!(last, AuditEvent::RefsMoved(vec![head]));
}

#[test]
fn all_of_a_repository_are_bounded() {
    let mut world = World::with_repo(id(1));
    let half = "x".repeat(host_file::MOST as usize / 2);
    world.must(refs(id(1), vec![set("branches/a", &half)]));
    let other = refs(id(1), vec![set("gl-conf", &half)]);
    let Outcome::Refused(Refusal::HostFilesTooLarge { would_be }) = world.run(other) else {
        panic!("it should be too much")
    };
    assert!(would_be > host_file::MOST, "{would_be}");
    assert_eq!(text(&world, "gl-conf"), None);
    world.must(refs(id(1), vec![set("branches/a", "small")]));
    world.must(refs(id(1), vec![set("gl-conf", &half)]));
    world.must(refs(id(1), vec![set("refs/heads/main", &oid(1))]));
}

#[test]
fn a_repository_adds_names_by_a_setting() {
    let mut world = World::with_repo(id(1));
    let extra = || refs(id(1), vec![set("gl-extra", "x")]);
    let add = |names: Option<&str>| Command::SetSetting {
        id: id(1),
        key: host_file::ADDED.into(),
        value: names.map(str::to_owned),
    };
    let is_refused = |outcome| matches!(outcome, Outcome::Refused(Refusal::NotPermitted(_)));
    assert!(is_refused(world.run(extra())), "not added");
    world.must(add(Some("gl-extra\ninfo/extra")));
    let before = world.repo(id(1));
    world.must(extra());
    assert_eq!(world.repo(id(1)), before, "no version, no usage");
    let files = read::host_files(&world.database, id(1)).expect("reads");
    assert_eq!(files.len(), 1, "{files:?}");
    let last = events(&world).pop();
    assert!(
        matches!(last, Some(AuditEvent::HostFilesChanged(_))),
        "{last:?}"
    );
    for names in [Some("info/extra"), None] {
        assert!(
            is_refused(world.run(add(names))),
            "nobody would see the file"
        );
    }
    world.must(add(Some("gl-extra")));
    world.must(refs(id(1), vec![delete("gl-extra")]));
    world.must(add(None));
}

#[test]
fn what_is_removed_is_kept_within_the_same_bound() {
    let mut world = World::with_repo(id(1));
    let kept = |world: &World, name: &str| {
        let kept = read::removed_host_file(&world.database, id(1), &path(name)).expect("reads");
        kept.map(|entry| entry.value.len())
    };
    let third = "x".repeat(host_file::MOST as usize / 3);
    for name in ["branches/a", "branches/b", "branches/c"] {
        world.must(refs(id(1), vec![set(name, &third)]));
        world.must(refs(id(1), vec![delete(name)]));
    }
    assert_eq!(kept(&world, "branches/a"), None, "written first");
    assert_eq!(kept(&world, "branches/b"), Some(third.len()));
    assert_eq!(kept(&world, "branches/c"), Some(third.len()));
    world.must(refs(id(1), vec![set("branches/b", "again")]));
    assert_eq!(kept(&world, "branches/b"), None, "another one stands there");
    world.must(Command::DeleteRepo { id: id(1) });
    assert_eq!(kept(&world, "branches/c"), Some(third.len()));
}

/// Whoever may propose anything proposes no file that a machine runs, and none under any other name.
#[test]
fn no_name_and_no_mode_that_a_machine_runs_gets_into_the_log() {
    let propose = |name: &str, change| {
        let edit = RefEdit {
            name: RepoPath::new(name).expect("a path"),
            expect: Expect::Anything,
            change,
        };
        let change = RepoChange {
            refs: vec![edit],
            ..RepoChange::new(id(1))
        };
        let envelope = Envelope {
            session: SessionId::random(),
            sequence: 1,
            time: time(1),
            actor: actor(),
            command: Command::Commit(change),
            trace: None,
        };
        Proposal::new(&envelope, 1 << 20)
    };
    let set = |mode| Change::Set {
        mode,
        value: b"x".to_vec(),
    };
    for name in [
        "description",
        "gl-conf",
        "gl-perms",
        "gl-creator",
        "gl-forked-from",
        "gl-rm-ok",
        "git-daemon-export-ok",
        "cgitrc",
        "info/exclude",
        "info/attributes",
        "info/grafts",
        "branches/origin",
    ] {
        propose(name, set(0o100_644)).expect("a host's file");
        propose(name, Change::Chmod { mode: 0o100_600 }).expect("its mode");
        propose(name, Change::Delete).expect("its end");
        for change in [
            set(0o100_755),
            set(0o120_777),
            set(0o104_644),
            Change::Chmod { mode: 0o100_755 },
            Change::SetMode { mode: 0o100_644 },
        ] {
            let refused = propose(name, change).expect_err("it could be run");
            assert!(matches!(refused, Unfit::Refused(_)), "{name}: {refused}");
        }
    }
    for name in [
        "config",
        "hooks/post-receive",
        "hooks",
        "info/refs",
        "info/sparse-checkout",
        "branches/a/b",
        "branches/.x",
        "commondir",
        "index",
        "gitmoor.config",
        "description.lock",
    ] {
        let refused = propose(name, set(0o100_644)).expect_err("no host's file");
        assert!(matches!(refused, Unfit::Refused(_)), "{name}: {refused}");
    }
}
