//! Names that come and go: directories, links, nodes; which room each concerns.

use super::{Caller, Found, Repository};
use crate::error::{FsError, FsResult};
use crate::failpoint;
use crate::repository::local::read_at_most;
use crate::repository::refs::most;
use gitmoor_model::name;
use gitmoor_model::room::Type;
use gitmoor_model::room::{Room, is_ref_scratch, room, takes};
use gitmoor_model::{Expect, RepoPath};
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

impl Repository {
    pub(crate) fn mkdir(&self, path: &RepoPath, mode: u32, caller: &Caller) -> FsResult<()> {
        if self.find(path)?.is_some() {
            return Err(FsError::Exists);
        }
        let top_level = path.parent().is_some_and(|parent| parent.is_root());
        if top_level && path.file_name().len() > 4 && path.file_name().ends_with(b".git") {
            return Err(FsError::NotHere("a repository inside a repository"));
        }
        if !takes(path, Type::Directory) {
            return Err(FsError::Invalid);
        }
        self.files.mkdir(path, mode, caller.owner)?;
        self.quarantines.made(path, caller.read.pid);
        Ok(())
    }

    pub(crate) fn rmdir(&self, path: &RepoPath, caller: &Caller) -> FsResult<()> {
        let found = self.find(path)?.ok_or(FsError::NotFound)?;
        self.quarantines.check(path, caller.read.pid)?;
        if !found.is_dir() {
            return Err(FsError::NotDirectory);
        }
        if !self.replicated_children(path)?.is_empty() {
            return Err(FsError::NotEmpty);
        }
        self.files.rmdir(path)
    }

    pub(crate) fn unlink(&self, path: &RepoPath, caller: &Caller) -> FsResult<()> {
        let found = self.find(path)?.ok_or(FsError::NotFound)?;
        self.quarantines.check(path, caller.read.pid)?;
        match (room(path), &found) {
            (_, Found::Directory) => Err(FsError::IsDirectory),
            (_, Found::Settings(_)) => Err(FsError::Immutable),
            (Room::Objects, _) if name::kind(path).is_some() => {
                self.transactions.unlink(path, caller.read)
            }
            (Room::Refs, _) if found.is_dir() => Err(FsError::IsDirectory),
            (Room::Refs, _) if !is_ref_scratch(path) => {
                self.refs.unlink(path, &self.author(caller))?;
                self.drafts.unlinked(path);
                Ok(())
            }
            (Room::Refs, _) => {
                self.files.unlink(path)?;
                self.refs.removed(path);
                Ok(())
            }
            (Room::Objects, _) => {
                self.files.unlink(path)?;
                self.objects.gave_up(path);
                Ok(())
            }
            (Room::Local, _) => self.files.unlink(path),
        }
    }

    pub(crate) fn symlink(&self, path: &RepoPath, target: &Path, caller: &Caller) -> FsResult<()> {
        if self.find(path)?.is_some() {
            return Err(FsError::Exists);
        }
        if !takes(path, Type::Symlink) {
            return Err(FsError::Invalid);
        }
        let make = || self.files.symlink(target, path, caller.owner);
        match room(path) {
            Room::Refs if is_ref_scratch(path) => self.refs.claimed(path, make),
            Room::Refs => {
                let (mode, by) = (libc::S_IFLNK | 0o777, self.author(caller));
                let value = target.as_os_str().as_bytes().to_vec();
                let written = self.refs.write(path, mode, value, Expect::Absent, &by);
                written.map(drop)
            }
            Room::Objects | Room::Local => make(),
        }
    }

    /// mknod(2) of FIFOs and sockets, in the local room.
    pub(crate) fn mknod(&self, path: &RepoPath, mode: u32, caller: &Caller) -> FsResult<()> {
        let special = matches!(mode & libc::S_IFMT, libc::S_IFIFO | libc::S_IFSOCK);
        if room(path) != Room::Local || !special {
            return Err(FsError::Unsupported(
                "only FIFOs and sockets, outside objects/ and refs/",
            ));
        }
        // FIFO or socket: the names that take one take both.
        if !takes(path, Type::Fifo) {
            return Err(FsError::Invalid);
        }
        self.files.mknod(path, mode, caller.owner)
    }

    /// Whether two names are one real file, and the rules for both are the same: a
    /// finished object keeps an inode of its own, through which nobody writes.
    pub(crate) fn is_one_file(&self, a: &RepoPath, b: &RepoPath) -> FsResult<bool> {
        if name::kind(b).is_some() {
            return Ok(false);
        }
        let (a, b) = (self.files.stat(a)?, self.files.stat(b)?);
        let id = |meta: Metadata| (meta.dev(), meta.ino());
        Ok(a.map(id).is_some_and(|a| b.map(id) == Some(a)))
    }

    pub(crate) fn link(&self, from: &RepoPath, to: &RepoPath, caller: &Caller) -> FsResult<()> {
        if self.find(to)?.is_some() {
            return Err(FsError::Exists);
        }
        let mode = match self.find(from)? {
            Some(found) if !takes(to, found.kind()) => return Err(FsError::Invalid),
            Some(Found::Real(meta)) => meta.mode(),
            Some(Found::Object(entry)) if name::is_rewritable(from) => {
                return self.copy_catalogued(from, to, &entry);
            }
            _ => return Err(FsError::CrossRoom),
        };
        // As if it were stored already: nobody writes to it by another name.
        if self.objects.is_sealed(from) {
            return Err(FsError::CrossRoom);
        }
        self.check_quota(from, to)?;
        match room(to) {
            Room::Objects if name::kind(to).is_some() => {
                let ready = self.objects.ready(from, to)?;
                failpoint::OBJECT_UNNAMED.hit();
                let link = || self.files.link(from, to);
                self.objects.finish(to, ready, link).map(drop)
            }
            Room::Refs if !is_ref_scratch(to) => {
                let by = self.author(caller);
                let file = self.files.open_to_read(from)?.ok_or(FsError::NotFound)?;
                let bytes = file.metadata()?.len().min(most(to));
                let _space = self.refs.space_for(bytes, &by)?;
                let value = read_at_most(&file, most(to))?;
                self.refs
                    .write(to, mode, value, Expect::Absent, &by)
                    .map(|_| ())
            }
            Room::Objects | Room::Local => {
                self.files.link(from, to)?;
                self.objects.began(to);
                Ok(())
            }
            Room::Refs => self.refs.claimed(to, || self.files.link(from, to)),
        }
    }
}
