//! The objects room: `objects/**`, a catalog of immutable files.
//!
//! A file is *finished* when git gives it its final name; from then on it is
//! visible here and pending until the publisher has stored it and the
//! replicator has catalogued it. The directory of finished files is its own
//! journal: what stands there under a final name after a crash is pending
//! again. New times of catalogued files are remembered and
//! published like additions, a little later; so are deletions, which [`PendingDeletions`] knows.

mod adopt;
mod batch;
mod borrowed;
pub mod catalog;
mod finish;
pub mod key;
mod naming;
pub(super) mod parallel;
mod pending;
mod put;
mod quota;
mod seal;
mod staging;
mod upload;

use crate::error::{FsError, FsResult};
use crate::repository::context::Context;
use crate::repository::local::Files;
use crate::repository::transaction::PendingDeletions;
use borrowed::AllBorrowed;
use gitmoor_model::name;
use gitmoor_model::room::{Room, room};
use gitmoor_model::{
    BlockDigest, FileEntry, FileTouch, ObjectFormat, Place, RepoId, RepoPath, Timestamp, Version,
};
use gitmoor_replicator::{Child, read};
use gitmoor_store::block_cache::{CacheObject, CachedFile, idx};
use parking_lot::Mutex;
use pending::Pending;
use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use batch::{Batch, Stored};
pub(crate) use borrowed::Loans;
pub(crate) use finish::Named;
pub(super) use naming::Naming;
pub(crate) use put::Uploader;
pub(in crate::repository) use quota::check_limit;
pub use quota::is_over_quota;
pub(crate) use seal::{FileId, Seal, Seals, Writing};
pub use staging::Staged;
pub(crate) use staging::Staging;
pub(crate) use upload::Scope;

/// The bytes of a catalogued file are copied so many at a time.
const PIECE: u64 = 4 << 20;

/// The objects room of one repository.
pub struct Objects {
    repo: RepoId,
    shared: Arc<Context>,
    files: Arc<Files>,
    state: Mutex<State>,
    /// Which catalogued files git deleted.
    prune: Arc<PendingDeletions>,
    uploader: Uploader,
    /// Held by a [`Naming`], before `state`.
    naming: Mutex<()>,
}

struct State {
    /// Finished files that are not catalogued yet.
    pending: Pending,
    /// Pending files that are stored already; only the commit is missing.
    stored: HashMap<RepoPath, Stored>,
    /// [`gitmoor_replicator::read::tombstones_as_of`] before the first of them was stored.
    looked: Version,
    /// New times and permission bits of catalogued files. Nothing else of their entries is kept: others may
    /// have moved or removed the files by then.
    touched: HashMap<RepoPath, FileTouch>,
    /// Files of other repositories that are this one's as well, and not catalogued yet.
    borrowed: AllBorrowed,
    /// The last change of any of these.
    changed: Option<Instant>,
}

impl State {
    fn new(staging: Arc<Staging>) -> Self {
        Self {
            pending: Pending::new(staging),
            stored: HashMap::new(),
            looked: Version::default(),
            touched: HashMap::new(),
            borrowed: AllBorrowed::default(),
            changed: None,
        }
    }

    fn note(&mut self) {
        self.changed = Some(Instant::now());
    }

    fn is_quiet(&self) -> bool {
        self.pending.is_empty() && self.touched.is_empty() && self.borrowed.is_empty()
    }
}

/// What the catalog has under a name.
pub enum Found {
    /// An object file in the catalog.
    Entry(FileEntry),
    /// A directory that exists because files lie beneath it.
    Directory,
}

/// The bytes of a catalogued file.
pub enum Content {
    /// The bytes are in the catalog.
    Inline(bytes::Bytes),
    /// In the store, through the cache.
    Stored(Arc<CachedFile>),
}

impl Objects {
    /// The room, with what an earlier life left pending.
    pub(crate) fn open(
        repo: RepoId,
        shared: Arc<Context>,
        files: Arc<Files>,
        prune: Arc<PendingDeletions>,
    ) -> FsResult<Self> {
        let state = State::new(shared.staging.clone());
        let room = Self {
            repo,
            uploader: Uploader::new(repo, shared.clone()),
            shared,
            files,
            state: Mutex::new(state),
            prune,
            naming: Mutex::default(),
        };
        for top in ["objects", "lfs/objects"] {
            room.replay(&RepoPath::new(top).expect("a valid path"))?;
        }
        Ok(room)
    }

