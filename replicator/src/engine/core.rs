//! The sans-IO core around raft's `RawNode`.
//!
//! Between [`Core::work`] and [`Core::applied`] nothing may be put in; the
//! engine sees to it by doing both in one call.

use super::logger;
use crate::model::{Envelope, Proposal};
use prost_for_raft::Message as _;
use raft::eraftpb::{
    ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState,
    Entry, EntryType, HardState, Message, Snapshot,
};
use raft::{RawNode, ReadOnlyOption, ReadState, Ready, StateRole, Storage};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Ticks without a leader until a node stands for election, or up to twice as many. At 50 ms each
/// this is 1.1 to 2.2 seconds, so that pushes go on two seconds after a leader died; yet more than a
/// heartbeat and a slow fsync of the loop take, which must not look like a dead leader.
const ELECTION_TICKS: usize = 22;
const HEARTBEAT_TICKS: usize = 4;
/// Bytes of entries per append message to a follower.
const MESSAGE_BYTES: u64 = 1 << 20;
const MESSAGES_IN_FLIGHT: usize = 256;

/// One incarnation of a node, from its start to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Incarnation {
    /// The node's id. It stays with its data, and is never given to another.
    pub node: u64,
    /// A random number, so that no other incarnation has the same: answers to questions of
    /// an earlier one must not be taken for answers to this one's.
    pub nonce: u64,
}

/// What bounds the memory that raft takes.
#[derive(Clone, Copy, Debug)]
pub struct RaftLimits {
    /// Bytes proposed and not yet committed; beyond it proposals wait.
    pub uncommitted_bytes: u64,
    /// Bytes of committed entries applied in one batch.
    pub batch_bytes: u64,
}

/// What a committed entry asks for.
#[derive(Debug)]
pub enum Effect {
    /// Nothing: the entry with which a leader begins its term, or a change of
    /// the membership that is refused.
    Nothing,
    /// A command of ours.
    Command(Box<Envelope>),
    /// The membership is this now.
    Members(ConfState),
    /// An entry that does not decode, and why: it was written by a version
    /// that this one does not understand.
    Foreign(String),
}

/// An entry that a majority has.
#[derive(Debug)]
pub struct Committed {
    /// Its place in the log.
    pub index: u64,
    /// Raft's term of the entry.
    pub term: u64,
    /// What it asks for.
    pub effect: Effect,
}

/// What is to be done now, in the order of the fields.
pub struct Work {
    ready: Ready,
    /// To send before or during the write.
    pub messages: Vec<Message>,
    /// Replaces everything, before the entries.
    pub snapshot: Option<Snapshot>,
    /// To append to the log.
    pub entries: Vec<Entry>,
    /// What to record of term, vote and commit.
    pub hard_state: Option<HardState>,
    /// To apply, in the same write.
    pub committed: Vec<Committed>,
    /// Whether the write must survive a power failure before going on.
    pub must_sync: bool,
    /// To send only after the write: votes and acknowledgements.
    pub persisted_messages: Vec<Message>,
    /// Questions that are answered: readable at these indexes.
    pub reads: Vec<ReadState>,
}

/// What becomes possible by having done the [`Work`].
pub struct Aftermath {
    /// To record, with the effects of what is committed.
    pub hard_state: Option<HardState>,
    /// Entries to apply, in order.
    pub committed: Vec<Committed>,
    /// Messages to send to others.
    pub messages: Vec<Message>,
}

/// Why a proposal was not taken. It may be made again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotNow {
    /// Another node leads, or none does (0).
    #[error("this node does not lead, {leader} does")]
    NotLeader {
        /// Id of the leader; 0 without one.
        leader: u64,
    },
    /// Too much is proposed and not committed.
    #[error("too much is proposed already")]
    Busy,
}

/// Raft as a state machine: takes messages, returns work, and does no I/O.
pub struct Core<S: Storage> {
    raw: RawNode<S>,
    /// Draws election timeouts.
    chance: StdRng,
    /// Term and vote that are on the disk.
    promised: (u64, u64),
}

/// Whom a node takes for the leader, and in which term.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Leadership {
    /// Raft's term of this leadership.
    pub term: u64,
    /// The leader; 0 when none is known.
    pub leader: u64,
}

