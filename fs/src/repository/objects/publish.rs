//! The publisher: objects before refs.
//!
//! [`Objects::commit`] is the one way of a ref change to the replicator: it
//! stores every finished file of the repository, then proposes one raft entry
//! with "these files exist" and "these refs moved". [`Objects::publish`] does the
//! same without a ref change, for the idle publisher and for leaving.

use super::pending::Generation;
use super::proposals::FILES_PER_COMMIT;
use super::seal::Seal;
use super::{Objects, cache_object, quota};
use crate::error::{FsError, FsResult};
use crate::failpoint;
use gitmoor_model::{Actor, Command, FileAdd, Place, RepoChange, RepoPath, Version};
use gitmoor_store::wait::{self, Wait, spent};
use parking_lot::{MutexGuard, RwLockReadGuard};
use std::sync::Arc;

/// What to leave out of a publication.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// At the barrier of a ref change: `.keep` files wait, most are gone soon.
    Barrier,
    /// Everything.
    All,
}

impl Objects {
    /// Proposes a change of refs after every finished file is stored, and with
    /// their addition to the catalog in the same raft entry.
    pub fn commit(&self, mut change: RepoChange, actor: &Actor) -> FsResult<Version> {
        let no_removal = self.no_removal();
        if self.state.lock().is_quiet() {
            return self.until_settled(|| self.move_refs(change.clone(), None, actor));
        }
        drop(no_removal);
        let wait = self.begin_wait("a ref change")?;
        let _turn = self.take_turn(&wait)?;
        let _waiting = wait.enter();
        let removed = self.state.lock().removed.clone();
        let published = self.until_settled(|| {
            let mut batch = self.store_pending(Scope::Barrier)?;
            self.catalogue_ahead(&mut batch, actor)?;
            change.add = batch.adds();
            failpoint::STORED.hit();
            let _no_removal = self.no_removal();
            let version = self.move_refs(change.clone(), Some(&batch), actor)?;
            failpoint::CATALOGUED.hit();
            Ok((version, batch))
        });
        let (version, batch) = match published {
            // What is finished waits for room; deleting is a way to it.
            Err(error) if quota::is_over_quota(&error) && quota::only_deletes(&change) => {
                change.add.clear();
                let _no_removal = self.no_removal();
                return self.until_settled(|| self.move_refs(change.clone(), None, actor));
            }
            published => published?,
        };
        self.published(batch);
        // After the refs, so that these count among what moved under the deletions.
        if let Err(error) = self.publish_removals(&removed, actor) {
            tracing::warn!(repo = %self.repo, %error, "deletions are not published yet; trying again later");
        }
        Ok(version)
    }

