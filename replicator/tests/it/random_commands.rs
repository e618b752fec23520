//! Random commands in random batches: the state machine over RocksDB against
//! the model, outcome by outcome and read by read.

use crate::model::{Model, children, owner};
use crate::support::{World, file, id, line, name, oid, path, time};
use gitmoor_model::{
    Borrowing, Change, Command, Deletions, Digest, Expect, FileRemoval, FileTouch, Format,
    HooksChange, Inside, Limit, Loan, ModulePath, NameChange, NamePath, NameStep, NestStep,
    Nesting, PackedEdit, RefEdit, Relied, Repacking, RepoChange, RepoId, RepoPath, Version,
};
use gitmoor_replicator::state::{KeyRange, Step as Walk, Table, View, read};
use gitmoor_replicator::{Child, Listing, NameEntry};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::collections::{BTreeMap, BTreeSet};

const NAMES: [&str; 13] = [
    "",
    "a",
    "a-",
    "b",
    "a/b",
    "a/c",
    "r.git",
    "a/r.git",
    "a/b/r.git",
    "s.git",
    "r.git/a",
    ".git",
    "a/note",
];
const MODULES: [&str; 4] = [
    "modules/a",
    "modules/a/b",
    "modules/a/modules/b",
    "modules/b",
];
/// The last two are files of hosts.
const REFS: [&str; 15] = [
    "HEAD",
    "shallow",
    "packed-refs",
    "refs/heads/a",
    "refs/heads/a-b",
    "refs/heads/a/b",
    "refs/heads/a/b/c",
    "refs/heads/ab",
    "refs/heads/b",
    "refs/tags/t",
    "reftable/a.ref",
    "reftable/tables.list",
    "refs/heads",
    "description",
    "branches/x",
];
const FILES: [&str; 6] = [
    "objects/00/aa",
    "objects/00/bb",
    "objects/info/packs",
    "objects/pack/p.idx",
    "objects/pack/p.pack",
    "objects/x",
];

/// A condition that is made true or false when the command's turn comes.
#[derive(Clone, Copy, Debug)]
enum Condition {
    None,
    Absent,
    Holds,
    Stale,
}

#[derive(Clone, Debug)]
struct Push {
    change: RepoChange,
    /// Paths of files to borrow from another.
    borrow: Option<(RepoId, Vec<&'static str>)>,
    expects: Vec<Condition>,
    removal: Condition,
}

#[derive(Clone, Debug)]
enum Step {
    Plain(Command),
    Push(Push),
    Trash((TrashStep, RepoId, usize)),
    /// A file is written, if the condition holds.
    File(NamePath, Condition, Vec<u8>),
    /// The clock goes on by more than the quarantine of deleted keys.
    Wait,
    /// Everything so far is written; what follows is the next batch.
    Write,
}

fn a_name() -> impl Strategy<Value = NamePath> {
    select(&NAMES[..]).prop_map(name)
}

fn an_id() -> impl Strategy<Value = RepoId> {
    (0..3_u8).prop_map(id)
}

fn a_path(of: &'static [&'static str]) -> impl Strategy<Value = RepoPath> {
    select(of).prop_map(path)
}

fn a_condition() -> impl Strategy<Value = Condition> {
    select(vec![
        Condition::None,
        Condition::None,
        Condition::None,
        Condition::Holds,
        Condition::Holds,
        Condition::Absent,
        Condition::Stale,
    ])
}

fn a_value() -> impl Strategy<Value = String> {
    select(vec![
        oid(1),
        oid(2),
        oid(1).trim_end().into(),
        "ref: refs/heads/a\n".into(),
        String::new(),
    ])
}

fn a_change() -> impl Strategy<Value = Change> {
    let mode = select(vec![0o100_644, 0o100_644, 0o120_777]);
    prop_oneof![
        4 => (mode, a_value()).prop_map(|(mode, value)| Change::Set { mode, value: value.into() }),
        1 => a_value().prop_map(|value| Change::Append { value: value.into() }),
        1 => Just(Change::SetMode { mode: 0o100_600 }),
        1 => Just(Change::Chmod { mode: 0o100_640 }),
        3 => Just(Change::Delete),
        1 => Just(Change::Keep),
    ]
}

