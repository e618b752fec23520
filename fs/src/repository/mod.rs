//! A repository: one real directory, overlaid by the names that its objects room
//! and its refs room hold, and by the files of hosts.
//!
//! Every lookup asks the real directory first (what is in the making, and the
//! local room), then the room of the path. A replicated value is never looked for
//! in the real directory: what is being written of it is a [`Draft`]. [`Repository`] decides for each change
//! which room it concerns; the rooms do the rest.

mod attributes;
mod between;
mod change;
mod config;
pub(crate) mod context;
pub(crate) mod draft;
mod host_files;
mod identity;
mod leftovers;
pub(crate) mod local;
mod modules;
pub(crate) mod objects;
mod open;
mod opened;
mod own_hooks;
mod quarantine;
pub(crate) mod refs;
mod rename;
mod safety;
mod shown_hooks;
pub(crate) mod transaction;

pub(crate) use attributes::{NewAttributes, SetTime};
pub(crate) use between::Between;
pub(crate) use draft::{Creation, Draft, Users};
pub(crate) use identity::Identity;
pub(crate) use opened::{Body, Closing, Opened, Sought};
pub(crate) use quarantine::Quarantines;
pub(crate) use transaction::ReadVersion;

use crate::beneath::kind_of;
use crate::error::{FsError, FsResult};
use crate::git_config;
use crate::hooks::HookNode;
use config::LocalConfig;
use context::Context;
use draft::Drafts;
use gitmoor_model::name;
use gitmoor_model::room::{Room, Type, holds_catalogued, holds_values, is_value, room};
use gitmoor_model::{FileEntry, RefEntry, RepoId, RepoPath, is_in_modules};
use gitmoor_replicator::read;
use host_files::HostFiles;
use local::{Files, Owner, file_like};
use modules::Modules;
use objects::Objects;
use own_hooks::{Changing, OwnHooks};
use refs::{Refs, Rendered};
use rustix::fs::FileType;
use shown_hooks::ShownHooks;
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use transaction::dissociate::Dissociation;
use transaction::repack::RepackCommit;
use transaction::repair::Repair;
use transaction::{Author, PendingDeletions, Transactions};

/// A repository as this mount sees it.
pub struct Repository {
    /// The repository's permanent name.
    pub id: RepoId,
    shared: Arc<Context>,
    files: Arc<Files>,
    objects: Arc<Objects>,
    transactions: Arc<Transactions>,
    refs: Arc<Refs>,
    config: LocalConfig,
    host_files: HostFiles,
    own_hooks: OwnHooks,
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
    /// A replicated file of the refs room, or of a host.
    Ref(RefEntry),
    /// The packed table as a file.
    Packed(Arc<Rendered>),
    /// A catalogued object file.
    Object(FileEntry),
    /// A directory that exists only because replicated names lie beneath it.
    Directory,
    /// `gitmoor.config`.
    Settings(Vec<u8>),
    /// Of the hooks that this machine shows in every repository.
    Hook(HookNode),
}

/// Whether this is the name of the replicated settings. Whatever the real directory has under it,
/// from a version before, stands for nothing.
fn is_settings(path: &RepoPath) -> bool {
    path.as_bytes() == git_config::SETTINGS.as_bytes()
}

