//! The objects room: `objects/**`, a catalog of immutable files.
//!
//! A file is *finished* when git gives it its final name; from then on it is
//! visible here and pending until the publisher has stored it and the
//! replicator has catalogued it. The directory of finished files is its own
//! journal: what stands there under a final name after a crash is pending
//! again. Deletions and new times of catalogued files are remembered and
//! published like additions, a little later (see [`publish`]).

pub(crate) mod catalog;
mod deletion;
mod finish;
pub mod idx;
pub mod key;
mod looks;
mod own;
mod parallel;
mod pending;
mod proposals;
mod publish;
mod quota;
mod repack;
mod repair;
mod revive;
mod seal;
mod staging;
#[cfg(test)]
mod tests;
mod upload;

use crate::beneath::Dir;
use crate::error::{FsError, FsResult, done};
use crate::filesystem::Config;
use crate::others::{Elsewhere, Freshness};
use crate::owner::Ownership;
use crate::process::Origins;
use crate::repository::local::Files;
use crate::repository::refs::Large;
use deletion::{Deleter, Move, Removal};
use gitmoor_model::name;
use gitmoor_model::{
    Actor, Command, FileEntry, FileTouch, ObjectFormat, Place, RepoId, RepoPath, Timestamp, Version,
};
use gitmoor_replicator::{Child, Replica};
use gitmoor_store::block_cache::{BlockCache, CacheObject, CachedFile};
use gitmoor_store::object_store::{ObjectStore, StoreError};
use gitmoor_store::wait::{Waits, spent};
use parking_lot::{Mutex, RwLock};
use pending::Pending;
use publish::Stored;
use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use finish::Named;
pub use looks::{FirstLooks, Look};
pub(crate) use quota::is_over_quota;
pub(crate) use repack::{Expired, Made, Published, Repack};
pub use seal::{FileId, Seal, Seals, Writing};
pub use staging::{Staged, Staging};

/// The bytes of a catalogued file are copied so many at a time.
const PIECE: u64 = 4 << 20;

/// Takes a name of a repository that changed without the kernel's doing.
pub type Changed = dyn Fn(RepoId, &RepoPath) + Send + Sync;

/// What every repository's objects room shares.
pub struct Shared {
    /// The truth.
    pub replica: Arc<dyn Replica>,
    /// Where bytes go.
    pub store: Arc<dyn ObjectStore>,
    /// Whose that is; `None` of a mount that does not write there.
    pub ownership: Option<Arc<Ownership>>,
    /// Where they are read.
    pub cache: Arc<BlockCache>,
    /// The directories of all repositories.
    pub homes: Arc<Dir>,
    /// Settings.
    pub config: Config,
    /// Publications that wait for the store, and writers that wait for these.
    pub waits: Waits,
    /// How much is not there yet.
    pub staging: Arc<Staging>,
    /// Whether the cluster is to be asked before something is shown.
    pub fresh: Freshness,
    /// What others delete.
    pub elsewhere: Arc<Elsewhere>,
    /// Where changes come from.
    pub(crate) origins: Origins,
    /// Since when which process may know of what.
    pub(crate) looks: FirstLooks,
    /// How many large values are being committed.
    pub large: Large,
    /// Which files are written to, and which nobody writes to any more.
    pub(crate) seals: Seals,
    /// Called with names that changed behind the kernel's back.
    pub changed: Box<Changed>,
    /// Called with those of them that have a new inode already: another one would be one too many for who looks twice.
    pub renewed: Box<Changed>,
}

/// The objects room of one repository.
pub struct Objects {
    repo: RepoId,
    shared: Arc<Shared>,
    files: Arc<Files>,
    state: Mutex<State>,
    /// Held while something is stored and catalogued: one publication at a time,
    /// those that waited find their files published.
    turn: Mutex<()>,
    /// Held shared while a ref change is committed, exclusively while deletions are:
    /// see [`revive`]. After `turn`.
    removing: RwLock<()>,
    /// Held while the file under a final name changes together with what is known of it. After `removing`, before
    /// `state`.
    naming: Mutex<()>,
}

struct State {
    /// Finished files that are not catalogued yet.
    pending: Pending,
    /// Pending files that are stored already; only the commit is missing.
    stored: HashMap<RepoPath, Stored>,
    /// [`gitmoor_replicator::Custody::forgotten`] before the first of them was stored.
    looked: Version,
    /// Catalogued files that git deleted.
    removed: HashMap<RepoPath, Removal>,
    /// How many there ever were.
    removals: u64,
    /// Whose they are; others may still be here until somebody looks.
    deleters: HashMap<u32, Deleter>,
    /// The last publications of deletions, oldest first, with the last deletion of each.
    published: VecDeque<(Version, u64)>,
    /// The last ref changes that went through here, oldest first.
    moves: VecDeque<Move>,
    /// New times and permission bits of catalogued files. Nothing else of their entries is kept: others may
    /// have moved or removed the files by then.
    touched: HashMap<RepoPath, FileTouch>,
    /// The last change of any of these.
    changed: Option<Instant>,
}

impl Shared {
    /// Fails if the store is another state's: before long work that stores or deletes. Each request is checked
    /// by itself, too, so that a store which does not answer is no reason not to begin.
    pub fn check_owner(&self, what: &str) -> FsResult<()> {
        match self.ownership.as_ref().map(|own| own.confirm(what)) {
            None | Some(Err(FsError::Store(StoreError::Unavailable { .. }))) => Ok(()),
            Some(confirmed) => confirmed,
        }
    }