fn a_packed_edit() -> impl Strategy<Value = PackedEdit> {
    prop_oneof![
        1 => Just(PackedEdit::Clear),
        4 => (select(&REFS[3..10]), 1..3_u8).prop_map(|(name, oid)| line(name, oid)),
        2 => a_path(&REFS[3..10]).prop_map(|name| PackedEdit::Delete { name }),
    ]
}

fn a_push() -> impl Strategy<Value = Push> {
    let edits = vec((a_path(&REFS), a_condition(), a_change()), 0..4);
    // Now and then under the prefix of whichever repository: only a fork may name those.
    let owner = prop_oneof![6 => Just(None), 1 => an_id().prop_map(Some)];
    let file_of = (select(&FILES[..]), 0..3_u8, select(vec!["", ".k2"]), owner);
    let adds = vec(file_of, 0..3);
    let removal = proptest::option::of((vec(a_path(&FILES), 0..3), a_condition()));
    let borrow = prop_oneof![
        2 => Just(None),
        1 => (an_id(), subsequence(&FILES[..], 1..3)).prop_map(Some),
    ];
    (
        an_id(),
        edits,
        vec(a_packed_edit(), 0..4),
        adds,
        removal,
        borrow,
    )
        .prop_map(|(repo, edits, packed, adds, removal, borrow)| {
            let (paths, condition) = removal.clone().unwrap_or((vec![], Condition::None));
            let edit = |(name, _, change)| RefEdit {
                name,
                expect: Expect::Anything,
                change,
            };
            Push {
                expects: edits.iter().map(|(_, condition, _)| *condition).collect(),
                removal: condition,
                borrow: borrow.filter(|(from, _)| *from != repo),
                change: RepoChange {
                    repo,
                    // One for each path: more are refused before they get into the log.
                    add: adds
                        .into_iter()
                        .map(|add| (add.0, add))
                        .collect::<BTreeMap<_, _>>()
                        .into_values()
                        .map(|(name, blocks, suffix, owner)| {
                            let key = key(owner.unwrap_or(repo), name, suffix);
                            file(name, &key, blocks)
                        })
                        .collect(),
                    remove: removal.map(|_| FileRemoval {
                        paths,
                        unless_refs_moved_since: None,
                        unless_repacked_since: None,
                    }),
                    refs: edits.into_iter().map(edit).collect(),
                    packed,
                },
            }
        })
}

fn key(repo: RepoId, name: &str, suffix: &str) -> String {
    format!("{repo}/{name}{suffix}")
}

/// What happens to the trash, to be filled in when its turn comes.
#[derive(Clone, Copy, Debug)]
enum TrashStep {
    RestoreFiles,
    MarkDeleted,
    ExpireRepo,
    Delete,
    Expire,
    Touch,
}

fn a_trash_step() -> impl Strategy<Value = (TrashStep, RepoId, usize)> {
    let kinds = vec![
        TrashStep::RestoreFiles,
        TrashStep::MarkDeleted,
        TrashStep::MarkDeleted,
        TrashStep::ExpireRepo,
        TrashStep::Delete,
        TrashStep::Expire,
        TrashStep::Touch,
    ];
    (select(kinds), an_id(), 0..4_usize)
}

