//! Compare-and-swap, directories and files, and what counts as a move.

use crate::support::{World, delete, id, line, oid, packed, path, refs, set, set_if};
use gitmoor_model::{
    Change, Command, Expect, Outcome, PackedEdit, RefEdit, Refusal, RepoChange, Version,
};
use gitmoor_replicator::state::read;

const MAIN: &str = "refs/heads/main";

#[test]
fn a_lost_race_changes_nothing_and_says_what_is_there() {
    let mut world = World::with_repo(id(1));
    let first = world.must(refs(id(1), vec![set_if(MAIN, Expect::Absent, "one")]));
    let lost = refs(
        id(1),
        vec![set("HEAD", "x"), set_if(MAIN, Expect::Absent, "two")],
    );
    let moved = Refusal::RefMoved {
        name: path(MAIN),
        actual: Some(first),
    };
    assert_eq!(world.run(lost), Outcome::Refused(moved));
    assert_eq!(
        read::reference(&world.database, id(1), &path("HEAD")).expect("reads"),
        None
    );
    let second = world.must(refs(id(1), vec![set_if(MAIN, Expect::Is(first), "two")]));
    assert!(second > first);
    let stale = world.run(refs(id(1), vec![set_if(MAIN, Expect::Is(first), "three")]));
    let moved = Refusal::RefMoved {
        name: path(MAIN),
        actual: Some(second),
    };
    assert_eq!(stale, Outcome::Refused(moved));
}

#[test]
fn of_two_racers_in_one_batch_one_wins() {
    let mut world = World::with_repo(id(1));
    let racer = |value: &str| refs(id(1), vec![set_if(MAIN, Expect::Absent, value)]);
    let outcomes = world.run_batch(vec![racer("one"), racer("two")]);
    let Outcome::Done(first) = outcomes[0] else {
        panic!("{outcomes:?}")
    };
    let moved = Refusal::RefMoved {
        name: path(MAIN),
        actual: Some(first),
    };
    assert_eq!(outcomes[1], Outcome::Refused(moved));
    let entry = read::reference(&world.database, id(1), &path(MAIN)).expect("reads");
    assert_eq!(entry.expect("exists").value, b"one");
}

#[test]
fn a_ref_is_a_file_or_a_directory() {
    let mut world = World::with_repo(id(1));
    world.must(refs(id(1), vec![set("refs/heads/a/b", "x")]));
    let conflict = |name: &str, with: &str| {
        Outcome::Refused(Refusal::DirectoryConflict {
            name: path(name),
            with: path(with),
        })
    };
    let above = world.run(refs(id(1), vec![set("refs/heads/a", "x")]));
    assert_eq!(above, conflict("refs/heads/a", "refs/heads/a/b"));
    let beneath = world.run(refs(id(1), vec![set("refs/heads/a/b/c/d", "x")]));
    assert_eq!(beneath, conflict("refs/heads/a/b/c/d", "refs/heads/a/b"));
    let both = world.run(refs(id(1), vec![set("refs/x", "x"), set("refs/x/y", "x")]));
    assert_eq!(both, conflict("refs/x", "refs/x/y"));
    world.must(refs(
        id(1),
        vec![set("refs/heads/a-b", "x"), set("refs/heads/a/bc", "x")],
    ));
    // One commit may turn a directory into a file, in whichever order.
    let swap = vec![
        set("refs/heads/a", "x"),
        delete("refs/heads/a/b"),
        delete("refs/heads/a/bc"),
    ];
    world.must(refs(id(1), swap));
}

