//! A repository that is brought in is nobody's business before it is whole.

use crate::support::{World, file, id, line, name, path, set};
use gitmoor_model::{
    Command, Digest, Format, Import, ImportPlan, ImportStage, ImportStep, Importing, ObjectFormat,
    Outcome, RefStorage, Refusal, RepoChange, RepoId, Usage, Version,
};
use gitmoor_replicator::NameEntry;
use gitmoor_replicator::state::{AuditEvent, Trail, read};
use std::collections::BTreeSet;

const PACK: &str = "objects/pack/pack-1.pack";
const IDX: &str = "objects/pack/pack-1.idx";

fn step(id: RepoId, step: ImportStep) -> Command {
    Command::Import(Box::new(Importing { id, step }))
}

fn begin(id: RepoId, to: &str) -> Command {
    begin_for(id, to, None)
}

fn begin_for(id: RepoId, to: &str, borrower: Option<RepoId>) -> Command {
    let (path, source) = (name(to), "elsewhere".to_owned());
    step(
        id,
        ImportStep::Begin {
            path,
            source,
            borrower,
        },
    )
}

fn stored(id: RepoId) -> Command {
    let files = vec![file(PACK, "1", 2), file(IDX, "2", 1)];
    step(id, ImportStep::Store(files))
}

fn verified(id: RepoId, of: &str) -> Command {
    let (paths, full) = (vec![path(of)], false);
    step(id, ImportStep::Verify { paths, full })
}

fn refs(id: RepoId, first: bool) -> Command {
    let (loose, packed) = (
        vec![set("HEAD", "ref: refs/heads/main\n")],
        vec![line("refs/heads/main", 1)],
    );
    step(
        id,
        ImportStep::Refs {
            first,
            loose,
            packed,
        },
    )
}

const FORMAT: Format = Format {
    bare: true,
    objects: ObjectFormat::Sha256,
    refs: RefStorage::Files,
};

fn finish(id: RepoId) -> Command {
    step(id, ImportStep::Finish { format: FORMAT })
}

fn the_import(world: &World) -> Import {
    let imports = read::imports(&world.database).expect("reads");
    let [import] = &imports[..] else {
        panic!("{imports:?}");
    };
    import.clone()
}

/// One of which only the name is missing.
fn whole() -> World {
    let mut world = World::new();
    world.must(begin(id(1), "app.git"));
    world.must(stored(id(1)));
    world.must(verified(id(1), PACK));
    world.must(verified(id(1), IDX));
    world.must(refs(id(1), true));
    world
}

#[test]
fn is_seen_only_at_the_end_and_then_whole() {
    let mut world = whole();
    let at = name("app.git");
    assert_eq!(read::name(&world.database, &at).expect("reads"), None);
    assert_eq!(read::repo(&world.database, id(1)).expect("reads"), None);
    let version = world.must(finish(id(1)));
    let there = read::name(&world.database, &at).expect("reads");
    assert_eq!(there, Some(NameEntry::Repo(id(1))));
    let repo = world.repo(id(1));
    assert_eq!((repo.format, repo.path), (Some(FORMAT), at));
    assert_eq!((repo.refs_version, repo.packed_version), (version, version));
    for (of, blocks) in [(PACK, 2), (IDX, 1)] {
        let found = read::blocks(&world.database, id(1), &path(of)).expect("reads");
        assert_eq!(found.len(), blocks);
    }
    let main = read::packed_ref(&world.database, id(1), &path("refs/heads/main"));
    assert!(main.expect("reads").is_some());
    assert_eq!(the_import(&world).stage, ImportStage::Done);
    assert_eq!(read::verified(&world.database, id(1)).expect("reads"), []);
    // It is over.
    for late in [
        stored(id(1)),
        finish(id(1)),
        step(id(1), ImportStep::Abandon),
    ] {
        assert_eq!(world.run(late), Outcome::Refused(Refusal::NoImport(id(1))));
    }
}