    /// Every final name that stands in the directory is finished but not
    /// catalogued: publishing takes it away from there.
    fn replay(&self, dir: &RepoPath) -> FsResult<()> {
        for (name, kind) in self.files.list(dir)? {
            let Some(path) = dir.join(&name) else {
                continue;
            };
            if kind.is_dir() {
                self.replay(&path)?;
            } else if name::kind(&path).is_some() && !kind.is_file() {
                self.naming().move_aside(&path, &FsError::Invalid)?;
            } else if name::kind(&path).is_some() {
                self.replay_file(path)?;
            } else if kind.is_file() {
                self.began(&path);
            }
        }
        Ok(())
    }

    fn replay_file(&self, path: RepoPath) -> FsResult<()> {
        if name::holds_objects(&path)
            && read::file(self.shared.replica.view(), self.repo, &path)?.is_some()
        {
            // Stored before the last stop, which kept it from leaving; or which took
            // its way into the cache back, and then its bytes may be gone as well.
            return self.files.unlink_if_there(&path);
        }
        let ready = match self.ready(&path, &path) {
            Ok(ready) => ready,
            // Its bytes are right, or may be: there is no room for a copy of them.
            Err(FsError::Io(error)) if error.kind() == ErrorKind::StorageFull => {
                return Err(error.into());
            }
            Err(error) => return self.naming().move_aside(&path, &error),
        };
        tracing::info!(repo = %self.repo, %path, "finished before the last stop, still to be stored");
        self.finish(&path, ready, || Ok(())).map(drop)
    }

    /// What is catalogued under a name, or borrowed and about to be, as this mount sees it.
    pub fn find(&self, path: &RepoPath) -> FsResult<Option<Found>> {
        if self.prune.hides(path) {
            return Ok(None);
        }
        let (touched, borrowed) = {
            let state = self.state.lock();
            let borrowed = state.borrowed.entry(path).cloned();
            (state.touched.get(path).cloned(), borrowed)
        };
        if name::kind(path).is_some() {
            let mut entry = match borrowed {
                Some(borrowed) => Some(borrowed),
                None => read::file(self.shared.replica.view(), self.repo, path)?,
            };
            if let (Some(entry), Some(touched)) = (&mut entry, touched) {
                touched.apply(entry);
            }
            return Ok(entry.map(Found::Entry));
        }
        // Only these can be directories, see `name::kind`.
        Ok(self.has_children(path)?.then_some(Found::Directory))
    }

    /// The catalogued names in a directory; whether each is a directory.
    pub fn children(&self, dir: &RepoPath) -> FsResult<Vec<(Vec<u8>, bool)>> {
        let catalogued = read::files_in(self.shared.replica.view(), self.repo, dir)?.into_iter();
        let catalogued = catalogued.map(|(name, it)| (name, matches!(it, Child::Directory)));
        let mut all = self.state.lock().borrowed.children(dir);
        all.extend(catalogued);
        let mut names = Vec::new();
        for (name, is_dir) in all {
            let visible = match (dir.join(&name), is_dir) {
                (Some(path), true) => self.has_children(&path)?,
                (Some(path), false) => !self.prune.hides(&path),
                (None, _) => false,
            };
            if visible {
                names.push((name, is_dir));
            }
        }
        Ok(names)
    }

    /// Whether anything catalogued lies in a directory.
    pub(crate) fn has_children(&self, dir: &RepoPath) -> FsResult<bool> {
        Ok(!self.children(dir)?.is_empty())
    }

    /// New times or permission bits of a catalogued file: git refreshes the
    /// time of an object that it would have written again.
    pub fn touch(
        &self,
        path: &RepoPath,
        mtime: Option<Timestamp>,
        mode: Option<u32>,
    ) -> FsResult<()> {
        let Some(Found::Entry(entry)) = self.find(path)? else {
            return Err(FsError::NotFound);
        };
        let mut state = self.state.lock();
        let before = state.touched.remove(path);
        let before = before.filter(|before| before.digest == entry.digest);
        let touch = FileTouch {
            path: path.clone(),
            digest: entry.digest,
            mtime: mtime.or(before.as_ref().and_then(|before| before.mtime)),
            mode: mode.or(before.and_then(|before| before.mode)),
        };
        state.touched.insert(path.clone(), touch);
        state.note();
        Ok(())
    }

