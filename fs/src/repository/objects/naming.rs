//! The file under a final name and what is known of it change together: while a [`Naming`] is held.

use super::Objects;
use super::finish::Ready;
use super::pending::Finished;
use crate::error::{FsError, FsResult};
use gitmoor_model::RepoPath;
use parking_lot::MutexGuard;
use std::sync::Arc;

/// While it is held nobody else changes what stands under the final names of a repository. Taken after the gate of the
/// prune.
pub(in crate::repository) struct Naming<'a> {
    pub(super) objects: &'a Objects,
    _held: MutexGuard<'a, ()>,
}

impl<'a> Naming<'a> {
    pub(super) fn of(objects: &'a Objects) -> Self {
        let _held = objects.naming.lock();
        Self { objects, _held }
    }

    /// The name has this file from now on.
    pub(super) fn note(&self, name: &RepoPath, ready: Ready) {
        let Objects {
            files,
            shared,
            prune,
            state,
            ..
        } = self.objects;
        shared.staging.ended(&files.within(name));
        let Ready {
            size, digest, seal, ..
        } = ready;
        prune.has_anew(name);
        let mut state = state.lock();
        state.stored.remove(name);
        state.touched.remove(name);
        state.borrowed.remove(name);
        let finished = Finished::new(digest, size, seal.map(Arc::new));
        state.pending.insert(name.clone(), finished);
        state.note();
    }

    pub(super) fn forget(&self, path: &RepoPath) {
        let mut state = self.objects.state.lock();
        state.pending.remove(path);
        state.stored.remove(path);
    }

    /// git deleted a file.
    pub(in crate::repository) fn removed(&self, path: &RepoPath) {
        self.forget(path);
        self.objects.touched_no_more(path);
    }

    /// Under its name a damaged file would be taken for what the name says, and keep git from writing that again.
    pub(super) fn move_aside(&self, path: &RepoPath, why: &FsError) -> FsResult<()> {
        let Objects {
            repo,
            files,
            shared,
            ..
        } = self.objects;
        let aside = files.set_aside(path)?;
        self.forget(path);
        (shared.changed)(*repo, path);
        let aside = aside.display();
        tracing::error!(%repo, %path, %aside, "damaged, and moved aside: {why}");
        Ok(())
    }
}
