//! Storing finished files: loose ones as they are or bundled into a pack, several at a
//! time, under keys that never had other bytes.

use super::finish::check_written;
use super::pending::{Finished, Generation};
use super::put::is_inline;
use super::seal::{FileId, Seal, Sealing};
use super::{Batch, Objects, Stored, parallel};
use crate::bundle::{self, BundleError, Bundled};
use crate::error::{FsError, FsResult};
use crate::failpoint;
use gitmoor_model::name::{self, Kind};
use gitmoor_model::{Digest, FileAdd, ObjectFormat, Place, RepoPath, Version};
use gitmoor_replicator::read;
use gitmoor_store::block_cache;
use std::cell::Cell;
use std::collections::HashSet;
use std::fs::{File, FileTimes};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// What to leave out of a publication.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// At the barrier of a ref change: `.keep` files wait, most are gone soon.
    Barrier,
    All,
}

impl Objects {
    /// Stores what is finished, at the barrier of a ref change or when nobody waits.
    pub(crate) fn store_pending(&self, scope: Scope) -> FsResult<Batch> {
        let looked = self.tombstones_as_of()?;
        self.forget_gone()?;
        // What has to be copied is finished then.
        let (mut borrowed, _) = self.loans().to_publish()?;
        let (mut paths, loose) = self.wanted(scope);
        let loose_paths: Vec<_> = loose.iter().map(|(path, _)| path.clone()).collect();
        self.refuse_offline(paths.iter().chain(&loose_paths))?;
        let mut bundled = Vec::new();
        if loose.len() > self.shared.config.bundle_over {
            match self.bundle(&loose_paths)? {
                Some(made) => {
                    // One that a failed publication made is pending by itself.
                    paths.retain(|path| !made.contains(path));
                    paths.extend(made);
                    bundled = loose;
                }
                None => paths.extend(loose_paths),
            }
        } else {
            paths.extend(loose_paths);
        }
        // Of what has got another file since, that one.
        let stored: HashSet<_> = paths.iter().collect();
        borrowed.retain(|borrowed| !stored.contains(borrowed.path()));
        Ok(Batch {
            files: self.store_all(&paths)?,
            borrowed,
            bundled,
            looked,
        })
    }

    /// Stores one finished file as it is.
    pub(crate) fn store_one(&self, path: &RepoPath) -> FsResult<Batch> {
        let looked = self.tombstones_as_of()?;
        Ok(Batch {
            files: self.store(path)?.into_iter().collect(),
            borrowed: Vec::new(),
            bundled: Vec::new(),
            looked,
        })
    }

    /// What is borrowed, and nothing else that is finished.
    pub(crate) fn store_borrowed(&self) -> FsResult<Batch> {
        let looked = self.tombstones_as_of()?;
        let (borrowed, copied) = self.loans().to_publish()?;
        Ok(Batch {
            files: self.store_all(&copied)?,
            borrowed,
            bundled: Vec::new(),
            looked,
        })
    }

    /// The catalog has them: the local files become cached ones.
    pub fn adopt(&self, batch: Batch) {
        for stored in &batch.files {
            if let Err(error) = self.naming().adopt(stored) {
                let path = &stored.add.path;
                tracing::warn!(repo = %self.repo, %path, %error, "stored, but not kept in the cache");
            }
            failpoint::ADOPTED.hit();
        }
        if let Err(error) = self.loans().settle(&batch.borrowed) {
            tracing::warn!(repo = %self.repo, %error, "borrowed, but perhaps with other times");
        }
        for (path, generation) in &batch.bundled {
            if let Err(error) = self.naming().unbundle(path, *generation) {
                tracing::warn!(repo = %self.repo, %path, %error, "packed, but its loose file stays");
            }
            failpoint::UNBUNDLED.hit();
            (self.shared.changed)(self.repo, path);
        }
    }

    /// When a tombstone of the repository last expired. A key that was stored before may be named for as long as no
    /// tombstone has expired since; otherwise its file is stored again. To be called before anything is put.
    pub(in crate::repository) fn tombstones_as_of(&self) -> FsResult<Version> {
        let forgotten = read::tombstones_as_of(self.shared.replica.view(), self.repo)?;
        let mut state = self.state.lock();
        if state.looked != forgotten {
            state.looked = forgotten;
            state.stored.clear();
        }
        Ok(forgotten)
    }

