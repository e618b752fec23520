//! Exactly once.

use crate::support::{World, envelope, id, name, path, refs, set_if};
use gitmoor_model::{Change, Command, Envelope, Expect, Outcome, RefEdit, SessionId, Version};
use gitmoor_replicator::state::read;
use gitmoor_replicator::state::sessions::{MAX_SESSIONS, Seen, WINDOW, look_up};

fn append(session: SessionId, sequence: u64, index: u64) -> Envelope {
    let change = Change::Append { value: b"x".into() };
    let edit = RefEdit {
        name: path("refs/heads/log"),
        expect: Expect::Anything,
        change,
    };
    envelope(session, sequence, index, refs(id(1), vec![edit]))
}

fn appended(world: &World) -> usize {
    let entry = read::reference(&world.database, id(1), &path("refs/heads/log")).expect("reads");
    entry.map_or(0, |entry| entry.value.len())
}

#[test]
fn a_retry_answers_the_first_outcome_and_changes_nothing() {
    let mut world = World::with_repo(id(1));
    let session = SessionId::random();
    let create = envelope(
        session,
        1,
        10,
        refs(id(1), vec![set_if("HEAD", Expect::Absent, "x")]),
    );
    let first = world.apply_batch(10, std::slice::from_ref(&create));
    assert_eq!(first, [Some(Outcome::Done(Version(10)))]);
    // Again in a later batch, and twice in one: still the first outcome, although
    // a second application would be refused.
    assert_eq!(world.apply_batch(11, std::slice::from_ref(&create)), first);
    let add = append(session, 2, 12);
    let twice = world.apply_batch(12, &[add.clone(), add]);
    assert_eq!(twice, vec![Some(Outcome::Done(Version(12))); 2]);
    assert_eq!(appended(&world), 1);
}

#[test]
fn a_refusal_is_remembered_too() {
    let mut world = World::with_repo(id(1));
    let session = SessionId::random();
    let again = Command::CreateRepo {
        id: id(2),
        path: name("app.git"),
    };
    let sent = envelope(session, 1, 10, again);
    let refused = world.apply_batch(10, std::slice::from_ref(&sent));
    assert!(
        matches!(refused[0], Some(Outcome::Refused(_))),
        "{refused:?}"
    );
    world.must(Command::DeleteRepo { id: id(1) });
    assert_eq!(world.apply_batch(12, &[sent]), refused);
}

#[test]
fn commands_that_overtook_each_other_are_each_applied_once() {
    let mut world = World::with_repo(id(1));
    let session = SessionId::random();
    let sent: Vec<_> = [3, 1, 2, 1, 3, 2]
        .iter()
        .map(|&n| append(session, n, 10))
        .collect();
    let versions: Vec<_> = world
        .apply_batch(10, &sent)
        .into_iter()
        .map(|outcome| match outcome {
            Some(Outcome::Done(version)) => version.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(versions, [10, 11, 12, 11, 10, 12]);
    assert_eq!(appended(&world), 3);
}

#[test]
fn what_fell_out_of_the_window_is_not_applied_again() {
    let mut world = World::with_repo(id(1));
    let session = SessionId::random();
    world.apply_batch(10, &[append(session, 1, 10), append(session, 2, 11)]);
    world.apply_batch(12, &[append(session, WINDOW + 1, 12)]);
    let late = [append(session, 1, 13), append(session, 2, 14)];
    let outcomes = world.apply_batch(13, &late);
    assert_eq!(outcomes, [None, Some(Outcome::Done(Version(11)))]);
    assert_eq!(appended(&world), 3);
}

#[test]
fn the_longest_unused_session_is_forgotten_first() {
    let mut world = World::with_repo(id(1));
    // With the one that created the repository these are as many as are kept.
    let sessions: Vec<_> = (1..MAX_SESSIONS).map(|_| SessionId::random()).collect();
    let sent: Vec<_> = sessions
        .iter()
        .map(|&session| append(session, 1, 10))
        .collect();
    world.apply_batch(10, &sent);
    let again = [append(sessions[0], 2, 2000), append(world.session, 7, 2001)];
    world.apply_batch(2000, &again);
    let newcomer = SessionId::random();
    let known = |world: &World| {
        let sessions = [
            sessions[0],
            sessions[1],
            sessions[2],
            world.session,
            newcomer,
        ];
        let sequences = [1, 1, 1, 2, 1];
        let seen = sessions
            .into_iter()
            .zip(sequences)
            .map(|(session, sequence)| {
                look_up(&world.database, session, sequence).expect("reads") != Seen::Never
            });
        seen.collect::<Vec<_>>()
    };
    assert_eq!(known(&world), [true, true, true, true, false]);
    world.apply_batch(3000, &[append(newcomer, 1, 3000)]);
    assert_eq!(known(&world), [true, false, true, true, true]);
    let outcomes = sessions[1].as_bytes();
    let kept = gitmoor_replicator::storage::snapshot::encode(&world.database).expect("reads");
    assert!(
        !kept.windows(16).any(|bytes| bytes == outcomes),
        "its outcomes are gone, too"
    );
}
