//! Several engines, their messages carried by hand: joining by snapshot,
//! following by log, and what a lost message or a restart does.

use crate::support::{envelope, id, laid, name, refs, set};
use gitmoor_model::{Command, Envelope, MAX_ENTRY, Outcome, Proposal, SessionId};
use gitmoor_replicator::engine::{
    Applied, Compaction, Core, Engine, Event, Incarnation, RaftLimits,
};
use gitmoor_replicator::storage::{Bootstrap, Database, Frozen, Log, snapshot};
use raft::Storage;
use raft::eraftpb::{ConfChange, ConfChangeType, Message, MessageType};
use std::collections::BTreeMap;
use std::sync::Arc;

const LIMITS: RaftLimits = RaftLimits {
    uncommitted_bytes: 1 << 20,
    batch_bytes: 1 << 20,
};

fn proposal(envelope: &Envelope) -> Proposal {
    Proposal::new(envelope, MAX_ENTRY).expect("it can be proposed")
}

struct Peer {
    engine: Engine,
    database: Arc<Database>,
    dir: tempfile::TempDir,
}

fn engine(
    id: u64,
    dir: &std::path::Path,
    bootstrap: Bootstrap,
    entries: u64,
) -> (Engine, Arc<Database>) {
    let database = Arc::new(Database::open(dir).expect("opens"));
    database.prepare(bootstrap).expect("is ours");
    let compaction = Compaction {
        entries,
        bytes: u64::MAX,
    };
    let incarnation = Incarnation {
        node: id,
        nonce: id,
    };
    let engine =
        Engine::open(incarnation, Arc::clone(&database), LIMITS, compaction).expect("starts");
    (engine, database)
}

impl Peer {
    fn new(id: u64, bootstrap: Bootstrap, entries: u64) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (engine, database) = engine(id, dir.path(), bootstrap, entries);
        Self {
            engine,
            database,
            dir,
        }
    }

    fn state(&self) -> Vec<u8> {
        snapshot::encode(&*self.database).expect("reads")
    }

    fn applied(&mut self) -> u64 {
        self.engine.core().raft().raft_log.applied
    }
}

struct Cluster {
    peers: BTreeMap<u64, Peer>,
    session: SessionId,
    sequence: u64,
    answers: Vec<Applied>,
    snapshots: usize,
}

impl Cluster {
    /// Node 1 leads a cluster of its own and has made some history.
    fn new(compact_entries: u64) -> Self {
        let founder = Peer::new(1, Bootstrap::Create(1), compact_entries);
        let mut cluster = Self {
            peers: [(1, founder)].into(),
            session: SessionId::random(),
            sequence: 0,
            answers: Vec::new(),
            snapshots: 0,
        };
        cluster.leader().campaign_if_alone().expect("stands");
        cluster.settle();
        cluster.propose(Command::CreateRepo {
            id: id(1),
            path: name("app.git"),
        });
        for n in 0..20 {
            cluster.propose(refs(id(1), vec![set(&format!("refs/heads/{n}"), "x")]));
        }
        cluster
    }

    fn leader(&mut self) -> &mut Core<Log> {
        self.peers.get_mut(&1).expect("is there").engine.core()
    }

    /// Proposes on node 1 and carries messages until all is quiet.
    fn propose(&mut self, command: Command) -> Outcome {
        self.sequence += 1;
        let sent = envelope(self.session, self.sequence, self.sequence, command);
        let proposal = proposal(&sent);
        self.leader().propose(proposal).expect("leads");
        self.answers.clear();
        self.settle();
        let sequence = self.sequence;
        let answers: Vec<_> = self
            .answers
            .iter()
            .filter(|answer| answer.sequence == sequence)
            .collect();
        let outcome = answers.first().and_then(|answer| answer.outcome.clone());
        assert!(
            answers.iter().all(|answer| answer.outcome == outcome),
            "{answers:?}"
        );
        outcome.expect("is answered")
    }

    fn join(&mut self, id: u64, kind: ConfChangeType) {
        let mut change = ConfChange {
            node_id: id,
            ..ConfChange::default()
        };
        change.set_change_type(kind);
        self.leader().propose_members(change).expect("leads");
        self.peers
            .entry(id)
            .or_insert_with(|| Peer::new(id, Bootstrap::Join, u64::MAX));
        self.settle();
    }

    fn settle(&mut self) {
        while !self.round(&mut |_| true).is_empty() {}
    }

