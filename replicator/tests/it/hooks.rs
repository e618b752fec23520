//! Which machine may move refs, by its hooks and those of the others.

use crate::support::{World, actor, envelope, id, name, oid, path, refs, set};
use gitmoor_model::{
    Actor, Client, ClusterId, Command, Concern, Digest, HookFile, HookKind, HookSet, HooksChange,
    MOST_HOOK_FILES, MachineHooks, Member, Newcomer, Outcome, OwnHooks, Part, Proposal, Refusal,
    SecretDigest, Timestamp, Unfit, Version,
};
use gitmoor_replicator::state::{AuditEvent, Trail, read};

/// Node 1 at `a:1`, node 3 at `b:1`, client 5, and `app.git`.
fn cluster() -> World {
    let mut world = World::new();
    world.must(Command::FoundCluster {
        id: ClusterId::random(),
        node: 1,
        address: "a:1".to_owned(),
    });
    let mut admit = |part, newcomer| {
        let secret = SecretDigest::of(b"x");
        let expires = until(i64::MAX);
        let invite = Command::Invite {
            secret,
            expires,
            part,
        };
        world.must(invite);
        world.must(Command::Admit { secret, newcomer }).0
    };
    let address = "b:1".to_owned();
    let node = admit(Part::Node, Newcomer::Node(Member { address }));
    let client = Newcomer::Client(Client {
        name: "laptop".to_owned(),
    });
    assert_eq!((node, admit(Part::Client, client)), (NODE, CLIENT));
    world.must(Command::CreateRepo {
        id: id(1),
        path: name("app.git"),
    });
    world
}

/// Ids of the machines that were admitted.
const NODE: u64 = 4;
const CLIENT: u64 = 6;

fn until(secs: i64) -> Timestamp {
    Timestamp { secs, nanos: 0 }
}

/// By one machine.
fn run_as(world: &mut World, machine: u64, command: Command) -> Outcome {
    world.index += 1;
    let envelope = envelope(world.session, world.index, world.index, command);
    let envelope = gitmoor_model::Envelope {
        actor: Actor {
            node: Some(machine),
            ..actor()
        },
        ..envelope
    };
    let outcomes = world.apply_batch(world.index, &[envelope]);
    let [Some(outcome)] = &outcomes[..] else {
        panic!("one outcome: {outcomes:?}");
    };
    outcome.clone()
}

#[track_caller]
fn told(world: &mut World, machine: u64, change: HooksChange) {
    let outcome = run_as(world, machine, Command::Hooks(Box::new(change)));
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
}

fn directory(text: &str) -> HookSet {
    HookSet::new(vec![
        HookFile::new(path("update"), HookKind::Program, text.as_bytes()),
        HookFile::new(path("rules"), HookKind::Data, b"rules"),
    ])
}

fn report(directory: Option<HookSet>, lenient: bool) -> HooksChange {
    HooksChange::Report(MachineHooks { directory, lenient })
}

fn own(names: &[&str]) -> HooksChange {
    let hooks = (!names.is_empty()).then(|| OwnHooks {
        digest: Digest([1; 32]),
        names: names.iter().map(|name| path(name)).collect(),
    });
    HooksChange::Own { repo: id(1), hooks }
}

/// A push by one machine: why it is refused.
fn push(world: &mut World, machine: u64) -> Option<Refusal> {
    let value = oid(u8::try_from(world.index % 250).expect("small"));
    let command = refs(id(1), vec![set("refs/heads/main", &value)]);
    match run_as(world, machine, command) {
        Outcome::Done(_) => None,
        Outcome::Refused(refusal) => Some(refusal),
    }
}

#[track_caller]
fn differs(world: &mut World, machine: u64, file: Option<&str>) {
    let refusal = push(world, machine).expect("it is refused");
    let file = file.map(path);
    assert_eq!(refusal, Refusal::HooksDiffer { machine, file });
}

#[test]
fn who_has_another_directory_moves_no_ref() {
    let mut world = cluster();
    for machine in [1, NODE, CLIENT] {
        assert_eq!(push(&mut world, machine), None);
    }
    told(&mut world, 1, report(Some(directory("one")), false));
    assert_eq!(push(&mut world, 1), None);
    differs(&mut world, NODE, None);
    differs(&mut world, CLIENT, None);
    told(&mut world, NODE, report(Some(directory("other")), false));
    differs(&mut world, NODE, Some("update"));
    told(&mut world, CLIENT, report(Some(directory("one")), false));
    assert_eq!(push(&mut world, CLIENT), None);
    // It is no ref of a push.
    let head = refs(id(1), vec![set("HEAD", "ref: refs/heads/next\n")]);
    assert!(matches!(run_as(&mut world, NODE, head), Outcome::Done(_)));
    let mut sentence = push(&mut world, NODE).expect("it is refused").to_string();
    sentence.make_ascii_lowercase();
    assert!(sentence.contains("update is not the same"), "{sentence}");
}

/// A client that shows another directory than the nodes changes nothing for them.
#[test]
fn a_client_begins_no_directory() {
    let mut world = cluster();
    told(&mut world, CLIENT, report(Some(directory("its")), false));
    assert_eq!(read::accepted_hooks(&world.database).expect("reads"), None);
    assert_eq!(push(&mut world, NODE), None);
}

