//! The publisher: objects before refs.
//!
//! [`Objects::commit`] is the one way of a ref change to the replicator: it
//! stores every finished file of the repository, then proposes one raft entry
//! with "these files exist" and "these refs moved". [`Objects::publish`] does the
//! same without a ref change, for the idle publisher and for leaving.

use super::name::{self, Kind};
use super::{Objects, Removal, cache_object, key};
use crate::bundle::{self, BundleError};
use crate::cache;
use crate::error::{FsError, FsResult};
use crate::failpoint;
use crate::store::{Body, Put};
use crate::wait::{self, Wait};
use gitmoor_replicator::model::{
    Actor, BlockDigest, Command, FileAdd, FileEntry, FileRemoval, Outcome, Place, Refusal,
    RepoChange, RepoPath, Timestamp, Version,
};
use parking_lot::MutexGuard;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Mutable files up to this size live in the catalog itself.
const INLINE: u64 = 4096;

/// Files stored at the same time, per publication.
const UPLOADS: usize = 8;

/// Files whose addition or removal one raft entry carries at most.
const FILES_PER_COMMIT: usize = 5_000;

/// How often a publication stores again because gc came in between, which is rare
/// even once.
const STORINGS: usize = 5;

/// What to leave out of a publication.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// At the barrier of a ref change: `.keep` files wait, most are gone soon.
    Barrier,
    /// Everything.
    All,
}

impl Objects {
    /// Proposes a change of refs after every finished file is stored, and with
    /// their addition to the catalog in the same raft entry.
    pub fn commit(&self, mut change: RepoChange, actor: &Actor) -> FsResult<Version> {
        let no_removal = self.removing.read();
        if self.state.lock().is_quiet() {
            return self.move_refs(change, None, actor);
        }
        drop(no_removal);
        let wait = self.begin_wait("a ref change")?;
        let _turn = self.take_turn(&wait)?;
        let _waiting = wait.enter();
        let removed = self.state.lock().removed.clone();
        let (version, batch) = self.until_settled(|| {
            let mut batch = self.store_pending(Scope::Barrier)?;
            self.catalogue_ahead(&mut batch, actor)?;
            change.add = batch.adds();
            failpoint::STORED.hit();
            let _no_removal = self.removing.read();
            let version = self.move_refs(change.clone(), Some(&batch), actor)?;
            failpoint::CATALOGUED.hit();
            Ok((version, batch))
        })?;
        self.published(batch);
        // After the refs, so that these count among what moved under the deletions.
        if let Err(error) = self.publish_removals(&removed, actor) {
            tracing::warn!(repo = %self.repo, %error, "deletions are not published yet; trying again later");
        }
        Ok(version)
    }

    pub(super) fn begin_wait(&self, who: &str) -> FsResult<Wait> {
        let path = self.shared.replica.repo(self.repo)?.map(|repo| repo.path);
        let path = path.map_or(String::new(), |path| path.to_string());
        let limit = self.shared.config.publish_timeout;
        Ok(self.shared.waits.begin(format!("{who} in {path}"), limit))
    }

    /// Waits until no other publication of the repository is under way. Those end
    /// by themselves when the store does not answer, so only an interrupt ends this.
    fn take_turn(&self, wait: &Wait) -> FsResult<MutexGuard<'_, ()>> {
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

    /// Proposes a change of refs, with what a batch stored for it. `removing` is held.
    fn move_refs(
        &self,
        change: RepoChange,
        batch: Option<&Batch>,
        actor: &Actor,
    ) -> FsResult<Version> {
        self.revive(&change, actor)?;
        let version = match batch {
            Some(batch) => self.propose_stored(change, batch, actor)?,
            None => self.propose(change, actor)?,
        };
        self.note_move(version, actor)?;
        Ok(version)
    }

    /// Stores again when gc has condemned, between storing and cataloguing, what
    /// was found in the store (see the replicator's `state/condemned.rs`).
    pub(super) fn until_settled<T>(&self, mut attempt: impl FnMut() -> FsResult<T>) -> FsResult<T> {
        for _ in 0..STORINGS {
            match attempt() {
                Err(FsError::Refused(Refusal::Condemned { key })) => self.forget_stored(&key),
                Err(FsError::Refused(Refusal::Forgotten)) => {}
                other => return other,
            }
        }
        attempt()
    }