    /// Lets every node work, and delivers what passes the filter.
    fn round(&mut self, passes: &mut dyn FnMut(&Message) -> bool) -> Vec<MessageType> {
        let mut sent = Vec::new();
        for peer in self.peers.values_mut() {
            let answers = &mut self.answers;
            peer.engine
                .run(&mut |event| match event {
                    Event::Send(message) => sent.push((*message, None)),
                    Event::Snapshot { message, state } => sent.push((*message, Some(state))),
                    Event::Applied(applied) => answers.push(*applied),
                    Event::Changed(_) | Event::Replaced { .. } => {}
                    Event::Readable { .. } => unreachable!("nobody asked"),
                })
                .expect("works");
        }
        let kinds = sent.iter().map(|(message, _)| message.get_msg_type());
        let kinds = kinds.collect();
        sent.retain(|(message, _)| passes(message));
        for (message, state) in sent {
            self.deliver(message, state);
        }
        kinds
    }

    fn deliver(&mut self, message: Message, state: Option<Frozen>) {
        let (from, to) = (message.from, message.to);
        let Some(peer) = self.peers.get_mut(&to) else {
            return;
        };
        let Some(state) = state else {
            let stepped = peer.engine.core().step(message);
            return stepped.expect("is of this cluster");
        };
        let rows = snapshot::encode(state.view()).expect("reads");
        let laid = laid(&peer.database, &rows).expect("whole");
        let received = peer.engine.receive_snapshot(message, laid);
        received.expect("is of this cluster");
        self.snapshots += 1;
        let sender = self.peers.get_mut(&from).expect("is there");
        let core = sender.engine.core();
        core.report_snapshot(to, raft::SnapshotStatus::Finish);
    }

    fn tick(&mut self, times: usize) {
        for _ in 0..times {
            self.peers
                .values_mut()
                .for_each(|peer| peer.engine.core().tick());
            self.settle();
        }
    }

    fn assert_equal(&mut self) {
        let applied: Vec<_> = self.peers.values_mut().map(Peer::applied).collect();
        assert!(
            applied.windows(2).all(|pair| pair[0] == pair[1]),
            "{applied:?}"
        );
        let states: Vec<_> = self.peers.values().map(Peer::state).collect();
        assert!(
            states.windows(2).all(|pair| pair[0] == pair[1]),
            "states differ"
        );
    }
}

/// For a victim that dies on the way.
pub(crate) fn join_by_snapshot() {
    let mut cluster = Cluster::new(10);
    cluster.join(2, ConfChangeType::AddLearnerNode);
    cluster.tick(5);
}

#[test]
fn a_joiner_gets_a_snapshot_and_then_the_log() {
    let mut cluster = Cluster::new(10);
    cluster.join(2, ConfChangeType::AddLearnerNode);
    assert_eq!(cluster.snapshots, 1);
    cluster.tick(5);
    cluster.assert_equal();
    cluster.propose(refs(id(1), vec![set("refs/heads/later", "x")]));
    cluster.tick(5);
    assert_eq!(cluster.snapshots, 1, "the rest comes by log");
    cluster.assert_equal();
}

#[test]
fn even_an_uncompacted_founder_sends_a_snapshot_first() {
    let mut cluster = Cluster::new(u64::MAX);
    cluster.join(2, ConfChangeType::AddLearnerNode);
    assert_eq!(cluster.snapshots, 1);
    cluster.tick(5);
    cluster.assert_equal();
}

#[test]
fn who_lags_a_little_gets_the_log_and_no_snapshot() {
    let mut cluster = Cluster::new(10);
    cluster.join(2, ConfChangeType::AddLearnerNode);
    cluster.tick(5);
    for n in 0..30 {
        // Node 2 misses two, and the log is compacted now and then.
        for m in 0..2 {
            cluster.sequence += 1;
            let command = refs(id(1), vec![set(&format!("refs/{n}/{m}"), "x")]);
            let sent = envelope(cluster.session, cluster.sequence, 1, command);
            let proposal = proposal(&sent);
            cluster.leader().propose(proposal).expect("leads");
            while !cluster.round(&mut |message| message.to != 2).is_empty() {}
        }
        cluster.tick(12);
        cluster.assert_equal();
    }
    assert_eq!(cluster.snapshots, 1, "the first one");
}

#[test]
fn a_commit_needs_the_quorum() {
    let mut cluster = Cluster::new(10);
    cluster.join(2, ConfChangeType::AddNode);
    cluster.tick(5);
    cluster.join(3, ConfChangeType::AddNode);
    cluster.tick(5);
    cluster.assert_equal();
    // Nobody hears node 1: what it takes is not committed.
    let sent = envelope(
        cluster.session,
        1000,
        1,
        refs(id(1), vec![set("refs/x", "x")]),
    );
    cluster.leader().propose(proposal(&sent)).expect("leads");
    cluster.answers.clear();
    for _ in 0..20 {
        cluster.round(&mut |message| message.from != 1);
    }
    assert_eq!(cluster.answers, []);
    // One other node suffices.
    cluster.tick(1);
    for _ in 0..20 {
        cluster.round(&mut |message| message.to != 3);
    }
    cluster.tick(20);
    let first = cluster.answers.first().expect("is answered now").clone();
    assert_eq!(first.sequence, 1000);
    assert!(matches!(first.outcome, Some(Outcome::Done(_))));
    cluster.assert_equal();
}

