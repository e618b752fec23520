//! A repository: one real directory, overlaid by the names that its objects room
//! and its refs room hold.
//!
//! Every lookup asks the real directory first (what is in the making, and the
//! local room), then the room of the path. A replicated value is never looked for
//! in the real directory: what is being written of it is a [`Draft`]. [`Repository`] decides for each change
//! which room it concerns; the rooms do the rest.

mod attributes;
mod change;
pub(crate) mod context;
mod draft;
mod identity;
mod leftovers;
pub(crate) mod local;
pub(crate) mod objects;
mod open;
mod opened;
mod quarantine;
pub(crate) mod refs;
mod rename;
pub(crate) mod transaction;

pub(crate) use attributes::{NewAttributes, SetTime};
pub(crate) use draft::{Creation, Draft, Users};
pub(crate) use identity::Identity;
pub(crate) use opened::{Body, Closing, Opened, Sought};
pub(crate) use transaction::ReadVersion;

use crate::beneath::kind_of;
use crate::error::{FsError, FsResult};
use crate::failpoint;
use crate::git_config;
use context::Context;
use draft::Drafts;
use gitmoor_model::room::{Room, Type, is_value, room};
use gitmoor_model::{FileEntry, RefEntry, RefStorage, RepoId, RepoPath};
use gitmoor_replicator::read;
use local::{DIRECTORY_MODE, Files, Owner, file_like};
use objects::Objects;
use quarantine::Quarantines;
use refs::{Refs, Rendered};
use rustix::fs::FileType;
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use transaction::dissociate::Dissociation;
use transaction::repack::RepackCommit;
use transaction::repair::Repair;
use transaction::{Author, Prune, Transactions};

/// A repository as this mount sees it.
pub struct Repository {
    /// The repository's permanent name.
    pub id: RepoId,
    shared: Arc<Context>,
    files: Arc<Files>,
    objects: Arc<Objects>,
    transactions: Arc<Transactions>,
    refs: Refs,
    /// Whether `config` has had its include. Whoever then writes another one, without it,
    /// means that.
    furnished: AtomicBool,
    quarantines: Quarantines,
    drafts: Drafts,
    /// File operations so far.
    operations: AtomicU64,
}

/// Who does something, and what it may have read before.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// User id of the process.
    pub uid: u32,
    /// Whose the files that it makes become.
    pub owner: Owner,
    /// The process, and what it has read.
    pub read: ReadVersion,
}

/// What stands at a path.
pub(crate) enum Found {
    /// A real file, directory, symbolic link, FIFO or socket.
    Real(Metadata),
    /// A replicated file of the refs room.
    Ref(RefEntry),
    /// The packed table as a file.
    Packed(Arc<Rendered>),
    /// A catalogued object file.
    Object(FileEntry),
    /// A directory that exists only because replicated names lie beneath it.
    Directory,
    /// `gitmoor.config`.
    Settings(Vec<u8>),
}

/// Whether this is the name of the replicated settings. Whatever the real directory has under it,
/// from a version before, stands for nothing.
fn is_settings(path: &RepoPath) -> bool {
    path.as_bytes() == git_config::SETTINGS.as_bytes()
}

/// The mode of the directory that git makes under the umask, and for those who share it, under which it made a file.
fn directory_like(file: u32) -> u32 {
    let reads = file & 0o444;
    let shared = match file & 0o020 {
        0 => 0,
        _ => libc::S_ISGID,
    };
    0o700 | file & 0o666 | reads >> 2 | shared
}

fn config_path() -> RepoPath {
    RepoPath::new("config").expect("a valid path")
}

fn type_of(kind: FileType) -> Type {
    match kind {
        FileType::Directory => Type::Directory,
        FileType::Symlink => Type::Symlink,
        FileType::Fifo => Type::Fifo,
        FileType::Socket => Type::Socket,
        _ => Type::File,
    }
}