#[test]
fn what_was_not_read_back_gets_no_name() {
    let mut world = whole();
    let unverified = |of: &str| Outcome::Refused(Refusal::Unverified { path: path(of) });
    // Stored anew: other bytes.
    world.must(step(id(1), ImportStep::Store(vec![file(IDX, "3", 1)])));
    assert_eq!(world.run(finish(id(1))), unverified(IDX));
    world.must(verified(id(1), "objects/pack/pack-2.idx"));
    assert_eq!(world.run(finish(id(1))), unverified(IDX));
    world.must(step(id(1), ImportStep::Drop(vec![path(IDX)])));
    world.must(finish(id(1)));
    let left = read::trashed_files(&world.database, id(1), Version(0)).expect("reads");
    let keys: Vec<_> = left.iter().filter_map(|file| file.entry.key()).collect();
    assert_eq!(keys, ["2", "3"], "gc finds their bytes");
}

#[test]
fn refs_of_an_earlier_try_are_forgotten() {
    let mut world = whole();
    let loose = vec![set("refs/remotes/origin/HEAD", "ref: refs/heads/x\n")];
    let packed = vec![line("refs/heads/old", 2)];
    let first = false;
    world.must(step(
        id(1),
        ImportStep::Refs {
            first,
            loose,
            packed,
        },
    ));
    world.must(refs(id(1), true));
    world.must(finish(id(1)));
    let mut names = Vec::new();
    read::packed(&world.database, id(1), &mut |name, _| {
        names.push(String::from_utf8_lossy(name).into_owned());
        true
    })
    .expect("reads");
    assert_eq!(names, ["refs/heads/main"]);
    let old = read::reference(&world.database, id(1), &path("refs/remotes/origin/HEAD"));
    assert_eq!(old.expect("reads"), None);
}

#[test]
fn names_and_ids_are_taken_by_one_that_is_under_way() {
    let mut world = whole();
    let taken = Outcome::Refused(Refusal::BeingImported(name("app.git")));
    assert_eq!(world.run(begin(id(2), "app.git")), taken);
    let held = Outcome::Refused(Refusal::Exists(name("app.git")));
    let path = name("other.git");
    assert_eq!(world.run(Command::CreateRepo { id: id(1), path }), held);
    // The name itself may be taken by then: whoever has it keeps it.
    let path = name("app.git");
    world.must(Command::CreateRepo { id: id(3), path });
    assert_eq!(world.run(finish(id(1))), held);
    assert_eq!(world.run(begin(id(2), "app.git")), held);
    let odd = name("plain");
    let refused = Outcome::Refused(Refusal::BadPath(odd));
    assert_eq!(world.run(begin(id(4), "plain")), refused);
}

#[test]
fn a_failed_one_goes_on() {
    let mut world = whole();
    let reason = "the disk is gone".to_owned();
    let stage = ImportStage::Failed { reason };
    let plan = ImportPlan {
        files: 2,
        bytes: 3,
        objects: 4,
    };
    let reach = |stage| step(id(1), ImportStep::Reach { stage, plan });
    world.must(reach(stage.clone()));
    let import = the_import(&world);
    assert_eq!((import.stage, import.plan), (stage, plan));
    assert!(import.changed > import.began);
    let early = world.run(reach(ImportStage::Done));
    assert!(matches!(early, Outcome::Refused(_)), "{early:?}");
    world.must(finish(id(1)));
}

#[test]
fn one_that_is_given_up_is_left_to_gc() {
    let mut world = whole();
    world.must(step(id(1), ImportStep::Abandon));
    assert_eq!(read::imports(&world.database).expect("reads"), []);
    let expired = read::expired_repos(&world.database).expect("reads");
    assert_eq!(expired[0].repo.id, id(1));
    let held = Outcome::Refused(Refusal::Exists(name("app.git")));
    assert_eq!(
        world.run(begin(id(1), "app.git")),
        held,
        "an id never comes again"
    );
    world.must(begin(id(2), "app.git"));
    world.must(Command::PurgeRepo { id: id(1) });
    let files = read::files_in(&world.database, id(1), &path("objects/pack"));
    assert_eq!(files.expect("reads"), []);
}

#[test]
fn a_name_that_is_free_again_can_be_imported_to_again() {
    let mut world = whole();
    world.must(finish(id(1)));
    world.must(Command::DeleteRepo { id: id(1) });
    world.must(begin(id(2), "app.git"));
    assert_eq!(the_import(&world).id, id(2));
}

