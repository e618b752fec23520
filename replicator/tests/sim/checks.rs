//! What must be true of raft at any moment, seen from outside.
//!
//! - In a term at most one node leads, in one life.
//! - Two entries of the same index and term are the same, and so are those before
//!   them (by induction: the terms before them are).
//! - What one node knows to be committed no other node contradicts, ever.
//! - A new leader has everything that was known to be committed in earlier terms. (One
//!   that is elected late knows nothing of later ones.)
//! - A node keeps its promises through all of its lives: it never goes back to an
//!   earlier term, and votes for one candidate in a term.

use crate::disk::{Logged, SimDisk};
use gitmoor_replicator::storage::Log;
use raft::eraftpb::{Message, MessageType};
use raft::{Raft, StateRole};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    term: u64,
    hash: u64,
}

impl Entry {
    /// The rows of the log begin with the term.
    fn of(row: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        row.hash(&mut hasher);
        let term = row.first_chunk().copied().map_or(0, u64::from_be_bytes);
        Self {
            term,
            hash: hasher.finish(),
        }
    }
}

type Entries = BTreeMap<(u64, u64), (u64, Option<u64>)>;

fn check_matching(all: &mut Entries, index: u64, entry: Entry, before: Option<u64>) {
    let term = entry.term;
    let (hash, known) = all.entry((index, term)).or_insert((entry.hash, before));
    assert_eq!(*hash, entry.hash, "two entries {index} of term {term}");
    if let (Some(one), Some(other)) = (before, *known) {
        assert_eq!(one, other, "two entries before {index} of term {term}");
    }
    *known = known.or(before);
}

#[derive(Default)]
pub(crate) struct Checks {
    /// By term: node and life.
    leaders: BTreeMap<u64, (u64, u64)>,
    /// By index and term: the entry, and the term before it where known.
    entries: Entries,
    committed: BTreeMap<u64, Committed>,
    nodes: BTreeMap<u64, Node>,
    /// By node: the last term that it spoke in.
    terms: BTreeMap<u64, u64>,
    /// By node and term: whom it voted for.
    votes: BTreeMap<(u64, u64), u64>,
}

struct Committed {
    entry: Entry,
    /// The term of the first node that knew it.
    known_in: u64,
}

/// What is known of a node.
#[derive(Default)]
struct Node {
    log: BTreeMap<u64, Entry>,
    /// Up to here its committed entries were looked at.
    committed: u64,
}

impl Checks {
    /// A node begins a life with what is on its disk.
    pub(crate) fn restarted(&mut self, id: u64, disk: &SimDisk) {
        self.nodes.insert(id, Node::default());
        self.note(id, disk.log());
    }

    /// The last index that any node knew to be committed.
    pub(crate) fn last_committed(&self) -> u64 {
        self.committed
            .last_key_value()
            .map_or(0, |(index, _)| *index)
    }

    /// A node has worked.
    pub(crate) fn look(&mut self, life: u64, disk: &SimDisk, raft: &Raft<Log>) {
        self.note(raft.id, disk.take_logged());
        let node = self.nodes.entry(raft.id).or_default();
        node.check_committed(&mut self.committed, raft);
        if raft.state == StateRole::Leader {
            let (term, leader) = (raft.term, (raft.id, life));
            let first = self.leaders.insert(term, leader);
            assert_eq!(
                first.unwrap_or(leader),
                leader,
                "two leaders in term {term}"
            );
            if first.is_none() {
                node.check_complete(&self.committed, raft);
            }
        }
    }

    /// A node says something.
    pub(crate) fn hear(&mut self, message: &Message) {
        let (from, term) = (message.from, message.term);
        let vote = match message.get_msg_type() {
            // These speak of a term to come, or of none.
            MessageType::MsgRequestPreVote
            | MessageType::MsgRequestPreVoteResponse
            | MessageType::MsgReadIndex => return,
            MessageType::MsgRequestVote => Some(from),
            MessageType::MsgRequestVoteResponse if !message.reject => Some(message.to),
            _ => None,
        };
        let last = self.terms.insert(from, term).unwrap_or(0);
        assert!(last <= term, "node {from} goes back to term {term}");
        if let Some(candidate) = vote {
            let first = *self.votes.entry((from, term)).or_insert(candidate);
            assert_eq!(first, candidate, "two votes of {from} in term {term}");
        }
    }

    fn note(&mut self, id: u64, logged: Vec<Logged>) {
        let log = &mut self.nodes.entry(id).or_default().log;
        for one in logged {
            match one {
                Logged::Cleared => log.clear(),
                Logged::Entry(index, row) => {
                    let entry = Entry::of(&row);
                    log.split_off(&index);
                    let before = log.get(&(index - 1)).map(|entry| entry.term);
                    log.insert(index, entry);
                    check_matching(&mut self.entries, index, entry, before);
                }
            }
        }
    }
}

impl Node {
    fn check_committed(&mut self, all: &mut BTreeMap<u64, Committed>, raft: &Raft<Log>) {
        let (first, to) = (raft.raft_log.first_index(), raft.raft_log.committed);
        for index in self.committed + 1..=to {
            let Some(entry) = self.log.get(&index) else {
                assert!(index < first, "committed entry {index} is nowhere");
                continue;
            };
            let known = all.entry(index).or_insert(Committed {
                entry: *entry,
                known_in: raft.term,
            });
            assert_eq!(known.entry, *entry, "two committed entries {index}");
        }
        self.committed = self.committed.max(to);
    }

    fn check_complete(&self, all: &BTreeMap<u64, Committed>, raft: &Raft<Log>) {
        let known = all.range(raft.raft_log.first_index()..);
        for (index, committed) in known.filter(|(_, one)| one.known_in < raft.term) {
            let (own, entry) = (self.log.get(index), Some(&committed.entry));
            assert_eq!(own, entry, "the leader lacks committed entry {index}");
        }
    }
}