/// The type of a real file.
pub(crate) fn type_of(kind: FileType) -> Type {
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
            Found::Ref(entry) if entry.is_link() => Type::Symlink,
            Found::Ref(_) | Found::Packed(_) | Found::Object(_) | Found::Settings(_) => Type::File,
            Found::Directory => Type::Directory,
            Found::Hook(node) => node.type_of(),
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
        let files = Arc::new(Files::open(shared.homes.clone(), &id.to_string())?);
        shared.quarantines.look(id, &files)?;
        leftovers::clear_locks(&files)?;
        let prune = Arc::new(PendingDeletions::default());
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
        let refs = Arc::new(refs);
        Ok(Self {
            id,
            config: LocalConfig::open(id, shared.clone(), files.clone())?,
            host_files: HostFiles::open(id, shared.clone(), files.clone(), transactions.clone())?,
            own_hooks: OwnHooks::open(id, shared.clone(), files.clone())?,
            shared,
            files,
            objects,
            transactions,
            drafts: Drafts::new(home, refs.clone()),
            refs,
            operations: AtomicU64::new(0),
        })
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

    /// Makes local files that were not there yet when it was opened: it was still being made elsewhere.
    pub fn init_late(&self) -> FsResult<()> {
        self.config.init_late()
    }

    /// Removes a quarantine of which nobody is left.
    pub(crate) fn remove_quarantine(&self, dir: &RepoPath) -> FsResult<()> {
        if self.files.remove_all(dir)? {
            (self.shared.changed)(self.id, dir);
            tracing::info!(repo = %self.id, %dir, "removed: the push that made it was cut off");
        }
        Ok(())
    }

    /// What stands at a path.
    pub(crate) fn find(&self, path: &RepoPath) -> FsResult<Option<Found>> {
        if is_settings(path) {
            return self.settings().map(Some);
        }
        if let Some(hooks) = self.shown_hooks().at(path)? {
            return Ok(hooks.at(path).cloned().map(Found::Hook));
        }
        if self.host_files.room(path)? == Room::Host {
            return self.host_files.find(path);
        }
        self.config.follow_at(path)?;
        match self.files.stat(path)? {
            Some(meta) if meta.is_dir() && self.is_replaced(path)? => {
                self.remove_empty(path)?;
            }
            Some(meta) if !meta.is_dir() && is_in_modules(path) => {
                let found = self.modules().find(path)?;
                return Ok(Some(found.unwrap_or(Found::Real(meta))));
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
            Room::Local if self.host_files.are_in(path)? => Ok(Some(Found::Directory)),
            Room::Local if name::is_above_lfs(path) && self.objects.has_children(path)? => {
                Ok(Some(Found::Directory))
            }
            Room::Local => self.modules().find(path),
            Room::Host => Ok(None),
        }
    }

    /// A change of a name, which may be a hook of the repository's own; fails where hooks of the machine are shown.
    fn change_hooks(&self, path: &RepoPath) -> FsResult<Changing<'_>> {
        self.shown_hooks().check_none_at(path)?;
        Ok(self.own_hooks.changing(path))
    }

    /// The hooks that this machine shows.
    pub(crate) fn shown_hooks(&self) -> ShownHooks<'_> {
        ShownHooks { of: self }
    }

    /// A hook of the repository's own that git would run while it takes a push, if there is one.
    pub fn own_push_hook(&self) -> FsResult<Option<RepoPath>> {
        self.own_hooks.first()
    }

    /// Brings `config` in step with settings that were made elsewhere.
    pub fn follow_settings(&self) -> FsResult<()> {
        self.config.follow_settings()
    }

    /// Whether a path is where a replicated value is kept.
    pub(crate) fn is_value(&self, path: &RepoPath) -> FsResult<bool> {
        self.host_files.is_value(path)
    }

    /// Whether what is written under this name becomes a value.
    pub(crate) fn writes_value(&self, path: &RepoPath) -> FsResult<bool> {
        self.host_files.writes_value(path)
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
            let (path, known) = (dir.join(&name), names.get(&name));
            let is_hidden = |path: &RepoPath| {
                is_value(path) || is_in_modules(path) && known == Some(&Type::Directory)
            };
            let is_replaced = match path.as_ref().map(room) {
                Some(Room::Host) => known.is_some(),
                Some(_) | None if kind.is_dir() => {
                    known.is_some_and(|kind| *kind != Type::Directory)
                }
                Some(_) | None => path.as_ref().is_some_and(is_hidden),
            };
            if !is_replaced {
                names.insert(name, type_of(kind));
            }
        }
        if dir.is_root() {
            names.remove(git_config::SETTINGS.as_bytes());
        }
        self.shown_hooks().list(dir, &mut names)?;
        Ok(names)
    }

    fn replicated_children(&self, dir: &RepoPath) -> FsResult<Vec<(Vec<u8>, Type)>> {
        let mut names = Vec::new();
        if holds_catalogued(dir) {
            let kind = |is_dir| if is_dir { Type::Directory } else { Type::File };
            let children = self.objects.children(dir)?.into_iter();
            names.extend(children.map(|(name, is_dir)| (name, kind(is_dir))));
        }
        if holds_values(dir) {
            names.extend(self.refs.children(dir)?);
        }
        names.extend(self.modules().names_in(dir)?);
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
            Some(Found::Hook(node)) if node.type_of() == Type::Symlink => Ok(node.bytes.to_vec()),
            Some(Found::Hook(_)) => Err(FsError::Invalid),
            Some(Found::Packed(_) | Found::Object(_) | Found::Directory | Found::Settings(_)) => {
                Err(FsError::Invalid)
            }
            None => Err(FsError::NotFound),
        }
    }

    /// fsync(2) of a file that has no real one here: it is durable, but for one that is borrowed.
    pub(crate) fn fsync_replicated(&self, path: &RepoPath) -> FsResult<()> {
        match self.objects.loans().has(path) {
            true => self.transactions.publish_borrowed(),
            false => Ok(()),
        }
    }

    /// fsync(2) of a directory: its real part, and the names in it that are borrowed; the other replicated names are
    /// durable.
    pub(crate) fn fsync_dir(&self, path: &RepoPath) -> FsResult<()> {
        if self.objects.loans().any_in(path) {
            self.transactions.publish_borrowed()?;
        }
        self.files.fsync_dir(path)
    }

    /// Before a path is shown: afterwards no step of a transaction of refs waits that concerns the path.
    pub(crate) fn settle(&self, path: &RepoPath) -> FsResult<()> {
        self.refs.gathered().settle(path)
    }

    /// The same of all paths.
    pub(crate) fn settle_all(&self) -> FsResult<()> {
        self.refs.gathered().settle_all()
    }

    /// Whether a change of the ref there waits for the end of its transaction.
    pub(crate) fn waits(&self, path: &RepoPath) -> bool {
        self.refs.gathered().waits(path)
    }

    /// Whether any does.
    pub(crate) fn has_waiting(&self) -> bool {
        self.refs.gathered().has_waiting()
    }

    /// Whether the kernel is to keep nothing of a name, for the sake of a transaction.
    pub(crate) fn is_moving(&self, path: &RepoPath) -> bool {
        self.waits(path) || self.refs.is_one_of_locks(path)
    }

    /// The repositories inside this one.
    pub(crate) fn modules(&self) -> Modules<'_> {
        Modules { of: self }
    }

    /// The object files of the repository.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Publishes what is finished, deleted or touched, and what is not replicated yet of hooks, of refs, of files of hosts
    /// and of `config`.
    pub fn publish(&self) -> FsResult<()> {
        // First: other machines take pushes without them until then. What goes wrong with it holds up nothing else.
        let told = match self.own_hooks.is_due(self.operations()) {
            true => self.own_hooks.tell(),
            false => Ok(()),
        };
        self.refs.gathered().finish_all();
        self.transactions.publish()?;
        if self.host_files.has_plain() {
            self.host_files.adopt()?;
        }
        self.config.adopt_settings()?;
        told
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

    /// Whether something waits to be published for at least this long, or is in memory for a publication.
    pub fn is_due(&self, idle: std::time::Duration) -> bool {
        if self.host_files.has_plain()
            || self.config.has_unreplicated()
            || self.refs.gathered().is_due()
            || self.own_hooks.is_due(self.operations())
        {
            return true;
        }
        let idle_for = self.objects.idle_for();
        !self.transactions.is_at_rest() && idle_for.is_none_or(|time| time >= idle)
    }
}
