//! What carries messages between machines, and tells their senders what it knows of
//! those that are lost.

use crate::bug::Bug;
use crate::machine::Input;
use crate::plan::{MILLISECOND, SECOND};
use crate::world::{Event, World};
use gitmoor_replicator::peer::{Body, Message};
use rand::Rng;

impl World {
    pub(crate) fn send(&mut self, from: u64, life: u64, after: u64, message: &Message) {
        let is_snapshot = matches!(message.body, Body::Snapshot(_));
        self.tally.snapshots += u64::from(is_snapshot);
        self.tally.forwarded += u64::from(matches!(message.body, Body::Propose(_)));
        if let Some(message) = raft_message(message) {
            self.checks.hear(&message);
        }
        let to = message.to;
        let copies = self.network.carry(from, to, &self.plan, &mut self.chance);
        if copies.is_empty() {
            self.lose(from, life, to, is_snapshot);
        }
        let bytes = message.encode();
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
        if let Some(life) = snapshot_of {
            self.report_snapshot(from, life, to, arrives);
        }
        if arrives {
            let message = Message::decode(bytes).expect("a message of ours");
            self.tell(|_| format!("{from} → {to} {}", summary(&message)));
            self.put(to, Input::Message(message));
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
