//! The engine: does what the core asks for, in the one order that is safe.
//!
//! Per `Ready`: send what may go early; write snapshot, entries, hard state and
//! effects as one batch, with fsync if raft says so; send votes and
//! acknowledgements; apply what that write made committed as a second batch.
//! The second batch needs no fsync: should it be lost, the log below it is
//! durable and is applied again. With a single voter this makes one fsync per
//! group of proposals.

use super::core::{Committed, Core, Effect, RaftLimits, Work};
use crate::model::{Outcome, SessionId, Version};
use crate::state::{Overlay, apply};
use crate::storage::{Batch, Database, Log, OpenError, Position, snapshot};
use crate::{ReadError, failpoint, metrics};
use raft::eraftpb::{HardState, Message, Snapshot};
use std::sync::Arc;

/// When to compact the log.
#[derive(Clone, Copy, Debug)]
pub struct Compaction {
    /// At this many applied entries …
    pub entries: u64,
    /// … or this many bytes of them, whichever comes first.
    pub bytes: u64,
}

/// The node cannot go on: its disk or its memory of the log is not as it must
/// be, and whatever it did next could contradict what it has promised.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// A batch was not written.
    #[error("writing to the replicator's database: {0}")]
    Write(#[from] rocksdb::Error),
    /// Apply could not read, which other nodes may have.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A committed entry means nothing to this version.
    #[error("raft entry {index} does not decode: {why}")]
    Foreign {
        /// Its index.
        index: u64,
        /// Why.
        why: String,
    },
}

/// A command was applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The proposer's session …
    pub session: SessionId,
    /// … and its number for the command.
    pub sequence: u64,
    /// What came out; `None` when that is forgotten.
    pub outcome: Option<Outcome>,
    /// At which index.
    pub index: u64,
}

/// Raft over a database.
pub struct Engine {
    core: Core<Log>,
    database: Arc<Database>,
    compaction: Compaction,
}

impl Engine {
    /// Raft over a prepared database, with everything known to be committed
    /// not yet applied: the first [`Engine::run`] does that.
    pub fn open(
        id: u64,
        database: Arc<Database>,
        limits: RaftLimits,
        compaction: Compaction,
    ) -> Result<Self, OpenError> {
        let log = Log::open(Arc::clone(&database))?;
        let applied = log.applied().index;
        let core = Core::new(id, log, applied, limits)?;
        Ok(Self {
            core,
            database,
            compaction,
        })
    }

    /// Raft, to put things in.
    pub fn core(&mut self) -> &mut Core<Log> {
        &mut self.core
    }

    /// Does everything there is to do. Answers are given once their effects
    /// can be read.
    pub fn run(
        &mut self,
        send: &mut dyn FnMut(Message),
        answer: &mut dyn FnMut(Answer),
    ) -> Result<(), Fatal> {
        while let Some(work) = self.core.work() {
            let answers = self.run_one(work, send)?;
            answers.into_iter().for_each(&mut *answer);
        }
        self.compact_if_due()
    }

    fn run_one(
        &mut self,
        mut work: Work,
        send: &mut dyn FnMut(Message),
    ) -> Result<Vec<Answer>, Fatal> {
        work.messages.drain(..).for_each(&mut *send);
        let database = Arc::clone(&self.database);
        let mut batch = Batch::new(&database);
        if let Some(snapshot) = &work.snapshot {
            self.install(&mut batch, snapshot)?;
        }
        self.core.storage_mut().append(&mut batch, &work.entries);
        self.save_hard_state(&mut batch, work.hard_state.as_ref());
        let mut answers = self.apply(&mut batch, std::mem::take(&mut work.committed))?;
        failpoint::RAFT_UNWRITTEN.hit();
        write(&database, batch, work.must_sync)?;
        failpoint::RAFT_WRITTEN.hit();
        if work.snapshot.is_some() {
            failpoint::SNAPSHOT_WRITTEN.hit();
        }
        work.persisted_messages.drain(..).for_each(&mut *send);

        let after = self.core.persisted(work);
        let mut batch = Batch::new(&database);
        self.save_hard_state(&mut batch, after.hard_state.as_ref());
        answers.extend(self.apply(&mut batch, after.committed)?);
        write(&database, batch, false)?;
        failpoint::RAFT_APPLIED.hit();
        after.messages.into_iter().for_each(send);
        self.core.applied();
        Ok(answers)
    }

    fn save_hard_state(&mut self, batch: &mut Batch<'_>, state: Option<&HardState>) {
        if let Some(state) = state {
            self.core.storage_mut().save_hard_state(batch, state);
        }
    }

    fn install(&mut self, batch: &mut Batch<'_>, received: &Snapshot) -> Result<(), Fatal> {
        let metadata = received.get_metadata();
        tracing::info!(
            index = metadata.index,
            bytes = received.data.len(),
            "installing a snapshot"
        );
        snapshot::replace(batch, &received.data)?;
        self.core.storage_mut().restart_after(batch, metadata);
        failpoint::SNAPSHOT_STAGED.hit();
        Ok(())
    }

    /// Applies committed entries into a batch.
    fn apply(
        &mut self,
        batch: &mut Batch<'_>,
        committed: Vec<Committed>,
    ) -> Result<Vec<Answer>, Fatal> {
        let Some(last) = committed.last() else {
            return Ok(Vec::new());
        };
        let _timer = metrics::applying();
        let applied = Position {
            index: last.index,
            term: last.term,
        };
        let database = Arc::clone(&self.database);
        let mut overlay = Overlay::new(&*database);
        let mut answers = Vec::with_capacity(committed.len());
        for entry in committed {
            answers.extend(self.apply_one(batch, &mut overlay, entry)?);
        }
        batch.change(&overlay.into_changes());
        self.core.storage_mut().save_applied(batch, applied);
        Ok(answers)
    }

    fn apply_one(
        &mut self,
        batch: &mut Batch<'_>,
        overlay: &mut Overlay<'_>,
        Committed { index, effect, .. }: Committed,
    ) -> Result<Option<Answer>, Fatal> {
        match effect {
            Effect::Nothing => Ok(None),
            Effect::Members(members) => {
                self.core.storage_mut().save_members(batch, &members);
                Ok(None)
            }
            Effect::Command(envelope) => {
                failpoint::APPLY.hit();
                let outcome = apply(overlay, Version(index), &envelope)?;
                let (session, sequence) = (envelope.session, envelope.sequence);
                Ok(Some(Answer {
                    session,
                    sequence,
                    outcome,
                    index,
                }))
            }
            Effect::Foreign(why) => Err(Fatal::Foreign { index, why }),
        }
    }

    fn compact_if_due(&mut self) -> Result<(), Fatal> {
        let log = self.core.storage_mut();
        let entries = log.applied_entries();
        let due = entries >= self.compaction.entries || log.grown() >= self.compaction.bytes;
        if !due || entries == 0 {
            return Ok(());
        }
        let database = Arc::clone(&self.database);
        let mut batch = Batch::new(&database);
        log.compact(&mut batch);
        tracing::debug!(entries, "compacted the raft log");
        failpoint::COMPACTION_STAGED.hit();
        // Without fsync: a compaction that is lost is made again.
        write(&database, batch, false)?;
        failpoint::COMPACTION_WRITTEN.hit();
        Ok(())
    }
}

fn write(database: &Database, batch: Batch<'_>, sync: bool) -> Result<(), Fatal> {
    if batch.is_empty() {
        return Ok(());
    }
    Ok(database.write(batch, sync)?)
}