    fn no_removal(&self) -> RwLockReadGuard<'_, ()> {
        let what = || "deletions in the same repository".to_owned();
        spent::on(what, || self.removing.read())
    }

    pub(crate) fn begin_wait(&self, who: &str) -> FsResult<Wait> {
        let path = self.shared.replica.repo(self.repo)?.map(|repo| repo.path);
        let path = path.map_or(String::new(), |path| path.to_string());
        Ok(self.begin_wait_in(who, &path))
    }

    /// The same in a repository that has no name yet.
    pub(crate) fn begin_wait_in(&self, who: &str, path: &str) -> Wait {
        let limit = self.shared.config.publish_timeout;
        self.shared.waits.begin(format!("{who} in {path}"), limit)
    }

    /// Waits until no other publication of the repository is under way. Those end
    /// by themselves when the store does not answer, so only an interrupt ends this.
    fn take_turn(&self, wait: &Wait) -> FsResult<MutexGuard<'_, ()>> {
        let what = || "another publication of the same repository".to_owned();
        spent::on(what, || self.wait_for_turn(wait))
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
            wait.because("another publication of the same repository is under way".to_owned());
        }
    }

    /// Publishes what is finished, deleted or touched.
    ///
    /// Deletions last, and only those that were there at the beginning: git deletes
    /// what it has made anew (a repack its old packs), so that whatever stands
    /// for them is finished by then, and catalogued before they go.
    pub fn publish(&self) -> FsResult<()> {
        let actor = Actor::default();
        let wait = self.begin_wait("the publisher")?;
        let _turn = self.take_turn(&wait)?;
        let _waiting = wait.enter();
        let removed = self.state.lock().removed.clone();
        self.until_settled(|| self.publish_files(&actor))?;
        self.publish_removals(&removed, &actor)
    }

    /// Stores and catalogues one finished file as it is, without packing it up
    /// with others: its name must stay.
    pub(super) fn publish_one(&self, path: &RepoPath) -> FsResult<()> {
        let wait = self.begin_wait("a deletion")?;
        let _turn = self.take_turn(&wait)?;
        let _waiting = wait.enter();
        self.until_settled(|| {
            let looked = self.look()?;
            let batch = Batch {
                files: self.store(path)?.into_iter().collect(),
                bundled: Vec::new(),
                looked,
            };
            let change = RepoChange {
                add: batch.adds(),
                ..RepoChange::new(self.repo)
            };
            if !change.is_empty() {
                self.propose_stored(change, &batch, &Actor::default())?;
            }
            self.published(batch);
            Ok(())
        })
    }

    fn publish_files(&self, actor: &Actor) -> FsResult<()> {
        let mut batch = self.store_pending(Scope::All)?;
        self.catalogue_ahead(&mut batch, actor)?;
        let mut change = RepoChange::new(self.repo);
        change.add = batch.adds();
        if !change.is_empty() {
            self.propose_stored(change, &batch, actor)?;
        }
        self.published(batch);
        self.publish_touched(actor)
    }

    /// The replicator gives new times to what is still there, with whatever else it has by then.
    fn publish_touched(&self, actor: &Actor) -> FsResult<()> {
        let touched: Vec<_> = self.state.lock().touched.values().cloned().collect();
        for files in touched.chunks(FILES_PER_COMMIT) {
            let (repo, files) = (self.repo, files.to_vec());
            self.propose_command(Command::Touch { repo, files }, actor)?;
        }
        let mut state = self.state.lock();
        for touch in touched {
            if state.touched.get(&touch.path) == Some(&touch) {
                state.touched.remove(&touch.path);
            }
        }
        Ok(())
    }

    /// The catalog has them: the local files become cached ones.
    pub(super) fn published(&self, batch: Batch) {
        for stored in &batch.files {
            if let Err(error) = self.settle(stored) {
                let path = &stored.add.path;
                tracing::warn!(repo = %self.repo, %path, %error, "stored, but not kept in the cache");
            }
            failpoint::ADOPTED.hit();
        }
        for (path, generation) in &batch.bundled {
            if let Err(error) = self.unbundle(path, *generation) {
                tracing::warn!(repo = %self.repo, %path, %error, "packed, but its loose file stays");
            }
            failpoint::UNBUNDLED.hit();
            (self.shared.changed)(self.repo, path);
        }
    }

    /// A stored file goes from here, unless another has its name by now: that is stored next.
    fn settle(&self, stored: &Stored) -> FsResult<()> {
        let (path, _naming) = (&stored.add.path, self.naming.lock());
        if !self.state.lock().pending.has(path, stored.generation) {
            return Ok(());
        }
        let adopted = self.adopt(stored);
        self.forget_finished(path);
        adopted
    }

    /// The same of a loose object that is in a pack.
    fn unbundle(&self, path: &RepoPath, generation: Generation) -> FsResult<()> {
        let _naming = self.naming.lock();
        if !self.state.lock().pending.has(path, generation) {
            return Ok(());
        }
        self.forget_finished(path);
        self.files.unlink_if_there(path)
    }

    /// [`Objects::naming`] is held.
    fn adopt(&self, stored: &Stored) -> FsResult<()> {
        let add = &stored.add;
        match &add.entry.place {
            Place::Inline(_) => self.files.unlink_unseen(&add.path),
            Place::Stored { key } => {
                let object = cache_object(key, &add.entry, add.blocks.clone().into());
                let taken = match self.files.open_to_read(&add.path)? {
                    Some(file) => self.files.take_unseen(&add.path, &file)?,
                    None => None,
                };
                match (taken, &stored.seal) {
                    (Some(taken), Some(_)) => {
                        Ok(self.shared.cache.adopt(&object, &taken.path())?)
                    }
                    // What others may still write to proves nothing: it is fetched when it is read.
                    (Some(_), None) | (None, _) => Ok(()),
                }
            }
        }
    }
}

/// A finished file that is stored.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) add: FileAdd,
    /// Of the file that it was.
    pub(super) generation: Generation,
    /// That file is what was stored for as long as this is there; `None` when a copy of it was.
    pub(super) seal: Option<Arc<Seal>>,
}

/// What one publication stored.
pub(super) struct Batch {
    pub(super) files: Vec<Stored>,
    /// Loose objects that are in one of its packs.
    pub(super) bundled: Vec<(RepoPath, Generation)>,
    /// [`gitmoor_replicator::Custody::forgotten`] before any of it was stored.
    pub(super) looked: Version,
}

impl Batch {
    pub(super) fn adds(&self) -> Vec<FileAdd> {
        self.files.iter().map(|stored| stored.add.clone()).collect()
    }
}