/// What it has is counted on its way in, and it is on record where it came from.
#[test]
fn a_finished_one_is_counted_and_on_record() {
    let mut world = whole();
    world.must(finish(id(1)));
    let expected = Usage {
        files: 2,
        bytes: 3 << 20,
        refs: 1,
    };
    assert_eq!(world.repo(id(1)).usage, expected);
    let trail = Trail::Of(id(1));
    let mut events = Vec::new();
    read::audit(&world.database, trail, Version(0), &mut |_, record| {
        events.push(record.event);
        true
    })
    .expect("reads");
    let (path, source) = (name("app.git"), "elsewhere".to_owned());
    assert_eq!(events, [AuditEvent::Imported { path, source }]);
}

/// All at once, and only once they were read back; from then on they are its own, as a fork's are.
#[test]
fn a_borrower_gets_the_files() {
    let mut world = World::new();
    let (borrower, import) = (id(9), id(1));
    let create = |id, at: &str| Command::CreateRepo { id, path: name(at) };
    world.must(create(borrower, "app.git"));
    world.must(create(id(8), "other.git"));
    const ALTERNATES: &str = "objects/info/alternates";
    let alternates = file(ALTERNATES, &format!("{borrower}/{ALTERNATES}"), 1);
    let digest = alternates.entry.digest;
    world.must(Command::Commit(RepoChange {
        add: vec![alternates],
        ..RepoChange::new(borrower)
    }));
    let taken = Outcome::Refused(Refusal::Exists(name("app.git")));
    assert_eq!(world.run(begin_for(import, "app.git", Some(id(8)))), taken);
    assert_eq!(world.run(begin_for(import, "app.git", None)), taken);
    world.must(begin_for(import, "app.git", Some(borrower)));
    let keys = [PACK, IDX].map(|path| format!("{import}/{path}"));
    let files = vec![file(PACK, &keys[0], 2), file(IDX, &keys[1], 1)];
    world.must(step(import, ImportStep::Store(files)));
    world.must(verified(import, PACK));
    let give = |instead_of| {
        let repo = borrower;
        step(import, ImportStep::GiveTo { repo, instead_of })
    };
    let unverified = Outcome::Refused(Refusal::Unverified { path: path(IDX) });
    assert_eq!(world.run(give(digest)), unverified);
    world.must(verified(import, IDX));
    world.must(give(digest));

    let has = |world: &World, at| read::file(&world.database, borrower, &path(at)).expect("reads");
    assert!(has(&world, PACK).is_some() && has(&world, IDX).is_some());
    assert!(has(&world, ALTERNATES).is_none());
    let usage = world.repo(borrower).usage;
    assert_eq!((usage.files, usage.bytes), (2, 3 << 20));
    assert_eq!(the_import(&world).id, borrower);
    // Of the import nothing is left but what is shared; that goes with the last sharer.
    let expired = |world: &World| read::expired_repos(&world.database).expect("reads").len();
    world.must(Command::PurgeRepo { id: import });
    assert_eq!(expired(&world), 1);
    let shared = read::shared_keys(&world.database, import).expect("reads");
    assert_eq!(shared, BTreeSet::from(keys));
    let version = world.must(Command::DeleteRepo { id: borrower });
    world.must(Command::ExpireRepo {
        id: borrower,
        version,
    });
    world.must(Command::PurgeRepo { id: borrower });
    world.must(Command::PurgeRepo { id: import });
    assert_eq!(expired(&world), 0);
}

/// What somebody wrote there meanwhile is theirs.
#[test]
fn alternates_that_were_changed_stay() {
    let mut world = World::with_repo(id(9));
    let at = world.repo(id(9)).path.to_string();
    let path = "objects/info/alternates";
    let change = RepoChange {
        add: vec![file(path, &format!("{}/{path}", id(9)), 1)],
        ..RepoChange::new(id(9))
    };
    world.must(Command::Commit(change));
    world.must(begin_for(id(1), &at, Some(id(9))));
    let instead_of = Digest([1; 32]);
    let repo = id(9);
    world.must(step(id(1), ImportStep::GiveTo { repo, instead_of }));
    let there = read::file(&world.database, id(9), &crate::support::path(path));
    assert!(there.expect("reads").is_some());
}
