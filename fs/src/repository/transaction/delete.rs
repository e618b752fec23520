//! Deletions of object files, and what a ref change brings back of them. The argument is [`super::prune`]'s.

use super::Transactions;
use super::commit::FILES_PER_ENTRY;
use super::prune::Removal;
use super::read_version::{Author, ReadVersion};
use super::superseded::Supersession;
use crate::error::{FsError, FsResult};
use crate::repository::objects::{Found, Naming};
use gitmoor_model::name;
use gitmoor_model::{Actor, Command, FileRemoval, Refusal, RepoChange, RepoPath, TrashId, Version};
use gitmoor_replicator::read;
use std::collections::HashMap;

/// Undeletions that one raft entry carries at most.
const UNDELETIONS_PER_ENTRY: usize = 1000;

/// What a deletion is judged against.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Bases {
    /// Refs have not moved since.
    refs: Version,
    /// Nothing was repacked since.
    repacked: Version,
}

impl Transactions {
    /// unlink(2), by a process that looked.
    pub(crate) fn unlink(&self, path: &RepoPath, read: ReadVersion) -> FsResult<()> {
        let real = self.files.stat(path)?.is_some();
        if real && self.objects.is_sealed(path) {
            return self.unlink_finished(path, read);
        }
        let catalogued = matches!(self.objects.find(path)?, Some(Found::Entry(_)));
        if !real && !catalogued {
            return Err(FsError::NotFound);
        }
        let holds_anyway = self.holds_anyway(path, read)?;
        let _no_ref_moves = self.prune.deletion();
        let naming = self.objects.naming();
        let removal = self.prune.next(read);
        if !holds_anyway {
            self.check_unmoved(path, removal)?;
        }
        self.remove(&naming, path, removal, catalogued);
        match real {
            true => self.files.unlink(path),
            false => Ok(()),
        }
    }

    /// A publication under way may be about to catalogue the file.
    fn remove(&self, naming: &Naming<'_>, path: &RepoPath, removal: Removal, catalogued: bool) {
        if catalogued || self.turn.is_locked() {
            self.prune.remove(path, removal);
        }
        naming.removed(path);
    }

    /// Whether a deletion holds whatever refs did: the file holds no object of git, or the deletion comes too late for
    /// anything but a file that is superseded, and this one is.
    fn holds_anyway(&self, path: &RepoPath, read: ReadVersion) -> FsResult<bool> {
        if !name::holds_git_objects(path) {
            return Ok(true);
        }
        let is_late = self.is_late(path, self.prune.next(read))?;
        Ok(is_late && Supersession(self).is_of(path, read.seen)?)
    }