/// Some of what the model has in its trash, and some keys that it may name.
fn trash_step(model: &Model, (kind, repo, n): (TrashStep, RepoId, usize)) -> Command {
    let trashed = model
        .trashed_files
        .keys()
        .filter(|(of, _)| *of == repo)
        .skip(n % 2);
    let files: Vec<_> = trashed.map(|(_, id)| id.clone()).take(n).collect();
    let named = FILES.iter().skip(n);
    let leftovers = named.map(|name| key(repo, name, if n % 2 == 0 { "" } else { ".k2" }));
    let tombstones = model.tombstones.keys().filter(|(of, _)| *of == repo);
    let keys: Vec<_> = tombstones.map(|(_, key)| key.clone()).collect();
    match kind {
        TrashStep::RestoreFiles => Command::RestoreFiles { repo, files },
        TrashStep::MarkDeleted => Command::MarkDeleted(Deletions {
            repo,
            expired: files,
            leftovers: leftovers.take(n).collect(),
        }),
        TrashStep::ExpireRepo => {
            let version = model.trashed.get(&repo).map_or(Version(1), |found| found.0);
            Command::ExpireRepo { id: repo, version }
        }
        TrashStep::Touch => Command::Touch {
            repo,
            files: touches(model, repo, n),
        },
        TrashStep::Delete => Command::RecordDeletion {
            repo,
            deleted: keys,
            expire: vec![],
        },
        TrashStep::Expire => Command::RecordDeletion {
            repo,
            deleted: vec![],
            expire: keys,
        },
    }
}

/// Of files that are there, of one that has other bytes by now, and of one that may be gone.
fn touches(model: &Model, repo: RepoId, n: usize) -> Vec<FileTouch> {
    let touch = |path: RepoPath, digest| FileTouch {
        path,
        digest,
        mtime: (n != 1).then_some(time(n as u64)),
        mode: (n != 2).then_some(0o104_400),
    };
    let there = model.files.iter().filter(|((of, _), _)| *of == repo);
    let there = there.map(|((_, path), (entry, _))| touch(path.clone(), entry.digest));
    let others = [
        touch(path(FILES[n]), Digest([9; 32])),
        touch(path("objects/gone"), Digest([7; 32])),
    ];
    there.take(n).chain(others).collect()
}

