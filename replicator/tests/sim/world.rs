//! The world of a seed: nodes, their disks, the network, the clients, and one queue
//! of what happens next. Everything that is left to chance is drawn from one
//! generator, so a seed is one story.

use crate::bug::Bug;
use crate::checks::Checks;
use crate::clients::{self, Client};
use crate::history::{History, Token};
use crate::machine::{Input, Node};
use crate::network::Network;
use crate::plan::{Plan, SECOND};
use crate::tally::Tally;
use gitmoor_model::SessionId;
use gitmoor_replicator::peer::{Change, Response};
use gitmoor_replicator::storage::Bootstrap;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::time::Instant;

/// Clients that ask in the last seconds of the chaos, and do not give up.
const INSISTENT: u64 = 6;

/// A client that asked a node in one of its lives.
pub(crate) struct Insisting {
    pub(crate) client: usize,
    pub(crate) node: u64,
    pub(crate) life: u64,
}

/// Who asked a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Caller {
    /// For the repository to begin with.
    Founder,
    Client {
        client: usize,
        operation: usize,
    },
    Admin(Change),
}

/// What happens next. What is for one life of a node does not happen to another.
#[derive(Debug)]
pub(crate) enum Event {
    Tick {
        node: u64,
        life: u64,
    },
    Run {
        node: u64,
        life: u64,
    },
    Arrive {
        from: u64,
        to: u64,
        bytes: Vec<u8>,
        snapshot_of: Option<u64>,
    },
    Reported {
        node: u64,
        life: u64,
        input: Input,
    },
    Answered {
        node: u64,
        life: u64,
        caller: Caller,
        answer: Response,
    },
    Act(usize),
    Insist,
    GiveUp {
        client: usize,
        operation: usize,
        attempt: u32,
    },
    Fault,
    Heal,
    Calm(u64),
    Restart(u64),
    ChangeMembers,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) bug: Bug,
    pub(crate) chance: StdRng,
    pub(crate) now: u64,
    /// Times mean nothing but their differences.
    pub(crate) epoch: Instant,
    queue: BTreeMap<(u64, u64), Event>,
    events: u64,
    pub(crate) nodes: BTreeMap<u64, Node>,
    pub(crate) network: Network,
    pub(crate) clients: Vec<Client>,
    /// Clients that wait for as long as a life of a node lasts.
    pub(crate) insisting: Vec<Insisting>,
    pub(crate) history: History,
    pub(crate) last_token: Token,
    pub(crate) checks: Checks,
    /// Whether things still go wrong.
    pub(crate) chaos: bool,
    pub(crate) founded: bool,
    /// Until when the admin waits for an answer.
    pub(crate) changing_until: u64,
    pub(crate) tally: Tally,
    tells: bool,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Bug) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let plan = Plan::new(&mut chance);
        let clients = (0..plan.clients)
            .map(|_| Client::new(&mut chance))
            .collect();
        Self {
            plan,
            bug,
            chance,
            now: 0,
            epoch: Instant::now(),
            queue: BTreeMap::new(),
            events: 0,
            nodes: BTreeMap::new(),
            network: Network::default(),
            clients,
            insisting: Vec::new(),
            history: History::default(),
            last_token: 0,
            checks: Checks::default(),
            chaos: true,
            founded: false,
            changing_until: 0,
            tally: Tally::default(),
            tells: false,
        }
    }

    /// Tells on standard error what happens.
    pub(crate) fn telling(mut self) -> Self {
        self.tells = true;
        self
    }

    /// The whole story. Panics when something is not as it must be.
    pub(crate) fn run(mut self) -> Tally {
        self.tell(|world| format!("{:?}", world.plan));
        self.found();
        self.at(self.plan.fault_every, Event::Fault);
        self.at(0, Event::ChangeMembers);
        (0..self.clients.len()).for_each(|client| self.at(0, Event::Act(client)));
        (1..=INSISTENT)
            .for_each(|n| self.at(self.plan.chaos - self.now - n * SECOND, Event::Insist));
        self.run_until(self.plan.chaos, |_| false);
        self.heal();
        self.check_liveness();
        self.check_history();
        self.tally.events = self.events;
        self.tally
    }

    /// Node 1 is alone, and makes the repositories.
    fn found(&mut self) {
        self.add_node(1, Bootstrap::Create(1));
        let session = SessionId::from_bytes([0; 16]);
        for (sequence, command) in (1..).zip(clients::beginning()) {
            self.founded = false;
            let kind = clients::propose(session, sequence, command, &mut self.chance);
            self.ask(1, kind, Caller::Founder, 10 * SECOND);
            self.run_until(self.now + 10 * SECOND, |world| world.founded);
            assert!(self.founded, "a node alone does not commit");
        }
        self.plan.chaos += self.now;
    }

    pub(crate) fn tell(&self, what: impl FnOnce(&Self) -> String) {
        if self.tells {
            eprintln!("{:>10.6} {}", self.now as f64 / SECOND as f64, what(self));
        }
    }

    /// Lets something happen after a while.
    pub(crate) fn at(&mut self, after: u64, event: Event) {
        self.events += 1;
        self.queue.insert((self.now + after, self.events), event);
    }

    /// Goes on until a time, or until something is true.
    pub(crate) fn run_until(&mut self, time: u64, is_so: impl Fn(&Self) -> bool) {
        while let Some(first) = self.queue.first_entry()
            && first.key().0 <= time
        {
            let ((now, _), event) = first.remove_entry();
            self.now = now;
            self.happen(event);
            if is_so(self) {
                return;
            }
        }
        self.now = self.now.max(time);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick { node, life } => self.tick(node, life),
            Event::Run { node, life } => {
                if self.lives(node, life) {
                    self.work(node);
                }
            }
            Event::Arrive {
                from,
                to,
                bytes,
                snapshot_of,
            } => self.arrive(from, to, &bytes, snapshot_of),
            Event::Reported { node, life, input } => {
                if self.lives(node, life) {
                    self.put(node, input);
                }
            }
            Event::Answered {
                node,
                life,
                caller,
                answer,
            } => {
                if self.lives(node, life) {
                    self.answered(node, caller, answer);
                }
            }
            Event::Act(client) => self.act(client),
            Event::Insist => self.insist(),
            Event::GiveUp {
                client,
                operation,
                attempt,
            } => self.give_up(client, operation, attempt),
            Event::Fault => self.fault(),
            Event::Heal => self.network.heal(),
            Event::Calm(node) => self.calm(node),
            Event::Restart(node) => self.restart(node),
            Event::ChangeMembers => self.change_members(),
        }
    }

    fn answered(&mut self, node: u64, caller: Caller, answer: Response) {
        match caller {
            Caller::Founder => self.founded = true,
            Caller::Client { client, operation } => {
                self.tell_client(node, client, operation, answer)
            }
            Caller::Admin(change) => self.changed(change, answer),
        }
    }
}
