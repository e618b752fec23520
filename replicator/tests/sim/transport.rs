//! What carries messages between machines, and tells their senders what it knows of
//! those that are lost.

use crate::bug::Bug;
use crate::machine::Input;
use crate::plan::{MILLISECOND, SECOND};
use crate::world::{Event, World};
use gitmoor_replicator::peer::{Body, Message, carried};
use gitmoor_replicator::storage::snapshot::{self, Unusable};
use gitmoor_replicator::storage::{Disk, Frozen, lay_in};
use rand::Rng;
use std::io::Cursor;
use std::sync::Arc;

/// Bytes of rows that are laid beside the state at once: few, so that the power fails between them.
const LAID: usize = 300;

impl World {
    pub(crate) fn send(&mut self, from: u64, life: u64, after: u64, message: &Message) {
        self.tally.forwarded += u64::from(matches!(message.body, Body::Propose(_)));
        self.carry(from, life, after, message, message.encode());
    }

    pub(crate) fn send_snapshot(
        &mut self,
        from: u64,
        life: u64,
        after: u64,
        message: &Message,
        state: &Frozen,
    ) {
        self.tally.snapshots += 1;
        let rows = snapshot::encode(state.view()).expect("reads");
        let head = carried::head(message, rows.len() as u64).expect("a snapshot");
        self.carry(from, life, after, message, [head, rows].concat());
    }

    fn carry(&mut self, from: u64, life: u64, after: u64, message: &Message, bytes: Vec<u8>) {
        let is_snapshot = matches!(message.body, Body::Snapshot(_));
        if let Some(message) = raft_message(message) {
            self.checks.hear(&message);
        }
        let to = message.to;
        let copies = self.network.carry(from, to, &self.plan, &mut self.chance);
        if copies.is_empty() {
            self.lose(from, life, to, is_snapshot);
        }
        for delay in copies {
            let snapshot_of = is_snapshot.then_some(life);
            let bytes = bytes.clone();
            self.at(
                after + delay,
                Event::Arrive {
                    from,
                    to,
                    bytes,
                    snapshot_of,
                },
            );
        }
    }

    /// The transport of the sender finds out that a message is lost: always for a
    /// snapshot, sometimes for others.
    fn lose(&mut self, from: u64, life: u64, to: u64, is_snapshot: bool) {
        let after = self.chance.random_range(MILLISECOND..SECOND);
        if is_snapshot {
            self.report_snapshot(from, life, to, false);
        } else if self.chance.random_bool(0.3) {
            let input = Input::Unreachable(to);
            self.at(
                after,
                Event::Reported {
                    node: from,
                    life,
                    input,
                },
            );
        }
    }

    fn report_snapshot(&mut self, node: u64, life: u64, to: u64, arrived: bool) {
        if self.bug != Bug::SnapshotsGoUnreported {
            let input = Input::SnapshotSent { to, arrived };
            self.at(MILLISECOND, Event::Reported { node, life, input });
        }
    }

    pub(crate) fn arrive(&mut self, from: u64, to: u64, bytes: &[u8], snapshot_of: Option<u64>) {
        let arrives = self.nodes.get(&to).is_some_and(|node| node.peer.is_some())
            && !self.network.is_cut(from, to);
        let input = match (arrives, snapshot_of) {
            (true, Some(_)) => self.lay(to, bytes),
            (true, None) => Some(Input::Message(
                Message::decode(bytes).expect("a message of ours"),
            )),
            (false, _) => None,
        };
        if let Some(life) = snapshot_of {
            self.report_snapshot(from, life, to, input.is_some());
        }
        if let Some(input) = input {
            if let Input::Message(message) | Input::Snapshot(message, _) = &input {
                self.tell(|_| format!("{from} → {to} {}", summary(message)));
            }
            self.put(to, input);
        }
    }

    /// As a node's network does, beside its thread. The power may fail in the middle.
    fn lay(&mut self, to: u64, bytes: &[u8]) -> Option<Input> {
        let disk = Arc::clone(&self.nodes[&to].disk);
        // Another one is being laid, or waits for the peer.
        let turn = disk.turn()?;
        let mut source = Cursor::new(bytes);
        let (message, rows) = carried::parse(&mut source).expect("a snapshot of ours");
        let mut rows = &bytes[rows.start as usize..rows.end as usize];
        match lay_in(&*disk, turn, &mut rows, LAID) {
            Ok(laid) => Some(Input::Snapshot(message, laid)),
            Err(Unusable::Taker(_)) => {
                self.die(to);
                None
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn raft_message(message: &Message) -> Option<raft::eraftpb::Message> {
    use prost_for_raft::Message as _;
    match &message.body {
        Body::Propose(_) => None,
        Body::Raft(bytes) | Body::Snapshot(bytes) => {
            Some(raft::eraftpb::Message::decode(bytes.as_slice()).expect("is raft's"))
        }
    }
}

fn summary(message: &Message) -> String {
    raft_message(message).map_or("a proposal".into(), |message| {
        format!(
            "{:?} term {} log {}:{} +{} commit {}{}",
            message.get_msg_type(),
            message.term,
            message.log_term,
            message.index,
            message.entries.len(),
            message.commit,
            if message.reject { " no" } else { "" },
        )
    })
}
