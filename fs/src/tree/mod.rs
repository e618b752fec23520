//! The tree: namespace → repository → room. One method per FUSE operation, with
//! no FUSE in it.

mod absences;
mod files;
mod inodes;
mod length;
mod link;
mod lives;
mod may_block;
mod modules;
mod name_ttl;
mod names;
mod place;
mod remote;
mod rename;
mod repositories;
mod shown;
mod stat;
mod writing;

pub(crate) use may_block::{MayBlock, Op};
pub(crate) use place::Place;
pub(crate) use repositories::Repositories;
pub(crate) use stat::Stat;

use crate::consistency::{NameTtl, RemoteChange};
use crate::error::{FsError, FsResult};
use crate::process::Device;
use crate::repository::context::{Context, Shown};
use crate::repository::{Caller, Repository};
use gitmoor_model::room::Type;
use gitmoor_model::{NamePath, RepoId, RepoPath};
use gitmoor_replicator::read;
use inodes::Inodes;
use length::{check_length, join, join_name};
use lives::{Lives, Noted};
use modules::Modules;
use names::{Names, begins_repository};
use remote::Remote;
use rename::Rename;
use shown::caller;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use writing::Wanted;

/// Who calls, by the credentials that FUSE reports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pub uid: u32,
    pub gid: u32,
    /// The id of the thread that calls: FUSE reports a thread, not a process.
    pub tid: u32,
    /// Whether the thread that works for it may wait. If not, [`Op::may_block`] was asked, and said no.
    pub may_wait: bool,
}

/// An inode and what stat(2) says of it.
pub(crate) struct Entry {
    pub ino: u64,
    pub stat: Stat,
    /// How long the kernel may use the name for it.
    pub name_ttl: NameTtl,
}

/// What stands under a name.
pub(crate) enum Lookup {
    Found(Entry),
    /// Nothing, for so long.
    Absent(NameTtl),
}

/// A name in a directory listing.
pub(crate) struct Listed {
    pub name: Vec<u8>,
    pub kind: Type,
}

/// The tree of one mount.
pub(crate) struct Tree {
    shared: Arc<Context>,
    inodes: Inodes,
    lives: Lives,
    wanted: Wanted,
    repositories: Arc<Repositories>,
    names: Names,
    /// Of the mount. Until it is mounted, and that is for milliseconds, nobody knows it.
    device: OnceLock<Device>,
}

impl Tree {
    /// The tree of a mount whose root is this place.
    pub(crate) fn new(
        shared: Arc<Context>,
        repositories: Arc<Repositories>,
        root: Place,
    ) -> FsResult<Self> {
        Ok(Self {
            inodes: Inodes::new(root),
            lives: Lives::new(shared.clone()),
            wanted: Wanted::default(),
            names: Names::open(shared.clone(), repositories.clone())?,
            repositories,
            shared,
            device: OnceLock::new(),
        })
    }

    /// The tree is mounted there.
    pub(crate) fn mounted(&self, at: &Path) -> io::Result<()> {
        let device = Device::of(at)?;
        self.device.get_or_init(|| device);
        Ok(())
    }

    /// An inode's path below the mount point of the namespace, for messages.
    pub(crate) fn describe(&self, ino: u64) -> String {
        match self.inodes.place(ino) {
            None => format!("inode {ino}"),
            Some(Place::Name(path) | Place::Beside(path) | Place::Local(path)) => path.to_string(),
            Some(Place::Repo(repo, path)) => {
                let known = read::repo(self.shared.replica.view(), repo.id)
                    .ok()
                    .flatten();
                let repo = known.map_or_else(|| repo.id.to_string(), |repo| repo.path.to_string());
                format!("{repo}/{path}")
            }
        }
    }

    /// Counts an operation for the repository that it was in.
    pub(crate) fn used(&self, ino: u64) {
        self.inodes.used(ino);
    }

    /// What an inode stands for now: a directory may have become a repository, by another machine too.
    fn place(&self, ino: u64) -> FsResult<Place> {
        let place = self.inodes.place(ino).ok_or(FsError::NotFound)?;
        let now = match &place {
            Place::Name(path) | Place::Local(path) if !path.is_root() => {
                self.names.repository_at(path)?
            }
            Place::Repo(repo, path) if repo.modules().at(path)?.is_some() => {
                Some(self.modules().within(place.clone())?)
            }
            Place::Name(_) | Place::Local(_) | Place::Beside(_) | Place::Repo(..) => None,
        };
        if let Some(now) = &now {
            self.inodes.becomes(ino, now);
        }
        Ok(now.unwrap_or(place))
    }