#[test]
fn packing_a_ref_is_no_move_and_anything_else_is() {
    let mut world = World::with_repo(id(1));
    let mut version = world.must(refs(
        id(1),
        vec![set(MAIN, &oid(1)), set("refs/tags/t", &oid(2))],
    ));
    let mut check = |world: &mut World, command: Command, moves: bool, why: &str| {
        let done = world.must(command);
        if moves {
            version = done;
        }
        assert_eq!(world.repo(id(1)).refs_version, version, "{why}");
    };
    let both = |packed, refs| {
        Command::Commit(RepoChange {
            packed,
            refs,
            ..RepoChange::new(id(1))
        })
    };
    check(
        &mut world,
        both(vec![line(MAIN, 1)], vec![delete(MAIN)]),
        false,
        "pack one",
    );
    check(
        &mut world,
        packed(id(1), vec![line("refs/tags/t", 1)]),
        false,
        "hidden by the loose one",
    );
    check(
        &mut world,
        refs(id(1), vec![delete("refs/tags/t")]),
        true,
        "the packed one shows",
    );
    check(
        &mut world,
        refs(id(1), vec![set(MAIN, oid(1).trim_end())]),
        false,
        "unpack",
    );
    check(
        &mut world,
        refs(id(1), vec![set(MAIN, &oid(3))]),
        true,
        "move",
    );
    check(
        &mut world,
        refs(id(1), vec![set(MAIN, &oid(1)), delete(MAIN)]),
        true,
        "back to packed",
    );
    let rewrite = vec![PackedEdit::Clear, line("refs/tags/t", 1), line(MAIN, 1)];
    check(
        &mut world,
        packed(id(1), rewrite),
        false,
        "rewrite with the same lines",
    );
    check(
        &mut world,
        packed(id(1), vec![PackedEdit::Clear, line(MAIN, 1)]),
        true,
        "one lost",
    );
    let gone = PackedEdit::Delete {
        name: path("refs/tags/none"),
    };
    check(
        &mut world,
        packed(id(1), vec![gone]),
        false,
        "nothing deleted",
    );
    check(
        &mut world,
        refs(id(1), vec![set("HEAD", "ref: refs/heads/main\n")]),
        true,
        "HEAD",
    );
    check(
        &mut world,
        refs(id(1), vec![set("HEAD", "ref: refs/heads/main\n")]),
        false,
        "HEAD, same",
    );
    check(
        &mut world,
        refs(id(1), vec![set("HEAD", "ref: refs/heads/x\n")]),
        true,
        "HEAD moves",
    );
    check(
        &mut world,
        refs(id(1), vec![set("reftable/tables.list", "a\n")]),
        true,
        "reftable",
    );
    check(
        &mut world,
        refs(id(1), vec![set("reftable/tables.list", "a\n")]),
        true,
        "reftable, same",
    );
    check(
        &mut world,
        refs(id(1), vec![delete("reftable/none")]),
        false,
        "no reftable",
    );
    let made_and_gone = vec![set("reftable/x", "x"), delete("reftable/x")];
    check(
        &mut world,
        refs(id(1), made_and_gone),
        false,
        "a reftable that never was",
    );
    check(
        &mut world,
        packed(id(1), vec![PackedEdit::Clear]),
        true,
        "packed-refs unlinked",
    );
    check(
        &mut world,
        packed(id(1), vec![PackedEdit::Clear]),
        false,
        "it was empty",
    );
}

#[test]
fn clearing_the_packed_table_is_seen_within_the_batch_and_keeps_other_repositories() {
    let mut world = World::with_repo(id(1));
    let other = crate::support::name("other.git");
    world.must(Command::CreateRepo {
        id: id(2),
        path: other,
    });
    world.must(packed(id(2), vec![line("refs/heads/a", 9)]));
    world.must(packed(
        id(1),
        (0..5)
            .map(|n| line(&format!("refs/heads/{n}"), n))
            .collect(),
    ));
    world.run_batch(vec![
        packed(id(1), vec![line("refs/heads/6", 6)]),
        packed(id(1), vec![PackedEdit::Clear, line("refs/heads/3", 33)]),
        packed(id(1), vec![line("refs/heads/1", 11)]),
    ]);
    let mut names = Vec::new();
    read::packed(&world.database, id(1), &mut |name, line| {
        names.push((String::from_utf8_lossy(name).into_owned(), line.oid[0]));
        true
    })
    .expect("reads");
    assert_eq!(
        names,
        [
            ("refs/heads/1".to_owned(), 11),
            ("refs/heads/3".to_owned(), 33)
        ]
    );
    let kept = read::packed_ref(&world.database, id(2), &path("refs/heads/a")).expect("reads");
    assert!(kept.is_some());
}