    /// The bytes of a catalogued file.
    pub fn content(&self, path: &RepoPath, entry: &FileEntry) -> FsResult<Content> {
        let borrowed = entry
            .key()
            .and_then(|key| self.state.lock().borrowed.blocks(path, key));
        let blocks = match (borrowed, &entry.place) {
            (Some(blocks), _) => blocks,
            (None, Place::Inline(_)) => Vec::new(),
            (None, Place::Stored { .. }) => {
                read::blocks(self.shared.replica.view(), self.repo, path)?
            }
        };
        self.content_with(path, entry, blocks)
    }

    /// The same of a file that may have left the catalog: its block digests are known.
    pub(crate) fn content_with(
        &self,
        path: &RepoPath,
        entry: &FileEntry,
        blocks: Vec<BlockDigest>,
    ) -> FsResult<Content> {
        match &entry.place {
            Place::Inline(bytes) => Ok(Content::Inline(bytes::Bytes::copy_from_slice(bytes))),
            Place::Stored { key } => {
                let object = cache_object(key, entry, blocks.into());
                let cache = &self.shared.cache;
                let file = match self.tables(path, entry)? {
                    Some(tables) => cache.pack_index(object, tables)?,
                    None if is_index(path) => cache.index(object)?,
                    None => cache.file(object)?,
                };
                self.refuse_absent(&file)?;
                Ok(Content::Stored(file))
            }
        }
    }

    /// Writes them piece by piece, however many they are.
    pub fn write_to(
        &self,
        path: &RepoPath,
        entry: &FileEntry,
        out: &mut impl Write,
    ) -> FsResult<()> {
        let file = match self.content(path, entry)? {
            Content::Inline(bytes) => return Ok(out.write_all(&bytes)?),
            Content::Stored(file) => file,
        };
        let mut at = 0;
        while at < entry.size {
            let len = PIECE.min(entry.size - at);
            out.write_all(&file.read(at, len as usize)?)?;
            at += len;
        }
        Ok(())
    }

    /// All of them at once, for what is small enough.
    pub fn bytes(&self, path: &RepoPath, entry: &FileEntry) -> FsResult<Vec<u8>> {
        Ok(match self.content(path, entry)? {
            Content::Inline(bytes) => bytes.to_vec(),
            Content::Stored(file) => file.read(0, entry.size as usize)?.to_vec(),
        })
    }

    /// Offline, a file of which nothing is cached is refused when it is opened: git has words
    /// for that, whereas most of its reads are through mmap, where the kernel has but SIGBUS.
    fn refuse_absent(&self, file: &CachedFile) -> FsResult<()> {
        match self.shared.store.offline() {
            Some(offline) if file.is_absent() => {
                Err(offline.refuse("GET", &file.object().key).into())
            }
            Some(_) | None => Ok(()),
        }
    }

    fn tables(&self, path: &RepoPath, entry: &FileEntry) -> FsResult<Option<idx::Tables>> {
        if !path.as_bytes().ends_with(b".idx") {
            return Ok(None);
        }
        let hash = match self.format_of(path)? {
            ObjectFormat::Sha1 => 20,
            ObjectFormat::Sha256 => 32,
        };
        Ok(Some(idx::Tables::new(entry.size, hash)))
    }

