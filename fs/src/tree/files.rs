//! Files: opened, created, linked and closed, what stat(2) says of them, and what chmod(2), chown(2),
//! truncate(2) and utimensat(2) change. A close may give a name another file.

use super::link::Link;
use super::{Entry, Place, Process, Stat, Tree, join_name, stat};
use crate::consistency::NameTtl;
use crate::error::{FsError, FsResult};
use crate::repository::{Closing, Creation, Found, Identity, NewAttributes, Opened, Repository};
use gitmoor_model::RepoPath;
use gitmoor_model::room::{Room, is_ref_scratch, room};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

impl Tree {
    /// open; `truncate` only with `write`. [`FsError::Stale`] when the kernel is to look the name
    /// up again.
    pub(crate) fn open(
        &self,
        ino: u64,
        write: bool,
        truncate: bool,
        process: Process,
    ) -> FsResult<Arc<Opened>> {
        if write {
            self.check_parted(ino)?;
        }
        let opened = self.open_inode(ino, write, truncate, process);
        self.part_if_gone(ino, opened)
    }

    fn open_inode(
        &self,
        ino: u64,
        write: bool,
        truncate: bool,
        process: Process,
    ) -> FsResult<Arc<Opened>> {
        let place = self.place(ino)?;
        self.sync_reads(&place, process)?;
        // By whichever of its names.
        (self.inodes.places(ino).iter()).for_each(|place| place.observe(process));
        if write {
            self.check_writable()?;
        }
        let (repo, path) = match place {
            Place::Repo(repo, path) => (repo, path),
            Place::Beside(_) if write => return self.open_draft(ino, &place, truncate, process),
            Place::Beside(path) => return self.open_beside(ino, &path),
            Place::Local(path) => {
                let open = || self.names.local.open_file(&path, write);
                return self.open_real(ino, write, truncate, open);
            }
            Place::Name(_) => return Err(FsError::IsDirectory),
        };
        match (repo.is_value(&path)?, write && repo.writes_value(&path)?) {
            (true, true) => {
                let place = Place::Repo(repo, path);
                return self.open_draft(ino, &place, truncate, process);
            }
            (true, false) => self.open_beside_writers(ino)?,
            (false, _) => {}
        }
        self.open_real(ino, write, truncate, || repo.open_file(&path, write))
    }

    /// What is written to where it is, if at all.
    fn open_real(
        &self,
        ino: u64,
        write: bool,
        truncate: bool,
        open: impl FnOnce() -> FsResult<Opened>,
    ) -> FsResult<Arc<Opened>> {
        if write {
            self.inodes.writing(ino);
        }
        let opened = open().and_then(|opened| match truncate {
            true => opened.truncate(0).map(|()| opened),
            false => Ok(opened),
        });
        if write && opened.is_err() {
            self.inodes.written(ino);
        }
        let opened = Arc::new(opened?);
        if !self.inodes.is(ino, opened.identity) {
            return Err(FsError::NotFound);
        }
        self.inodes.opened(ino, &opened);
        Ok(opened)
    }

    /// opendir. libc asks at once for the attributes of what it has opened, and for those the kernel
    /// does not look the name up again: a directory that is gone, by maintenance here or elsewhere, is
    /// [`FsError::Stale`] now.
    pub(crate) fn open_dir(&self, ino: u64, process: Process) -> FsResult<()> {
        let place = self.place(ino).map_err(FsError::of_inode)?;
        self.sync_reads(&place, process)?;
        place.observe(process);
        if let Place::Repo(repo, dir) = &place
            && process.may_wait
            && room(dir) == Room::Refs
        {
            repo.settle_all()?;
        }
        match self.stat_place(&place) {
            Ok((_, identity)) if self.inodes.is(ino, identity) => Ok(()),
            Ok(_) | Err(FsError::NotFound) => Err(FsError::Stale),
            // The listing says so.
            Err(_) => Ok(()),
        }
    }

    /// create. Waits until there is space in staging.
    pub(crate) fn create(
        &self,
        parent: u64,
        name: &[u8],
        mode: u32,
        how: Creation,
        process: Process,
    ) -> FsResult<(Entry, Arc<Opened>)> {
        self.check_writable()?;
        let (repo, path) = match self.dir_of_new(parent, name, process)? {
            Place::Name(dir) => {
                let place = Place::Beside(join_name(&dir, name)?);
                return self.create_draft(place, mode, how, process);
            }
            Place::Local(dir) => {
                let (path, owner) = (join_name(&dir, name)?, self.shown().owner_of_new(process));
                let opened = self.names.local.create(&path, mode, owner)?;
                return self.created(Place::Local(path), opened);
            }
            Place::Beside(_) | Place::Repo(..) => self.in_repo(parent, name)?,
        };
        if process.may_wait && room(&path) == Room::Objects {
            repo.objects().wait_for_space()?;
        }
        if repo.writes_value(&path)? {
            return self.create_draft(Place::Repo(repo, path), mode, how, process);
        }
        let opened = repo.create(&path, mode, &self.caller(&repo, process))?;
        self.created(Place::Repo(repo, path), opened)
    }

