//! The engine: does what the core asks for, in the one order that is safe.
//!
//! Per `Ready`: send what may go early; write snapshot, entries, hard state and
//! effects as one batch, with fsync if raft says so; send votes and
//! acknowledgements; apply what that write made committed as a second batch.
//! The second batch needs no fsync: should it be lost, the log below it is
//! durable and is applied again. With a single voter this makes one fsync per
//! group of proposals.
//!
//! Of a snapshot only its place in the log comes by here, whichever way it goes. The rows of one that leaves are
//! frozen, and read by whoever sends them; the rows of one that arrives lie beside the state already, and one batch
//! puts them in its place.

use super::core::{Committed, Core, Effect, Incarnation, RaftLimits, Work};
use super::metrics;
use crate::model::{Command, Outcome, SessionId, Version};
use crate::state::{Changes, Overlay, ReadError, apply};
use crate::storage::{Disk, Frozen, Laid, Log, OpenError, Position, Stage, WriteError};
use crate::{failpoint, trace};
use raft::Raft;
use raft::eraftpb::{HardState, Message, MessageType, Snapshot};
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
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Apply could not read, which other nodes may have.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A committed entry means nothing to this version.
    #[error(
        "raft entry {index} does not decode: {why}; a later gitmoor wrote it: run that version on \
         this data directory, or remove this node and join anew"
    )]
    Foreign {
        /// Index of the entry.
        index: u64,
        /// Why the entry does not decode.
        why: String,
    },
}

/// A command was applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// The proposer's session …
    pub session: SessionId,
    /// … and its number for the command.
    pub sequence: u64,
    /// What came out; `None` when that is forgotten.
    pub outcome: Option<Outcome>,
    /// Index of the entry that was applied.
    pub index: u64,
    /// The command that was applied.
    pub command: Command,
}

/// What some entries did to the state.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The entries after this one …
    pub after: u64,
    /// … up to this one.
    pub upto: u64,
    /// The rows that these entries changed.
    pub changes: Changes,
}

/// What comes out of a run, in this order.
#[derive(Debug)]
pub enum Event {
    /// To send to another node.
    Send(Box<Message>),
    /// To send to another node, with these rows.
    Snapshot {
        /// The message, without the rows.
        message: Box<Message>,
        /// The state that it is about.
        state: Frozen,
    },
    /// Rows changed, and can be read. Comes before the commands that did it.
    Changed(Changed),
    /// A command was applied; its effects can be read.
    Applied(Box<Applied>),
    /// A snapshot took the place of the state; it can be read.
    Replaced {
        /// The last entry whose effects are in it.
        index: u64,
    },
    /// A question of [`Core::read_index`] is answered.
    Readable {
        /// The context that the question was asked with.
        context: Vec<u8>,
        /// Reads see enough when this entry is applied.
        index: u64,
    },
}

/// Entries that were applied together.
struct Step {
    changed: Changed,
    commands: Vec<Applied>,
}

impl Step {
    fn tell(self, out: &mut dyn FnMut(Event)) {
        out(Event::Changed(self.changed));
        let commands = self.commands.into_iter().map(Box::new);
        commands.map(Event::Applied).for_each(out);
    }
}

/// Raft over a disk.
pub struct Engine {
    core: Core<Log>,
    disk: Arc<dyn Disk>,
    compaction: Compaction,
    /// The rows of a snapshot that raft has been told of, by its last entry.
    laid: Option<(u64, Laid)>,
}

impl Engine {
    /// Raft over a prepared disk, with everything known to be committed
    /// not yet applied: the first [`Engine::run`] does that.
    pub fn open(
        incarnation: Incarnation,
        disk: Arc<impl Disk + 'static>,
        limits: RaftLimits,
        compaction: Compaction,
    ) -> Result<Self, OpenError> {
        metrics::register();
        let log = Log::open(Arc::clone(&disk))?;
        let applied = log.applied().index;
        let core = Core::new(incarnation, log, applied, limits)?;
        Ok(Self {
            core,
            disk,
            compaction,
            laid: None,
        })
    }

    /// Raft, to look at.
    pub fn raft(&self) -> &Raft<Log> {
        self.core.raft()
    }

    /// Raft, to put things in.
    pub fn core(&mut self) -> &mut Core<Log> {
        &mut self.core
    }

    /// Takes raft's message about a snapshot whose rows lie beside the state. Raft may have no use for it.
    pub fn receive_snapshot(&mut self, message: Message, laid: Laid) -> raft::Result<()> {
        let index = message.get_snapshot().get_metadata().index;
        self.laid = Some((index, laid));
        self.core.step(message)
    }

    /// Does everything there is to do.
    pub fn run(&mut self, out: &mut dyn FnMut(Event)) -> Result<(), Fatal> {
        while let Some(work) = self.core.work() {
            self.run_one(work, out)?;
        }
        self.laid = None;
        self.core.storage_mut().sent_all();
        self.compact_if_due()
    }