    /// What it lends to other repositories and borrows from them.
    pub(crate) fn loans(&self) -> Loans<'_> {
        Loans(self)
    }

    /// Finished and borrowed files that are not catalogued yet, and bytes that are still to be stored.
    pub fn pending(&self) -> (u64, u64) {
        let state = self.state.lock();
        let files = state.pending.len() + state.borrowed.len();
        (files as u64, state.pending.bytes())
    }

    /// Finished files that are not catalogued yet.
    pub fn pending_paths(&self) -> Vec<RepoPath> {
        self.state.lock().pending.keys().cloned().collect()
    }

    /// How long the oldest of them has been finished.
    pub(crate) fn oldest_pending(&self) -> Option<Duration> {
        let state = self.state.lock();
        let since = state.pending.values().map(|finished| finished.since);
        let oldest = since.chain(state.borrowed.oldest()).min();
        oldest.map(|since| since.elapsed())
    }

    /// What was damaged before it could be stored and was therefore moved aside.
    pub fn aside(&self) -> FsResult<Vec<PathBuf>> {
        self.files.aside()
    }

    /// A finished file before it is stored; `None` when it is not there.
    pub fn staged_file(&self, path: &RepoPath) -> FsResult<Option<std::fs::File>> {
        self.files.open_to_read(path)
    }

    /// Whether nothing is finished, borrowed or touched.
    pub(crate) fn is_quiet(&self) -> bool {
        self.state.lock().is_quiet()
    }

    /// For how long nothing was finished, deleted or touched.
    pub(crate) fn idle_for(&self) -> Option<Duration> {
        Some(self.state.lock().changed?.elapsed())
    }

    /// To change what stands under a final name.
    pub(in crate::repository) fn naming(&self) -> Naming<'_> {
        Naming::of(self)
    }

    /// Stores files of this repository.
    pub fn uploader(&self) -> &Uploader {
        &self.uploader
    }

    /// Whether a file in the making may become one of the repository's.
    pub(crate) fn check_quota(&self, file: &RepoPath) -> FsResult<()> {
        self.check_quota_of(self.files.stat(file)?.map_or(0, |meta| meta.len()))
    }

    /// The same of a file of so many bytes.
    pub(in crate::repository) fn check_quota_of(&self, size: u64) -> FsResult<()> {
        let coming = {
            let state = self.state.lock();
            state.pending.bytes() + state.borrowed.bytes()
        };
        quota::check(
            &*self.shared.replica,
            self.repo,
            coming.saturating_add(size),
        )
    }

    /// A file is in the making here, if it is none of a final name that is checked later.
    pub fn began(&self, path: &RepoPath) {
        if room(path) == Room::Objects {
            self.shared.staging.began(self.files.within(path));
        }
    }

    /// A file in the making has this name no longer. One that is finished now would else be counted
    /// twice until the next look, and somebody might wait for the store although there is space.
    pub fn gave_up(&self, path: &RepoPath) {
        self.shared.staging.ended(&self.files.within(path));
    }

    /// Waits until there is space for a new file.
    pub fn wait_for_space(&self) -> FsResult<()> {
        staging::wait_for_space(&self.shared, self.repo)
    }

    /// New times of what is gone would bring it back.
    pub(in crate::repository) fn touched_no_more(&self, path: &RepoPath) {
        let mut state = self.state.lock();
        state.touched.remove(path);
        state.note();
    }

    /// New times and permission bits that are not published.
    pub(in crate::repository) fn touched(&self) -> Vec<FileTouch> {
        self.state.lock().touched.values().cloned().collect()
    }

    /// They are; some may have been followed by others.
    pub(in crate::repository) fn touches_are_published(&self, touched: &[FileTouch]) {
        let mut state = self.state.lock();
        for touch in touched {
            if state.touched.get(&touch.path) == Some(touch) {
                state.touched.remove(&touch.path);
            }
        }
    }
}

pub(super) fn cache_object(
    key: &str,
    entry: &FileEntry,
    blocks: Arc<[gitmoor_model::BlockDigest]>,
) -> CacheObject {
    CacheObject {
        key: key.to_owned(),
        size: entry.size,
        digest: entry.digest,
        block_size: entry.block_size,
        blocks,
    }
}

/// Whether it is an index over packs or commits, which git searches all over.
fn is_index(path: &RepoPath) -> bool {
    let name = path.as_bytes().rsplit(|b| *b == b'/').next();
    let name = name.unwrap_or_default();
    let by_end = [&b".rev"[..], b".bitmap", b".midx", b".graph"];
    name.starts_with(b"multi-pack-index")
        || name == b"commit-graph"
        || by_end.iter().any(|end| name.ends_with(end))
}
