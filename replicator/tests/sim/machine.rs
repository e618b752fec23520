//! Machines with a node each. A node's thread is two things: an inbox, and a run that
//! takes all that is in it and lets the peer work, as the product's loop does. A run
//! takes as long as its disk does; what it sends leaves at the time it was sent.

use crate::bug::Bug;
use crate::disk::SimDisk;
use crate::plan::{MILLISECOND, pick};
use crate::world::{Caller, Event, World};
use gitmoor_replicator::engine::{Compaction, Fatal, Incarnation, RaftLimits};
use gitmoor_replicator::peer::{Message, Output, Peer, Request, RequestKind};
use gitmoor_replicator::storage::{Bootstrap, Laid};
use raft::StateRole;
use rand::Rng;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TICK: u64 = 50 * MILLISECOND;

/// What lies in a node's inbox.
#[derive(Debug)]
pub(crate) enum Input {
    Tick,
    Message(Message),
    Snapshot(Message, Laid),
    Request(Request<Caller>),
    SnapshotSent { to: u64, arrived: bool },
    Unreachable(u64),
}

pub(crate) struct Node {
    pub(crate) disk: Arc<SimDisk>,
    /// None while it is down.
    pub(crate) peer: Option<Peer<Caller>>,
    pub(crate) life: u64,
    pub(crate) inbox: Vec<Input>,
    /// Whether a run is in the queue of events.
    pub(crate) woken: bool,
    pub(crate) busy_until: u64,
    /// Length of its ticks, in hundredths of what they should be.
    pub(crate) pace: u64,
    /// What its clock is ahead.
    pub(crate) ahead: u64,
    /// No member any more, and switched off.
    pub(crate) retired: bool,
}

impl World {
    pub(crate) fn lives(&self, node: u64, life: u64) -> bool {
        self.nodes
            .get(&node)
            .is_some_and(|node| node.peer.is_some() && node.life == life)
    }

    pub(crate) fn alive(&self) -> Vec<u64> {
        let alive = self.nodes.iter().filter(|(_, node)| node.peer.is_some());
        alive.map(|(id, _)| *id).collect()
    }

    /// Whoever leads in the highest term.
    pub(crate) fn leader(&self) -> Option<u64> {
        let peers = self
            .nodes
            .iter()
            .filter_map(|(id, node)| Some((*id, node.peer.as_ref()?)));
        let leaders = peers.filter(|(_, peer)| peer.raft().state == StateRole::Leader);
        leaders
            .max_by_key(|(_, peer)| peer.raft().term)
            .map(|(id, _)| id)
    }

    pub(crate) fn add_node(&mut self, id: u64, bootstrap: Bootstrap) {
        let node = Node {
            disk: Arc::new(SimDisk::new(bootstrap, self.bug)),
            peer: None,
            life: 0,
            inbox: Vec::new(),
            woken: false,
            busy_until: 0,
            pace: pick(&mut self.chance, &[80, 100, 100, 130]),
            ahead: 0,
            retired: false,
        };
        self.nodes.insert(id, node);
        self.restart(id);
    }