    fn forget_stored(&self, condemned: &str) {
        let usable = |place: &Place| !matches!(place, Place::Stored { key } if key == condemned);
        let mut state = self.state.lock();
        state.stored.retain(|_, add| usable(&add.entry.place));
        state.touched.retain(|_, entry| usable(&entry.place));
    }

    /// What was stored is good for as long as no condemned key was forgotten
    /// since. To be called before anything is put.
    pub(super) fn look(&self) -> FsResult<Version> {
        let forgotten = self.shared.replica.forgotten(self.repo)?;
        let mut state = self.state.lock();
        if state.looked != forgotten {
            state.looked = forgotten;
            state.stored.clear();
        }
        Ok(forgotten)
    }

    /// Remembers who moved refs; moving them between the loose and the packed
    /// layer is no such move.
    fn note_move(&self, version: Version, actor: &Actor) -> FsResult<()> {
        let repo = self.shared.replica.repo(self.repo)?;
        if repo.is_some_and(|repo| repo.refs_version >= version) {
            self.state.lock().moved(version, actor.pid);
        }
        Ok(())
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
        let touched = self.state.lock().touched.clone();
        for (path, entry) in &touched {
            let blocks = self.shared.replica.blocks(self.repo, path)?;
            change.add.push(FileAdd {
                path: path.clone(),
                entry: entry.clone(),
                blocks,
            });
        }
        if !change.is_empty() {
            self.propose_stored(change, &batch, actor)?;
        }
        self.published(batch);
        let mut state = self.state.lock();
        state
            .touched
            .retain(|path, entry| touched.get(path) != Some(entry));
        Ok(())
    }

    fn propose(&self, change: RepoChange, actor: &Actor) -> FsResult<Version> {
        self.propose_command(Command::Commit(change), actor)
    }

    /// A change that adds what a batch stored.
    fn propose_stored(
        &self,
        change: RepoChange,
        batch: &Batch,
        actor: &Actor,
    ) -> FsResult<Version> {
        let looked = batch.looked;
        self.propose_command(Command::Publish { change, looked }, actor)
    }

    pub(super) fn propose_command(&self, command: Command, actor: &Actor) -> FsResult<Version> {
        match self.shared.replica.propose(actor.clone(), command)? {
            Outcome::Done(version) => Ok(version),
            Outcome::Refused(refusal) => Err(refusal.into()),
        }
    }

    /// Very many files go in several entries; the last goes with the refs.
    fn catalogue_ahead(&self, batch: &mut Batch, actor: &Actor) -> FsResult<()> {
        while batch.files.len() > FILES_PER_COMMIT {
            let files = batch.files.drain(..FILES_PER_COMMIT).collect();
            let ahead = Batch {
                files,
                bundled: Vec::new(),
                looked: batch.looked,
            };
            let change = RepoChange {
                add: ahead.adds(),
                ..RepoChange::new(self.repo)
            };
            self.propose_stored(change, &ahead, actor)?;
            self.published(ahead);
        }
        Ok(())
    }

