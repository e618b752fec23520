//! Clients at work.

use crate::bug::Bug;
use crate::clients::{self, Client, FILE};
use crate::history::{Action, Seen, Value};
use crate::plan::{FOR_EVER, MILLISECOND, SECOND, around, pick};
use crate::world::{Caller, Event, Insisting, World};
use gitmoor_model::{Outcome, Refusal};
use gitmoor_replicator::NameEntry;
use gitmoor_replicator::peer::{RequestKind, Response};
use gitmoor_replicator::state::{View, read};
use rand::Rng;

const PATIENCE: u64 = 3 * SECOND;

impl World {
    /// A client begins something, unless it is over.
    pub(crate) fn act(&mut self, client: usize) {
        if !self.chaos {
            return;
        }
        let reference = match self.chance.random_range(0..self.plan.references) {
            1 => FILE,
            reference => reference,
        };
        let token = self.last_token + 1;
        let action = self.clients[client].choose(reference, token, &mut self.chance);
        self.begin(client, reference, action);
        let nodes: Vec<_> = self.nodes.keys().copied().collect();
        let node = pick(&mut self.chance, &nodes);
        self.ask_for_client(client, node, PATIENCE);
    }

    /// A client asks a node, and waits for as long as that lives.
    pub(crate) fn insist(&mut self) {
        let nodes = self.alive();
        if nodes.is_empty() {
            return;
        }
        let node = pick(&mut self.chance, &nodes);
        let action = pick(
            &mut self.chance,
            &[Action::Read, Action::Append(self.last_token + 1)],
        );
        let client = self.new_client(self.plan.references + 1, action);
        let life = self.nodes[&node].life;
        self.insisting.push(Insisting { client, node, life });
        self.ask_for_client(client, node, FOR_EVER);
    }

    /// Whether nobody waits who could have an answer from one of these.
    pub(crate) fn is_all_answered(&self, members: &[u64]) -> bool {
        let hopeless = |client: usize| {
            let of = |one: &&Insisting| one.client == client;
            self.insisting
                .iter()
                .find(of)
                .is_some_and(|one| !self.lives(one.node, one.life) || !members.contains(&one.node))
        };
        let mut clients = self.clients.iter().enumerate();
        clients.all(|(client, state)| state.under_way.is_none() || hopeless(client))
    }

    /// A client that does one thing.
    pub(crate) fn new_client(&mut self, reference: usize, action: Action) -> usize {
        self.clients.push(Client::new(&mut self.chance));
        let client = self.clients.len() - 1;
        self.begin(client, reference, action);
        client
    }

    pub(crate) fn begin(&mut self, client: usize, reference: usize, action: Action) {
        self.last_token = self.last_token.max(action.token().unwrap_or(0));
        let operation = self.history.invoke(reference, action, self.now);
        self.tell(|_| format!("client {client}: {operation} is {action:?} of {reference}"));
        self.clients[client].begin(operation, reference, action);
    }

    pub(crate) fn ask_for_client(&mut self, client: usize, node: u64, patience: u64) {
        let kind = self.clients[client].ask(self.bug, &mut self.chance);
        let under_way = self.clients[client].under_way.as_ref();
        let (operation, attempt) = under_way
            .map(|under_way| (under_way.operation, under_way.attempt))
            .expect("it asks for something");
        let caller = Caller::Client { client, operation };
        let is_there = if self.bug == Bug::ReadsWithoutIndex && matches!(kind, RequestKind::Read) {
            let life = self.nodes[&node].life;
            let answer = Response::Readable;
            self.at(
                MILLISECOND,
                Event::Answered {
                    node,
                    life,
                    caller,
                    answer,
                },
            );
            true
        } else {
            self.ask(node, kind, caller, patience)
        };
        let after = if is_there { patience } else { 50 * MILLISECOND };
        self.at(
            after,
            Event::GiveUp {
                client,
                operation,
                attempt,
            },
        );
    }

    /// A client had no answer in time.
    pub(crate) fn give_up(&mut self, client: usize, operation: usize, attempt: u32) {
        let waits = self.clients[client]
            .under_way
            .as_ref()
            .is_some_and(|under_way| {
                (under_way.operation, under_way.attempt) == (operation, attempt)
            });
        if !waits {
            return;
        }
        if self.clients[client].try_again() {
            self.tally.retried += 1;
            let nodes: Vec<_> = self.nodes.keys().copied().collect();
            let node = pick(&mut self.chance, &nodes);
            self.ask_for_client(client, node, PATIENCE);
        } else {
            self.tally.unanswered += 1;
            self.clients[client].under_way = None;
            self.think(client);
        }
    }

    fn think(&mut self, client: usize) {
        let after = around(&mut self.chance, self.plan.think);
        self.at(after, Event::Act(client));
    }

    pub(crate) fn tell_client(
        &mut self,
        node: u64,
        client: usize,
        operation: usize,
        answer: Response,
    ) {
        let under_way = self.clients[client]
            .under_way
            .take_if(|one| one.operation == operation);
        let Some(under_way) = under_way else {
            return; // it has given up
        };
        let reference = under_way.reference;
        self.tell(|_| format!("client {client}: {operation} at {node}: {answer:?}"));
        match answer {
            Response::Readable => self.read(node, client, operation, reference),
            Response::Outcome { outcome, .. } => self.wrote(client, operation, reference, outcome),
            other => panic!("{other:?} is no answer to a client"),
        }
        self.think(client);
    }

    fn read(&mut self, node: u64, client: usize, operation: usize, reference: usize) {
        self.tally.reads += 1;
        let disk = &*self.nodes[&node].disk;
        let (version, value) = match reference {
            FILE => found_file(disk),
            _ => {
                let path = clients::path(reference);
                let entry = read::reference(disk, clients::repository(), &path);
                clients::found(entry.expect("reads"))
            }
        };
        self.clients[client].learn(reference, version, value.last().copied());
        self.history
            .returned(operation, Seen::Value(value), self.now);
    }

    fn wrote(&mut self, client: usize, operation: usize, reference: usize, outcome: Outcome) {
        match outcome {
            Outcome::Done(version) => {
                self.tally.writes += 1;
                let token = self.history.operations[operation].action.token();
                self.clients[client].learn(reference, version.0, token);
                self.history.done(operation, version.0, self.now);
            }
            Outcome::Refused(
                Refusal::RefMoved { actual, .. } | Refusal::NameChanged { actual, .. },
            ) => {
                self.tally.conflicts += 1;
                let version = actual.map_or(0, |version| version.0);
                self.history
                    .returned(operation, Seen::Conflict(version), self.now);
            }
            Outcome::Refused(other) => panic!("{other}"),
        }
    }
}

/// Version and value of the file beside repositories.
fn found_file(disk: &dyn View) -> (u64, Value) {
    let named = read::name(disk, &clients::file_path()).expect("reads");
    let Some(NameEntry::File(file)) = named else {
        return (0, Value::new());
    };
    let bytes = read::contents(disk, file.version).expect("reads");
    let bytes = bytes.expect("the bytes of a file that is there");
    (file.version.0, clients::value_of(&bytes))
}
