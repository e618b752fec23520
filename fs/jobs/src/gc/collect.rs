//! gc: what was in the trash for long enough leaves the store. See the module.
use super::{Gc, metrics};
use crate::age::is_older;
use crate::trash::PER_ENTRY;
use gitmoor_fs::beneath::Dir;
use gitmoor_fs::{FileSystem, FsError, FsResult, catalog};
use gitmoor_model::{
    Command, Deletions, KEY_REUSE_DELAY, Refusal, Repo, RepoId, RepoPath, TrashId, Version,
};
use gitmoor_replicator::read;
use gitmoor_replicator::state::{TrashedFile, TrashedRepo};
use gitmoor_store::object_store::{Listed, StoreError, ahead};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;

/// What a collection removed, or with `dry_run` what it would have.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Collected {
    /// Whether the collection only counted.
    pub dry_run: bool,
    /// Deleted repositories that are gone for good now, by their last names.
    pub repositories: Vec<String>,
    /// Deleted object files that cannot be restored any more.
    pub expired_files: u64,
    /// Objects of the store that nobody owned.
    pub leftovers: u64,
    /// Uploads that were never ended.
    pub uploads: u64,
    /// Objects deleted from the store.
    pub objects: u64,
    /// Their bytes, as far as they are known.
    pub bytes: u64,
}

impl Collected {
    /// Whether there was nothing to do.
    pub fn is_nothing(&self) -> bool {
        let nothing = Self {
            dry_run: self.dry_run,
            ..Self::default()
        };
        *self == nothing
    }
}

/// How thoroughly to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sweep {
    /// Only at what the replicator knows: no request unless there is something to delete.
    Trash,
    /// Also for leftovers, which takes a listing of each repository.
    Store,
}

impl Gc {
    /// Collects some repositories, or all and the deleted ones.
    pub fn collect(
        &self,
        only: Option<BTreeSet<RepoId>>,
        sweep: Sweep,
        dry_run: bool,
    ) -> FsResult<Collected> {
        let _one_at_a_time = self.collecting.lock();
        if !dry_run {
            check_owner(&self.fs, sweep)?;
        }
        let mut collector = Collector {
            fs: &self.fs,
            sweep,
            sizes: HashMap::new(),
            clock_is_proved: false,
            refused: None,
            done: Collected {
                dry_run,
                ..Collected::default()
            },
        };
        let ended = collector.run(only);
        if !dry_run {
            metrics::ran(ended.is_ok());
        }
        ended.map(|()| collector.done)
    }
}

/// Of the trash alone nothing is asked of the store, unless there is something to delete.
fn check_owner(fs: &FileSystem, sweep: Sweep) -> FsResult<()> {
    match sweep {
        Sweep::Trash => fs.check_known_owner("gc"),
        Sweep::Store => fs.check_owner("gc"),
    }
}

struct Collector<'a> {
    fs: &'a FileSystem,
    sweep: Sweep,
    /// Bytes of keys that are about to be deleted.
    sizes: HashMap<String, u64>,
    /// Whether the store's clock says the same as this machine's.
    clock_is_proved: bool,
    /// The first error that kept something from being collected.
    refused: Option<FsError>,
    done: Collected,
}

/// Seconds. Clocks that differ by less make no difference to ages of days.
const CLOCKS_DIFFER: u64 = 3600;