    fn run_one(&mut self, mut work: Work, out: &mut dyn FnMut(Event)) -> Result<(), Fatal> {
        self.send(work.messages.drain(..), out);
        let disk = Arc::clone(&self.disk);
        let mut batch = disk.stage();
        // Until it is written nobody else may lay anything there.
        let _laid = match &work.snapshot {
            Some(snapshot) => Some(self.install(&mut *batch, snapshot)?),
            None => None,
        };
        self.core.storage_mut().append(&mut *batch, &work.entries);
        self.save_hard_state(&mut *batch, work.hard_state.as_ref());
        let before = self.apply(&mut *batch, std::mem::take(&mut work.committed))?;
        failpoint::RAFT_UNWRITTEN.hit();
        write(batch, work.must_sync)?;
        failpoint::RAFT_WRITTEN.hit();
        if let Some(snapshot) = &work.snapshot {
            failpoint::SNAPSHOT_WRITTEN.hit();
            let index = snapshot.get_metadata().index;
            out(Event::Replaced { index });
        }
        self.send(work.persisted_messages.drain(..), out);
        let reads = std::mem::take(&mut work.reads);

        let after = self.core.persisted(work);
        let mut batch = disk.stage();
        self.save_hard_state(&mut *batch, after.hard_state.as_ref());
        let applied = [before, self.apply(&mut *batch, after.committed)?];
        write(batch, false)?;
        failpoint::RAFT_APPLIED.hit();
        self.send(after.messages, out);
        self.core.applied();
        (applied.into_iter().flatten()).for_each(|step| step.tell(out));
        for read in reads {
            let (context, index) = (read.request_ctx, read.index);
            out(Event::Readable { context, index });
        }
        Ok(())
    }

    fn send(&mut self, messages: impl IntoIterator<Item = Message>, out: &mut dyn FnMut(Event)) {
        for message in messages.into_iter().map(Box::new) {
            if message.get_msg_type() != MessageType::MsgSnapshot {
                out(Event::Send(message));
                continue;
            }
            let index = message.get_snapshot().get_metadata().index;
            let state = self.core.storage_mut().frozen_at(index);
            let state = state.expect("raft sends a snapshot in the run in which it asked for it");
            out(Event::Snapshot { message, state });
        }
    }

    fn save_hard_state(&mut self, batch: &mut dyn Stage, state: Option<&HardState>) {
        if let Some(state) = state {
            self.core.storage_mut().save_hard_state(batch, state);
        }
    }

    fn install(&mut self, batch: &mut dyn Stage, received: &Snapshot) -> Result<Laid, Fatal> {
        let metadata = received.get_metadata();
        let index = metadata.index;
        let laid = self.laid.take().filter(|(of, _)| *of == index);
        let missing = || ReadError::Damaged(format!("the rows of the snapshot at entry {index}"));
        let (_, laid) = laid.ok_or_else(missing)?;
        tracing::info!(index, rows = laid.rows, "installing a snapshot");
        batch.swap();
        self.core.storage_mut().restart_after(batch, metadata);
        failpoint::SNAPSHOT_STAGED.hit();
        Ok(laid)
    }

    /// Applies committed entries into a batch.
    fn apply(
        &mut self,
        batch: &mut dyn Stage,
        committed: Vec<Committed>,
    ) -> Result<Option<Step>, Fatal> {
        let (Some(first), Some(last)) = (committed.first(), committed.last()) else {
            return Ok(None);
        };
        let after = first.index - 1;
        let _timer = metrics::applying();
        let applied = Position {
            index: last.index,
            term: last.term,
        };
        let disk = Arc::clone(&self.disk);
        let mut overlay = Overlay::new(&*disk);
        let mut commands = Vec::with_capacity(committed.len());
        for entry in committed {
            commands.extend(self.apply_one(batch, &mut overlay, entry)?);
        }
        let changes = overlay.into_changes();
        batch.change(&changes);
        self.core.storage_mut().save_applied(batch, applied);
        let upto = applied.index;
        let changed = Changed {
            after,
            upto,
            changes,
        };
        Ok(Some(Step { changed, commands }))
    }

    fn apply_one(
        &mut self,
        batch: &mut dyn Stage,
        overlay: &mut Overlay<'_>,
        Committed { index, effect, .. }: Committed,
    ) -> Result<Option<Applied>, Fatal> {
        match effect {
            Effect::Nothing => Ok(None),
            Effect::Members(members) => {
                self.core.storage_mut().save_members(batch, &members);
                Ok(None)
            }
            Effect::Command(envelope) => {
                failpoint::APPLY.hit();
                let node = self.core.raft().id;
                let _in_span = trace::applying(envelope.trace, node, index).entered();
                let outcome = apply(overlay, Version(index), &envelope)?;
                Ok(Some(Applied {
                    session: envelope.session,
                    sequence: envelope.sequence,
                    outcome,
                    index,
                    command: envelope.command,
                }))
            }
            Effect::Foreign(why) => Err(Fatal::Foreign { index, why }),
        }
    }

    fn compact_if_due(&mut self) -> Result<(), Fatal> {
        let keep = self.keep();
        let log = self.core.storage_mut();
        let entries = log.applied_entries();
        let due = entries >= self.compaction.entries || log.grown() >= self.compaction.bytes;
        if !due || entries == 0 {
            return Ok(());
        }
        let disk = Arc::clone(&self.disk);
        let mut batch = disk.stage();
        log.compact(&mut *batch, keep)?;
        tracing::debug!(entries, "compacted the raft log");
        failpoint::COMPACTION_STAGED.hit();
        // Without fsync: a compaction that is lost is made again.
        write(batch, false)?;
        failpoint::COMPACTION_WRITTEN.hit();
        Ok(())
    }

    /// How many applied entries a compaction keeps: half of them, for others who lag
    /// a little and would need a snapshot of everything instead.
    fn keep(&mut self) -> u64 {
        let alone = self.core.raft().prs().iter().len() <= 1;
        let entries = self.core.storage_mut().applied_entries();
        if alone { 0 } else { entries / 2 }
    }
}

fn write(batch: Box<dyn Stage + '_>, sync: bool) -> Result<(), Fatal> {
    if batch.is_empty() {
        return Ok(());
    }
    Ok(batch.write(sync)?)
}