impl Found {
    pub(crate) fn kind(&self) -> Type {
        match self {
            Found::Real(meta) => type_of(kind_of(meta)),
            Found::Ref(entry) if entry.mode & libc::S_IFMT == libc::S_IFLNK => Type::Symlink,
            Found::Ref(_) | Found::Packed(_) | Found::Object(_) | Found::Settings(_) => Type::File,
            Found::Directory => Type::Directory,
        }
    }

    /// Whether it is a directory.
    pub(crate) fn is_dir(&self) -> bool {
        self.kind() == Type::Directory
    }
}

impl Repository {
    /// Opens a repository on this machine: makes its directory at the first
    /// touch, clears what a dead mount left in the making.
    pub(crate) fn open(id: RepoId, shared: Arc<Context>) -> FsResult<Self> {
        let home = shared.config.data.join("repos").join(id.to_string());
        let files = Arc::new(Files::open(shared.homes.clone(), id)?);
        leftovers::clear_locks(&files)?;
        let prune = Arc::new(Prune::default());
        let objects = Objects::open(id, shared.clone(), files.clone(), prune.clone())?;
        let objects = Arc::new(objects);
        let transactions = Arc::new(Transactions::new(
            id,
            shared.clone(),
            files.clone(),
            objects.clone(),
            prune,
        ));
        let refs = Refs::new(
            id,
            shared.clone(),
            files.clone(),
            transactions.clone(),
            home.join("rendered"),
        );
        refs.clear_scratch()?;
        let repository = Self {
            id,
            shared,
            files,
            objects,
            transactions,
            refs,
            furnished: AtomicBool::new(false),
            quarantines: Quarantines::default(),
            drafts: Drafts::new(home),
            operations: AtomicU64::new(0),
        };
        repository.furnish()?;
        repository.close_to_others()?;
        repository.note_config()?;
        Ok(repository)
    }

    fn author(&self, caller: &Caller) -> Author {
        Author {
            actor: self.shared.origins.actor(caller.uid, caller.read.pid),
            read: Some(caller.read),
        }
    }