fn a_plain_command() -> impl Strategy<Value = Command> {
    let setting = proptest::option::of(Just("0".to_owned()));
    let switch = || proptest::option::of(Just("true".to_owned()));
    let two = (setting.clone(), switch());
    let limits = vec![
        (Limit::AuditRecords, 2),
        (Limit::Refs, 2),
        (Limit::Bytes, 2 << 20),
    ];
    let limit = (select(limits), any::<bool>());
    let format = Format {
        bare: true,
        objects: Default::default(),
        refs: Default::default(),
    };
    prop_oneof![
        3 => a_name().prop_map(|path| Command::CreateDirectory { path }),
        1 => a_name().prop_map(|path| Command::RemoveDirectory { path }),
        4 => (an_id(), a_name()).prop_map(|(id, path)| Command::CreateRepo { id, path }),
        3 => (an_id(), an_id(), a_name()).prop_map(|(from, id, path)| {
            Command::Fork { from, id, path }
        }),
        2 => (a_name(), a_name()).prop_map(|(from, to)| Command::Rename { from, to }),
        4 => (a_name(), a_name_step()).prop_map(|(path, step)| name_change(path, step)),
        6 => (an_id(), an_id(), select(&MODULES[..]), a_nest_step()).prop_map(
            |(repo, owner, module, step)| {
                let module = ModulePath::new(path(module)).expect("beneath modules/");
                let inside = Inside { owner, module };
                Command::Nest(Box::new(Nesting { repo, inside, step }))
            }
        ),
        1 => an_id().prop_map(|repo| {
            let change = HooksChange::Own { repo, hooks: None };
            Command::Hooks(Box::new(change))
        }),
        1 => an_id().prop_map(|id| Command::DeleteRepo { id }),
        1 => (an_id(), a_name()).prop_map(|(id, path)| Command::RestoreRepo { id, path }),
        1 => an_id().prop_map(|id| Command::PurgeRepo { id }),
        1 => an_id().prop_map(move |id| Command::SetFormat { id, format }),
        1 => (an_id(), setting).prop_map(|(id, value)| {
            Command::SetSetting { id, key: "gc.auto".into(), value }
        }),
        1 => (an_id(), two).prop_map(|(id, (one, other))| {
            let settings = vec![("gc.auto".into(), one), ("http.receivepack".into(), other)];
            Command::SetSettings { id, settings }
        }),
        1 => (an_id(), limit).prop_map(|(id, ((limit, value), is_set))| {
            Command::SetLimit { id, limit, value: is_set.then_some(value) }
        }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => a_plain_command().prop_map(Step::Plain),
        6 => a_push().prop_map(Step::Push),
        3 => a_trash_step().prop_map(Step::Trash),
        2 => (a_name(), a_condition(), vec(any::<u8>(), 0..3))
            .prop_map(|(path, condition, value)| Step::File(path, condition, value)),
        1 => Just(Step::Wait),
        2 => Just(Step::Write),
    ];
    // Most runs have a repository from the start, or little would happen.
    let begin = [
        Step::Plain(Command::CreateRepo {
            id: id(0),
            path: name("r.git"),
        }),
        Step::Plain(Command::CreateDirectory { path: name("a") }),
    ];
    vec(step, 1..60).prop_map(move |steps| begin.iter().cloned().chain(steps).collect())
}

/// Turns conditions into versions, as the model stands.
fn resolve(model: &Model, push: &Push) -> RepoChange {
    let mut change = push.change.clone();
    let refs_version = model
        .repos
        .get(&change.repo)
        .map_or(Version(0), |repo| repo.refs_version);
    for (edit, condition) in change.refs.iter_mut().zip(&push.expects) {
        let actual = model
            .refs
            .get(&(change.repo, edit.name.clone()))
            .map(|entry| entry.version);
        edit.expect = match (condition, actual) {
            (Condition::None, _) => Expect::Anything,
            (Condition::Absent, _) | (Condition::Holds, None) => Expect::Absent,
            (Condition::Holds, Some(version)) => Expect::Is(version),
            (Condition::Stale, _) => Expect::Is(Version(1)),
        };
    }
    let repacked = model.repos.get(&change.repo);
    let repacked = repacked.map_or(Version(0), |repo| repo.repacked_version);
    if let Some(removal) = &mut change.remove {
        removal.unless_repacked_since = match push.removal {
            Condition::None | Condition::Stale => None,
            Condition::Holds => Some(repacked),
            Condition::Absent => Some(Version(repacked.0.saturating_sub(1))),
        };
        removal.unless_refs_moved_since = match push.removal {
            Condition::None | Condition::Absent => None,
            Condition::Holds => Some(refs_version),
            Condition::Stale => Some(Version(1)),
        };
    }
    change
}

fn pushed(model: &Model, push: &Push) -> Command {
    let change = resolve(model, push);
    match &push.borrow {
        Some((from, files)) => borrowed(model, change, *from, files),
        None => published(model, change),
    }
}

/// Files of a lender as they are there, or as they may have been.
fn borrowed(model: &Model, mut change: RepoChange, from: RepoId, files: &[&str]) -> Command {
    let paths: Vec<_> = files.iter().map(|name| path(name)).collect();
    // One for each path: more are refused before they get into the log.
    change.add.retain(|add| !paths.contains(&add.path));
    let relied = paths.into_iter().map(|path| Relied {
        digest: match model.files.get(&(from, path.clone())) {
            Some((entry, _)) => entry.digest,
            None => Digest([9; 32]),
        },
        path,
    });
    let files = relied.collect();
    let tombstones_as_of = match change.refs.len() % 2 {
        0 => None,
        _ => Some(model.forgotten(change.repo)),
    };
    let unpruned = change
        .packed
        .len()
        .is_multiple_of(2)
        .then_some(Version(u64::MAX));
    Command::Borrow(Box::new(Borrowing {
        change,
        tombstones_as_of,
        unpruned,
        loans: vec![Loan { from, files }],
    }))
}

fn written(model: &Model, path: NamePath, condition: Condition, value: Vec<u8>) -> Command {
    let actual = match model.names.get(&path) {
        Some(NameEntry::File(file)) => Some(file.version),
        Some(_) | None => None,
    };
    let expect = match (condition, actual) {
        (Condition::None, _) => Expect::Anything,
        (Condition::Absent, _) | (Condition::Holds, None) => Expect::Absent,
        (Condition::Holds, Some(version)) => Expect::Is(version),
        (Condition::Stale, _) => Expect::Is(Version(1)),
    };
    let mode = 0o100_640;
    name_change(
        path,
        NameStep::Write {
            expect,
            mode,
            value,
        },
    )
}

fn name_change(path: NamePath, step: NameStep) -> Command {
    Command::Name(Box::new(NameChange { path, step }))
}

fn a_name_step() -> impl Strategy<Value = NameStep> {
    let touch = NameStep::Touch {
        mode: Some(0o100_600),
        mtime: Some(time(7)),
    };
    prop_oneof![
        2 => Just(NameStep::Link { target: b"r.git".to_vec() }),
        1 => Just(touch),
        1 => Just(NameStep::Unlink),
        4 => (a_name(), any::<bool>()).prop_map(|(to, replace)| NameStep::Move { to, replace }),
        3 => an_id().prop_map(NameStep::Become),
        1 => an_id().prop_map(NameStep::Restore),
    ]
}

fn a_nest_step() -> impl Strategy<Value = NestStep> {
    select(vec![
        NestStep::Make,
        NestStep::Make,
        NestStep::Move,
        NestStep::Restore,
    ])
}

/// Every other push says when it looked: now, or before keys were forgotten.
fn published(model: &Model, change: RepoChange) -> Command {
    let repo = change.repo;
    match (change.packed.len() + change.refs.len()) % 5 {
        0 => Command::Commit(change),
        // As of now, and as of the last but one removal.
        2 => Command::MoveRefs {
            change,
            tombstones_as_of: Some(model.forgotten(repo)),
            unpruned: Version(u64::MAX),
        },
        3 => {
            let removed = model.trashed_files.keys().rev();
            let mut removed = removed.filter(|(id, _)| *id == repo);
            let unpruned = removed.nth(1).map_or(Version(0), |(_, file)| file.version);
            Command::MoveRefs {
                change,
                tombstones_as_of: None,
                unpruned,
            }
        }
        1 => Command::Publish {
            tombstones_as_of: model.forgotten(change.repo),
            change,
        },
        4 => repacked(model, change),
        _ => Command::Publish {
            tombstones_as_of: Version(0),
            change,
        },
    }
}

/// Concluded from what is removed, and from one file that may not be there.
fn repacked(model: &Model, change: RepoChange) -> Command {
    let (removal, repo) = (change.remove.as_ref(), change.repo);
    let remove = removal.map_or(vec![], |removal| removal.paths.clone());
    let known = |path: &RepoPath| model.files.get(&(repo, path.clone()));
    let also = change.refs.iter().map(|_| path(FILES[0]));
    let relied = remove.iter().filter(|path| known(path).is_some()).cloned();
    let relied = relied.chain(also).map(|path| Relied {
        digest: known(&path).map_or(Digest([0; 32]), |file| file.0.digest),
        path,
    });
    Command::Repack(Box::new(Repacking {
        repo,
        tombstones_as_of: model.forgotten(repo),
        unless_refs_moved_since: removal.and_then(|removal| removal.unless_refs_moved_since),
        relied: relied.collect(),
        add: change.add,
        remove,
    }))
}

proptest! {
    #[test]
    fn behaves_like_the_model(steps in steps()) {
        let mut world = World::new();
        let mut model = Model::default();
        let mut batch = Vec::new();
        let mut expected = Vec::new();
        for step in steps.into_iter().chain([Step::Write]) {
            let command = match step {
                Step::Plain(command) => command,
                Step::Push(push) => pushed(&model, &push),
                Step::Trash(what) => trash_step(&model, what),
                Step::File(path, condition, value) => written(&model, path, condition, value),
                Step::Wait if batch.is_empty() => {
                    world.index += 4000;
                    continue;
                }
                Step::Wait => continue,
                Step::Write => {
                    let outcomes = world.run_batch(std::mem::take(&mut batch));
                    prop_assert_eq!(outcomes, std::mem::take(&mut expected));
                    check_reads(&world, &model)?;
                    continue;
                }
            };
            let index = world.index + 1 + batch.len() as u64;
            expected.push(model.apply(Version(index), time(index), &command));
            batch.push(command);
        }
    }
}

fn check_reads(world: &World, model: &Model) -> Result<(), TestCaseError> {
    let view = &world.database;
    for path in names(model) {
        let stands = model.names.get(&path).cloned();
        let stands = if path.is_root() {
            read::name(view, &path).expect("reads")
        } else {
            stands
        };
        prop_assert_eq!(read::name(view, &path).expect("reads"), stands);
        let names = model
            .names
            .iter()
            .map(|(path, entry)| (path.as_bytes(), entry));
        let expected = children(path.as_bytes(), names).into_iter();
        let expected: Vec<_> = expected
            .filter_map(|(name, entry)| Some((name, entry?)))
            .collect();
        prop_assert_eq!(read::names_in(view, &path).expect("reads"), expected);
    }
    check_contents(world, model)?;
    let there = model.repos.keys().copied();
    for repo in (0..3).map(id).chain(there).collect::<BTreeSet<_>>() {
        prop_assert_eq!(
            read::repo(view, repo).expect("reads"),
            model.repos.get(&repo).cloned()
        );
        check_repo(world, model, repo)?;
        check_trash(world, model, repo)?;
    }
    let trashed = read::trashed_repos(view).expect("reads").into_iter();
    let trashed: Vec<_> = trashed
        .map(|trashed| (trashed.repo.id, (trashed.version, trashed.repo)))
        .collect();
    prop_assert_eq!(
        trashed,
        model.trashed.clone().into_iter().collect::<Vec<_>>()
    );
    let expired = read::expired_repos(view).expect("reads").into_iter();
    let expired: Vec<_> = expired.map(|trashed| trashed.repo.id).collect();
    let expected: Vec<_> = model.expired_repos.keys().copied().collect();
    prop_assert_eq!(expired, expected);
    Ok(())
}

/// Those that commands name, and those that anything has.
fn names(model: &Model) -> BTreeSet<NamePath> {
    let there = model.names.keys().cloned();
    NAMES.map(name).into_iter().chain(there).collect()
}

/// Each file has its bytes, and no bytes are left of others.
fn check_contents(world: &World, model: &Model) -> Result<(), TestCaseError> {
    let view = &world.database;
    for (path, entry) in &model.names {
        if let NameEntry::File(file) = entry {
            let bytes = read::contents(view, file.version).expect("reads");
            prop_assert_eq!(bytes.as_ref(), model.contents.get(path));
        }
    }
    let mut rows = 0;
    let mut count = |_: &[u8], _: &[u8]| {
        rows += 1;
        Ok(Walk::Next)
    };
    view.scan(Table::Contents, &KeyRange::all(), &mut count)
        .expect("reads");
    prop_assert_eq!(rows, 2 * model.contents.len(), "bytes and place of each");
    Ok(())
}

fn check_trash(world: &World, model: &Model, repo: RepoId) -> Result<(), TestCaseError> {
    let view = &world.database;
    let trashed = read::trashed_files(view, repo, Version(0))
        .expect("reads")
        .into_iter();
    let trashed: Vec<_> = trashed
        .map(|file| {
            let row = (repo, file.version, file.path);
            (row, (file.entry, file.blocks), file.superseded)
        })
        .collect();
    let expected = model
        .trashed_files
        .iter()
        .filter(|((id, _), _)| *id == repo);
    let expected: Vec<_> = expected
        .map(|(row, file)| {
            let (_, id) = row;
            let superseded = model.superseded.contains(row);
            (
                (repo, id.version, id.path.clone()),
                file.clone(),
                superseded,
            )
        })
        .collect();
    prop_assert_eq!(trashed, expected);
    let tombstones = read::tombstones(view, repo).expect("reads").into_iter();
    let tombstones: Vec<_> = tombstones.map(|key| (key.key, key.deleted)).collect();
    let expected = model.tombstones.iter().filter(|((id, _), _)| *id == repo);
    let expected: Vec<_> = expected
        .map(|((_, key), deleted)| (key.clone(), *deleted))
        .collect();
    prop_assert_eq!(tombstones, expected);
    let named = model.named();
    for key in read::tombstones(view, repo).expect("reads") {
        prop_assert!(!named.contains(&key.key), "{} has a tombstone", key.key);
    }
    let others = model.repos.keys().chain(model.trashed.keys());
    let others = others.chain(model.expired_repos.keys());
    let shared = others.filter(|other| **other != repo);
    let shared = shared.flat_map(|other| model.named_by(*other));
    let shared: BTreeSet<_> = shared.filter(|key| owner(key) == Some(repo)).collect();
    prop_assert_eq!(read::shared_keys(view, repo).expect("reads"), shared);
    let forgotten = read::tombstones_as_of(view, repo).expect("reads");
    prop_assert_eq!(forgotten, model.forgotten(repo));
    let expired = read::expired(view, repo).expect("reads");
    let expected = model.expired.get(&repo).copied().unwrap_or_default();
    prop_assert_eq!(expired, expected);
    Ok(())
}

fn check_repo(world: &World, model: &Model, repo: RepoId) -> Result<(), TestCaseError> {
    let view = &world.database;
    let refs = || model.refs.iter().filter(|((id, _), _)| *id == repo);
    let files = || model.files.iter().filter(|((id, _), _)| *id == repo);
    for dir in [
        "",
        "refs",
        "refs/heads",
        "refs/heads/a",
        "refs/heads/a/b",
        "reftable",
    ]
    .map(path)
    {
        let expected = children(
            dir.as_bytes(),
            refs().map(|((_, path), entry)| (path.as_bytes(), entry)),
        );
        let listing = plain(read::references_in(view, repo, &dir).expect("reads"));
        let any = read::has_references_in(view, repo, &dir).expect("reads");
        prop_assert_eq!(any, !listing.is_empty());
        let value = |name: &[u8]| {
            let at = dir.join(name).expect("a valid path");
            read::reference(view, repo, &at)
                .expect("reads")
                .expect("it is listed")
        };
        let listed = listing.into_iter().map(|(name, child)| {
            let entry = child.map(|mode| {
                let entry = value(&name);
                assert_eq!(mode, entry.mode, "of {name:?} in a listing");
                entry
            });
            (name, entry)
        });
        prop_assert_eq!(listed.collect::<Vec<_>>(), expected);
    }
    for dir in ["", "objects", "objects/00", "objects/pack"].map(path) {
        let files = files().map(|((_, path), (entry, _))| (path.as_bytes(), entry));
        let expected = children(dir.as_bytes(), files);
        prop_assert_eq!(
            plain(read::files_in(view, repo, &dir).expect("reads")),
            expected
        );
    }
    for name in REFS.map(path) {
        let expected = model.refs.get(&(repo, name.clone())).cloned();
        prop_assert_eq!(read::reference(view, repo, &name).expect("reads"), expected);
    }
    for name in FILES.map(path) {
        let (entry, blocks) = model.files.get(&(repo, name.clone())).cloned().unzip();
        prop_assert_eq!(read::file(view, repo, &name).expect("reads"), entry);
        prop_assert_eq!(
            read::blocks(view, repo, &name).expect("reads"),
            blocks.unwrap_or_default()
        );
    }
    let mut lines = Vec::new();
    read::packed(view, repo, &mut |name, line| {
        lines.push(((repo, RepoPath::new(name).expect("valid")), line));
        true
    })
    .expect("reads");
    let expected = model
        .packed
        .clone()
        .into_iter()
        .filter(|((id, _), _)| *id == repo);
    prop_assert_eq!(lines, expected.collect::<Vec<_>>());
    Ok(())
}

fn plain<T>(listing: Listing<T>) -> Vec<(Vec<u8>, Option<T>)> {
    let value = |child| match child {
        Child::File(value) => Some(value),
        Child::Directory => None,
    };
    listing
        .into_iter()
        .map(|(name, child)| (name, value(child)))
        .collect()
}