    /// The directory in which a name is made. An empty one becomes a repository with the first name that begins
    /// one.
    fn dir_of_new(&self, parent: u64, name: &[u8], process: Process) -> FsResult<Place> {
        let place = self.place(parent)?;
        let begun = match &place {
            Place::Name(path) if begins_repository(name) => {
                self.names.begin_repository(path, process)?
            }
            Place::Local(path) if begins_repository(name) => {
                self.names.begin_repository_in_local(path, process)?
            }
            Place::Repo(owner, dir) => self.modules().begin(owner, dir, name, process)?,
            Place::Name(_) | Place::Beside(_) | Place::Local(_) => None,
        };
        if let Some(begun) = &begun {
            self.inodes.becomes(parent, begun);
        }
        Ok(begun.unwrap_or(place))
    }

    fn child(&self, parent: u64, name: &[u8]) -> FsResult<Place> {
        match self.place(parent)? {
            Place::Name(dir) | Place::Local(dir) => self.names.named(&join_name(&dir, name)?),
            Place::Repo(repo, dir) => self.modules().within(Place::Repo(repo, join(&dir, name)?)),
            Place::Beside(_) => Err(FsError::NotDirectory),
        }
    }

    fn caller(&self, repo: &Repository, process: Process) -> Caller {
        caller(self.shown(), repo, process)
    }

