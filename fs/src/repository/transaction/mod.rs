//! Objects before refs: how a change becomes durable, and visible to all.
//!
//! A push ends in a change of refs, and [`Transactions::commit`] is the only way of one to the replicator. A
//! [`Push`] takes it there in three steps:
//!
//! 1. *Prepare*: every finished file of the repository is stored (`objects/upload.rs`), a few loose objects as they
//!    are, many as one pack. Very many files are catalogued ahead of the refs.
//! 2. *Commit*: one raft entry says "these files exist" and "these refs moved, if they still are what was locked"
//!    ([`commit`]). What was deleted meanwhile, and the refs may rely on, is brought back before ([`prune`]).
//! 3. *Adopt*: the stored files leave the repository's directory for the cache (`objects/adopt.rs`), and deletions
//!    that waited are published.
//!
//! What holds:
//!
//! - No ref names an object that is not stored and catalogued: both are in one entry, or the files in an earlier one.
//! - When `commit` returns, objects and refs survive the loss of this machine, as far as the replicator's quorum and the
//!   store go.
//! - When the command is refused, the refs are as they were. After a timeout the outcome is unknown: the command may
//!   still be applied, as a whole. Either way the files stay finished and pending, and what was stored is not sent again.
//! - An object that a ref may need is not lost to a prune beside it, whoever comes first ([`prune`]).
//! - One publication of a repository is under way at a time ([`Transactions::turn`]). A ref change that has nothing to
//!   store waits for none.
//!
//! [`Transactions::publish`] does the same without a ref change, for the idle publisher and for leaving.

mod commit;
mod delete;
pub(crate) mod dissociate;
pub(crate) mod prune;
pub(crate) mod read_version;
pub(crate) mod repack;
pub(crate) mod repair;
mod superseded;
#[cfg(test)]
mod tests;

pub(crate) use prune::PendingDeletions;
pub(crate) use read_version::{Author, ReadVersion, ReadVersions};

use crate::error::{FsError, FsResult};
use crate::failpoint;
use crate::repository::context::Context;
use crate::repository::local::Files;
use crate::repository::objects::{Batch, Objects, Scope, is_over_quota};
use commit::FILES_PER_ENTRY;
use gitmoor_model::{Actor, Command, PackedEdit, RepoChange, RepoId, RepoPath, Version};
use gitmoor_replicator::read;
use gitmoor_store::wait::{self, Wait, profile};
use parking_lot::{Mutex, MutexGuard, RwLockReadGuard};
use std::sync::Arc;
use superseded::{Indexes, Supersession};

/// The changes of one repository.
pub(crate) struct Transactions {
    repo: RepoId,
    shared: Arc<Context>,
    files: Arc<Files>,
    objects: Arc<Objects>,
    prune: Arc<PendingDeletions>,
    indexes: Indexes,
    /// Held while something is stored and catalogued: one publication at a time,
    /// those that waited find their files published. Before the prune's gate.
    turn: Mutex<()>,
}

/// A change of refs on its way.
struct Push<'a> {
    through: &'a Transactions,
    change: RepoChange,
    by: &'a Author,
}

