//! Names that come, go and move, and new attributes; which room each concerns.

use super::rename::{IntoObjects, IntoRefs, check_quota};
use super::{Caller, Found, NewAttributes, Opened, Repository, SetTime, is_settings};
use crate::error::{FsError, FsResult};
use crate::failpoint;
use crate::repository::host_files::mode_of_value;
use crate::repository::local::read_at_most;
use crate::repository::objects::Named;
use crate::repository::refs::most;
use gitmoor_model::name;
use gitmoor_model::room::{Room, Type, is_ref_scratch, room};
use gitmoor_model::{Expect, RefEntry, RepoPath};
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// Whether this machine shows it in place of what the repository has.
fn is_shown(found: &Found) -> bool {
    matches!(found, Found::Hook(_))
}

impl Repository {
    pub(crate) fn mkdir(&self, path: &RepoPath, mode: u32, caller: &Caller) -> FsResult<()> {
        if self.find(path)?.is_some() {
            return Err(FsError::Exists);
        }
        let _changing = self.change_hooks(path)?;
        let top_level = path.parent().is_some_and(|parent| parent.is_root());
        if top_level && path.file_name().len() > 4 && path.file_name().ends_with(b".git") {
            return Err(FsError::NotHere("a repository inside a repository"));
        }
        if !self.host_files.takes(path, Type::Directory)? {
            return Err(FsError::Invalid);
        }
        self.files.mkdir(path, mode, caller.owner)?;
        let quarantines = &self.shared.quarantines;
        quarantines.made(self.id, path, caller.read.pid);
        Ok(())
    }

    pub(crate) fn rmdir(&self, path: &RepoPath, caller: &Caller) -> FsResult<()> {
        self.shown_hooks().check_none_stays_at(path)?;
        let found = self.find(path)?.ok_or(FsError::NotFound)?;
        let quarantines = &self.shared.quarantines;
        quarantines.check(self.id, path, caller.read.pid)?;
        if !found.is_dir() {
            return Err(FsError::NotDirectory);
        }
        if !self.replicated_children(path)?.is_empty() {
            return Err(FsError::NotEmpty);
        }
        let _changing = self.own_hooks.removing(path);
        match self.files.rmdir(path) {
            // It goes with the repository, which has none itself.
            Err(FsError::Io(e)) if e.kind() == ErrorKind::NotFound && is_shown(&found) => Ok(()),
            removed => {
                removed?;
                quarantines.removed(self.id, path);
                Ok(())
            }
        }
    }

    pub(crate) fn unlink(&self, path: &RepoPath, caller: &Caller) -> FsResult<()> {
        self.shown_hooks().check_none_stays_at(path)?;
        let _changing = self.own_hooks.removing(path);
        self.host_files.adopt_if_plain(path)?;
        let found = self.find(path)?.ok_or(FsError::NotFound)?;
        let quarantines = &self.shared.quarantines;
        quarantines.check(self.id, path, caller.read.pid)?;
        match (self.host_files.room_of(path, &found)?, &found) {
            (_, Found::Directory) => Err(FsError::IsDirectory),
            (_, Found::Settings(_)) => Err(FsError::Immutable),
            // It goes with the repository.
            (_, Found::Hook(_)) => Ok(()),
            (Room::Objects, _) if name::kind(path).is_some() => {
                self.transactions.unlink(path, caller.read)
            }
            (Room::Refs | Room::Host, _) if found.is_dir() => Err(FsError::IsDirectory),
            (Room::Refs | Room::Host, _) if self.is_value(path)? => {
                self.refs.unlink(path, &self.author(caller))?;
                self.drafts.unlinked(path);
                Ok(())
            }
            (Room::Refs | Room::Host, _) => {
                self.refs.gives_up(path, caller.read.pid)?;
                self.files.unlink(path)?;
                self.refs.removed(path);
                Ok(())
            }
            (Room::Objects, _) => {
                self.files.unlink(path)?;
                self.objects.gave_up(path);
                Ok(())
            }
            (Room::Local, _) => self.config.unlink(path),
        }
    }

    pub(crate) fn symlink(&self, path: &RepoPath, target: &Path, caller: &Caller) -> FsResult<()> {
        if self.find(path)?.is_some() {
            return Err(FsError::Exists);
        }
        let _changing = self.change_hooks(path)?;
        if !self.host_files.takes(path, Type::Symlink)? {
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
            // Of a host's file there is none.
            Room::Objects | Room::Local | Room::Host => make(),
        }
    }