    /// What was stored under a key with a tombstone is to be stored again.
    pub(crate) fn forget_stored(&self, dead: &str) {
        let usable = |place: &Place| !matches!(place, Place::Stored { key } if key == dead);
        let mut state = self.state.lock();
        state
            .stored
            .retain(|_, stored| usable(&stored.add.entry.place));
    }

    /// What is to be stored as it is, and loose objects.
    fn wanted(&self, scope: Scope) -> (Vec<RepoPath>, Vec<(RepoPath, Generation)>) {
        let state = self.state.lock();
        let (mut paths, mut loose) = (Vec::new(), Vec::new());
        for (path, file) in state.pending.iter() {
            match name::kind(path) {
                Some(Kind::Loose) => loose.push((path.clone(), file.generation)),
                Some(Kind::Keep) if scope == Scope::Barrier => {}
                Some(Kind::Pack | Kind::Mutable | Kind::Keep | Kind::Lfs) | None => {
                    paths.push(path.clone());
                }
            }
        }
        (paths, loose)
    }

    /// What cannot be sent need be neither bundled nor digested.
    fn refuse_offline<'a>(&self, mut paths: impl Iterator<Item = &'a RepoPath>) -> FsResult<()> {
        let Some(offline) = self.shared.store.offline() else {
            return Ok(());
        };
        let size = |path| self.files.stat(path).ok().flatten().map(|meta| meta.len());
        match paths.find(|path| size(path).is_some_and(|size| !is_inline(path, size))) {
            Some(path) => Err(offline
                .refuse("PUT", &format!("{}/{path}", self.repo))
                .into()),
            None => Ok(()),
        }
    }

    /// Turns loose objects into one pack, beside which they stay until it is
    /// catalogued. `None` when one of them has a type that packs lack.
    fn bundle(&self, loose: &[RepoPath]) -> FsResult<Option<[RepoPath; 2]>> {
        let dir = RepoPath::new("objects/pack").expect("a valid path");
        let named = |path: &RepoPath| Some((name::loose_oid(path)?, path.clone()));
        let objects: Vec<_> = loose.iter().filter_map(named).collect();
        let Some(first) = loose.first() else {
            return Ok(None);
        };
        let format = self.format_of(first)?;
        let newest = Cell::new(SystemTime::UNIX_EPOCH);
        let made = match self.bundle_privately(&objects, format, &newest) {
            Ok(made) => made,
            Err(BundleError::NoPackType { .. }) => return Ok(None),
            Err(e) => {
                // A damaged one would hold up the rest for ever.
                loose.iter().try_for_each(|path| self.check_staged(path))?;
                let (path, reason) = (dir.to_string(), e.to_string());
                return Err(FsError::WrongBytes { path, reason });
            }
        };
        let file = |ext: &str| dir.join(format!("{}.{ext}", made.name).as_bytes());
        let paths = [file("pack"), file("idx")].map(|path| path.expect("a pack's name is valid"));
        // The index last, as git does: a pack is visible once its index is.
        self.finish_made(&made.pack, &paths[0], newest.get())?;
        failpoint::BUNDLE_NAMELESS_IDX.hit();
        self.finish_made(&made.idx, &paths[1], newest.get())?;
        failpoint::BUNDLED.hit();
        Ok(Some(paths))
    }

    /// Gives a file of a bundle its name, by which git may expire it as it would have expired its newest object. The
    /// name says what its bytes are: one that a failed publication left, and has perhaps stored, stays.
    fn finish_made(&self, made: &Path, name: &RepoPath, newest: SystemTime) -> FsResult<()> {
        let file = self.files.open_private(made)?;
        if self.is_finished(name) {
            return self.files.remove_private(made);
        }
        file.set_times(FileTimes::new().set_modified(newest))?;
        let seal = self.shared.seals.seal_own(&file)?;
        let ready = self.ready_unchecked(&file, name, Some(seal))?;
        let give = || self.files.put_private(made, name);
        self.finish(name, ready, give).map(drop)
    }

    fn bundle_privately(
        &self,
        objects: &[(String, RepoPath)],
        format: ObjectFormat,
        newest: &Cell<SystemTime>,
    ) -> Result<Bundled, BundleError> {
        let open = |path: &RepoPath| match self.files.open_to_read(path) {
            Ok(Some(file)) => {
                newest.set(newest.get().max(file.metadata()?.modified()?));
                Ok(file)
            }
            Ok(None) => Err(io::ErrorKind::NotFound.into()),
            Err(FsError::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        };
        let into = self.files.private_dir().map_err(io::Error::other);
        let into = into.map_err(|source| BundleError::Local {
            context: "making a directory for a pack".to_owned(),
            source,
        })?;
        bundle::bundle_loose(objects, open, format, &into)
    }

    fn check_staged(&self, path: &RepoPath) -> FsResult<()> {
        match self.files.open_to_read(path)? {
            Some(file) => self.check_again(path, &file),
            None => Ok(()),
        }
    }

    /// What was stored is remembered and not stored again.
    fn store_all(&self, paths: &[RepoPath]) -> FsResult<Vec<Stored>> {
        let stored = parallel::each(paths, |path| self.store(path))?;
        Ok(stored.into_iter().flatten().collect())
    }

    /// Stores one finished file. `None` when git deleted it meanwhile, or somebody writes to it: then it is stored when
    /// that is closed.
    fn store(&self, path: &RepoPath) -> FsResult<Option<Stored>> {
        let Some((finished, file)) = self.finished_file(path)? else {
            return Ok(None);
        };
        let generation = finished.generation;
        let known = self.state.lock().stored.get(path).cloned();
        if let Some(known) = known.filter(|known| known.generation == generation) {
            return Ok(Some(known));
        }
        failpoint::UNSENT.hit();
        // Whoever had it open may have made it longer since it was finished.
        if self.set_sparse_aside(path, &file)? {
            return Ok(None);
        }
        let Some((file, seal)) = self.still(path, file, finished.seal)? else {
            return Ok(None);
        };
        if self.set_sparse_aside(path, &file)? {
            return Ok(None);
        }
        let add = self.store_file(path, &file, finished.digest)?;
        failpoint::SENT.hit();
        let stored = Stored {
            add,
            generation,
            seal,
        };
        let mut state = self.state.lock();
        if state.pending.has(path, generation) {
            state.stored.insert(path.clone(), stored.clone());
        }
        Ok(Some(stored))
    }

    /// Whether a finished file is mostly holes by now, which nobody wants to be stored.
    fn set_sparse_aside(&self, path: &RepoPath, file: &File) -> FsResult<bool> {
        let Err(error) = check_written(file, path) else {
            return Ok(false);
        };
        self.set_aside(path, FileId::of(&file.metadata()?), &error)?;
        Ok(true)
    }

    /// What is known of a finished file, and that very file.
    fn finished_file(&self, path: &RepoPath) -> FsResult<Option<(Finished, File)>> {
        let _naming = self.naming();
        let finished = self.state.lock().pending.get(path).cloned();
        let file = self.files.open_to_read(path)?;
        Ok(finished.zip(file))
    }

    /// A file that stays as it is while it is read twice, for its digests and for the store, and until it is taken out
    /// of the tree: itself, sealed, or a copy where nobody can say who writes to it. `None` while somebody does.
    fn still(
        &self,
        path: &RepoPath,
        file: File,
        seal: Option<Arc<Seal>>,
    ) -> FsResult<Option<(File, Option<Arc<Seal>>)>> {
        if seal.is_some() {
            return Ok(Some((file, seal)));
        }
        match self.shared.seals.seal(&file)? {
            Sealing::Done(seal) => Ok(Some((file, Some(Arc::new(seal))))),
            Sealing::Written => {
                tracing::debug!(repo = %self.repo, %path, "is being written: stored when that is done");
                Ok(None)
            }
            Sealing::Unknown => Ok(Some((self.files.copy(&file)?.1, None))),
        }
    }

    /// A file that was deleted while it was being finished (git's own temporary names in
    /// `objects/info` look final) would be pending for ever.
    fn forget_gone(&self) -> FsResult<()> {
        for path in self.pending_paths() {
            if self.files.stat(&path)?.is_some() {
                continue;
            }
            // Once more: who finishes it anew does so when it is there.
            let naming = self.naming();
            if self.files.stat(&path)?.is_none() {
                naming.forget(&path);
            }
        }
        Ok(())
    }

    fn store_file(
        &self,
        path: &RepoPath,
        file: &File,
        checked: Option<Digest>,
    ) -> FsResult<FileAdd> {
        let meta = file.metadata()?;
        let (size, block_size) = (meta.len(), block_cache::block_size_for(meta.len()));
        let (digest, blocks) = block_cache::digest_file(file, size, block_size)?;
        self.check_unchanged(path, file, (checked, &digest))?;
        self.uploader.store(path, file, (digest, blocks))
    }
}