    fn created(&self, place: Place, opened: Opened) -> FsResult<(Entry, Arc<Opened>)> {
        let opened = Arc::new(opened);
        let (stat, ino) = (
            self.stat_nameless(&opened)?,
            self.inodes.look_up(&place, None),
        );
        self.inodes.writing(ino);
        self.inodes.opened(ino, &opened);
        let name_ttl = self.lives.name(&place);
        let entry = Entry {
            ino,
            stat,
            name_ttl,
        };
        Ok((entry, opened))
    }

    /// mknod: a regular file is an empty one, created.
    pub(crate) fn mknod(
        &self,
        parent: u64,
        name: &[u8],
        mode: u32,
        process: Process,
    ) -> FsResult<Entry> {
        if matches!(mode & libc::S_IFMT, 0 | libc::S_IFREG) {
            let how = Creation {
                exclusive: true,
                truncate: true,
            };
            let (entry, opened) = self.create(parent, name, mode & 0o7777, how, process)?;
            let flushed = self.flush(entry.ino, &opened, process);
            let closed = self.release(entry.ino, &opened);
            self.forget(entry.ino, 1);
            flushed.and(closed)?;
            return self.entry(&self.child(parent, name)?);
        }
        self.check_writable()?;
        if let Place::Local(dir) = self.place(parent)? {
            let (path, owner) = (join_name(&dir, name)?, self.shown().owner_of_new(process));
            self.names.local.mknod(&path, mode, owner)?;
            return self.entry(&Place::Local(path));
        }
        let (repo, path) = self.in_repo(parent, name)?;
        repo.mknod(&path, mode, &self.caller(&repo, process))?;
        let place = Place::Repo(repo, path);
        self.entry(&place)
    }

    /// fsync of an open file.
    pub(crate) fn fsync(&self, ino: u64, opened: &Opened, data_only: bool) -> FsResult<()> {
        if let Some(Place::Repo(_, path)) = self.inodes.place(ino) {
            // What git prepares for a ref becomes durable with its commit, not before.
            if room(&path) == Room::Refs && is_ref_scratch(&path) {
                return Ok(());
            }
        }
        match opened.real() {
            Some(file) if data_only => Ok(file.sync_data()?),
            Some(file) => Ok(file.sync_all()?),
            None => self
                .inodes
                .places(ino)
                .iter()
                .try_for_each(Place::sync_replicated),
        }
    }

    /// link.
    pub(crate) fn link(
        &self,
        ino: u64,
        parent: u64,
        name: &[u8],
        process: Process,
    ) -> FsResult<Entry> {
        self.check_writable()?;
        let tree = self;
        let from = self.place(ino).map_err(FsError::of_inode)?;
        Link { tree, process }.link(ino, from, (self.place(parent)?, name))
    }

    /// An object file that has a name in another repository as well is about to be changed by one of them: the kernel
    /// is to look that up again, which then is another file.
    fn check_parted(&self, ino: u64) -> FsResult<()> {
        let places = self.inodes.places(ino);
        if places.len() < 2 || !places.iter().all(Place::is_final) {
            return Ok(());
        }
        self.inodes.part(ino);
        Err(FsError::Stale)
    }

    /// One of the names of an inode is gone, or has another file: the kernel is to look all of them up again.
    fn part_if_gone<T>(&self, ino: u64, done: FsResult<T>) -> FsResult<T> {
        if matches!(done, Err(FsError::NotFound)) && self.inodes.is_linked(ino) {
            self.inodes.part(ino);
        }
        done.map_err(FsError::of_inode)
    }

    /// fsync of a directory.
    pub(crate) fn fsync_dir(&self, ino: u64) -> FsResult<()> {
        match self.inodes.place(ino) {
            Some(Place::Repo(repo, path)) => repo.fsync_dir(&path),
            Some(Place::Local(path)) => self.names.local.fsync_dir(&path),
            Some(Place::Name(_) | Place::Beside(_)) | None => Ok(()),
        }
    }