    /// mknod(2) of FIFOs and sockets, in the local room.
    pub(crate) fn mknod(&self, path: &RepoPath, mode: u32, caller: &Caller) -> FsResult<()> {
        self.shown_hooks().check_none_at(path)?;
        let special = matches!(mode & libc::S_IFMT, libc::S_IFIFO | libc::S_IFSOCK);
        if room(path) != Room::Local || !special {
            return Err(FsError::Unsupported(
                "only FIFOs and sockets, outside objects/ and refs/",
            ));
        }
        // FIFO or socket: the names that take one take both.
        if !self.host_files.takes(path, Type::Fifo)? {
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
        let _changing = self.change_hooks(to)?;
        let mode = match self.find(from)? {
            Some(found) if !self.host_files.takes(to, found.kind())? => {
                return Err(FsError::Invalid);
            }
            Some(Found::Real(meta)) => meta.mode(),
            Some(Found::Object(entry)) if name::is_rewritable(from) => {
                return self.objects.copy_to(from, to, &entry);
            }
            _ => return Err(FsError::CrossRoom),
        };
        // As if it were stored already: nobody writes to it by another name.
        if self.objects.is_sealed(from) {
            return Err(FsError::CrossRoom);
        }
        check_quota(&self.objects, from, to)?;
        match self.host_files.room_to(to)? {
            Room::Objects if name::kind(to).is_some() => {
                let ready = self.objects.ready(from, to)?;
                failpoint::OBJECT_UNNAMED.hit();
                let link = || self.files.link(from, to);
                self.objects.finish(to, ready, link).map(drop)
            }
            Room::Refs | Room::Host if self.is_value(to)? => {
                let by = self.author(caller);
                let file = self.files.open_to_read(from)?.ok_or(FsError::NotFound)?;
                let bytes = file.metadata()?.len().min(most(to));
                let _space = self.refs.space_for(bytes, &by)?;
                let value = read_at_most(&file, most(to))?;
                self.refs
                    .write(to, mode_of_value(to, mode), value, Expect::Absent, &by)
                    .map(|_| ())
            }
            Room::Objects | Room::Local | Room::Host => {
                self.files.link(from, to)?;
                self.objects.began(to);
                Ok(())
            }
            Room::Refs => self.refs.claimed(to, || self.files.link(from, to)),
        }
    }

    /// rename(2). What no room can do as one step is refused as if it crossed file
    /// systems: mv(1) then copies.
    pub(crate) fn rename(
        &self,
        from: &RepoPath,
        to: &RepoPath,
        replace: bool,
        caller: &Caller,
    ) -> FsResult<Named> {
        if from == to {
            return Ok(Named::File);
        }
        if is_settings(from) || is_settings(to) {
            return Err(FsError::Immutable);
        }
        let _changing = (self.change_hooks(from)?, self.change_hooks(to)?);
        self.host_files.adopt_if_plain(from)?;
        self.host_files.adopt_if_plain(to)?;
        let source = self.find(from)?.ok_or(FsError::NotFound)?;
        if let Some(target) = self.find(to)? {
            self.check_replace(&source, &target, to, replace)?;
        }
        if !self.host_files.takes(to, source.kind())? {
            return Err(FsError::Invalid);
        }
        match (
            self.host_files.room_of(from, &source)?,
            self.host_files.room_to(to)?,
        ) {
            (Room::Local, Room::Local) if self.modules().keep_out(from, to)? => {
                Err(FsError::CrossRoom)
            }
            (Room::Local, Room::Local) => {
                self.rename_local(from, to, &source, caller)?;
                Ok(Named::File)
            }
            (Room::Refs | Room::Local, Room::Refs) | (Room::Host | Room::Local, Room::Host) => {
                let into = IntoRefs {
                    files: &self.files,
                    refs: &self.refs,
                    by: &self.author(caller),
                };
                into.rename(from, to, &source)
            }
            (Room::Objects | Room::Local, Room::Objects) => {
                let into = IntoObjects {
                    files: &self.files,
                    objects: &self.objects,
                    transactions: &self.transactions,
                    read: caller.read,
                };
                into.rename(from, to, &source)
            }
            (Room::Objects | Room::Refs | Room::Host, Room::Local)
            | (Room::Refs | Room::Host, Room::Objects)
            | (Room::Objects | Room::Host, Room::Refs)
            | (Room::Objects | Room::Refs, Room::Host) => Err(FsError::CrossRoom),
        }
    }

    fn rename_local(
        &self,
        from: &RepoPath,
        to: &RepoPath,
        source: &Found,
        caller: &Caller,
    ) -> FsResult<()> {
        if source.is_dir() {
            return self.host_files.rename_directory(from, to);
        }
        let actor = || self.author(caller).actor;
        self.config.rename(from, to, actor)?;
        self.host_files.adopt_when_made();
        if to.as_bytes() == b"config" {
            self.shown_hooks().changed_if_any();
        }
        Ok(())
    }

    pub(super) fn check_replace(
        &self,
        source: &Found,
        target: &Found,
        to: &RepoPath,
        replace: bool,
    ) -> FsResult<()> {
        match (source.is_dir(), target.is_dir()) {
            _ if !replace => Err(FsError::Exists),
            (false, true) => Err(FsError::IsDirectory),
            (true, false) => Err(FsError::NotDirectory),
            (true, true) if !self.list(to)?.is_empty() => Err(FsError::NotEmpty),
            (true, true) | (false, false) => Ok(()),
        }
    }

    /// New attributes; `opened` when the caller names an open file. Returns what had them set, as it
    /// was before.
    pub(crate) fn set_attributes(
        &self,
        path: &RepoPath,
        new: &NewAttributes,
        opened: Option<&Opened>,
        caller: &Caller,
    ) -> FsResult<Found> {
        let _changing = self.change_hooks(path)?;
        if let Some(size) = new.size {
            self.set_size(path, size, opened, caller)?;
        }
        let found = self.find(path)?.ok_or(FsError::NotFound)?;
        match &found {
            Found::Real(_) => {
                new.apply(&self.files, path)?;
                if let (Some(mode), b"config.lock") = (new.mode, path.as_bytes()) {
                    self.config.follow_lock(mode)?;
                }
            }
            Found::Ref(entry) => self.set_ref(path, entry, new, caller)?,
            Found::Object(_) => {
                if new.mode.is_some() || new.mtime.is_some() {
                    let mtime = new.mtime.map(SetTime::timestamp);
                    self.objects.touch(path, mtime, new.mode)?;
                }
            }
            Found::Directory => {
                self.files
                    .make_parents(&path.join(b"x").ok_or(FsError::Invalid)?)?;
                new.apply(&self.files, path)?;
            }
            // Rendered: its times, owner and permission bits follow what it is rendered from.
            Found::Packed(_) => {}
            Found::Settings(_) => return Err(FsError::Immutable),
            Found::Hook(_) => return Err(FsError::HooksOfMachine),
        }
        Ok(found)
    }

    fn set_size(
        &self,
        path: &RepoPath,
        size: u64,
        opened: Option<&Opened>,
        caller: &Caller,
    ) -> FsResult<()> {
        if let Some(opened) = opened {
            return opened.truncate(size);
        }
        if self.writes_value(path)? {
            return self.truncate_value(path, size, caller);
        }
        let opened = self.open_file(path, true)?;
        opened.truncate(size)?;
        self.flush(&opened)?;
        self.release(&opened)
    }

    /// Owners of replicated files follow the top directory, so that is not an
    /// error here; times of a ref are those of its commit.
    fn set_ref(
        &self,
        path: &RepoPath,
        entry: &RefEntry,
        new: &NewAttributes,
        caller: &Caller,
    ) -> FsResult<()> {
        let mode = new
            .mode
            .map(|mode| mode_of_value(path, entry.mode & libc::S_IFMT | mode & 0o7777));
        match mode {
            Some(mode) if mode != entry.mode => {
                self.refs.set_mode(path, mode, &self.author(caller))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// New attributes of a value that is being written. Its times are those of its commit, its
    /// owner is the repository's.
    pub(crate) fn set_draft(
        &self,
        path: &RepoPath,
        opened: &Opened,
        new: &NewAttributes,
        caller: &Caller,
    ) -> FsResult<()> {
        if let Some(size) = new.size {
            opened.truncate(size)?;
        }
        let (Some(mode), Some(draft)) = (new.mode, opened.draft()) else {
            return Ok(());
        };
        draft.set_mode(mode_of_value(path, mode));
        match self.find(path)? {
            Some(Found::Ref(entry)) if draft.is_of(Expect::Is(entry.version)) => {
                self.set_ref(path, &entry, new, caller)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// truncate(2) of a value. One that is being written is truncated there, and is committed when
    /// that is closed.
    fn truncate_value(&self, path: &RepoPath, size: u64, caller: &Caller) -> FsResult<()> {
        let written_elsewhere = self.drafts.get(path);
        let opened = self.open_draft(path, false, caller)?;
        opened.truncate(size)?;
        match (opened.draft(), written_elsewhere) {
            (Some(draft), Some(other)) if Arc::ptr_eq(draft, &other) => {
                draft.cut();
                Ok(())
            }
            _ => self.drafts.commit(&opened, path),
        }
    }
}
