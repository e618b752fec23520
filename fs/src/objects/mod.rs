//! The objects room: `objects/**`, a catalog of immutable files.
//!
//! A file is *finished* when git gives it its final name; from then on it is
//! visible here and pending until the publisher has stored it and the
//! replicator has catalogued it. The directory of finished files is its own
//! journal: what stands there under a final name after a crash is pending
//! again. Deletions and new times of catalogued files are remembered and
//! published like additions, a little later (see [`publish`]).

pub mod idx;
pub mod key;
pub mod name;
mod pending;
mod publish;
mod repair;
mod revive;
mod staging;

use crate::bundle;
use crate::cache::{self, BlockCache, CacheObject, CachedFile};
use crate::error::{FsError, FsResult};
use crate::filesystem::Config;
use crate::local::Files;
use crate::store::ObjectStore;
use crate::wait::Waits;
use gitmoor_replicator::model::{
    Digest, FileAdd, FileEntry, ObjectFormat, Place, Refusal, RepoId, RepoPath, Version,
};
use gitmoor_replicator::{Child, Replica};
use name::Kind;
use parking_lot::{Mutex, RwLock};
use pending::{Finished, Pending};
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use staging::{Staged, Staging};

/// Takes a name of a repository that changed without the kernel's doing.
pub type Changed = dyn Fn(RepoId, &RepoPath) + Send + Sync;

/// What every repository's objects room shares.
pub struct Shared {
    /// The truth.
    pub replica: Arc<dyn Replica>,
    /// Where bytes go.
    pub store: Arc<dyn ObjectStore>,
    /// Where they are read.
    pub cache: Arc<BlockCache>,
    /// Settings.
    pub config: Config,
    /// Publications that wait for the store, and writers that wait for these.
    pub waits: Waits,
    /// How much is not there yet.
    pub staging: Arc<Staging>,
    /// Called with names that changed behind the kernel's back.
    pub changed: Box<Changed>,
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
    first_looks: revive::FirstLooks,
}

struct State {
    /// Finished files that are not catalogued yet.
    pending: Pending,
    /// Pending files that are stored already; only the commit is missing.
    stored: HashMap<RepoPath, FileAdd>,
    /// [`gitmoor_replicator::Custody::forgotten`] before the first of them was stored.
    looked: Version,
    /// Catalogued files that git deleted.
    removed: HashMap<RepoPath, Removal>,
    /// The last ref changes that went through here, oldest first.
    moves: VecDeque<Move>,
    /// Catalogued files whose times or permission bits git changed.
    touched: HashMap<RepoPath, FileEntry>,
    /// The last change of any of these.
    changed: Option<Instant>,
}

/// A deletion, and who may have decided on it when.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Removal {
    /// The repository's refs version when the deleting process first touched it.
    seen: Version,
    /// That process.
    pid: u32,
}

/// A ref change, and whose.
#[derive(Clone, Copy)]
struct Move {
    version: Version,
    pid: Option<u32>,
}

/// Ref changes that are remembered. A deletion that began before the oldest of
/// them is judged by the version it has seen alone.
const MOVES: usize = 4096;

impl State {
    fn new(staging: Arc<Staging>) -> Self {
        Self {
            pending: Pending::new(staging),
            stored: HashMap::new(),
            looked: Version::default(),
            removed: HashMap::new(),
            moves: VecDeque::new(),
            touched: HashMap::new(),
            changed: None,
        }
    }

    /// The refs version against which a deletion is judged: a process's own ref
    /// changes (rm -rf of a repository makes many) do not invalidate its walk.
    fn base(&self, removal: Removal) -> Version {
        let remembered = self
            .moves
            .front()
            .is_none_or(|first| first.version <= removal.seen);
        let mut later = self
            .moves
            .iter()
            .filter(|moved| moved.version > removal.seen);
        let own = later.all(|moved| moved.pid == Some(removal.pid));
        match self.moves.back() {
            Some(last) if own && (remembered || self.moves.len() < MOVES) => {
                last.version.max(removal.seen)
            }
            Some(_) | None => removal.seen,
        }
    }

