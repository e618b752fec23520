//! The trait through which the file system sees the replicator: a view of the replicated state, and the way to
//! propose a change of it.
//!
//! A [`crate::Node`] or a [`crate::Client`] stands behind it; [`MemoryReplica`] is the simplest one.

mod error;
mod memory;
pub(crate) mod metrics;

pub use error::{BackupError, ProposeError};
pub use memory::MemoryReplica;

use crate::model::{
    Actor, ChangedNames, Command, Envelope, Outcome, Proposal, Refusal, RepoId, RepoPath, Unfit,
    Version,
};
use crate::state::View;
use crate::storage::Backup;
use std::io::Write;
use std::time::Duration;

/// How long a proposal waits for its outcome.
pub(crate) const PROPOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Who wants to know what others change. Called from the replicator's own thread, in the order
/// of the changes, each when it can be read and before any read is answered that must see it: nothing
/// here may wait.
pub trait Observer: Send + Sync {
    /// A command that another node proposed took effect.
    fn applied(&self, command: &Command);

    /// Names of a repository changed, by whichever commands: a client hears of rows alone.
    fn changed(&self, repo: RepoId, names: ChangedNames);

    /// A repository was deleted. Only a client says so.
    fn deleted(&self, repo: RepoId);

    /// Everything may have changed at once: this node was away for long.
    fn replaced(&self);
}

/// The replicated state, as the file system sees it: a view of it, and the way to propose a change.
///
/// What is read of the view is in [`crate::read`]. Reads reflect every commit that was acknowledged through this
/// replica before they began; those of others, what this replica had applied by then.
pub trait Replica: Send + Sync {
    /// The rows. Each read sees the newest that this replica has; one scan sees one state.
    fn view(&self) -> &dyn View;

    /// Commits a command: durable on a quorum and applied here when this
    /// returns `Ok`. Retries within the allowed time keep their sequence number.
    fn propose(&self, actor: Actor, command: Command) -> Result<Outcome, ProposeError>;

    /// Returns when reads from now on see everything that was acknowledged anywhere before;
    /// of a node alone they always do. Ends early, as [`ProposeError::GivenUp`], when `give_up`
    /// says so, which is asked several times a second.
    fn read_barrier(&self, give_up: &dyn Fn() -> bool) -> Result<(), ProposeError>;

    /// Whether nobody else can change anything, so that every read sees everything.
    fn is_alone(&self) -> bool;

    /// Whether it hears of what others change by itself, and not by the answers to its questions alone.
    fn hears(&self) -> bool {
        true
    }

    /// Which node or client of its cluster this machine is; `None` when it is alone.
    fn machine(&self) -> Option<u64> {
        None
    }

    /// Whether reads of a repository are answered at once.
    fn has_loaded(&self, _repo: RepoId) -> bool {
        true
    }

    /// Returns when they are; ends early as [`Replica::read_barrier`] does.
    fn load_repo(&self, _repo: RepoId, _give_up: &dyn Fn() -> bool) -> Result<(), ProposeError> {
        Ok(())
    }

    /// Takes the lock of a file of the refs room for this node; `false` when another node has
    /// it. A lock shows a conflict early. It may be lost with the leader, and those of a node that is
    /// not heard of are free after a lease: what keeps a commit from overwriting another is
    /// what it expects.
    fn lock(&self, repo: RepoId, name: &RepoPath) -> bool;

    /// Gives a lock back, if this node has it.
    fn unlock(&self, repo: RepoId, name: &RepoPath);

    /// Whether a lock that this node took and did not give back was lost: it was not heard of for a lease, so that
    /// another may have had the lock since. Nothing that rests on the lock may go on.
    fn lost(&self, repo: RepoId, name: &RepoPath) -> bool;

    /// Writes everything that is replicated, as of one moment, whose last commit is the version, piece by piece: for
    /// [`crate::Node::restore`].
    fn backup(&self, out: &mut dyn Write) -> Result<Version, BackupError>;
}

/// What a proposer proposes; a refusal is one that needs no cluster.
pub(crate) fn proposal(
    envelope: &Envelope,
    limit: usize,
) -> Result<Result<Proposal, Refusal>, ProposeError> {
    match Proposal::new(envelope, limit) {
        Ok(proposal) => Ok(Ok(proposal)),
        Err(Unfit::Refused(refusal)) => Ok(Err(refusal)),
        Err(Unfit::TooLarge { size, limit }) => Err(ProposeError::TooLarge { size, limit }),
        Err(Unfit::Garbled(why)) => unreachable!("an envelope decodes: {why}"),
    }
}

/// Writes a backup of ours, piece by piece; returns its last commit.
pub(crate) fn write_backup(
    mut backup: Backup,
    out: &mut dyn Write,
) -> Result<Version, BackupError> {
    while let Some(piece) = backup.next_piece()? {
        out.write_all(&piece)?;
    }
    Ok(Version(backup.position.index))
}
