//! What comes from other members is not believed blindly.

use crate::support::{database, envelope, id, name};
use gitmoor_model::{Command, SessionId};
use gitmoor_replicator::engine::{Compaction, Incarnation, RaftLimits};
use gitmoor_replicator::peer::{Body, Message, Peer, Unintelligible, VERSION};
use prost_for_raft::Message as _;
use raft::eraftpb::{ConfState, Entry, Message as RaftMessage, MessageType, Snapshot};
use std::sync::Arc;

fn message(body: Body) -> Message {
    Message {
        from: 2,
        to: 1,
        body,
    }
}

/// A peer that leads, alone.
fn leader(dir: &std::path::Path) -> Peer<()> {
    let limits = RaftLimits {
        uncommitted_bytes: 1 << 20,
        batch_bytes: 1 << 20,
    };
    let compaction = Compaction {
        entries: u64::MAX,
        bytes: u64::MAX,
    };
    let incarnation = Incarnation { node: 1, nonce: 1 };
    let mut peer =
        Peer::open(incarnation, Arc::new(database(dir)), limits, compaction).expect("opens");
    peer.start(&mut |_| {}).expect("starts");
    peer
}

/// How many entries a message makes.
fn entries_of(peer: &mut Peer<()>, message: Message) -> u64 {
    let before = peer.raft().raft_log.last_index();
    peer.receive(message);
    peer.run(&mut |_| {}).expect("goes on");
    peer.raft().raft_log.last_index() - before
}

fn create(path: &str) -> Vec<u8> {
    let path = name(path);
    let command = Command::CreateRepo { id: id(1), path };
    let envelope = envelope(SessionId::random(), 1, 1, command);
    postcard::to_stdvec(&envelope).expect("encodes")
}

#[test]
fn a_message_survives_encoding() {
    for body in [
        Body::Raft(vec![1, 2]),
        Body::Snapshot(vec![3]),
        Body::Propose(vec![]),
    ] {
        let sent = message(body);
        assert_eq!(Message::decode(&sent.encode()).expect("decodes"), sent);
    }
}

#[test]
fn another_version_or_garbage_is_refused() {
    let mut bytes = message(Body::Propose(vec![1, 2, 3])).encode();
    let cut = Message::decode(&bytes[..bytes.len() - 1]).expect_err("is cut");
    assert!(matches!(cut, Unintelligible::Garbled(_)), "{cut}");
    bytes[0] = VERSION + 1;
    let newer = Message::decode(&bytes).expect_err("is newer");
    assert!(matches!(newer, Unintelligible::Version(version) if version == VERSION + 1));
    let empty = Message::decode(&[]).expect_err("is empty");
    assert!(matches!(empty, Unintelligible::Empty), "{empty}");
}

#[test]
fn only_a_command_that_decodes_gets_into_the_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut peer = leader(dir.path());
    let command = create("app.git");
    let cut = command[..command.len() - 1].to_vec();
    assert_eq!(entries_of(&mut peer, message(Body::Propose(cut))), 0);
    assert_eq!(entries_of(&mut peer, message(Body::Propose(command))), 1);
}

#[test]
fn raft_takes_no_proposals_of_others_and_no_false_names() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut peer = leader(dir.path());
    let mut sent = RaftMessage {
        from: 2,
        to: 1,
        ..RaftMessage::default()
    };
    sent.set_msg_type(MessageType::MsgPropose);
    sent.entries.push(Entry {
        data: b"not a command".to_vec(),
        ..Entry::default()
    });
    let proposal = message(Body::Raft(sent.encode_to_vec()));
    assert_eq!(entries_of(&mut peer, proposal), 0);
    // A higher term would make it step down.
    sent.set_msg_type(MessageType::MsgHeartbeat);
    sent.entries.clear();
    sent.term = peer.raft().term + 1;
    let mut false_name = message(Body::Raft(sent.encode_to_vec()));
    false_name.from = 3;
    entries_of(&mut peer, false_name);
    assert!(peer.is_settled());
    entries_of(&mut peer, message(Body::Raft(sent.encode_to_vec())));
    assert!(!peer.is_settled());
}

#[test]
fn a_message_for_another_is_not_taken() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut peer = leader(dir.path());
    let mut stray = message(Body::Propose(create("app.git")));
    stray.to = 3;
    assert_eq!(entries_of(&mut peer, stray), 0);
}

/// A snapshot comes with its rows or not at all, whichever way it is said to come.
#[test]
fn a_snapshot_without_its_rows_is_not_taken() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut peer = leader(dir.path());
    let mut snapshot = Snapshot::default();
    let metadata = snapshot.mut_metadata();
    (metadata.index, metadata.term) = (1000, 9);
    metadata.set_conf_state(ConfState::from((vec![1, 2], vec![])));
    let mut sent = RaftMessage {
        from: 2,
        to: 1,
        term: 9,
        ..RaftMessage::default()
    };
    sent.set_msg_type(MessageType::MsgSnapshot);
    sent.set_snapshot(snapshot);
    for body in [
        Body::Raft(sent.encode_to_vec()),
        Body::Snapshot(sent.encode_to_vec()),
    ] {
        assert_eq!(entries_of(&mut peer, message(body)), 0);
        assert!(peer.is_settled(), "it leads, as before");
    }
}
