//! The simplest replica: the rows are in memory, and end with it.
//!
//! What a node does with raft and a disk a lock does here: a command is applied to the rows when it is proposed, by
//! the state machine that every replica has. So this says what the others must answer, and is quick to have in a test.

use super::{BackupError, ProposeError, Replica, proposal, write_backup};
use crate::model::{
    Actor, Command, Envelope, MAX_ENTRY, Outcome, RepoId, RepoPath, SessionId, Timestamp, Version,
};
use crate::state::{KeyRange, MemoryRows, Overlay, ReadError, Table, View, Visit, apply};
use crate::storage::{Backup, Frozen, Position};
use parking_lot::RwLock;
use std::io::Write;

/// The number under which it proposes: that of a node alone.
const NODE: u64 = 1;

/// A replica of which there is no other.
pub struct MemoryReplica {
    session: SessionId,
    /// Always read recursively: whoever reads rows may read others for each.
    state: RwLock<State>,
}

struct State {
    rows: MemoryRows,
    /// The last command that was applied. The first comes after the entry with which a log begins.
    version: Version,
}

impl Default for MemoryReplica {
    fn default() -> Self {
        let state = State {
            rows: MemoryRows::default(),
            version: Version(1),
        };
        Self {
            session: SessionId::random(),
            state: RwLock::new(state),
        }
    }
}

impl View for MemoryReplica {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.state.read_recursive().rows.get(table, key)
    }

    fn scan(&self, table: Table, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        self.state.read_recursive().rows.scan(table, range, visit)
    }
}

impl Replica for MemoryReplica {
    fn view(&self) -> &dyn View {
        self
    }

    fn propose(&self, actor: Actor, command: Command) -> Result<Outcome, ProposeError> {
        let mut state = self.state.write();
        let version = Version(state.version.0 + 1);
        let envelope = Envelope {
            session: self.session,
            sequence: version.0,
            time: Timestamp::now(),
            actor: Actor {
                node: Some(NODE),
                ..actor
            },
            command,
            trace: None,
        };
        if let Err(refusal) = proposal(&envelope, MAX_ENTRY)? {
            return Ok(Outcome::Refused(refusal));
        }
        let mut overlay = Overlay::new(&state.rows);
        let outcome = apply(&mut overlay, version, &envelope)
            .expect("rows in memory can be read")
            .expect("no sequence number comes twice");
        let changes = overlay.into_changes();
        state.rows.change(&changes);
        state.version = version;
        Ok(outcome)
    }

    fn read_barrier(&self, _give_up: &dyn Fn() -> bool) -> Result<(), ProposeError> {
        Ok(())
    }

    fn is_alone(&self) -> bool {
        true
    }

    fn lock(&self, _repo: RepoId, _name: &RepoPath) -> bool {
        true
    }

    fn unlock(&self, _repo: RepoId, _name: &RepoPath) {}

    fn lost(&self, _repo: RepoId, _name: &RepoPath) -> bool {
        false
    }

    fn backup(&self, out: &mut dyn Write) -> Result<Version, BackupError> {
        let (position, state) = {
            let state = self.state.read_recursive();
            let index = state.version.0;
            (Position { index, term: 1 }, Frozen::new(state.rows.clone()))
        };
        write_backup(Backup::of(position, state), out)
    }
}