    /// Deletions hold only while no ref moved since the deleting process first
    /// looked (invariant 6); those that came too late become visible again.
    fn publish_removals(
        &self,
        removed: &HashMap<RepoPath, Removal>,
        actor: &Actor,
    ) -> FsResult<()> {
        let _no_ref_moves = self.removing.write();
        let mut groups: HashMap<Option<Version>, Vec<RepoPath>> = HashMap::new();
        {
            let state = self.state.lock();
            // Some may be there anew.
            let still = |(path, removal): &(_, _)| state.removed.get(*path) == Some(*removal);
            for (path, removal) in removed.iter().filter(still) {
                // What is not objects can be had again from them: nothing is lost.
                let holds_objects = matches!(name::kind(path), Some(Kind::Loose | Kind::Pack));
                let base = holds_objects.then(|| state.base(*removal));
                groups.entry(base).or_default().push(path.clone());
            }
        }
        for (unless_refs_moved_since, paths) in groups {
            for paths in paths.chunks(FILES_PER_COMMIT) {
                let paths = paths.to_vec();
                let removal = FileRemoval {
                    paths: paths.clone(),
                    unless_refs_moved_since,
                };
                let remove = Some(removal);
                match self.propose(
                    RepoChange {
                        remove,
                        ..RepoChange::new(self.repo)
                    },
                    actor,
                ) {
                    Ok(_) => self.forget_removed(&paths, false),
                    Err(FsError::Refused(Refusal::RefsMoved { .. })) => {
                        tracing::warn!(repo = %self.repo, files = paths.len(), "refs moved while a pruning repack ran: its deletions are undone, run it again");
                        self.forget_removed(&paths, true);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn forget_removed(&self, paths: &[RepoPath], reappear: bool) {
        for path in paths {
            self.state.lock().removed.remove(path);
            if reappear {
                (self.shared.changed)(self.repo, path);
            }
        }
    }

    fn store_pending(&self, scope: Scope) -> FsResult<Batch> {
        let looked = self.look()?;
        let (mut paths, loose): (Vec<_>, Vec<_>) = {
            let state = self.state.lock();
            let wanted =
                |path: &&RepoPath| scope == Scope::All || name::kind(path) != Some(Kind::Keep);
            let paths = state.pending.keys().filter(wanted).cloned();
            paths.partition(|path| name::kind(path) != Some(Kind::Loose))
        };
        self.refuse_offline(paths.iter().chain(&loose))?;
        let mut bundled = Vec::new();
        if loose.len() > self.shared.config.bundle_over {
            match self.bundle(&loose)? {
                Some(made) => {
                    // One that a failed publication made is pending by itself.
                    paths.retain(|path| !made.contains(path));
                    paths.extend(made);
                    bundled = loose;
                }
                None => paths.extend(loose),
            }
        } else {
            paths.extend(loose);
        }
        Ok(Batch {
            files: self.store_all(&paths)?,
            bundled,
            looked,
        })
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
        self.files
            .make_parents(&dir.join(b"pack").expect("a valid path"))?;
        let named = |path: &RepoPath| Some((name::loose_oid(path)?, self.files.at(path)));
        let objects: Vec<_> = loose.iter().filter_map(named).collect();
        let Some(first) = loose.first() else {
            return Ok(None);
        };
        let format = self.format_of(first)?;
        let made = match bundle::bundle_loose(&objects, format, &self.files.at(&dir)) {
            Ok(made) => made,
            Err(BundleError::NoPackType { .. }) => return Ok(None),
            Err(e) => {
                // A damaged one would hold up the rest for ever.
                loose.iter().try_for_each(|path| self.check_again(path))?;
                let (path, reason) = (dir.to_string(), e.to_string());
                return Err(FsError::WrongBytes { path, reason });
            }
        };
        let file = |ext: &str| dir.join(format!("{}.{ext}", made.name).as_bytes());
        let paths = [file("pack"), file("idx")].map(|path| path.expect("a pack's name is valid"));
        let finished = paths.each_ref().map(|path| (path, self.finished(path)));
        let mut state = self.state.lock();
        for (path, finished) in finished {
            // Unlike `finish`: its name says that these are the bytes that may be stored
            // already, by a publication that failed later.
            state.removed.remove(path);
            state.pending.insert(path.clone(), finished);
        }
        state.note();
        drop(state);
        failpoint::BUNDLED.hit();
        Ok(Some(paths))
    }

    /// Stores files in parallel; the first error stops the rest. What was stored
    /// is remembered and not stored again.
    fn store_all(&self, paths: &[RepoPath]) -> FsResult<Vec<FileAdd>> {
        let next = AtomicUsize::new(0);
        let results = StdMutex::new((Vec::new(), None));
        let span = tracing::Span::current();
        let patience = wait::current();
        let worker = || {
            let _in_span = span.enter();
            let _waiting = patience.as_ref().map(|patience| patience.enter());
            while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                let stored = self.store(path);
                let mut results = results
                    .lock()
                    .expect("no worker panics while it holds this");
                match stored {
                    Ok(Some(add)) => results.0.push(add),
                    Ok(None) => {}
                    Err(error) => {
                        results.1.get_or_insert(error);
                        next.store(paths.len(), Ordering::Relaxed);
                    }
                }
            }
        };
        match paths.len() {
            0 => {}
            1 => worker(),
            n => std::thread::scope(|scope| {
                for _ in 0..n.min(UPLOADS) {
                    scope.spawn(worker);
                }
            }),
        }
        let (added, error) = results
            .into_inner()
            .expect("no worker panics while it holds this");
        error.map_or(Ok(added), Err)
    }

    /// Stores one finished file. `None` when git deleted it meanwhile.
    fn store(&self, path: &RepoPath) -> FsResult<Option<FileAdd>> {
        if let Some(add) = self.state.lock().stored.get(path) {
            return Ok(Some(add.clone()));
        }
        let file = match File::open(self.files.at(path)) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        failpoint::UNSENT.hit();
        let add = self.store_file(path, &file)?;
        failpoint::SENT.hit();
        self.state.lock().stored.insert(path.clone(), add.clone());
        Ok(Some(add))
    }

    fn store_file(&self, path: &RepoPath, mut file: &File) -> FsResult<FileAdd> {
        let meta = file.metadata()?;
        let (size, block_size) = (meta.len(), cache::block_size_for(meta.len()));
        let (digest, blocks) = cache::digest_file(file, size, block_size)?;
        self.check_unchanged(path, &digest)?;
        let mut entry = FileEntry {
            size,
            mtime: Timestamp {
                secs: meta.mtime(),
                nanos: meta.mtime_nsec() as u32,
            },
            mode: meta.mode(),
            digest,
            block_size,
            place: Place::Inline(Vec::new()),
        };
        if is_inline(path, size) {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            entry.place = Place::Inline(bytes);
        } else {
            self.put(path, file, &mut entry, &blocks)?;
        }
        let blocks = if size <= u64::from(block_size) {
            Vec::new()
        } else {
            blocks
        };
        Ok(FileAdd {
            path: path.clone(),
            entry,
            blocks,
        })
    }

    /// Puts a file under a key that never had other bytes (invariant 11).
    fn put(
        &self,
        path: &RepoPath,
        file: &File,
        entry: &mut FileEntry,
        blocks: &[BlockDigest],
    ) -> FsResult<()> {
        let by_content = matches!(name::kind(path), Some(Kind::Loose | Kind::Pack));
        let may_be_plain = by_content && self.shared.store.refuses_overwrite();
        for key in key::candidates(self.repo, path, &entry.digest, may_be_plain) {
            if self.shared.replica.is_condemned(self.repo, &key)? {
                continue;
            }
            let body = Body::File {
                file,
                len: entry.size,
            };
            // Other bytes may be there: another mount's zlib wrote the same object
            // so, or the index is of another version. Then ours goes beside it.
            let stored = self.shared.store.put(&key, body)? == Put::Stored;
            if stored || self.holds_same(&key, entry, blocks) {
                entry.place = Place::Stored { key };
                return Ok(());
            }
        }
        unreachable!("there is no end of keys")
    }

    fn holds_same(&self, key: &str, entry: &FileEntry, blocks: &[BlockDigest]) -> bool {
        let blocks = if entry.size <= u64::from(entry.block_size) {
            &[]
        } else {
            blocks
        };
        let object = cache_object(key, entry, blocks.into());
        self.shared
            .cache
            .file(object)
            .is_ok_and(|file| file.fetch_all().is_ok())
    }

    /// The catalog has them: the local files become cached ones.
    fn published(&self, batch: Batch) {
        for add in &batch.files {
            let adopted = self.adopt(add);
            if let Err(error) = adopted {
                tracing::warn!(repo = %self.repo, path = %add.path, %error, "stored, but not kept in the cache");
            }
            failpoint::ADOPTED.hit();
            let mut state = self.state.lock();
            state.pending.remove(&add.path);
            state.stored.remove(&add.path);
        }
        for path in &batch.bundled {
            let mut state = self.state.lock();
            state.pending.remove(path);
            drop(state);
            if let Err(error) = self.files.unlink_if_there(path) {
                tracing::warn!(repo = %self.repo, %path, %error, "packed, but its loose file stays");
            }
            failpoint::UNBUNDLED.hit();
            (self.shared.changed)(self.repo, path);
        }
    }

    fn adopt(&self, add: &FileAdd) -> FsResult<()> {
        match &add.entry.place {
            Place::Inline(_) => self.files.unlink_if_there(&add.path),
            Place::Stored { key } => {
                let object = cache_object(key, &add.entry, add.blocks.clone().into());
                let adopted = self.shared.cache.adopt(&object, &self.files.at(&add.path));
                self.files.unlink_if_there(&add.path)?;
                Ok(adopted?)
            }
        }
    }
}

/// Whether a file of this size lives in the catalog itself.
fn is_inline(path: &RepoPath, size: u64) -> bool {
    name::is_rewritable(path) && size <= INLINE || size == 0
}

/// What one publication stored.
struct Batch {
    files: Vec<FileAdd>,
    /// Loose objects that are in one of its packs.
    bundled: Vec<RepoPath>,
    /// [`gitmoor_replicator::Custody::forgotten`] before any of it was stored.
    looked: Version,
}

impl Batch {
    fn adds(&self) -> Vec<FileAdd> {
        self.files.clone()
    }
}