#[test]
fn pieces_of_a_reftable_add_up() {
    let mut world = World::with_repo(id(1));
    let piece = |text: &str| {
        let change = Change::Append { value: text.into() };
        RefEdit {
            name: path("reftable/0x1.ref"),
            expect: Expect::Anything,
            change,
        }
    };
    world.run_batch(vec![
        refs(id(1), vec![piece("ab"), piece("cd")]),
        refs(id(1), vec![piece("ef")]),
    ]);
    let chmod = Change::SetMode { mode: 0o100_600 };
    let name = path("reftable/0x1.ref");
    let version = world.must(refs(
        id(1),
        vec![RefEdit {
            name: name.clone(),
            expect: Expect::Anything,
            change: chmod,
        }],
    ));
    let entry = read::reference(&world.database, id(1), &name)
        .expect("reads")
        .expect("exists");
    assert_eq!(
        (entry.value.as_slice(), entry.mode),
        (b"abcdef".as_slice(), 0o100_600)
    );
    assert_eq!(
        (entry.version, entry.mtime),
        (version, crate::support::time(version.0 - 1))
    );
    assert_ne!(version, Version(0));
}

#[test]
fn new_permission_bits_leave_the_version_alone() {
    let mut world = World::with_repo(id(1));
    let edit = |expect, change| RefEdit {
        name: path("refs/heads/main"),
        expect,
        change,
    };
    let set = |value: &str| Change::Set {
        mode: 0o100_644,
        value: value.into(),
    };
    let version = world.must(refs(id(1), vec![edit(Expect::Absent, set("one"))]));
    let chmod = Change::Chmod { mode: 0o600 };
    world.must(refs(id(1), vec![edit(Expect::Anything, chmod)]));
    let entry = read::reference(&world.database, id(1), &path("refs/heads/main"));
    let entry = entry.expect("reads").expect("exists");
    assert_eq!((entry.mode, entry.version), (0o100_600, version));
    // Whoever held the lock meanwhile goes on.
    world.must(refs(id(1), vec![edit(Expect::Is(version), set("two"))]));
    let absent = Change::Chmod { mode: 0o600 };
    let other = RefEdit {
        name: path("refs/heads/none"),
        ..edit(Expect::Anything, absent)
    };
    world.must(refs(id(1), vec![other]));
    let none = read::reference(&world.database, id(1), &path("refs/heads/none"));
    assert_eq!(none.expect("reads"), None);
}

#[test]
fn what_is_kept_must_be_as_expected() {
    let mut world = World::with_repo(id(1));
    let edit = |name: &str, expect, change| RefEdit {
        name: path(name),
        expect,
        change,
    };
    let set = |text: &str| Change::Set {
        mode: 0o100_644,
        value: text.into(),
    };
    let (list, table) = ("reftable/tables.list", "reftable/0x1.ref");
    let anything = Expect::Anything;
    let listed = world.must(refs(id(1), vec![edit(list, anything, set("0x1.ref\n"))]));
    let before = read::reference(&world.database, id(1), &path(list)).expect("reads");
    let removal = |expect| {
        let kept = edit(list, expect, Change::Keep);
        refs(id(1), vec![kept, edit(table, anything, Change::Delete)])
    };
    world.must(refs(id(1), vec![edit(table, anything, set("bytes"))]));
    for wrong in [Expect::Absent, Expect::Is(Version::default())] {
        let actual = Some(listed);
        let name = path(list);
        let moved = Refusal::RefMoved { name, actual };
        assert_eq!(world.run(removal(wrong)), Outcome::Refused(moved));
    }
    let there = read::reference(&world.database, id(1), &path(table)).expect("reads");
    assert!(there.is_some(), "refused as a whole");
    world.must(removal(Expect::Is(listed)));
    let gone = read::reference(&world.database, id(1), &path(table)).expect("reads");
    assert_eq!(gone, None);
    let after = read::reference(&world.database, id(1), &path(list)).expect("reads");
    assert_eq!(after, before, "kept, with its version");
}