impl Push<'_> {
    fn run(mut self) -> FsResult<Version> {
        if let Some(moved) = self.without_objects() {
            return moved;
        }
        let Transactions {
            shared,
            repo,
            prune,
            ..
        } = self.through;
        let wait = shared.begin_wait(*repo, "a ref change")?;
        let _turn = self.through.take_turn(&wait)?;
        let _waiting = wait.enter();
        let deletions = prune.waiting();
        let (version, batch) = match self.through.retry_storing(|| self.store_and_move()) {
            // What is finished waits for room; deleting is a way to it.
            Err(error) if is_over_quota(&error) && only_deletes(&self.change) => {
                return self.move_alone();
            }
            moved => moved?,
        };
        self.through.objects.adopt(batch);
        // After the refs, so that these count among what moved under the deletions.
        if let Err(error) = self.through.publish_deletions(&deletions, &self.by.actor) {
            tracing::warn!(%repo, %error, "deletions are not published yet; trying again later");
        }
        Ok(version)
    }

    /// `None` when files wait to be stored, or deletions to be published.
    fn without_objects(&self) -> Option<FsResult<Version>> {
        let _no_deletion = self.through.no_deletion();
        let attempt = || self.through.move_refs(self.change.clone(), None, self.by);
        self.through
            .is_quiet()
            .then(|| self.through.retry_storing(attempt))
    }

    fn store_and_move(&mut self) -> FsResult<(Version, Batch)> {
        let Self {
            through,
            change,
            by,
        } = self;
        if !only_deletes(change) && through.prune.is_missed(by.read) {
            through.keep_deletions(&by.actor);
        }
        let mut batch = through.objects.store_pending(Scope::Barrier)?;
        through.catalogue_ahead(&mut batch, &by.actor)?;
        change.add = batch.adds();
        failpoint::STORED.hit();
        let _no_deletion = through.no_deletion();
        let version = through.move_refs(change.clone(), Some(&batch), by)?;
        failpoint::CATALOGUED.hit();
        Ok((version, batch))
    }

    fn move_alone(mut self) -> FsResult<Version> {
        self.change.add.clear();
        let _no_deletion = self.through.no_deletion();
        let attempt = || self.through.move_refs(self.change.clone(), None, self.by);
        self.through.retry_storing(attempt)
    }
}

impl Transactions {
    pub(crate) fn new(
        repo: RepoId,
        shared: Arc<Context>,
        files: Arc<Files>,
        objects: Arc<Objects>,
        prune: Arc<PendingDeletions>,
    ) -> Self {
        Self {
            repo,
            shared,
            files,
            objects,
            prune,
            indexes: Indexes::default(),
            turn: Mutex::default(),
        }
    }

    /// Commits a change of refs, after every finished file is stored, and with
    /// their addition to the catalog in the same raft entry.
    ///
    /// What concerns no ref needs no object, and so neither the store nor a turn.
    pub(crate) fn commit(&self, change: RepoChange, by: &Author) -> FsResult<Version> {
        if !change.concerns_refs() {
            return self.propose(Command::Commit(change), &by.actor);
        }
        if self.shared.config.lenient_hooks {
            self.warn_of_missing_hooks()?;
        }
        let through = self;
        Push {
            through,
            change,
            by,
        }
        .run()
    }

    /// This machine takes pushes all the same.
    fn warn_of_missing_hooks(&self) -> FsResult<()> {
        let Some(machine) = self.shared.replica.machine() else {
            return Ok(());
        };
        let view = self.shared.replica.view();
        if let Some((on, name)) = read::hooks_elsewhere(view, self.repo, machine)? {
            tracing::warn!(repo = %self.repo, hook = %name, on, "a ref change passes by a hook that another machine has");
        }
        Ok(())
    }

    /// Publishes what is finished, deleted or touched.
    ///
    /// Deletions last, and only those that were there at the beginning: git deletes
    /// what it has made anew (a repack its old packs), so that whatever stands
    /// for them is finished by then, and catalogued before they go.
    pub(crate) fn publish(&self) -> FsResult<()> {
        let actor = Actor::default();
        let wait = self.shared.begin_wait(self.repo, "the publisher")?;
        let _turn = self.take_turn(&wait)?;
        let _waiting = wait.enter();
        let deletions = self.prune.waiting();
        self.retry_storing(|| self.publish_files(&actor))?;
        self.publish_deletions(&deletions, &actor)
    }

    /// What the process of a thread has read. To be called before it is shown anything.
    pub(crate) fn read_version(&self, tid: u32) -> ReadVersion {
        let first = |pid| self.first_read(pid);
        self.shared.read_versions.get(tid, self.repo, first)
    }

    /// Whether there is nothing to publish.
    pub(crate) fn is_quiet(&self) -> bool {
        self.objects.is_quiet() && self.prune.is_settled()
    }