    fn moved(&mut self, version: Version, pid: Option<u32>) {
        if self.moves.len() == MOVES {
            self.moves.pop_front();
        }
        let at = self.moves.partition_point(|known| known.version < version);
        self.moves.insert(at, Move { version, pid });
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
            first_looks: revive::first_looks(),
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
            } else if name::kind(&path).is_some() {
                self.replay_file(path)?;
            } else if kind.is_file() {
                self.began(&path);
            }
        }
        Ok(())
    }

    fn replay_file(&self, path: RepoPath) -> FsResult<()> {
        let by_content = matches!(name::kind(&path), Some(Kind::Loose | Kind::Pack));
        if by_content && self.shared.replica.file(self.repo, &path)?.is_some() {
            // Stored before the last stop, which kept it from leaving; or which took
            // its way into the cache back, and then its bytes may be gone as well.
            return self.files.unlink_if_there(&path);
        }
        if let Err(error) = self.check(&path, &path) {
            return self.set_aside(&path, &error);
        }
        tracing::info!(repo = %self.repo, %path, "finished before the last stop, still to be stored");
        self.finish(&path);
        Ok(())
    }

    /// What is catalogued under a name, as this mount sees it.
    pub fn find(&self, path: &RepoPath) -> FsResult<Option<Found>> {
        {
            let state = self.state.lock();
            if state.removed.contains_key(path) {
                return Ok(None);
            }
            if let Some(entry) = state.touched.get(path) {
                return Ok(Some(Found::Entry(entry.clone())));
            }
        }
        if name::kind(path).is_some() {
            return Ok(self.shared.replica.file(self.repo, path)?.map(Found::Entry));
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

    /// Whether a file may not be written to any more.
    pub fn is_finished(&self, path: &RepoPath) -> bool {
        self.state.lock().pending.contains_key(path)
    }

    /// git has given a file its final name, for which its bytes were checked.
    pub fn finish(&self, path: &RepoPath) {
        self.shared.staging.ended(&self.files.at(path));
        let finished = self.finished(path);
        let mut state = self.state.lock();
        state.stored.remove(path);
        state.touched.remove(path);
        state.removed.remove(path);
        state.pending.insert(path.clone(), finished);
        state.note();
    }

    fn finished(&self, path: &RepoPath) -> Finished {
        let digest = revive::holds_objects(path).then(|| self.digest(path));
        let meta = self.files.stat(path).ok().flatten();
        Finished {
            digest: digest.and_then(Result::ok),
            size: meta.map_or(0, |meta| meta.len()),
            since: Instant::now(),
        }
    }

    fn digest(&self, path: &RepoPath) -> io::Result<Digest> {
        let file = File::open(self.files.at(path))?;
        let size = file.metadata()?.len();
        let (digest, _) = cache::digest_file(&file, size, cache::block_size_for(size))?;
        Ok(digest)
    }

    /// Checks a finished file again if its bytes are not those that were checked: a
    /// write behind our back, or a disk that forgets. A digest costs a fraction of a check.
    fn check_unchanged(&self, path: &RepoPath, digest: &Digest) -> FsResult<()> {
        let finished = self.state.lock().pending.get(path).copied();
        match finished.and_then(|finished| finished.digest) {
            Some(checked) if checked == *digest => Ok(()),
            Some(_) | None => self.check_again(path),
        }
    }

    /// Checks a finished file; a damaged one is moved aside.
    fn check_again(&self, path: &RepoPath) -> FsResult<()> {
        self.check(path, path)
            .inspect_err(|error| match self.set_aside(path, error) {
                Ok(()) => {}
                Err(e) => tracing::error!(repo = %self.repo, %path, "cannot be moved aside: {e}"),
            })
    }

    /// git took a finished file's name away again.
    pub fn unfinish(&self, path: &RepoPath) {
        let mut state = self.state.lock();
        state.pending.remove(path);
        state.stored.remove(path);
    }

    /// Whether the bytes of a real file may stand under a final name: a loose object
    /// is proved by its oid, a pack or index by its trailer.
    pub fn check(&self, file: &RepoPath, name: &RepoPath) -> FsResult<()> {
        let (file, format) = (self.files.at(file), self.format_of(name)?);
        let checked = match (name::kind(name), name::loose_oid(name)) {
            (Some(Kind::Loose), Some(oid)) => bundle::check_loose(&oid, &file, format),
            (Some(Kind::Pack), _) => bundle::check_pack_trailer(&file, format),
            (Some(Kind::Loose | Kind::Mutable | Kind::Keep) | None, _) => Ok(()),
        };
        checked.map_err(|e| FsError::WrongBytes {
            path: name.to_string(),
            reason: e.to_string(),
        })
    }

    /// Under its name a damaged file would be taken for what the name says, and
    /// keep git from writing that again.
    pub fn set_aside(&self, path: &RepoPath, why: &FsError) -> FsResult<()> {
        let aside = self.files.set_aside(path)?;
        self.unfinish(path);
        (self.shared.changed)(self.repo, path);
        let aside = aside.display();
        tracing::error!(repo = %self.repo, %path, %aside, "damaged, and moved aside: {why}");
        Ok(())
    }

    /// The object format of a file: its name's, since a repository that is being
    /// copied may not have its `config` yet.
    fn format_of(&self, path: &RepoPath) -> FsResult<ObjectFormat> {
        if let Some(format) = name::object_format(path) {
            return Ok(format);
        }
        let repo = self.shared.replica.repo(self.repo)?;
        Ok(repo
            .and_then(|repo| repo.format)
            .map_or(ObjectFormat::Sha1, |format| format.objects))
    }

    /// unlink(2), by a process that has seen the refs at this version.
    pub fn unlink(&self, path: &RepoPath, seen: Version, pid: u32) -> FsResult<()> {
        let real = self.files.stat(path)?.is_some();
        if real && revive::holds_objects(path) && self.is_finished(path) {
            return self.unlink_finished(path, seen, pid);
        }
        let catalogued = matches!(self.find(path)?, Some(Found::Entry(_)));
        if !real && !catalogued {
            return Err(FsError::NotFound);
        }
        let _no_ref_moves = self.removing.write();
        let mut state = self.state.lock();
        if revive::holds_objects(path) {
            self.check_unmoved(&state, Removal { seen, pid })?;
        }
        // A publication under way may be about to catalogue it.
        if catalogued || self.turn.is_locked() {
            state.removed.insert(path.clone(), Removal { seen, pid });
            state.touched.remove(path);
        }
        state.pending.remove(path);
        state.stored.remove(path);
        state.note();
        if real {
            self.files.unlink(path)
        } else {
            Ok(())
        }
    }

    /// A deletion that comes too late already must not even hide the object until it is
    /// published and undone.
    fn check_unmoved(&self, state: &State, removal: Removal) -> FsResult<()> {
        let repo = self.shared.replica.repo(self.repo)?;
        match repo.map(|repo| repo.refs_version) {
            Some(actual) if actual > state.base(removal) => {
                Err(Refusal::RefsMoved { actual }.into())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Objects go to the trash like all others, also those that are not stored yet.
    fn unlink_finished(&self, path: &RepoPath, seen: Version, pid: u32) -> FsResult<()> {
        match self.publish_one(path) {
            // Damaged: there is nothing to keep.
            Err(FsError::WrongBytes { .. }) => {
                self.unfinish(path);
                return self.files.unlink_if_there(path);
            }
            published => published?,
        }
        let _no_ref_moves = self.removing.write();
        let mut state = self.state.lock();
        self.check_unmoved(&state, Removal { seen, pid })?;
        state.removed.insert(path.clone(), Removal { seen, pid });
        state.touched.remove(path);
        state.note();
        drop(state);
        // One that was packed on the way has no file any more, and no entry: then
        // publishing the removal does nothing.
        self.files.unlink_if_there(path)
    }

    /// New times or permission bits of a catalogued file: git refreshes the
    /// time of an object that it would have written again.
    pub fn touch(&self, path: &RepoPath, change: impl FnOnce(&mut FileEntry)) -> FsResult<()> {
        let Some(Found::Entry(mut entry)) = self.find(path)? else {
            return Err(FsError::NotFound);
        };
        change(&mut entry);
        let mut state = self.state.lock();
        state.touched.insert(path.clone(), entry);
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

    /// How many they are, and how long the oldest has been finished.
    pub fn backlog(&self) -> (usize, Option<Duration>) {
        let state = self.state.lock();
        let since = state.pending.values().map(|finished| finished.since);
        let oldest = since.min().map(|since| since.elapsed());
        (state.pending.len(), oldest)
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
    blocks: Arc<[gitmoor_replicator::model::BlockDigest]>,
) -> CacheObject {
    CacheObject {
        key: key.to_owned(),
        size: entry.size,
        digest: entry.digest,
        block_size: entry.block_size,
        blocks,
    }
}
