//! What becomes of stored files when the catalog has them: they leave the repository's directory for the cache.

use super::pending::Generation;
use super::upload::{Batch, Stored};
use super::{Objects, cache_object};
use crate::error::FsResult;
use crate::failpoint;
use gitmoor_model::{Place, RepoPath};

impl Objects {
    /// The catalog has them: the local files become cached ones.
    pub fn adopt(&self, batch: Batch) {
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
        let adopted = self.keep(stored);
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
    fn keep(&self, stored: &Stored) -> FsResult<()> {
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