    pub(crate) fn used(&self) {
        self.operations.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were since it was opened.
    pub fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// Does it for one that was opened while it was still being made elsewhere.
    pub(crate) fn furnish_late(&self) -> FsResult<()> {
        if self.furnished.load(Ordering::Relaxed) || self.shared.freshness.is_alone() {
            return Ok(());
        }
        self.furnish()?;
        self.note_config()
    }

    fn note_config(&self) -> FsResult<()> {
        let has_config = self.files.stat(&config_path())?.is_some();
        self.furnished.store(has_config, Ordering::Relaxed);
        Ok(())
    }

    /// Gives a repository that was made elsewhere, or whose furnishing a crash
    /// interrupted, the local things that git expects of one.
    fn furnish(&self) -> FsResult<()> {
        let Some(format) =
            read::repo(self.shared.replica.view(), self.id)?.and_then(|repo| repo.format)
        else {
            return Ok(());
        };
        let lacks_config = self.lacks_config()?;
        if lacks_config {
            self.follow_head()?;
        }
        // Where refs are tables, these two have their own meaning and are replicated.
        let loose: &[&str] = match format.refs {
            RefStorage::Files => &["refs/heads", "refs/tags"],
            RefStorage::Reftable => &["refs"],
        };
        for dir in ["objects/info", "objects/pack"].iter().chain(loose) {
            let inside = format!("{dir}/x");
            self.files
                .make_parents(&RepoPath::new(inside).expect("a valid path"))?;
        }
        if !lacks_config {
            return Ok(());
        }
        failpoint::REPO_UNFURNISHED.hit();
        let text = git_config::seed(&format);
        let (mode, owner) = (file_like(self.files.top()?.mode()), self.files.owner()?);
        self.files
            .put_durably(&config_path(), text.as_bytes(), mode, owner)
    }

    /// What stands there and is no regular file is moved aside.
    fn lacks_config(&self) -> FsResult<bool> {
        let config = config_path();
        match self.files.stat(&config)? {
            Some(meta) if meta.is_file() => Ok(meta.len() == 0),
            Some(_) => {
                let aside = self.files.set_aside(&config)?;
                let aside = aside.display();
                tracing::error!(repo = %self.id, %aside, "config was no regular file, and is moved aside");
                Ok(true)
            }
            None => Ok(true),
        }
    }

    /// Earlier versions made for everybody to write to what a repository of another node, a fork or an import begins
    /// with: both of these, with these very modes.
    fn close_to_others(&self) -> FsResult<()> {
        let at = [(RepoPath::root(), 0o777), (config_path(), 0o666)];
        let mut nodes = Vec::new();
        for (path, open) in &at {
            let Some(meta) = self.files.stat(path)? else {
                return Ok(());
            };
            let is_own = meta.uid() == rustix::process::geteuid().as_raw();
            if !is_own || meta.mode() & 0o7777 != *open {
                return Ok(());
            }
            nodes.push(self.files.node(path)?);
        }
        for (node, (path, open)) in nodes.iter().zip(&at) {
            let mode = open & !0o022;
            tracing::warn!(repo = %self.id, %path, mode = %format_args!("{mode:o}"), "everybody could write to it, as an earlier version made it");
            node.chmod(mode)?;
        }
        Ok(())
    }

    /// Lets in here whom git let in where the repository was made: under that one's umask and core.sharedRepository it
    /// gave `HEAD` its mode. Only while nobody has given the top directory another.
    fn follow_head(&self) -> FsResult<()> {
        let top = self.files.node(&RepoPath::root())?;
        if top.stat()?.mode() & 0o7777 != DIRECTORY_MODE {
            return Ok(());
        }
        let head = RepoPath::new("HEAD").expect("a valid path");
        match read::reference(self.shared.replica.view(), self.id, &head)? {
            Some(head) if head.mode & libc::S_IFMT == libc::S_IFREG => {
                Ok(top.chmod(directory_like(head.mode))?)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What stands at a path.
    pub(crate) fn find(&self, path: &RepoPath) -> FsResult<Option<Found>> {
        if is_settings(path) {
            return self.settings().map(Some);
        }
        match self.files.stat(path)? {
            Some(meta) if meta.is_dir() && self.is_replaced(path)? => {
                self.remove_empty(path)?;
            }
            Some(meta) if meta.is_dir() || !is_value(path) => return Ok(Some(Found::Real(meta))),
            // Only a directory is real where values are.
            Some(_) | None => {}
        }
        match room(path) {
            Room::Objects => Ok(self.objects.find(path)?.map(|found| match found {
                objects::Found::Entry(entry) => Found::Object(entry),
                objects::Found::Directory => Found::Directory,
            })),
            Room::Refs => Ok(self.refs.find(path)?.map(|found| match found {
                refs::Found::Entry(entry) => Found::Ref(entry),
                refs::Found::Packed(rendered) => Found::Packed(rendered),
                refs::Found::Directory => Found::Directory,
            })),
            Room::Local => Ok(None),
        }
    }

    /// Whether others have put a ref where only an empty directory is left here.
    fn is_replaced(&self, dir: &RepoPath) -> FsResult<bool> {
        if self.shared.freshness.is_alone() || room(dir) != Room::Refs {
            return Ok(false);
        }
        Ok(read::reference(self.shared.replica.view(), self.id, dir)?.is_some())
    }

    /// As git does itself where it writes the ref. With a lock file in it, it stays for now.
    fn remove_empty(&self, dir: &RepoPath) -> FsResult<()> {
        for (name, kind) in self.files.list(dir)? {
            if let (true, Some(path)) = (kind.is_dir(), dir.join(&name)) {
                self.remove_empty(&path)?;
            }
        }
        match self.files.rmdir(dir) {
            Err(FsError::Io(error))
                if matches!(
                    error.kind(),
                    ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound
                ) =>
            {
                Ok(())
            }
            removed => removed,
        }
    }

    fn settings(&self) -> FsResult<Found> {
        let settings = read::repo(self.shared.replica.view(), self.id)?.map(|repo| repo.settings);
        Ok(Found::Settings(git_config::render_settings(
            &settings.unwrap_or_default(),
        )))
    }

    /// The names in a directory. `gitmoor.config` is not among them: what lists
    /// a directory to copy or remove it must not stumble over it.
    pub fn list(&self, dir: &RepoPath) -> FsResult<BTreeMap<Vec<u8>, Type>> {
        let mut names: BTreeMap<_, _> = self.replicated_children(dir)?.into_iter().collect();
        for (name, kind) in self.files.list(dir)? {
            let is_value = |path: RepoPath| is_value(&path);
            let is_replaced = match kind.is_dir() {
                true => names
                    .get(&name)
                    .is_some_and(|kind| *kind != Type::Directory),
                false => dir.join(&name).is_some_and(is_value),
            };
            if !is_replaced {
                names.insert(name, type_of(kind));
            }
        }
        if dir.is_root() {
            names.remove(git_config::SETTINGS.as_bytes());
        }
        Ok(names)
    }

    fn replicated_children(&self, dir: &RepoPath) -> FsResult<Vec<(Vec<u8>, Type)>> {
        let mut names = Vec::new();
        if dir.is_root() || room(dir) == Room::Objects {
            let kind = |is_dir| if is_dir { Type::Directory } else { Type::File };
            let children = self.objects.children(dir)?.into_iter();
            names.extend(children.map(|(name, is_dir)| (name, kind(is_dir))));
        }
        if dir.is_root() || room(dir) == Room::Refs {
            names.extend(self.refs.children(dir)?);
        }
        Ok(names)
    }

    /// Whether nothing is left in it that a person would miss.
    pub fn is_empty(&self) -> FsResult<bool> {
        Ok(self.list(&RepoPath::root())?.is_empty())
    }

    /// Owner and group of what has no real file: those of the top directory.
    pub fn owner(&self) -> FsResult<(u32, u32)> {
        match self.files.owner() {
            Ok(owner) => Ok((owner.uid, owner.gid)),
            Err(FsError::NotFound) => Ok((0, 0)),
            Err(error) => Err(error),
        }
    }

    /// The top directory: what has no mode of its own is as that is.
    pub fn top(&self) -> FsResult<Metadata> {
        self.files.top()
    }

    /// Permission bits of `packed-refs`, a rendering without any of its own: those of a file in the
    /// top directory.
    pub(crate) fn packed_mode(&self) -> FsResult<u32> {
        Ok(file_like(self.top()?.mode()))
    }

    pub(crate) fn readlink(&self, path: &RepoPath) -> FsResult<Vec<u8>> {
        match self.find(path)? {
            Some(Found::Real(_)) => self.files.readlink(path),
            Some(Found::Ref(entry)) => Ok(entry.value),
            Some(Found::Packed(_) | Found::Object(_) | Found::Directory | Found::Settings(_)) => {
                Err(FsError::Invalid)
            }
            None => Err(FsError::NotFound),
        }
    }

    /// fsync(2) of a directory: its real part; the replicated names are durable.
    pub(crate) fn fsync_dir(&self, path: &RepoPath) -> FsResult<()> {
        self.files.fsync_dir(path)
    }

    /// The object files of the repository.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Publishes what is finished, deleted or touched.
    pub fn publish(&self) -> FsResult<()> {
        self.transactions.publish()
    }

    /// For a fork that gets files of its own.
    pub fn dissociation(&self) -> Dissociation<'_> {
        Dissociation(&self.transactions)
    }

    /// Publishes what a repack made.
    pub fn repack_commit(&self) -> RepackCommit<'_> {
        RepackCommit(&self.transactions)
    }

    /// Puts right what fsck found damaged.
    pub fn repair(&self) -> Repair<'_> {
        Repair(&self.transactions)
    }

    pub(crate) fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    /// Whether something waits to be published for at least this long.
    pub fn is_due(&self, idle: std::time::Duration) -> bool {
        let idle_for = self.objects.idle_for();
        !self.transactions.is_quiet() && idle_for.is_none_or(|time| time >= idle)
    }
}