    /// Whether a deletion does not hold any more.
    pub(super) fn is_late(&self, path: &RepoPath, removal: Removal) -> FsResult<bool> {
        match self.check_unmoved(path, removal) {
            Ok(()) => Ok(false),
            Err(FsError::Refused(Refusal::RefsMoved { .. } | Refusal::Repacked { .. })) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// A deletion that comes too late already must not even hide the object until it is
    /// published and undone.
    fn check_unmoved(&self, path: &RepoPath, removal: Removal) -> FsResult<()> {
        let Some(repo) = read::repo(self.shared.replica.view(), self.repo)? else {
            return Ok(());
        };
        let (actual, repacked) = (repo.refs_version, repo.repacked_version);
        let refusal = if actual > self.prune.base(removal) {
            Refusal::RefsMoved { actual }
        } else if repacked > self.prune.repacked_base(path, removal) {
            Refusal::Repacked { actual: repacked }
        } else {
            return Ok(());
        };
        match self.is_being_deleted()? {
            true => Ok(()),
            false => Err(refusal.into()),
        }
    }

    /// Whether a repository has lost its `HEAD`, as first of all when somebody removes it piece by piece. git takes it for no
    /// repository then, and no push begins.
    fn is_being_deleted(&self) -> FsResult<bool> {
        let head = RepoPath::new("HEAD").expect("a valid path");
        Ok(read::reference(self.shared.replica.view(), self.repo, &head)?.is_none())
    }

    /// Objects go to the trash like all others, also those that are not stored yet.
    fn unlink_finished(&self, path: &RepoPath, read: ReadVersion) -> FsResult<()> {
        let take = || self.files.unlink_if_there(path);
        match self.publish_one(path, "a deletion") {
            // Damaged: there is nothing to keep.
            Err(FsError::WrongBytes { .. }) => return self.objects.unfinish(path, take),
            published => published?,
        }
        let holds_anyway = self.holds_anyway(path, read)?;
        let _no_ref_moves = self.prune.deletion();
        let removal = self.prune.next(read);
        if !holds_anyway {
            self.check_unmoved(path, removal)?;
        }
        self.prune.remove(path, removal);
        self.objects.touched_no_more(path);
        // One that was packed on the way has no file any more, and no entry: then
        // publishing the removal does nothing.
        self.objects.unfinish(path, take)
    }

    /// git renames a finished file away: `take` does that. What the catalog has of the name, or is about to have, goes
    /// with it.
    pub(crate) fn leave(
        &self,
        path: &RepoPath,
        read: ReadVersion,
        take: impl FnOnce() -> FsResult<()>,
    ) -> FsResult<()> {
        if !name::is_rewritable(path) {
            return self.objects.unfinish(path, take);
        }
        let catalogued = matches!(self.objects.find(path)?, Some(Found::Entry(_)));
        let _no_ref_moves = self.prune.deletion();
        let naming = self.objects.naming();
        take()?;
        self.remove(&naming, path, self.prune.next(read), catalogued);
        Ok(())
    }

    /// Deletions that may lose something hold only while no ref moved since the deleting process first
    /// looked (INV-6); those that came too late become visible again.
    pub(super) fn publish_deletions(
        &self,
        removed: &HashMap<RepoPath, Removal>,
        actor: &Actor,
    ) -> FsResult<()> {
        Supersession(self).publish(removed, actor)?;
        self.indexes.forget();
        let _no_ref_moves = self.prune.deletion();
        let mut groups: HashMap<Option<Bases>, Vec<(RepoPath, u64)>> = HashMap::new();
        let is_kept = !self.is_being_deleted()?;
        let still = |(path, removal): &(&RepoPath, &Removal)| self.prune.still(path, **removal);
        for (path, removal) in removed.iter().filter(still) {
            // What is not objects can be had again from them: nothing is lost.
            let bases = (is_kept && name::holds_git_objects(path)).then(|| Bases {
                refs: self.prune.base(*removal),
                repacked: self.prune.repacked_base(path, *removal),
            });
            let removal = (path.clone(), removal.order);
            groups.entry(bases).or_default().push(removal);
        }
        for (bases, removals) in groups {
            for removals in removals.chunks(FILES_PER_ENTRY) {
                self.publish_group(bases, removals, actor)?;
            }
        }
        Ok(())
    }

    fn publish_group(
        &self,
        bases: Option<Bases>,
        removals: &[(RepoPath, u64)],
        actor: &Actor,
    ) -> FsResult<()> {
        let paths: Vec<_> = removals.iter().map(|(path, _)| path.clone()).collect();
        let last = removals.iter().map(|(_, order)| *order).max();
        let removal = FileRemoval {
            paths: paths.clone(),
            unless_refs_moved_since: bases.map(|bases| bases.refs),
            unless_repacked_since: bases.map(|bases| bases.repacked),
        };
        let change = RepoChange {
            remove: Some(removal),
            ..RepoChange::new(self.repo)
        };
        let keys = self.keys_of_none_else(&paths)?;
        match self.propose(Command::Commit(change), actor) {
            Ok(version) => {
                let last = last.expect("chunks are not empty");
                self.prune.published(version, last);
                paths.iter().for_each(|path| self.prune.forget(path));
                keys.iter().for_each(|key| self.shared.cache.forget(key));
                Ok(())
            }
            Err(FsError::Refused(
                refusal @ (Refusal::RefsMoved { .. } | Refusal::Repacked { .. }),
            )) => {
                tracing::warn!(repo = %self.repo, files = paths.len(), "{refusal}: deletions are undone, run the pruning repack again");
                for path in &paths {
                    self.prune.forget(path);
                    (self.shared.changed)(self.repo, path);
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Keys of files that no other repository names. What is in the trash is hardly read again: it takes no room in the
    /// cache, neither on the disk nor in memory.
    fn keys_of_none_else(&self, paths: &[RepoPath]) -> FsResult<Vec<String>> {
        let view = self.shared.replica.view();
        let shared = read::shared_keys(view, self.repo)?;
        let mut keys = Vec::new();
        for path in paths {
            let entry = read::file(view, self.repo, path)?;
            let key = entry.and_then(|entry| entry.key().map(str::to_owned));
            keys.extend(key.filter(|key| !shared.contains(key)));
        }
        Ok(keys)
    }

    /// Brings back what was deleted since the process of a ref change first
    /// looked, before anybody sees the ref. [`super::PendingDeletions::ref_change`] is held. Answers up to which
    /// commit that is so; `None` when the change relies on no objects.
    pub(super) fn undelete(&self, change: &RepoChange, by: &Author) -> FsResult<Option<Version>> {
        if !change.refs.iter().any(|edit| edit.change.writes()) {
            return Ok(None);
        }
        self.undo_deletions(by.read);
        let (Some(read), Some(repo)) =
            (by.read, read::repo(self.shared.replica.view(), self.repo)?)
        else {
            return Ok(None);
        };
        let undeleted = Some(repo.catalog_version);
        if repo.catalog_version <= read.seen {
            return Ok(undeleted);
        }
        let deleted = self.deleted_under(read)?;
        if !deleted.is_empty() {
            tracing::warn!(repo = %self.repo, pid = read.pid, files = deleted.len(), "deleted while a ref change that may need them was under way: they are back, run the pruning repack again");
        }
        for files in deleted.chunks(UNDELETIONS_PER_ENTRY) {
            let (repo, files) = (self.repo, files.to_vec());
            let paths: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
            self.propose(Command::RestoreFiles { repo, files }, &by.actor)?;
            for path in &paths {
                (self.shared.changed)(repo, path);
            }
        }
        self.check_restorable(read)?;
        Ok(undeleted)
    }

    /// Asked after what can be brought back is back. A process that was frozen may come when the trash has been
    /// emptied: how soon that is is a setting, and no ref rests on it.
    fn check_restorable(&self, read: ReadVersion) -> FsResult<()> {
        if read::expired(self.shared.replica.view(), self.repo)? <= read.seen {
            return Ok(());
        }
        let anew = self.first_read(read.pid);
        self.shared.read_versions.renew(self.repo, anew);
        Err(FsError::Outlived)
    }

    /// Deletions that are not published yet.
    fn undo_deletions(&self, by: Option<ReadVersion>) {
        let undone = self.prune.undo(by);
        if undone.is_empty() {
            return;
        }
        tracing::warn!(repo = %self.repo, files = undone.len(), "deleted while a ref change that may need them was under way: the deletions are undone, run the pruning repack again");
        for path in &undone {
            (self.shared.changed)(self.repo, path);
        }
    }

    /// What was deleted since a process first looked, and was still there for it then.
    fn deleted_under(&self, read: ReadVersion) -> FsResult<Vec<TrashId>> {
        let mut files = read::trashed_files(self.shared.replica.view(), self.repo, read.seen)?;
        files.retain(|file| {
            name::holds_git_objects(&file.path)
                && !file.superseded
                && !self.prune.was_settled(file.version, read)
        });
        let ids = files.into_iter().map(|file| TrashId {
            version: file.version,
            path: file.path,
        });
        Ok(ids.collect())
    }
}