    pub(crate) fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).expect("nodes do not vanish")
    }

    pub(crate) fn restart(&mut self, id: u64) {
        let nonce = match self.bug {
            Bug::AsksUnderTheSameNames => id,
            _ => self.chance.random(),
        };
        let (bug, sync_time, compact) = (self.bug, self.plan.sync_time, self.plan.compact_entries);
        let node = self.node(id);
        if node.peer.is_some() || node.retired {
            return;
        }
        if bug == Bug::ForgetsItsDisk && node.life > 0 {
            node.disk = Arc::new(SimDisk::new(Bootstrap::Join, bug));
        }
        node.life += 1;
        node.woken = false;
        node.disk.set_sync_time(sync_time);
        let (life, disk) = (node.life, Arc::clone(&node.disk));
        let limits = RaftLimits {
            uncommitted_bytes: 1 << 20,
            batch_bytes: 1 << 20,
        };
        let compaction = Compaction {
            entries: compact,
            bytes: u64::MAX,
        };
        let own = Incarnation { node: id, nonce };
        let peer = Peer::open(own, Arc::clone(&disk), limits, compaction);
        node.peer = Some(peer.expect("the disk is as it was left"));
        self.checks.restarted(id, &disk);
        self.tell(|_| format!("{id} begins life {life}"));
        self.start(id);
        self.at(TICK, Event::Tick { node: id, life });
    }

    /// The process ends, and with the power of the machine some of what is not synced
    /// is gone.
    pub(crate) fn crash(&mut self, id: u64) {
        self.tally.crashes += 1;
        let unsynced = self.node(id).disk.unsynced();
        let keep = match self.chance.random_range(0..3) {
            0 => unsynced,
            1 => 0,
            _ => self.chance.random_range(0..=unsynced),
        };
        self.tell(|_| format!("{id} crashes; of {unsynced} unsynced batches {keep} are left"));
        let node = self.node(id);
        node.peer = None;
        node.inbox.clear();
        node.busy_until = 0;
        node.disk.crash(keep);
    }

    /// A time on the clock of a node.
    fn clock(&self, id: u64, after: u64) -> Instant {
        let ahead = self.nodes[&id].ahead;
        self.epoch + Duration::from_micros(self.now + ahead + after)
    }

    /// Asks a node, if it is there.
    pub(crate) fn ask(
        &mut self,
        id: u64,
        kind: RequestKind,
        caller: Caller,
        patience: u64,
    ) -> bool {
        let deadline = self.clock(id, patience);
        let is_there = self.nodes[&id].peer.is_some();
        if is_there {
            self.put(
                id,
                Input::Request(Request {
                    kind,
                    deadline,
                    caller,
                }),
            );
        }
        is_there
    }

    pub(crate) fn put(&mut self, id: u64, input: Input) {
        self.node(id).inbox.push(input);
        self.wake(id);
    }

    pub(crate) fn wake(&mut self, id: u64) {
        let now = self.now;
        let node = self.node(id);
        if !node.woken {
            node.woken = true;
            let (life, after) = (node.life, node.busy_until.saturating_sub(now));
            self.at(after, Event::Run { node: id, life });
        }
    }

    pub(crate) fn tick(&mut self, id: u64, life: u64) {
        if self.lives(id, life) {
            let now = self.now;
            let node = self.node(id);
            // Ticks that were held up are not made good.
            let held_up = node.busy_until.saturating_sub(now);
            let next = held_up + TICK * node.pace / 100;
            self.put(id, Input::Tick);
            self.at(next, Event::Tick { node: id, life });
        }
    }

    fn start(&mut self, id: u64) {
        self.with_peer(id, |peer, _, _, out| peer.start(out).map(|()| 0));
    }

    pub(crate) fn work(&mut self, id: u64) {
        self.with_peer(id, |peer, inbox, now, out| {
            for input in inbox {
                match input {
                    Input::Tick => peer.tick(now),
                    Input::Message(message) => peer.receive(message),
                    Input::Snapshot(message, laid) => peer.receive_snapshot(message, laid),
                    Input::Request(request) => peer.ask(request),
                    Input::SnapshotSent { to, arrived } => peer.snapshot_sent(to, arrived),
                    Input::Unreachable(member) => peer.unreachable(member),
                }
            }
            peer.run(out)
        });
        if self.nodes[&id].peer.as_ref().is_some_and(Peer::left_over) {
            self.wake(id);
        }
    }

    fn with_peer(
        &mut self,
        id: u64,
        run: impl FnOnce(
            &mut Peer<Caller>,
            Vec<Input>,
            Instant,
            &mut dyn FnMut(Output<Caller>),
        ) -> Result<usize, Fatal>,
    ) {
        let (now, clock) = (self.now, self.clock(id, 0));
        let node = self.nodes.get_mut(&id).expect("nodes do not vanish");
        node.woken = false;
        let (life, disk) = (node.life, Arc::clone(&node.disk));
        let inbox = std::mem::take(&mut node.inbox);
        let mut peer = node.peer.take().expect("it is alive");
        let mut outputs = Vec::new();
        disk.reset_spent();
        let result = run(&mut peer, inbox, clock, &mut |output| {
            outputs.push((disk.spent(), output));
        });
        node.busy_until = node.busy_until.max(now) + disk.reset_spent();
        let raft = node.peer.insert(peer).raft();
        match result {
            Ok(_) => self.checks.look(life, &disk, raft),
            Err(Fatal::Write(_)) => self.die(id),
            Err(other) => panic!("{other}"),
        }
        for (after, output) in outputs {
            self.put_out(id, life, after, output);
        }
    }

    fn put_out(&mut self, node: u64, life: u64, after: u64, output: Output<Caller>) {
        match output {
            Output::Send(message) => self.send(node, life, after, &message),
            Output::SendSnapshot { message, state } => {
                self.send_snapshot(node, life, after, &message, &state);
            }
            // The checks see the state itself.
            Output::Changed(_) | Output::Applied { .. } | Output::Replaced { .. } => {}
            Output::Respond(caller, answer) => {
                let on_the_way = self.chance.random_range(0..MILLISECOND);
                self.at(
                    after + on_the_way,
                    Event::Answered {
                        node,
                        life,
                        caller,
                        answer,
                    },
                );
            }
        }
    }
}