impl Collector<'_> {
    fn run(&mut self, only: Option<BTreeSet<RepoId>>) -> FsResult<()> {
        if only.is_none() {
            self.repositories()?;
        }
        for repo in self.fs.live_repos()? {
            if only.as_ref().is_none_or(|only| only.contains(&repo.id)) {
                let collected = self.repository(&repo);
                self.go_on(collected)?;
            }
        }
        self.refused.take().map_or(Ok(()), Err)
    }

    /// What the store refuses (a retention, a policy), or the disk of this machine, keeps nothing else from being
    /// collected.
    fn go_on(&mut self, collected: FsResult<()>) -> FsResult<()> {
        match collected {
            Err(error @ (FsError::Store(StoreError::Refused { .. }) | FsError::Io(_))) => {
                tracing::warn!(%error, "gc goes on without it");
                self.refused.get_or_insert(error);
                Ok(())
            }
            collected => collected,
        }
    }

    /// A clock that is days ahead would empty the trash at once. So another is asked before
    /// anything goes for being this old; of a collection that finds nothing old, none.
    fn prove_clock(&mut self, age: Duration) -> FsResult<()> {
        if self.clock_is_proved || age.is_zero() {
            return Ok(());
        }
        let ahead = ahead(self.fs.store())?;
        if ahead.unsigned_abs() > CLOCKS_DIFFER {
            return Err(FsError::Clock { ahead });
        }
        self.clock_is_proved = true;
        Ok(())
    }

    fn removed(&mut self, objects: usize, bytes: u64) {
        self.done.objects += objects as u64;
        self.done.bytes += bytes;
        metrics::removed(objects as u64, bytes);
    }

    /// Deleted repositories whose time is over.
    fn repositories(&mut self) -> FsResult<()> {
        let keep = self.fs.config().trash_keep;
        let mut all = read::trashed_repos(self.fs.replica().view())?;
        // What is inside a repository expires with it.
        all.sort_by(|a, b| a.repo.path.cmp(&b.repo.path));
        for trashed in all {
            if !is_older(trashed.time, keep) {
                continue;
            }
            if self.done.dry_run {
                self.count_stored(&trashed)?;
                continue;
            }
            self.prove_clock(keep)?;
            let expired = self.fs.propose(Command::ExpireRepo {
                id: trashed.repo.id,
                version: trashed.version,
            });
            match expired {
                Ok(_) | Err(FsError::Refused(Refusal::NotInTrash(_))) => {}
                Err(error) => return Err(error),
            }
        }
        if self.done.dry_run {
            return Ok(());
        }
        for expired in read::expired_repos(self.fs.replica().view())? {
            let purged = self.purge(&expired);
            self.go_on(purged)?;
        }
        Ok(())
    }

    fn count_stored(&mut self, trashed: &TrashedRepo) -> FsResult<()> {
        let lent = read::shared_keys(self.fs.replica().view(), trashed.repo.id)?;
        let done = &mut self.done;
        let prefix = format!("{}/", trashed.repo.id);
        self.fs.store().list(&prefix, &mut |listed| {
            if let Listed::Object { key, size, .. } = listed
                && !lent.contains(&key)
            {
                done.objects += 1;
                done.bytes += size;
            }
        })?;
        done.repositories.push(trashed.repo.path.to_string());
        Ok(())
    }

    /// Nobody can come to name a key of an expired repository any more, and its id is never used again. While a fork
    /// names one of its keys, the repository stays expired.
    fn purge(&mut self, expired: &TrashedRepo) -> FsResult<()> {
        let id = expired.repo.id;
        let lent = read::shared_keys(self.fs.replica().view(), id)?;
        if !lent.is_empty() && self.sweep == Sweep::Trash && self.is_emptied(id)? {
            return Ok(());
        }
        self.delete_all_but(id, &lent)?;
        remove_local(self.fs, id);
        self.fs.propose(Command::PurgeRepo { id })?;
        if lent.is_empty() {
            self.done.repositories.push(expired.repo.path.to_string());
        }
        Ok(())
    }

    /// Whether nothing is left to forget of an expired repository.
    fn is_emptied(&self, id: RepoId) -> FsResult<bool> {
        let (replica, top) = (self.fs.replica(), RepoPath::root());
        Ok(read::files_in(replica.view(), id, &top)?.is_empty()
            && !read::has_references_in(replica.view(), id, &top)?)
    }

    fn delete_all_but(&mut self, id: RepoId, lent: &BTreeSet<String>) -> FsResult<()> {
        let store = self.fs.store();
        let (mut keys, mut uploads) = (Vec::new(), Vec::new());
        store.list(&format!("{id}/"), &mut |listed| match listed {
            Listed::Object { key, size, .. } => keys.push((key, size)),
            Listed::Upload(upload) => uploads.push(upload),
        })?;
        keys.retain(|(key, _)| !lent.contains(key));
        for keys in keys.chunks(PER_ENTRY) {
            let names: Vec<_> = keys.iter().map(|(key, _)| key.clone()).collect();
            store.delete(&names)?;
            names.iter().for_each(|key| self.fs.cache().forget(key));
            self.removed(keys.len(), keys.iter().map(|(_, size)| size).sum());
        }
        for upload in &uploads {
            store.abort(upload)?;
            self.done.uploads += 1;
        }
        Ok(())
    }

    /// Expired files and leftovers of a repository that is there.
    fn repository(&mut self, repo: &Repo) -> FsResult<()> {
        let keep = self.fs.config().trash_keep;
        let trashed = read::trashed_files(self.fs.replica().view(), repo.id, Version::default())?;
        let (expired, kept): (Vec<_>, Vec<_>) = trashed
            .into_iter()
            .partition(|file| is_older(file.time, keep));
        let leftovers = match self.sweep {
            Sweep::Trash => super::leftovers::Leftovers::default(),
            Sweep::Store => super::leftovers::leftovers(self.fs, repo.id)?,
        };
        self.done.expired_files += expired.len() as u64;
        self.done.leftovers += leftovers.objects.len() as u64;
        self.done.uploads += leftovers.uploads.len() as u64;
        self.note_sizes(&expired);
        self.sizes.extend(leftovers.objects.clone());
        if self.done.dry_run {
            return self.count_unnamed(repo.id, &kept);
        }
        if !expired.is_empty() {
            self.prove_clock(keep)?;
        }
        if !leftovers.objects.is_empty() || !leftovers.uploads.is_empty() {
            self.prove_clock(self.fs.config().gc_grace)?;
        }
        self.mark_deleted(repo.id, &expired, leftovers.objects.into_keys().collect())?;
        self.delete(repo.id)?;
        self.forget(repo.id)?;
        for upload in &leftovers.uploads {
            self.fs.store().abort(upload)?;
        }
        Ok(())
    }

    fn note_sizes(&mut self, files: &[TrashedFile]) {
        let stored = |file: &TrashedFile| {
            let key = file.entry.key()?.to_owned();
            Some((key, file.entry.size))
        };
        self.sizes.extend(files.iter().filter_map(stored));
    }

    /// What would be deleted: what then nobody names.
    fn count_unnamed(&mut self, repo: RepoId, kept: &[TrashedFile]) -> FsResult<()> {
        let mut sizes = std::mem::take(&mut self.sizes);
        if !sizes.is_empty() {
            for key in catalog::keys(self.fs.replica(), repo)? {
                sizes.remove(&key);
            }
        }
        for key in kept.iter().filter_map(|file| file.entry.key()) {
            sizes.remove(key);
        }
        // Of a fork's parent's keys that decides.
        let lent = read::shared_keys(self.fs.replica().view(), repo)?;
        let own = format!("{repo}/");
        sizes.retain(|key, _| key.starts_with(&own) && !lent.contains(key));
        self.done.objects += sizes.len() as u64;
        self.done.bytes += sizes.values().sum::<u64>();
        Ok(())
    }

    fn mark_deleted(
        &self,
        repo: RepoId,
        expired: &[TrashedFile],
        leftovers: Vec<String>,
    ) -> FsResult<()> {
        let mut expired = expired.chunks(PER_ENTRY);
        let mut leftovers = leftovers.chunks(PER_ENTRY);
        loop {
            let (files, keys) = (expired.next(), leftovers.next());
            if files.is_none() && keys.is_none() {
                return Ok(());
            }
            let trash_id = |file: &TrashedFile| TrashId {
                version: file.version,
                path: file.path.clone(),
            };
            let files = files.unwrap_or_default().iter().map(trash_id);
            self.fs.propose(Command::MarkDeleted(Deletions {
                repo,
                expired: files.collect(),
                leftovers: keys.unwrap_or_default().to_vec(),
            }))?;
        }
    }

    /// Deletes what has a tombstone, also from a collection that was interrupted.
    fn delete(&mut self, repo: RepoId) -> FsResult<()> {
        // Elsewhere they may have been deleted and forgotten since, and named anew.
        self.fs.sync_reads()?;
        let tombstones = read::tombstones(self.fs.replica().view(), repo)?.into_iter();
        let keys = tombstones.filter(|tombstone| tombstone.deleted.is_none());
        let keys: Vec<_> = keys.map(|tombstone| tombstone.key).collect();
        for keys in keys.chunks(PER_ENTRY) {
            let deleted = self.delete_keys(repo, keys);
            self.go_on(deleted)?;
        }
        Ok(())
    }

    fn delete_keys(&mut self, repo: RepoId, keys: &[String]) -> FsResult<()> {
        self.fs.store().delete(keys)?;
        keys.iter().for_each(|key| self.fs.cache().forget(key));
        self.fs.propose(Command::RecordDeletion {
            repo,
            deleted: keys.to_vec(),
            expire: Vec::new(),
        })?;
        let bytes = keys.iter().filter_map(|key| self.sizes.remove(key)).sum();
        self.removed(keys.len(), bytes);
        Ok(())
    }

    fn forget(&mut self, repo: RepoId) -> FsResult<()> {
        let tombstones = read::tombstones(self.fs.replica().view(), repo)?.into_iter();
        let cold =
            tombstones.filter(|key| key.deleted.is_some_and(|at| is_older(at, KEY_REUSE_DELAY)));
        let keys: Vec<_> = cold.map(|tombstone| tombstone.key).collect();
        if !keys.is_empty() {
            self.prove_clock(KEY_REUSE_DELAY)?;
        }
        for keys in keys.chunks(PER_ENTRY) {
            self.fs.propose(Command::RecordDeletion {
                repo,
                deleted: Vec::new(),
                expire: keys.to_vec(),
            })?;
        }
        Ok(())
    }
}

/// The part of a purged repository that is on this machine.
fn remove_local(fs: &FileSystem, id: RepoId) {
    fs.close_repository(id);
    let homes = fs.config().data.join("repos");
    let removed = Dir::open(&homes).and_then(|homes| homes.remove_all(Path::new(&id.to_string())));
    if let Err(error) = removed {
        tracing::warn!(dir = %homes.join(id.to_string()).display(), %error, "of a purged repository, cannot be removed");
    }
}