    /// flush: one descriptor is closed.
    pub(crate) fn flush(&self, ino: u64, opened: &Opened, process: Process) -> FsResult<()> {
        if matches!(opened.closing, Closing::Plain) {
            return Ok(());
        }
        match self.inodes.place(ino) {
            Some(Place::Repo(repo, _)) if self.commits(ino, opened, process) => {
                self.finishing(&repo, opened, || repo.flush(opened))
            }
            Some(Place::Beside(_)) if self.commits(ino, opened, process) => {
                self.commit_beside(opened)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A close that may finish an object file. Whoever had that open, or mapped, keeps the inode, with pages that they
    /// may have written to; the name gets one of its own.
    fn finishing(
        &self,
        repo: &Arc<Repository>,
        opened: &Opened,
        close: impl FnOnce() -> FsResult<()>,
    ) -> FsResult<()> {
        let Closing::Finish(path) = &opened.closing else {
            return close();
        };
        let before = repo.objects().is_sealed(path);
        let closed = close();
        if !before && repo.objects().is_sealed(path) {
            self.renew(repo, path);
        }
        closed
    }

    /// A name has got another file without the kernel's knowing.
    pub(super) fn renew(&self, repo: &Arc<Repository>, path: &RepoPath) {
        self.inodes.orphan(&Place::Repo(repo.clone(), path.clone()));
        (self.shared.renewed)(repo.id, path);
    }

    /// A file was opened under an inode of which others have the file open that had the name before. The kernel, which
    /// mixes no two files in one inode, is to look again.
    pub(crate) fn part(&self, ino: u64, opened: &Opened) {
        let place = self.inodes.place(ino);
        if let Err(error) = self.release(ino, opened) {
            tracing::warn!(%error, "closed before it was written to");
        }
        if let Some(place) = place {
            self.inodes.orphan(&place);
        }
    }

    /// release: the last descriptor is closed.
    pub(crate) fn release(&self, ino: u64, opened: &Opened) -> FsResult<()> {
        let released = match opened.closing {
            Closing::Plain | Closing::Config | Closing::NewConfig => Ok(()),
            Closing::CommitName(_) => self.commit_beside(opened),
            Closing::Commit(_) | Closing::Finish(_) => match self.inodes.place(ino) {
                Some(Place::Repo(repo, _)) => {
                    self.finishing(&repo, opened, || repo.release(opened))
                }
                Some(Place::Name(_) | Place::Beside(_) | Place::Local(_)) | None => Ok(()),
            },
        };
        if opened.writes {
            self.inodes.written(ino);
            if let Some(Place::Repo(repo, path)) = self.inodes.place(ino) {
                repo.closed(&path);
            }
        }
        released
    }

    pub(super) fn stat_place(&self, place: &Place) -> FsResult<(Stat, Option<Identity>)> {
        match place {
            Place::Name(_) => Ok((self.shown().of(Stat::namespace()), None)),
            Place::Beside(path) => {
                let (stat, identity) = self.names.stat(path)?;
                Ok((self.shown().of(stat), identity))
            }
            Place::Local(path) => {
                let (stat, identity) = stat::of_local(&self.names.local.stat(path)?);
                Ok((self.shown().of(stat), identity))
            }
            Place::Repo(repo, path) => {
                let found = repo.find(path)?.ok_or(FsError::NotFound)?;
                let stat = stat::of(path, &found, repo)?;
                let shown = self.shown().of(stat);
                // A hook that somebody may not run is none to git.
                let mode = match matches!(found, Found::Hook(_)) {
                    true => stat.mode,
                    false => shown.mode,
                };
                Ok((Stat { mode, ..shown }, Identity::of(path, &found)))
            }
        }
    }

    /// getattr.
    pub(crate) fn getattr(
        &self,
        ino: u64,
        opened: Option<&Opened>,
        process: Process,
    ) -> FsResult<Stat> {
        if self.inodes.is_retired_for(ino, process.tid) {
            return Err(FsError::Stale);
        }
        let stat = self.attributes(ino, opened)?;
        let place = self.inodes.place(ino);
        // A directory of refs has become a ref, or the other way round.
        if !self.inodes.may_be(ino, stat.kind) {
            place.iter().for_each(|place| self.inodes.orphan(place));
            return Err(FsError::Stale);
        }
        let ttl = place.map_or(NameTtl::Zero, |place| self.lives.attributes(&place));
        Ok(stat.at_most(ttl))
    }

    /// A name may go, or get another file, at any moment; then the open files of the
    /// inode say what it is. The kernel does not tell which one an fstat(2) is of.
    pub(super) fn attributes(&self, ino: u64, opened: Option<&Opened>) -> FsResult<Stat> {
        self.part_if_gone(ino, self.stat_inode(ino, opened))
    }

    pub(super) fn stat_inode(&self, ino: u64, opened: Option<&Opened>) -> FsResult<Stat> {
        if let Some(stat) = self.stat_draft(ino, opened) {
            return stat;
        }
        let named = match self.inodes.place(ino) {
            Some(place) => self.stat_place(&place),
            None => Err(FsError::NotFound),
        };
        match named {
            Ok((stat, identity)) if self.inodes.is(ino, identity) => {
                return Ok(stat.named(self.inodes.names(ino)));
            }
            Ok(_) | Err(FsError::NotFound) => {}
            Err(error) => return Err(error),
        }
        match (opened, self.inodes.an_opened(ino)) {
            (Some(opened), _) => self.stat_nameless(opened),
            (None, Some(opened)) => self.stat_nameless(&opened),
            (None, None) => Err(FsError::NotFound),
        }
    }

    pub(super) fn stat_nameless(&self, opened: &Opened) -> FsResult<Stat> {
        Ok(self.shown().of(stat::of_opened(opened, (0, 0))?))
    }

    pub(super) fn stat_opened(&self, opened: &Opened, repo: &Repository) -> FsResult<Stat> {
        Ok(self.shown().of(stat::of_opened(opened, repo.owner()?)?))
    }

    pub(crate) fn setattr(
        &self,
        ino: u64,
        new: &NewAttributes,
        opened: Option<&Opened>,
        process: Process,
    ) -> FsResult<Stat> {
        self.check_writable()?;
        let new = &self.shown().permitted(new)?;
        self.check_parted(ino)?;
        let set = self.set_inode(ino, new, opened, process);
        set.map_err(FsError::of_inode)
    }

    fn set_inode(
        &self,
        ino: u64,
        new: &NewAttributes,
        opened: Option<&Opened>,
        process: Process,
    ) -> FsResult<Stat> {
        if let Some(set) = self.set_draft(ino, new, opened, process) {
            set?;
            return self.stat_inode(ino, opened);
        }
        match (self.place(ino).ok(), opened) {
            (Some(Place::Repo(repo, path)), _) => {
                return self.set_in_repo(ino, (repo, path), new, opened, process);
            }
            (Some(Place::Beside(path)), _) => {
                return self.set_beside(ino, path, new, opened, process);
            }
            (Some(Place::Local(path)), Some(opened)) if new.size.is_some() => {
                let rest = NewAttributes { size: None, ..*new };
                opened.truncate(new.size.unwrap_or_default())?;
                self.names.local.set(&path, &rest)?;
            }
            (Some(Place::Local(path)), _) => self.names.local.set(&path, new)?,
            (Some(Place::Name(_)), _)
                if new.mode.is_none() && new.uid.is_none() && new.gid.is_none() => {}
            (Some(Place::Name(_)), _) => {
                return Err(FsError::NotHere(
                    "directories of the namespace have no owners or modes of their own",
                ));
            }
            (None, Some(opened)) => set_nameless(opened, new)?,
            (None, None) => return Err(FsError::NotFound),
        }
        self.stat_inode(ino, opened)
    }

    fn set_in_repo(
        &self,
        ino: u64,
        (repo, path): (Arc<Repository>, RepoPath),
        new: &NewAttributes,
        opened: Option<&Opened>,
        process: Process,
    ) -> FsResult<Stat> {
        let caller = self.caller(&repo, process);
        let found = repo.set_attributes(&path, new, opened, &caller)?;
        if path.is_root() && (new.mode.is_some() || new.uid.is_some() || new.gid.is_some()) {
            (self.shared.top_changed)(repo.id);
        }
        let shown = match new.size.is_some() && repo.writes_value(&path)? {
            true => self.truncated(ino, &Place::Repo(repo.clone(), path.clone())),
            false => self.stat_inode(ino, opened),
        };
        match shown {
            // Others have replaced or removed it since. It was set before that.
            Err(FsError::NotFound) => {
                let was = stat::of(&path, &found, &repo)?;
                Ok(self.shown().of(was.with(new)))
            }
            shown => shown,
        }
    }
}

fn set_nameless(opened: &Opened, new: &NewAttributes) -> FsResult<()> {
    if let Some(size) = new.size {
        opened.truncate(size)?;
    }
    let (Some(mode), Some(file)) = (new.mode, opened.real()) else {
        return Ok(());
    };
    Ok(file.set_permissions(Permissions::from_mode(mode & 0o7777))?)
}
