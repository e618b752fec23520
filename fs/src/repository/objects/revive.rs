//! Pruning against pushing.
//!
//! A push does not write an object that it finds there, and a prune deletes one that
//! it finds unreachable. If both look before either acts, the ref of the push names a
//! deleted object. Two rules keep that from happening, whoever comes first:
//!
//! - A deletion of objects is refused when a ref moved since the deleting process
//!   first looked at the repository: at once (`Objects::check_unmoved`), and again when it
//!   is published (the replicator's `catalog::check_removal`), which undoes it.
//! - A ref change brings back what was deleted since the process that makes it
//!   first looked ([`Objects::revive`]): the bytes are in the trash.
//!
//! Neither is for a ref change of a process to which all that the other deleted was gone
//! from the beginning ([`super::deletion`] has the argument).
//!
//! "First looked" is before anything that the process can have read through the
//! mount: its first lookup, open or listing in the repository. Between a revival
//! and the commit of its ref no deletion is published through this mount
//! ([`Objects::removing`]). One that is published through another makes the replicator refuse the
//! ref change (its `trash::check_unpruned`), and it begins again.
//!
//! What has left the trash for good cannot be brought back: a ref change of a process that looked before it was
//! removed is refused, once, and the process begins anew.
//!
//! A revival undoes a repack by git on the mount as well: its objects are in the new pack, but only
//! git could tell. The next one removes the old packs again. What maintenance removed ([`super::repack`]) is
//! not revived: that its objects are in other files was proved.

use super::Objects;
use super::looks::Look;
use crate::error::{FsError, FsResult};
use gitmoor_model::name;
use gitmoor_model::{Actor, Command, RepoChange, TrashId, Version};

/// Revivals that one raft entry carries at most.
const PER_ENTRY: usize = 1000;

impl Objects {
    /// Brings back what was deleted since the process of a ref change first
    /// looked, before anybody sees the ref. [`Objects::removing`] is held. Answers up to which
    /// commit that is so; `None` when the change relies on no objects.
    pub(super) fn revive(
        &self,
        change: &RepoChange,
        actor: &Actor,
        by: Option<Look>,
    ) -> FsResult<Option<Version>> {
        if !change.refs.iter().any(|edit| edit.change.writes()) {
            return Ok(None);
        }
        self.undo_removals(by);
        let (Some(look), Some(repo)) = (by, self.shared.replica.repo(self.repo)?) else {
            return Ok(None);
        };
        let looked = Some(repo.catalog_version);
        if repo.catalog_version <= look.seen {
            return Ok(looked);
        }
        let deleted = self.deleted_under(look)?;
        if !deleted.is_empty() {
            tracing::warn!(repo = %self.repo, pid = look.pid, files = deleted.len(), "deleted while a ref change that may need them was under way: they are back, run the pruning repack again");
        }
        for files in deleted.chunks(PER_ENTRY) {
            let (repo, files) = (self.repo, files.to_vec());
            let paths: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
            self.propose_command(Command::RestoreFiles { repo, files }, actor)?;
            for path in &paths {
                (self.shared.changed)(repo, path);
            }
        }
        self.check_restorable(look)?;
        Ok(looked)
    }

    /// Asked after what can be brought back is back. A process that was frozen may come when the trash has been
    /// emptied: how soon that is is a setting, and no ref rests on it.
    fn check_restorable(&self, look: Look) -> FsResult<()> {
        if self.shared.replica.expired(self.repo)? <= look.seen {
            return Ok(());
        }
        self.look_anew(look.pid);
        Err(FsError::Outlived)
    }

    /// Deletions that are not published yet.
    fn undo_removals(&self, by: Option<Look>) {
        let undone = self.state.lock().undo_removals(by);
        if undone.is_empty() {
            return;
        }
        tracing::warn!(repo = %self.repo, files = undone.len(), "deleted while a ref change that may need them was under way: the deletions are undone, run the pruning repack again");
        for path in &undone {
            (self.shared.changed)(self.repo, path);
        }
    }

    /// What was deleted since a process first looked, and was still there for it then.
    fn deleted_under(&self, look: Look) -> FsResult<Vec<TrashId>> {
        let mut files = self.shared.replica.trashed_files(self.repo, look.seen)?;
        let state = self.state.lock();
        files.retain(|file| {
            name::holds_objects(&file.path)
                && !file.superseded
                && !state.was_settled(file.version, look)
        });
        let ids = files.into_iter().map(|file| TrashId {
            version: file.version,
            path: file.path,
        });
        Ok(ids.collect())
    }
}
