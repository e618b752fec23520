//! The one small trait through which the file system sees the replicator: an
//! embedded node or a client of remote ones stands behind it.

mod error;
pub(crate) mod metrics;

pub use error::{BackupError, ProposeError};

use crate::model::{
    Actor, BlockDigest, ClaimId, ClusterId, Command, Envelope, FileEntry, Import, NamePath,
    Outcome, PackedRef, Proposal, RefEntry, Refusal, Repo, RepoId, RepoPath, Unfit, Version,
};
use crate::state::{
    AuditRecord, AuditSink, CondemnedKey, Listing, NameEntry, PackedSink, ReadError, Trail,
    TrashedFile, TrashedRepo,
};
use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

/// How long a proposal waits for its outcome.
pub(crate) const PROPOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// What is kept beside what there is: the trash, what is condemned after it, the audit trails, and what is on
/// its way in.
pub trait Custody: Send + Sync {
    /// Writes everything that is replicated, as of one moment, whose last commit is the version, piece by piece: for
    /// [`crate::Node::restore`].
    fn backup(&self, out: &mut dyn Write) -> Result<Version, BackupError>;

    /// The repositories in the trash.
    fn trashed_repos(&self) -> Result<Vec<TrashedRepo>, ReadError>;

    /// The object files of a repository that went to the trash after a version,
    /// oldest removal first.
    fn trashed_files(&self, repo: RepoId, after: Version) -> Result<Vec<TrashedFile>, ReadError>;

    /// The repositories that are past the trash and not purged yet.
    fn condemned_repos(&self) -> Result<Vec<TrashedRepo>, ReadError>;

    /// The condemned keys of a repository.
    fn condemned(&self, repo: RepoId) -> Result<Vec<CondemnedKey>, ReadError>;

    /// Whether a key of the store is condemned: then nobody may name it.
    fn is_condemned(&self, repo: RepoId, key: &str) -> Result<bool, ReadError>;

    /// The keys under a repository's prefix that other repositories, its forks, name.
    fn lent(&self, owner: RepoId) -> Result<BTreeSet<String>, ReadError>;

    /// The commit that last forgot condemned keys of a repository.
    fn forgotten(&self, repo: RepoId) -> Result<Version, ReadError>;

    /// The newest removal of object files that has left the trash for good: what went with it, or
    /// before it, may not be had any more.
    fn expired(&self, repo: RepoId) -> Result<Version, ReadError>;

    /// The repositories that are brought in from elsewhere, and those that were.
    fn imports(&self) -> Result<Vec<Import>, ReadError>;

    /// The files of one that were read back, and whether every object of them was hashed.
    fn verified(&self, id: RepoId) -> Result<Vec<(RepoPath, bool)>, ReadError>;

    /// Who changed what, oldest first, from a version on.
    fn audit(
        &self,
        trail: Trail,
        since: Version,
        sink: &mut AuditSink<'_>,
    ) -> Result<(), ReadError>;

    /// Who last moved refs of a repository, while that is on record.
    fn last_move(&self, repo: RepoId) -> Result<Option<AuditRecord>, ReadError>;
}

/// Who wants to know what others change. Called from the replicator's own thread, in the order
/// of the changes, each when it can be read and before any read is answered that must see it: nothing
/// here may wait.
pub trait Observer: Send + Sync {
    /// A command that another node proposed took effect.
    fn applied(&self, command: &Command);

    /// Everything may have changed at once: this node was away for long.
    fn replaced(&self);
}

/// The truth, as the file system sees it. Reads reflect every commit that was acknowledged through
/// this node before they began; those of others, what this node had applied by then.
pub trait Replica: Custody {
    /// Whether nobody else can change anything, so that every read sees everything.
    fn is_alone(&self) -> bool;

    /// Returns when reads from now on see everything that was acknowledged anywhere before;
    /// of a node alone they always do. Ends early, as [`ProposeError::GivenUp`], when `give_up`
    /// says so, which is asked several times a second.
    fn catch_up(&self, give_up: &dyn Fn() -> bool) -> Result<(), ProposeError>;

    /// Whether reads of a repository are answered at once.
    fn holds(&self, _repo: RepoId) -> bool {
        true
    }

    /// Returns when they are; ends early as [`Replica::catch_up`] does.
    fn hold(&self, _repo: RepoId, _give_up: &dyn Fn() -> bool) -> Result<(), ProposeError> {
        Ok(())
    }

    /// Commits a command: durable on a quorum and applied here when this
    /// returns `Ok`. Retries within the allowed time keep their sequence number.
    fn propose(&self, actor: Actor, command: Command) -> Result<Outcome, ProposeError>;

    /// The claims to the store that are this state's, the newest last. `None` before the first; none,
    /// but `Some`, in a restored backup: another state, which it comes from, may have the store.
    fn claims(&self) -> Result<Option<Vec<ClaimId>>, ReadError>;

    /// The cluster that this is; `None` for a node alone.
    fn cluster(&self) -> Result<Option<ClusterId>, ReadError>;

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

    /// What stands at a path; the root is always a directory.
    fn name(&self, path: &NamePath) -> Result<Option<NameEntry>, ReadError>;

    /// The direct children of a namespace directory, by name.
    fn names_in(&self, dir: &NamePath) -> Result<Vec<(Vec<u8>, NameEntry)>, ReadError>;

    /// A repository.
    fn repo(&self, id: RepoId) -> Result<Option<Repo>, ReadError>;

    /// A file of the refs room (never a line of the packed table).
    fn reference(&self, repo: RepoId, name: &RepoPath) -> Result<Option<RefEntry>, ReadError>;

    /// The names in a directory of the refs room, in byte order.
    fn references_in(&self, repo: RepoId, dir: &RepoPath) -> Result<Listing<()>, ReadError>;

    /// Whether there are any.
    fn has_references_in(&self, repo: RepoId, dir: &RepoPath) -> Result<bool, ReadError>;

    /// A line of the packed table.
    fn packed_ref(&self, repo: RepoId, name: &RepoPath) -> Result<Option<PackedRef>, ReadError>;

    /// Walks the packed table of one consistent snapshot.
    fn packed(&self, repo: RepoId, sink: &mut PackedSink<'_>) -> Result<(), ReadError>;

    /// A file of the objects room.
    fn file(&self, repo: RepoId, path: &RepoPath) -> Result<Option<FileEntry>, ReadError>;

    /// The direct children of a directory of the objects room, in byte order.
    fn files_in(&self, repo: RepoId, dir: &RepoPath) -> Result<Listing<FileEntry>, ReadError>;

    /// The block digests of a file; empty when it is one block or less, or absent.
    fn blocks(&self, repo: RepoId, path: &RepoPath) -> Result<Vec<BlockDigest>, ReadError>;
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