    /// The same, and nothing is kept in memory to publish it.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.is_quiet() && self.indexes.is_empty()
    }

    fn first_read(&self, pid: u32) -> ReadVersion {
        // The version first: what is deleted meanwhile counts as seen.
        let known = read::repo(self.shared.replica.view(), self.repo)
            .ok()
            .flatten();
        let seen = known.map_or(Version::default(), |repo| {
            repo.refs_version.max(repo.catalog_version)
        });
        let settled = self.prune.settled();
        ReadVersion { pid, seen, settled }
    }

    fn no_deletion(&self) -> RwLockReadGuard<'_, ()> {
        let what = || "deletions in the same repository".to_owned();
        profile::timed(what, || self.prune.ref_change())
    }

    /// Waits until no other publication of the repository is under way. Those end
    /// by themselves when the store does not answer, so only an interrupt ends this.
    fn take_turn(&self, wait: &Wait) -> FsResult<MutexGuard<'_, ()>> {
        let what = || "another publication of the same repository".to_owned();
        profile::timed(what, || self.wait_for_turn(wait))
    }

    fn wait_for_turn(&self, wait: &Wait) -> FsResult<MutexGuard<'_, ()>> {
        loop {
            if let Some(turn) = self.turn.try_lock_for(wait::POLL) {
                wait.restart();
                return Ok(turn);
            }
            if wait.over() == Some(wait::Over::Interrupted) {
                return Err(FsError::Interrupted);
            }
            wait.set_reason("another publication of the same repository is under way".to_owned());
        }
    }

    /// Before a ref change takes back all deletions that it may miss: those that lose nothing hold. What has
    /// the objects of their files is catalogued before.
    fn keep_deletions(&self, actor: &Actor) {
        let keep = || {
            let mut batch = self.objects.store_pending(Scope::Barrier)?;
            self.catalogue_ahead(&mut batch, actor)?;
            self.catalogue(batch, actor)?;
            Supersession(self).publish(&self.prune.waiting(), actor)
        };
        if let Err(error) = keep() {
            tracing::warn!(repo = %self.repo, %error, "not known which deletions lose nothing: all of them are undone");
        }
    }

    fn publish_files(&self, actor: &Actor) -> FsResult<()> {
        let mut batch = self.objects.store_pending(Scope::All)?;
        self.catalogue_ahead(&mut batch, actor)?;
        self.catalogue(batch, actor)?;
        self.publish_touched(actor)
    }

    /// Stores and catalogues one finished file as it is, without packing it up
    /// with others: its name must stay. `what` waits for that.
    pub(in crate::repository) fn publish_one(&self, path: &RepoPath, what: &str) -> FsResult<()> {
        let wait = self.shared.begin_wait(self.repo, what)?;
        let _turn = self.take_turn(&wait)?;
        let _waiting = wait.enter();
        self.retry_storing(|| self.catalogue(self.objects.store_one(path)?, &Actor::default()))
    }

    /// Catalogues what other repositories lend, and stores nothing but what these have lost.
    pub(crate) fn publish_borrowed(&self) -> FsResult<()> {
        let (actor, wait) = (
            Actor::default(),
            self.shared.begin_wait(self.repo, "a link")?,
        );
        let _turn = self.take_turn(&wait)?;
        let _waiting = wait.enter();
        self.retry_storing(|| {
            let mut batch = self.objects.store_borrowed()?;
            self.catalogue_ahead(&mut batch, &actor)?;
            self.catalogue(batch, &actor)
        })
    }

    /// The replicator gives new times to what is still there, with whatever else it has by then.
    fn publish_touched(&self, actor: &Actor) -> FsResult<()> {
        let touched = self.objects.touched();
        for files in touched.chunks(FILES_PER_ENTRY) {
            let (repo, files) = (self.repo, files.to_vec());
            self.propose(Command::Touch { repo, files }, actor)?;
        }
        self.objects.touches_are_published(&touched);
        Ok(())
    }
}

/// Whether a change only takes refs away: then it needs no object.
fn only_deletes(change: &RepoChange) -> bool {
    let writes = change.refs.iter().any(|edit| edit.change.writes());
    let is_set = |edit: &PackedEdit| matches!(edit, PackedEdit::Set { .. });
    !writes && !change.packed.iter().any(is_set)
}