impl<S: Storage> Core<S> {
    /// Raft over what `storage` has, of which `applied` is applied.
    pub fn new(
        incarnation: Incarnation,
        storage: S,
        applied: u64,
        limits: RaftLimits,
    ) -> raft::Result<Self> {
        let config = raft::Config {
            id: incarnation.node,
            applied,
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            check_quorum: true,
            read_only_option: ReadOnlyOption::Safe,
            pre_vote: true,
            max_size_per_msg: MESSAGE_BYTES,
            max_inflight_msgs: MESSAGES_IN_FLIGHT,
            max_uncommitted_size: limits.uncommitted_bytes,
            max_committed_size_per_ready: limits.batch_bytes,
            ..raft::Config::default()
        };
        let raw = RawNode::new(&config, storage, &logger::to_tracing())?;
        let promised = (raw.raft.term, raw.raft.vote);
        Ok(Self {
            raw,
            chance: StdRng::seed_from_u64(incarnation.nonce),
            promised,
        })
    }

    /// The state of raft, to read.
    pub fn raft(&self) -> &raft::Raft<S> {
        &self.raw.raft
    }

    /// The storage. Its log may change only as [`Work`] says.
    pub(crate) fn storage_mut(&mut self) -> &mut S {
        self.raw.mut_store()
    }

