//! What must be true in the end: everybody answers again and has the same state, and
//! what clients saw can be explained.

use crate::clients::{self, FILE};
use crate::history::{Action, Token};
use crate::linear;
use crate::plan::{FOR_EVER, SECOND};
use crate::world::World;
use gitmoor_model::{Digest, Version};
use gitmoor_replicator::state::{AuditEvent, AuditRecord, RefMove, RefValue, Trail, read};
use gitmoor_replicator::storage::snapshot;
use std::collections::{BTreeMap, BTreeSet};

/// How long healing may take: several elections, and a snapshot.
const PATIENCE: u64 = 40 * SECOND;

impl World {
    /// Every member commits and reads again, and comes to the same state.
    pub(crate) fn check_liveness(&mut self) {
        self.run_until(self.now + 5 * SECOND, |_| false);
        self.run_until(self.now + PATIENCE, |world| world.all_members().is_some());
        let members = self.all_members().expect("nobody leads");
        for node in &members {
            self.probe(*node, Action::Set(self.last_token + 1));
            self.probe(*node, Action::Read);
        }
        let answered = |world: &Self| world.is_all_answered(&members);
        self.run_until(self.now + PATIENCE, answered);
        assert!(
            answered(self),
            "somebody has no answer; members are {members:?}"
        );
        let committed = self.checks.last_committed();
        let even = |world: &Self| {
            let applied: BTreeSet<_> = members.iter().map(|node| world.applied(*node)).collect();
            applied.len() == 1 && applied.first() >= Some(&committed)
        };
        self.run_until(self.now + PATIENCE, even);
        assert!(even(self), "somebody does not catch up");
        self.check_states(&members);
    }

    /// A client of its own asks a node.
    fn probe(&mut self, node: u64, action: Action) {
        let client = self.new_client(self.plan.references, action);
        self.ask_for_client(client, node, FOR_EVER);
    }

    fn applied(&self, node: u64) -> u64 {
        let peer = self.nodes[&node].peer.as_ref();
        peer.map_or(0, |peer| peer.raft().raft_log.applied)
    }

    fn check_states(&self, members: &[u64]) {
        let state = |node: &u64| snapshot::encode(&*self.nodes[node].disk).expect("reads");
        let states: BTreeSet<_> = members.iter().map(state).collect();
        assert_eq!(states.len(), 1, "states differ");
    }

    /// Every write took effect at most once, those that were acknowledged at the
    /// version they were told; and every ref is linearizable.
    pub(crate) fn check_history(&self) {
        let written = self.written();
        for (token, version) in &self.history.acknowledged {
            assert_eq!(
                written.get(version),
                Some(token),
                "write {token} of version {version} is lost"
            );
        }
        let tokens: BTreeSet<_> = written.values().collect();
        assert_eq!(
            tokens.len(),
            written.len(),
            "a write took effect twice: {written:?}"
        );
        for reference in (0..=self.plan.references + 1).chain([FILE]) {
            let operations = self.history.operations.iter();
            let operations: Vec<_> = operations
                .filter(|operation| operation.reference == reference)
                .cloned()
                .collect();
            linear::check(&operations, &written)
                .unwrap_or_else(|why| panic!("ref {reference} is {why}"));
        }
    }

    /// The token that a file with these bytes has.
    fn token_of_digest(&self, digest: Digest) -> Token {
        let digest_of = |token| Digest(blake3::hash(&clients::text(token)).into());
        let mut tokens = 1..=self.last_token;
        let token = tokens.find(|&token| digest_of(token) == digest);
        token.expect("only clients write")
    }

    /// By version, the last token of the value that it wrote: from the audit trail,
    /// which lists every move of every ref.
    fn written(&self) -> BTreeMap<u64, Token> {
        let member = self.leader().expect("somebody leads");
        let disk = &*self.nodes[&member].disk;
        let mut written = BTreeMap::new();
        let mut keep = |version: Version, record: AuditRecord| {
            match &record.event {
                AuditEvent::RefsMoved(moves) => {
                    written.insert(version.0, token_of(moves));
                }
                AuditEvent::FileWritten { digest, .. } => {
                    written.insert(version.0, self.token_of_digest(*digest));
                }
                _ => {}
            }
            true
        };
        for trail in [Trail::Of(clients::repository()), Trail::Namespace] {
            read::audit(disk, trail, Version(0), &mut keep).expect("reads");
        }
        written
    }
}

/// The last token of the one value that clients write in a command.
fn token_of(moves: &[RefMove]) -> Token {
    let [
        RefMove {
            new: RefValue::Text(text),
            ..
        },
    ] = moves
    else {
        panic!("{moves:?} is not what clients write");
    };
    let token = clients::value_of(text).last().copied();
    token.expect("a value has a token")
}