#[test]
fn a_promotion_accepts_the_one_before_for_a_while() {
    let mut world = cluster();
    told(&mut world, 1, report(Some(directory("one")), false));
    told(&mut world, NODE, report(Some(directory("one")), false));
    let now = gitmoor_model::Timestamp {
        secs: crate::support::time(world.index + 1).secs,
        nanos: 0,
    };
    let promote = HooksChange::Promote {
        directory: Some(directory("two")),
        until: until(now.secs + 4),
    };
    told(&mut world, 1, promote);
    assert_eq!(push(&mut world, NODE), None, "within the grace");
    told(&mut world, 1, report(Some(directory("two")), false));
    assert_eq!(push(&mut world, 1), None);
    while crate::support::time(world.index + 1).secs < now.secs + 4 {
        world.index += 1;
    }
    differs(&mut world, NODE, Some("update"));
    assert_eq!(push(&mut world, 1), None);
    let mut events = Vec::new();
    let trail = Trail::Namespace;
    read::audit(&world.database, trail, Version::default(), &mut |_, it| {
        events.push(it.event);
        true
    })
    .expect("reads");
    let promoted = AuditEvent::HooksPromoted {
        old: Some(directory("one").digest()),
        new: Some(directory("two").digest()),
    };
    assert_eq!(events.last(), Some(&promoted));
}

#[test]
fn none_can_be_promoted() {
    let mut world = cluster();
    told(&mut world, 1, report(Some(directory("one")), false));
    let promote = HooksChange::Promote {
        directory: None,
        until: until(0),
    };
    told(&mut world, 1, promote);
    differs(&mut world, 1, None);
    assert_eq!(push(&mut world, NODE), None);
    told(&mut world, 1, report(None, false));
    assert_eq!(push(&mut world, 1), None);
}

#[test]
fn who_lacks_a_hook_of_a_repository_moves_no_ref_there() {
    let mut world = cluster();
    told(&mut world, 1, own(&["pre-receive", "pre-receive.d/host"]));
    assert_eq!(push(&mut world, 1), None);
    let missing = |machine, name, on| {
        let name = path(name);
        Some(Refusal::HooksMissing { machine, name, on })
    };
    assert_eq!(push(&mut world, NODE), missing(NODE, "pre-receive", 1));
    told(&mut world, NODE, own(&["pre-receive"]));
    let file = "pre-receive.d/host";
    assert_eq!(push(&mut world, NODE), missing(NODE, file, 1));
    assert_eq!(push(&mut world, CLIENT), missing(CLIENT, "pre-receive", 1));
    told(&mut world, CLIENT, report(None, true));
    assert_eq!(push(&mut world, CLIENT), None, "it is lenient");
    told(&mut world, NODE, own(&["pre-receive", file, "update"]));
    assert_eq!(push(&mut world, NODE), None);
    assert_eq!(push(&mut world, 1), missing(1, "update", NODE));
    world.must(Command::RemoveMember { node: NODE });
    assert_eq!(push(&mut world, 1), None, "the machine is gone");
    told(&mut world, 1, own(&[]));
    let rows = read::own_hooks_everywhere(&world.database, id(1)).expect("reads");
    assert!(rows.is_empty(), "{rows:?}");
}

/// git runs the directory, and nothing that stands in a repository.
#[test]
fn beside_a_directory_nothing_is_missing() {
    let mut world = cluster();
    told(&mut world, 1, own(&["update"]));
    told(&mut world, 1, report(Some(directory("one")), false));
    told(&mut world, NODE, report(Some(directory("one")), false));
    assert_eq!(push(&mut world, NODE), None);
}

#[test]
fn who_is_alone_tells_nothing_and_is_asked_nothing() {
    let mut world = World::with_repo(id(1));
    let change = own(&["update"]);
    let outcome = world.run(Command::Hooks(Box::new(change)));
    assert_eq!(outcome, Outcome::Refused(Refusal::NotFounded));
    assert_eq!(push(&mut world, 1), None);
}

#[test]
fn rights() {
    let concerns = |change| {
        let command = Command::Hooks(Box::new(change));
        format!("{:?}", command.concerns())
    };
    let promote = HooksChange::Promote {
        directory: None,
        until: until(0),
    };
    let of = |concern: Concern<'_>| format!("{:?}", [concern]);
    assert_eq!(concerns(promote), of(Concern::Cluster), "nodes alone");
    assert_eq!(concerns(report(None, false)), of(Concern::Proposer));
    assert_eq!(concerns(own(&[])), of(Concern::Repo(id(1))));
}

#[test]
fn there_is_a_limit_of_files() {
    let world = World::new();
    let files = (0..=MOST_HOOK_FILES).map(|n| {
        let path = path(&format!("f{n}"));
        HookFile::new(path, HookKind::Data, b"")
    });
    let directory = Some(HookSet::new(files.collect()));
    let command = Command::Hooks(Box::new(report(directory, false)));
    let proposal = Proposal::new(&envelope(world.session, 2, 2, command), 1 << 20);
    assert!(
        matches!(proposal, Err(Unfit::Refused(Refusal::NotPermitted(_)))),
        "{proposal:?}"
    );
}