#[test]
fn a_node_that_joined_by_snapshot_restarts_from_its_disk() {
    let mut cluster = Cluster::new(10);
    cluster.join(2, ConfChangeType::AddLearnerNode);
    cluster.tick(5);
    let Peer {
        engine: old,
        database,
        dir,
    } = cluster.peers.remove(&2).expect("is there");
    drop((old, database));
    // It is away for longer than the log is kept.
    for n in 0..30 {
        cluster.propose(refs(id(1), vec![set(&format!("refs/away/{n}"), "x")]));
    }
    let (mut engine, database) = engine(2, dir.path(), Bootstrap::Join, u64::MAX);
    let members = engine.core().raft().prs().conf().to_conf_state();
    assert_eq!((members.voters, members.learners), (vec![1], vec![2]));
    cluster.peers.insert(
        2,
        Peer {
            engine,
            database,
            dir,
        },
    );
    cluster.leader().report_unreachable(2);
    cluster.tick(20);
    assert_eq!(cluster.snapshots, 2, "too late for the log");
    cluster.assert_equal();
    cluster.propose(refs(id(1), vec![set("refs/heads/back", "x")]));
    cluster.tick(5);
    cluster.assert_equal();
}

#[test]
fn a_lone_voter_tells_its_learners_of_no_term_that_it_could_forget() {
    let mut cluster = Cluster::new(10);
    cluster.join(2, ConfChangeType::AddLearnerNode);
    cluster.tick(5);
    let Peer {
        engine: old,
        database,
        dir,
    } = cluster.peers.remove(&1).expect("is there");
    drop((old, database));
    let (mut engine, database) = engine(1, dir.path(), Bootstrap::Create(1), u64::MAX);
    engine.core().campaign_if_alone().expect("stands");
    engine.core().propose_nothing().expect("leads");
    let mut told = 0;
    let mut hear = |event| {
        if let Event::Send(message) = event {
            let log = Log::open(Arc::clone(&database)).expect("opens");
            let durable = log.initial_state().expect("reads").hard_state;
            assert_eq!(message.term, durable.term);
            told += 1;
        }
    };
    engine.run(&mut hear).expect("works");
    assert!(told > 0);
}

#[test]
fn a_leader_that_lost_its_followers_takes_back_what_it_could_not_commit() {
    let mut cluster = Cluster::new(u64::MAX);
    cluster.join(2, ConfChangeType::AddNode);
    cluster.tick(5);
    cluster.join(3, ConfChangeType::AddNode);
    cluster.tick(5);
    for n in 0..3 {
        let lost = refs(id(1), vec![set(&format!("refs/lost/{n}"), "x")]);
        let sent = envelope(cluster.session, 2000 + n, 1, lost);
        cluster.leader().propose(proposal(&sent)).expect("leads");
    }
    // Node 1 is cut off; 2 and 3 elect one of themselves.
    for _ in 0..200 {
        cluster
            .peers
            .values_mut()
            .for_each(|peer| peer.engine.core().tick());
        while !cluster
            .round(&mut |message| message.from != 1 && message.to != 1)
            .is_empty()
        {
            if cluster
                .peers
                .values_mut()
                .all(|peer| peer.engine.core().raft().msgs.is_empty())
            {
                break;
            }
        }
    }
    let leader = [2, 3].into_iter().find(|id| {
        cluster
            .peers
            .get_mut(id)
            .expect("is there")
            .engine
            .core()
            .leads()
    });
    let leader = leader.expect("a new leader");
    assert!(!cluster.leader().leads(), "without a quorum it steps down");
    let sent = envelope(
        SessionId::random(),
        1,
        1,
        refs(id(1), vec![set("refs/won", "x")]),
    );
    let core = cluster
        .peers
        .get_mut(&leader)
        .expect("is there")
        .engine
        .core();
    core.propose(proposal(&sent)).expect("leads");
    cluster.answers.clear();
    cluster.settle();
    cluster.tick(20);
    assert!(
        cluster.answers.iter().all(|answer| answer.sequence < 2000),
        "{:?}",
        cluster.answers
    );
    cluster.assert_equal();
}
