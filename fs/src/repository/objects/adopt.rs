//! What becomes of stored files when the catalog has them: they leave the repository's directory for the cache.

use super::naming::Naming;
use super::pending::Generation;
use super::{Objects, Stored, cache_object};
use crate::error::FsResult;
use gitmoor_model::{Place, RepoPath};

impl Naming<'_> {
    /// A stored file goes from here, unless another has its name by now: that is stored next.
    pub(super) fn adopt(&self, stored: &Stored) -> FsResult<()> {
        let path = &stored.add.path;
        if !self
            .objects
            .state
            .lock()
            .pending
            .has(path, stored.generation)
        {
            return Ok(());
        }
        let adopted = self.keep(stored);
        self.forget(path);
        adopted
    }

    /// The same of a loose object that is in a pack.
    pub(super) fn unbundle(&self, path: &RepoPath, generation: Generation) -> FsResult<()> {
        if !self.objects.state.lock().pending.has(path, generation) {
            return Ok(());
        }
        self.forget(path);
        self.objects.files.unlink_if_there(path)
    }

    fn keep(&self, stored: &Stored) -> FsResult<()> {
        let (add, Objects { files, shared, .. }) = (&stored.add, self.objects);
        match &add.entry.place {
            Place::Inline(_) => files.unlink_unseen(&add.path),
            Place::Stored { key } => {
                let object = cache_object(key, &add.entry, add.blocks.clone().into());
                let taken = match files.open_to_read(&add.path)? {
                    Some(file) => files.take_unseen(&add.path, &file)?,
                    None => None,
                };
                match (taken, &stored.seal) {
                    (Some(taken), Some(_)) => Ok(shared.cache.adopt(&object, &taken.path())?),
                    // What others may still write to proves nothing: it is fetched when it is read.
                    (Some(_), None) | (None, _) => Ok(()),
                }
            }
        }
    }
}