    fn modules(&self) -> Modules<'_> {
        Modules { tree: self }
    }

    fn shown(&self) -> &Shown {
        &self.shared.config.shown
    }

    /// The kernel refuses changes of a read-only mount before they come here, unless somebody
    /// told it otherwise (`mount -i -o remount,rw`).
    fn check_writable(&self) -> FsResult<()> {
        match self.shared.config.read_only {
            true => Err(FsError::ReadOnly),
            false => Ok(()),
        }
    }

    /// Syncs reads before a process is shown what others may have changed.
    fn sync_reads(&self, place: &Place, process: Process) -> FsResult<()> {
        match process.may_wait && place.is_shared() {
            true => self.shared.freshness.sync_reads_for(process.tid),
            false => Ok(()),
        }
    }

    fn entry(&self, place: &Place) -> FsResult<Entry> {
        let (stat, identity) = self.stat_place(place)?;
        let ino = self.inodes.look_up(place, identity);
        Ok(self.shown_entry(ino, stat, place))
    }

    fn shown_entry(&self, ino: u64, stat: Stat, place: &Place) -> Entry {
        self.inodes.is_shown_as(ino, stat.kind);
        match self.inodes.has_writers(place) {
            true => Entry {
                ino,
                stat: stat.moving(),
                name_ttl: NameTtl::Zero,
            },
            false => Entry {
                ino,
                stat: stat.at_most(self.first_attr_ttl(ino, place)),
                name_ttl: self.lives.name(place),
            },
        }
    }

    /// How long attributes live in the answer to a lookup. An inode that the kernel does not have yet cannot be told
    /// of, so that it has to ask for the attributes once more.
    fn first_attr_ttl(&self, ino: u64, place: &Place) -> NameTtl {
        match self.lives.attributes(place) {
            NameTtl::Told if self.inodes.is_first_lookup(ino) => NameTtl::Zero,
            ttl => ttl,
        }
    }

    /// Whether the kernel knows an inode as a directory.
    pub(crate) fn is_directory(&self, ino: u64) -> bool {
        self.inodes.is_shown_as_directory(ino)
    }

    /// Whether the kernel may remember a name that others may change.
    pub(crate) fn has_given_names(&self) -> bool {
        self.lives.has_given()
    }

    /// The inodes whose attributes the kernel is to forget, before anybody is told that the change happened.
    pub(crate) fn changed_elsewhere(&self, change: &RemoteChange) -> Vec<u64> {
        Remote { tree: self }.inodes_of(change)
    }

    /// lookup. Reads are in sync first, and the repository of a name is open.
    pub(crate) fn lookup(&self, parent: u64, name: &[u8], process: Process) -> FsResult<Lookup> {
        let found = self.look_up(parent, name, process)?;
        self.lives.given(&found);
        Ok(found)
    }

    fn look_up(&self, parent: u64, name: &[u8], process: Process) -> FsResult<Lookup> {
        let place = match self.child_to_show(parent, name, process) {
            Err(FsError::NotFound) => return Ok(Lookup::Absent(NameTtl::Zero)),
            place => place?,
        };
        let noted = self.lives.note_absence(&place);
        let (stat, identity) = match self.stat_place(&place) {
            Err(FsError::NotFound) => {
                let ttl = match noted == Noted::NoRoom || self.inodes.has_writers(&place) {
                    true => NameTtl::Zero,
                    false => self.lives.absence(&place),
                };
                return Ok(Lookup::Absent(ttl));
            }
            found => found?,
        };
        self.lives.found(noted, &place);
        let ino = self.inode_of_writer(&place, process);
        let ino = ino.unwrap_or_else(|| self.inodes.look_up(&place, identity));
        let stat = match self.inodes.is_linked(ino) {
            // As it is by its other name.
            true => self.attributes(ino, None).unwrap_or(stat),
            false => stat,
        };
        Ok(Lookup::Found(self.shown_entry(ino, stat, &place)))
    }

    fn child_to_show(&self, parent: u64, name: &[u8], process: Process) -> FsResult<Place> {
        let place = match self.place(parent)? {
            Place::Name(dir) => {
                let path = join_name(&dir, name)?;
                self.names.sync(&path, process)?;
                self.names.named(&path)?
            }
            Place::Local(dir) => self.names.named(&join_name(&dir, name)?)?,
            Place::Repo(repo, dir) => self
                .modules()
                .within_to_show(Place::Repo(repo, join(&dir, name)?), process)?,
            Place::Beside(_) => return Err(FsError::NotDirectory),
        };
        place.observe(process);
        place.settle(process)?;
        Ok(place)
    }

    pub(crate) fn forget(&self, ino: u64, n: u64) {
        self.inodes.forget(ino, n);
    }

    pub(crate) fn readlink(&self, ino: u64) -> FsResult<Vec<u8>> {
        match self.place(ino)? {
            Place::Repo(repo, path) => repo.readlink(&path),
            Place::Beside(path) => self.names.beside.target(&path),
            Place::Local(path) => self.names.local.readlink(&path),
            Place::Name(_) => Err(FsError::Invalid),
        }
    }

    /// Only repositories have files of all kinds.
    fn in_repo(&self, parent: u64, name: &[u8]) -> FsResult<(Arc<Repository>, RepoPath)> {
        match self.place(parent)? {
            Place::Repo(repo, dir) => Ok((repo, join(&dir, name)?)),
            Place::Local(_) => Err(FsError::CrossRoom),
            Place::Name(_) | Place::Beside(_) => Err(FsError::NotHere(
                "beside repositories stand directories, small files and symbolic links: no hard links, FIFOs, \
                 sockets or devices",
            )),
        }
    }

    pub(crate) fn mkdir(
        &self,
        parent: u64,
        name: &[u8],
        mode: u32,
        process: Process,
    ) -> FsResult<Entry> {
        self.check_writable()?;
        let place = match self.dir_of_new(parent, name, process)? {
            Place::Name(dir) => self.names.make(&join_name(&dir, name)?, mode, process)?,
            Place::Local(dir) => {
                let path = join_name(&dir, name)?;
                self.names.make_in_local(&path, mode, process)?
            }
            Place::Repo(repo, dir) => {
                let path = join(&dir, name)?;
                repo.mkdir(&path, mode, &self.caller(&repo, process))?;
                Place::Repo(repo, path)
            }
            Place::Beside(_) => return Err(FsError::NotDirectory),
        };
        self.entry(&place)
    }

    pub(crate) fn symlink(
        &self,
        parent: u64,
        name: &[u8],
        target: &Path,
        process: Process,
    ) -> FsResult<Entry> {
        self.check_writable()?;
        let place = match self.dir_of_new(parent, name, process)? {
            Place::Name(dir) => {
                let path = join_name(&dir, name)?;
                let actor = self.names.actor(process);
                self.names.beside.link(&path, target, actor)?;
                Place::Beside(path)
            }
            Place::Local(dir) => {
                let (path, owner) = (join_name(&dir, name)?, self.shown().owner_of_new(process));
                self.names.local.symlink(target, &path, owner)?;
                Place::Local(path)
            }
            Place::Beside(_) | Place::Repo(..) => {
                let (repo, path) = self.in_repo(parent, name)?;
                repo.symlink(&path, target, &self.caller(&repo, process))?;
                Place::Repo(repo, path)
            }
        };
        self.entry(&place)
    }

    pub(crate) fn unlink(&self, parent: u64, name: &[u8], process: Process) -> FsResult<()> {
        self.check_writable()?;
        let place = self.child(parent, name)?;
        match &place {
            Place::Repo(repo, path) => repo.unlink(path, &self.caller(repo, process))?,
            Place::Beside(path) => (self.names.beside).unlink(path, self.names.actor(process))?,
            Place::Local(path) => self.names.local.unlink(path)?,
            Place::Name(_) => return Err(FsError::IsDirectory),
        }
        self.inodes.orphan(&place);
        Ok(())
    }

    pub(crate) fn rmdir(&self, parent: u64, name: &[u8], process: Process) -> FsResult<()> {
        self.check_writable()?;
        let place = self.child(parent, name)?;
        match (&place, self.place(parent)?) {
            (Place::Repo(repo, path), Place::Repo(..)) if !path.is_root() => {
                repo.rmdir(path, &self.caller(repo, process))?;
            }
            (Place::Repo(repo, _), _) => self.names.delete_emptied(repo, process)?,
            (Place::Name(path), _) => self.names.remove(path, process)?,
            (Place::Local(path), _) => self.names.remove_local(path, process)?,
            (Place::Beside(_), _) => return Err(FsError::NotDirectory),
        }
        self.inodes.orphan(&place);
        Ok(())
    }

    /// rename; `replace` is false for RENAME_NOREPLACE.
    pub(crate) fn rename(
        &self,
        (parent, name): (u64, &[u8]),
        (new_parent, new_name): (u64, &[u8]),
        replace: bool,
        process: Process,
    ) -> FsResult<()> {
        self.check_writable()?;
        let (from, to) = ((parent, name), (new_parent, new_name));
        self.check_reach(from, to)?;
        if let Some(repo) = self.modules().moved(from, new_parent)? {
            return self.modules().rename(&repo, to, replace, process);
        }
        let (from, to) = (self.place(parent)?, self.place(new_parent)?);
        let rename = Rename {
            tree: self,
            replace,
            process,
        };
        rename.rename((from, name), (to, new_name))
    }

    /// Whether what lies beneath a name can be named where that goes.
    fn check_reach(
        &self,
        (parent, name): (u64, &[u8]),
        (new_parent, new_name): (u64, &[u8]),
    ) -> FsResult<()> {
        let reach = self.inodes.reach(&self.child(parent, name)?);
        let to = match self.place(new_parent)? {
            Place::Name(dir) | Place::Beside(dir) | Place::Local(dir) => dir.as_bytes().len(),
            Place::Repo(_, dir) => dir.as_bytes().len(),
        };
        check_length(to + 1 + new_name.len() + reach)
    }

    /// While the kernel still holds the directories, so that it is this file that is there.
    fn renamed(&self, from: &Place, to: &Place) {
        let found = self.stat_place(to).ok().and_then(|(_, found)| found);
        self.inodes.rename(from, to, found);
    }

    /// opendir: the names, but for `.` and `..`.
    pub(crate) fn list(&self, ino: u64) -> FsResult<Vec<Listed>> {
        match self.place(ino)? {
            Place::Name(dir) => self.names.list(&dir),
            Place::Local(dir) => self.names.list_local(&dir),
            Place::Repo(repo, dir) => {
                let names = repo.list(&dir)?;
                Ok(names
                    .into_iter()
                    .map(|(name, kind)| Listed { name, kind })
                    .collect())
            }
            Place::Beside(_) => Err(FsError::NotDirectory),
        }
    }

    /// The kernel's name for a path of a repository: parent inode and name, if
    /// it may have cached it; and its inode, if it knows one.
    pub(crate) fn kernel_name(&self, repo: RepoId, path: &RepoPath) -> Option<(u64, Vec<u8>)> {
        let repo = self.repositories.if_open(repo)?;
        let parent = self.inodes.known(&Place::Repo(repo, path.parent()?))?;
        Some((parent, path.file_name().to_vec()))
    }

    /// The same for a path of the namespace.
    pub(crate) fn kernel_name_of(&self, path: &NamePath) -> Option<(u64, Vec<u8>)> {
        let parent = self.inodes.known(&Place::Name(path.parent()?))?;
        Some((parent, path.file_name().to_vec()))
    }

    /// The kernel's inodes of a repository.
    pub(crate) fn kernel_inodes(&self, repo: RepoId) -> Vec<u64> {
        self.inodes.of_repository(repo)
    }

    /// A name changed without the kernel: its inode is another file's now.
    pub(crate) fn forget_name(&self, repo: RepoId, path: &RepoPath) {
        if let Some(repo) = self.repositories.if_open(repo) {
            self.inodes.orphan(&Place::Repo(repo, path.clone()));
        }
    }
}
