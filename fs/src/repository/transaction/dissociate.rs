//! A fork comes to own what it has on loan: the store copies, and then the catalog names the copies.
//!
//! That takes the way of maintenance: the command relies on each file's being in the catalog with the bytes
//! that were copied. What was removed or replaced meanwhile refuses it, and whoever asked looks again.

use super::Transactions;
use crate::error::FsResult;
use crate::failpoint;
use crate::repository::objects::{Found, catalog, parallel};
use gitmoor_model::{Actor, Command, FileAdd, FileEntry, Relied, Repacking, RepoPath, Version};
use gitmoor_replicator::read;

/// Is told of bytes that were copied; an error ends it all.
pub(crate) type Progress<'a> = dyn Fn(u64) -> FsResult<()> + Sync + 'a;

/// Gives one fork files of its own.
pub struct Dissociation<'a>(pub(crate) &'a Transactions);

impl Dissociation<'_> {
    /// The catalogued files whose keys lie under other repositories' prefixes.
    pub fn borrowed(&self) -> FsResult<Vec<(RepoPath, FileEntry)>> {
        let mut files = catalog::files(&*self.0.shared.replica, self.0.repo)?;
        let own = format!("{}/", self.0.repo);
        files.retain(|(_, entry)| entry.key().is_some_and(|key| !key.starts_with(&own)));
        Ok(files)
    }

    /// Copies borrowed files. Refused as `Refusal::Changed` when the catalog has changed meanwhile; then it
    /// names none of the copies.
    pub fn own(&self, files: &[(RepoPath, FileEntry)], progress: &Progress<'_>) -> FsResult<()> {
        let wait = self
            .0
            .shared
            .begin_wait(self.0.repo, "a copy of borrowed files")?;
        let _waiting = wait.enter();
        self.0.retry_storing(|| {
            let looked = read::tombstones_as_of(self.0.shared.replica.view(), self.0.repo)?;
            let copies = parallel::each(files, |(path, entry)| self.copy(path, entry, progress))?;
            failpoint::OWN_COPIED.hit();
            self.propose_copies(copies, looked)
        })
    }

    /// Under a key of its own, whose bytes are the same.
    fn copy(
        &self,
        path: &RepoPath,
        entry: &FileEntry,
        progress: &Progress<'_>,
    ) -> FsResult<FileAdd> {
        progress(0)?;
        let from = entry.key().expect("what is borrowed is stored");
        let blocks = read::blocks(self.0.shared.replica.view(), self.0.repo, path)?;
        let (mut entry, size) = (entry.clone(), entry.size);
        let watch = |bytes| progress(bytes).is_ok();
        let copy = |to: &str| self.0.shared.store.copy(from, to, size, &watch);
        self.0
            .objects
            .uploader()
            .put(path, &mut entry, &blocks, &copy)?;
        Ok(FileAdd {
            path: path.clone(),
            entry,
            blocks,
        })
    }

    fn propose_copies(&self, mut copies: Vec<FileAdd>, looked: Version) -> FsResult<()> {
        let _turn = self.0.turn.lock();
        for add in &mut copies {
            self.renew(add)?;
        }
        let relied = copies.iter().map(|add| Relied {
            path: add.path.clone(),
            digest: add.entry.digest,
        });
        let repacking = Repacking {
            repo: self.0.repo,
            relied: relied.collect(),
            add: copies,
            remove: Vec::new(),
            tombstones_as_of: looked,
            unless_refs_moved_since: None,
        };
        self.0
            .propose(Command::Repack(Box::new(repacking)), &Actor::default())?;
        failpoint::OWN_PUBLISHED.hit();
        Ok(())
    }

    /// git may have given a file a new time while it was copied: by that it keeps what it would have
    /// written again.
    fn renew(&self, add: &mut FileAdd) -> FsResult<()> {
        if let Some(Found::Entry(now)) = self.0.objects.find(&add.path)?
            && now.digest == add.entry.digest
        {
            let place = add.entry.place.clone();
            add.entry = FileEntry { place, ..now };
        }
        Ok(())
    }
}
