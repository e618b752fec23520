//! What fsck changes: the right bytes under a key of their own, or a damaged file
//! out of the catalog. See `fs/jobs/src/fsck`.
#![expect(
    clippy::disallowed_methods,
    reason = "copies in a temporary directory of the daemon's own"
)]

use super::Transactions;
use crate::error::FsResult;
use gitmoor_model::{Actor, Command, FileAdd, FileEntry, FileRemoval, Place, RepoChange, RepoPath};
use gitmoor_replicator::read;
use gitmoor_store::block_cache;
use gitmoor_store::object_store::{Body, Put};
use std::fs::File;
use std::path::Path;

/// Repairs object files of one repository.
pub struct Repair<'a>(pub(crate) &'a Transactions);

impl Repair<'_> {
    /// Lets the catalog name these bytes instead, in a new object of the store.
    pub fn replace(&self, path: &RepoPath, old: &FileEntry, copy: &Path) -> FsResult<()> {
        let _turn = self.0.turn.lock();
        let file = File::open(copy)?;
        let size = file.metadata()?.len();
        let block_size = block_cache::block_size_for(size);
        let (digest, blocks) = block_cache::digest_file(&file, size, block_size)?;
        self.0.retry_storing(|| {
            let looked = self.0.objects.tombstones_as_of()?;
            let entry = FileEntry {
                size,
                digest,
                block_size,
                place: Place::Stored {
                    key: self.put_fresh(path, &file, size, &digest)?,
                },
                ..old.clone()
            };
            let add = FileAdd {
                path: path.clone(),
                entry,
                blocks: blocks.clone(),
            };
            let change = RepoChange {
                add: vec![add],
                ..RepoChange::new(self.0.repo)
            };
            self.0.propose(
                Command::Publish {
                    change,
                    tombstones_as_of: looked,
                },
                &Actor::default(),
            )
        })?;
        (self.0.shared.changed)(self.0.repo, path);
        Ok(())
    }

    /// Stores under a key that held nothing: what an existing one holds is what is
    /// in doubt, and a copy in the cache would vouch for it.
    fn put_fresh(
        &self,
        path: &RepoPath,
        file: &File,
        len: u64,
        digest: &gitmoor_model::Digest,
    ) -> FsResult<String> {
        for key in self.0.objects.uploader().keys(path, digest, false) {
            let free = !read::has_tombstone(self.0.shared.replica.view(), self.0.repo, &key)?
                && !self.exists(&key)?;
            if free && self.0.shared.store.put(&key, Body::File { file, len })? == Put::Stored {
                return Ok(key);
            }
        }
        unreachable!("there is no end of keys")
    }

    /// Asked before as well, for stores that do not refuse to overwrite.
    fn exists(&self, key: &str) -> FsResult<bool> {
        match self.0.shared.store.get_small(key, 1) {
            Ok(_) => Ok(true),
            Err(gitmoor_store::object_store::StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a damaged file out of the catalog, into the trash.
    pub fn remove_damaged(&self, path: &RepoPath) -> FsResult<()> {
        let _turn = self.0.turn.lock();
        let removal = FileRemoval {
            paths: vec![path.clone()],
            unless_refs_moved_since: None,
            unless_repacked_since: None,
        };
        let change = RepoChange {
            remove: Some(removal),
            ..RepoChange::new(self.0.repo)
        };
        self.0.propose(Command::Commit(change), &Actor::default())?;
        (self.0.shared.changed)(self.0.repo, path);
        Ok(())
    }
}