    /// Commits a command, and notes how long that took.
    pub fn propose(&self, actor: Actor, command: Command) -> FsResult<Version> {
        let kind = command.kind();
        let propose = || self.replica.propose(actor, command);
        done(spent::on(|| format!("the replicator's {kind}"), propose)?)
    }
}

impl State {
    fn new(staging: Arc<Staging>) -> Self {
        Self {
            pending: Pending::new(staging),
            stored: HashMap::new(),
            looked: Version::default(),
            removed: HashMap::new(),
            removals: 0,
            deleters: HashMap::new(),
            published: VecDeque::new(),
            moves: VecDeque::new(),
            touched: HashMap::new(),
            changed: None,
        }
    }

    fn note(&mut self) {
        self.changed = Some(Instant::now());
    }

    fn is_quiet(&self) -> bool {
        self.pending.is_empty() && self.removed.is_empty() && self.touched.is_empty()
    }
}

/// A catalogued name.
pub enum Found {
    /// A file.
    Entry(FileEntry),
    /// A directory that exists because files lie beneath it.
    Directory,
}

/// The bytes of a catalogued file.
pub enum Content {
    /// In the catalog.
    Inline(bytes::Bytes),
    /// In the store, through the cache; a pack index with its tables.
    Stored(Arc<CachedFile>, Option<idx::Tables>),
}

impl Objects {
    /// The room, with what an earlier life left pending.
    pub fn open(repo: RepoId, shared: Arc<Shared>, files: Arc<Files>) -> FsResult<Self> {
        let state = State::new(shared.staging.clone());
        let room = Self {
            repo,
            shared,
            files,
            state: Mutex::new(state),
            turn: Mutex::default(),
            removing: RwLock::default(),
            naming: Mutex::default(),
        };
        let top = RepoPath::new("objects").expect("a valid path");
        room.replay(&top)?;
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
                self.move_aside(&path, &FsError::Invalid)?;
            } else if name::kind(&path).is_some() {
                self.replay_file(path)?;
            } else if kind.is_file() {
                self.began(&path);
            }
        }
        Ok(())
    }

    fn replay_file(&self, path: RepoPath) -> FsResult<()> {
        if name::holds_objects(&path) && self.shared.replica.file(self.repo, &path)?.is_some() {
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
            Err(error) => return self.move_aside(&path, &error),
        };
        tracing::info!(repo = %self.repo, %path, "finished before the last stop, still to be stored");
        self.finish(&path, ready, || Ok(())).map(drop)
    }

    /// What is catalogued under a name, as this mount sees it.
    pub fn find(&self, path: &RepoPath) -> FsResult<Option<Found>> {
        let touched = {
            let state = self.state.lock();
            if state.removed.contains_key(path) {
                return Ok(None);
            }
            state.touched.get(path).cloned()
        };
        if name::kind(path).is_some() {
            let mut entry = self.shared.replica.file(self.repo, path)?;
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
        let mut names = Vec::new();
        for (name, child) in self.shared.replica.files_in(self.repo, dir)? {
            let Some(path) = dir.join(&name) else {
                continue;
            };
            let is_dir = matches!(child, Child::Directory);
            let visible = if is_dir {
                self.has_children(&path)?
            } else {
                !self.is_removed(&path)
            };
            if visible {
                names.push((name, is_dir));
            }
        }
        Ok(names)
    }

    fn is_removed(&self, path: &RepoPath) -> bool {
        self.state.lock().removed.contains_key(path)
    }

    /// Whether anything catalogued lies in a directory.
    pub fn has_children(&self, dir: &RepoPath) -> FsResult<bool> {
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
        match &entry.place {
            Place::Inline(bytes) => Ok(Content::Inline(bytes::Bytes::copy_from_slice(bytes))),
            Place::Stored { key } => {
                let blocks = self.shared.replica.blocks(self.repo, path)?;
                let object = cache_object(key, entry, blocks.into());
                let file = self.shared.cache.file(object)?;
                self.refuse_absent(&file)?;
                Ok(Content::Stored(file, self.tables(path, entry)?))
            }
        }
    }

    /// Writes them piece by piece, however many they are.
    pub(crate) fn write_to(
        &self,
        path: &RepoPath,
        entry: &FileEntry,
        out: &mut impl Write,
    ) -> FsResult<()> {
        let file = match self.content(path, entry)? {
            Content::Inline(bytes) => return Ok(out.write_all(&bytes)?),
            Content::Stored(file, _) => file,
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
    pub(crate) fn bytes(&self, path: &RepoPath, entry: &FileEntry) -> FsResult<Vec<u8>> {
        Ok(match self.content(path, entry)? {
            Content::Inline(bytes) => bytes.to_vec(),
            Content::Stored(file, _) => file.read(0, entry.size as usize)?.to_vec(),
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

    /// Finished files that are not catalogued yet, and their bytes.
    pub fn pending(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.pending.len() as u64, state.pending.bytes())
    }

    /// Finished files that are not catalogued yet.
    pub fn pending_paths(&self) -> Vec<RepoPath> {
        self.state.lock().pending.keys().cloned().collect()
    }

    /// How long the oldest of them has been finished.
    pub fn oldest_pending(&self) -> Option<Duration> {
        let state = self.state.lock();
        let since = state.pending.values().map(|finished| finished.since);
        since.min().map(|since| since.elapsed())
    }

    /// What was damaged before it could be stored and was therefore moved aside.
    pub fn aside(&self) -> FsResult<Vec<PathBuf>> {
        self.files.aside()
    }

    /// Whether something waits to be published for at least this long.
    pub fn is_due(&self, idle: Duration) -> bool {
        let state = self.state.lock();
        !state.is_quiet() && state.changed.is_none_or(|at| at.elapsed() >= idle)
    }
}

fn cache_object(
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