    /// Whether this node leads.
    pub fn leads(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Whether this node leads and has applied everything that was committed
    /// before it began to.
    pub fn is_settled(&self) -> bool {
        self.leads() && self.raw.raft.apply_to_current_term()
    }

    /// Whom this node takes for the leader.
    pub fn leadership(&self) -> Leadership {
        Leadership {
            term: self.raw.raft.term,
            leader: self.raw.raft.leader_id,
        }
    }

    /// Lets one tick of raft's clock pass.
    pub fn tick(&mut self) {
        self.draw_election_timeout();
        self.raw.tick();
    }

    /// Raft draws an election timeout from the thread's generator whenever it begins to
    /// wait. Drawing it again from our own, before it counts, makes an incarnation repeatable.
    fn draw_election_timeout(&mut self) {
        if self.raw.raft.election_elapsed == 0 {
            let ticks = self.chance.random_range(ELECTION_TICKS..2 * ELECTION_TICKS);
            self.raw.raft.set_randomized_election_timeout(ticks);
        }
    }

    /// A message from another node.
    pub fn step(&mut self, message: Message) -> raft::Result<()> {
        self.raw.step(message)
    }

    /// Stands for election at once if this node is the only voter: nobody else
    /// could answer, so waiting for the election timeout helps nobody.
    pub fn campaign_if_alone(&mut self) -> raft::Result<()> {
        let members = self.raw.raft.prs().conf().to_conf_state();
        if members.voters == [self.raw.raft.id] && members.voters_outgoing.is_empty() {
            self.raw.campaign()?;
        }
        Ok(())
    }

    /// Proposes a command. `Ok` means that it was appended, not that it is
    /// committed. There is no other way for bytes of a command into the log. Followers of raft 0.7 forward silently, so ask the role first.
    pub fn propose(&mut self, proposal: Proposal) -> Result<(), NotNow> {
        self.append(proposal.into_data())
    }

    /// Proposes an entry of nothing, as a leader does when it begins.
    pub fn propose_nothing(&mut self) -> Result<(), NotNow> {
        self.append(Vec::new())
    }

    fn append(&mut self, data: Vec<u8>) -> Result<(), NotNow> {
        if !self.leads() {
            return Err(NotNow::NotLeader {
                leader: self.raw.raft.leader_id,
            });
        }
        self.raw.propose(Vec::new(), data).map_err(|_| NotNow::Busy)
    }

    /// Proposes a change of the membership. One at a time, single steps only:
    /// a second one becomes an empty entry although this says Ok.
    pub fn propose_members(&mut self, change: ConfChange) -> raft::Result<()> {
        self.raw.propose_conf_change(Vec::new(), change)
    }

    /// Hands leadership over to a voter, as soon as that has the whole log. Raft gives
    /// up after an election timeout; until then it takes no proposals.
    pub(crate) fn transfer_leadership(&mut self, voter: u64) {
        self.raw.transfer_leader(voter);
    }

    /// Asks from which index on a read sees all that was acknowledged before. The
    /// answer comes with a [`Work`], or never: whoever asks must ask again.
    pub(crate) fn read_index(&mut self, context: Vec<u8>) {
        self.raw.read_index(context);
    }

    /// Tells raft how sending a snapshot to a peer went.
    pub fn report_snapshot(&mut self, peer: u64, status: raft::SnapshotStatus) {
        self.raw.report_snapshot(peer, status);
    }

    /// Tells raft that a message did not reach a peer.
    pub fn report_unreachable(&mut self, peer: u64) {
        self.raw.report_unreachable(peer);
    }

    /// What is to be done now, if anything.
    pub fn work(&mut self) -> Option<Work> {
        if !self.raw.has_ready() {
            return None;
        }
        let mut ready = self.raw.ready();
        let snapshot = Some(ready.snapshot())
            .filter(|snapshot| !snapshot.is_empty())
            .cloned();
        let committed = ready.take_committed_entries();
        let mut messages = ready.take_messages();
        let mut persisted_messages = ready.take_persisted_messages();
        // Raft sends a leader's messages before the leader's own write: its term has been on the disk since it asked
        // for votes. A lone voter has asked nobody. If a crash lost the term, the voter would lead in the same term
        // again, and tell its learners something else. So its messages wait until term and vote are on the disk.
        if self.promised != (self.raw.raft.term, self.raw.raft.vote) {
            persisted_messages.splice(0..0, messages.drain(..));
        }
        Some(Work {
            messages,
            snapshot,
            entries: ready.take_entries(),
            hard_state: ready.hs().cloned(),
            committed: self.committed(committed),
            must_sync: ready.must_sync(),
            persisted_messages,
            reads: ready.take_read_states(),
            ready,
        })
    }

    /// The work is done and durable.
    pub fn persisted(&mut self, work: Work) -> Aftermath {
        self.promised = (self.raw.raft.term, self.raw.raft.vote);
        let mut light = self.raw.advance_append(work.ready);
        let hard_state = light.commit_index().map(|_| self.raw.raft.hard_state());
        let committed = light.take_committed_entries();
        Aftermath {
            hard_state,
            committed: self.committed(committed),
            messages: light.take_messages(),
        }
    }

    /// Everything handed out as committed is applied.
    pub fn applied(&mut self) {
        self.raw.advance_apply();
    }

    fn committed(&mut self, entries: Vec<Entry>) -> Vec<Committed> {
        entries
            .into_iter()
            .map(|entry| self.committed_entry(&entry))
            .collect()
    }

    fn committed_entry(&mut self, entry: &Entry) -> Committed {
        // The type comes before the emptiness: the entry with which raft leaves
        // a joint membership is an empty membership change.
        let effect = match entry.get_entry_type() {
            kind @ (EntryType::EntryConfChange | EntryType::EntryConfChangeV2) => {
                decode_change(kind, &entry.data).map(|change| {
                    let changed = self.raw.apply_conf_change(&change);
                    self.members(changed)
                })
            }
            EntryType::EntryNormal if entry.data.is_empty() => Ok(Effect::Nothing),
            EntryType::EntryNormal => postcard::from_bytes(&entry.data)
                .map(|envelope| Effect::Command(Box::new(envelope)))
                .map_err(|error| error.to_string()),
        };
        let effect = effect.unwrap_or_else(Effect::Foreign);
        Committed {
            index: entry.index,
            term: entry.term,
            effect,
        }
    }

    /// A change that raft refuses (such as one that would leave no voter) is refused
    /// by every node alike, and must not end them all.
    fn members(&mut self, changed: raft::Result<ConfState>) -> Effect {
        match changed {
            Ok(members) => {
                self.step_down_if_removed();
                Effect::Members(members)
            }
            Err(error) => {
                tracing::warn!(%error, "a change of the membership is refused");
                Effect::Nothing
            }
        }
    }

    /// A leader that applies its own removal does not step down by itself in raft 0.7,
    /// and panics at the next entry it persists. The others elect one, who commits
    /// what this one has not told them, so its messages can be lost; raft does not
    /// allow a follower to have them.
    fn step_down_if_removed(&mut self) {
        let raft = &mut self.raw.raft;
        if raft.state == StateRole::Leader && !raft.promotable() {
            let term = raft.term;
            raft.become_follower(term, raft::INVALID_ID);
            raft.msgs.clear();
        }
    }
}

/// A change of the membership in its general form. raft panics where a number in it names
/// nothing.
fn decode_change(kind: EntryType, data: &[u8]) -> Result<ConfChangeV2, String> {
    let text = |error: prost_for_raft::DecodeError| error.to_string();
    let known = |change: i32| match ConfChangeType::is_valid(change) {
        true => Ok(()),
        false => Err(format!("{change} is no change of the membership")),
    };
    let change = match kind {
        EntryType::EntryConfChange => in_general(ConfChange::decode(data).map_err(text)?),
        EntryType::EntryConfChangeV2 | EntryType::EntryNormal => {
            ConfChangeV2::decode(data).map_err(text)?
        }
    };
    let mut changes = change.changes.iter();
    changes.try_for_each(|change| known(change.change_type))?;
    match ConfChangeTransition::is_valid(change.transition) {
        true => Ok(change),
        false => Err(format!("{} is no transition", change.transition)),
    }
}

fn in_general(change: ConfChange) -> ConfChangeV2 {
    let single = ConfChangeSingle {
        change_type: change.change_type,
        node_id: change.node_id,
    };
    ConfChangeV2 {
        changes: vec![single],
        context: change.context,
        ..ConfChangeV2::default()
    }
}
