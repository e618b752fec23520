//! rename(2), by the rooms of source and target.

use super::quarantine::final_name;
use super::{Caller, Found, Repository, is_settings};
use crate::error::{FsError, FsResult};
use crate::failpoint;
use crate::repository::objects::Named;
use gitmoor_model::name;
use gitmoor_model::room::Type;
use gitmoor_model::room::{Room, is_ref_scratch, room, takes};
use gitmoor_model::{FileEntry, PACKED_REFS, RepoPath};
use std::sync::atomic::{AtomicU64, Ordering};

impl Repository {
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
        let source = self.find(from)?.ok_or(FsError::NotFound)?;
        if let Some(target) = self.find(to)? {
            self.check_replace(&source, &target, to, replace)?;
        }
        if !takes(to, source.kind()) {
            return Err(FsError::Invalid);
        }
        match (room(from), room(to)) {
            (Room::Local, Room::Local) => self.rename_local(from, to).map(|()| Named::File),
            (Room::Refs | Room::Local, Room::Refs) => self
                .rename_into_refs(from, to, &source, caller)
                .map(|()| Named::File),
            (Room::Objects | Room::Local, Room::Objects) => {
                self.rename_into_objects(from, to, &source, caller)
            }
            (Room::Objects | Room::Refs, Room::Local)
            | (Room::Refs, Room::Objects)
            | (Room::Objects, Room::Refs) => Err(FsError::CrossRoom),
        }
    }

    /// rename(2) of a file in the making from another repository (`git repack
    /// --filter-to`): it moves into this one's staging, then to its name.
    pub(crate) fn rename_from(
        &self,
        other: &Repository,
        from: &RepoPath,
        to: &RepoPath,
        replace: bool,
        caller: &Caller,
    ) -> FsResult<Named> {
        let movable = matches!(other.find(from)?, Some(Found::Real(meta)) if meta.is_file())
            && room(from) == Room::Objects
            && name::kind(from).is_none();
        static MOVED: AtomicU64 = AtomicU64::new(0);
        let (pid, moved) = (caller.read.pid, MOVED.fetch_add(1, Ordering::Relaxed));
        let scratch = RepoPath::new(format!("objects/tmp_moved_{pid}_{moved}"));
        let scratch = scratch.expect("a valid path");
        if !movable || room(to) != Room::Objects || self.files.stat(&scratch)?.is_some() {
            return Err(FsError::CrossRoom);
        }
        self.files.rename_from(&other.files, from, &scratch)?;
        self.rename(&scratch, to, replace, caller).inspect_err(|_| {
            // Back to where it was; if even that fails it stays in the making here.
            let _ = other.files.rename_from(&self.files, &scratch, from);
        })
    }

    fn check_replace(
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

    fn rename_local(&self, from: &RepoPath, to: &RepoPath) -> FsResult<()> {
        if to.as_bytes() != b"config" {
            return self.files.rename(from, to);
        }
        let new = self.files.stat(to)?.is_none();
        // Without it the repository is none, however safe its refs are.
        self.files.rename_durably(from, to)?;
        failpoint::CONFIG_RENAMED.hit();
        if new {
            self.furnish_copied()?;
        }
        self.config_changed()
    }

    fn rename_into_refs(
        &self,
        from: &RepoPath,
        to: &RepoPath,
        source: &Found,
        caller: &Caller,
    ) -> FsResult<()> {
        match source {
            Found::Packed(_) | Found::Object(_) | Found::Settings(_) => Err(FsError::CrossRoom),
            Found::Real(meta) if !meta.is_dir() && is_ref_scratch(to) => {
                self.refs.claimed(to, || self.files.rename(from, to))?;
                self.refs.removed(from);
                Ok(())
            }
            Found::Real(meta) if !meta.is_dir() => {
                self.refs.commit_file(from, to, &self.author(caller))
            }
            // The table is no value.
            Found::Ref(_) if is_ref_scratch(to) || to.as_bytes() == PACKED_REFS => {
                Err(FsError::CrossRoom)
            }
            Found::Ref(_) => self.refs.rename(from, to, &self.author(caller)),
            // A lock is taken under its name, by whoever makes it.
            Found::Real(_) | Found::Directory if self.brings_scratch(from, to)? => {
                Err(FsError::CrossRoom)
            }
            Found::Real(_) | Found::Directory => {
                self.check_taken(from, to)?;
                self.rename_refs_directory(from, to, caller)
            }
        }
    }

    /// Whether a directory would bring files to names of scratch files.
    fn brings_scratch(&self, from: &RepoPath, to: &RepoPath) -> FsResult<bool> {
        for (name, kind) in self.files.list(from)? {
            let (Some(from), Some(to)) = (from.join(&name), to.join(&name)) else {
                continue;
            };
            let brings = match kind.is_dir() {
                true => self.brings_scratch(&from, &to)?,
                false => is_ref_scratch(&to),
            };
            if brings {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Before the first of them is committed.
    fn check_taken(&self, from: &RepoPath, to: &RepoPath) -> FsResult<()> {
        for (name, kind) in self.files.list(from)? {
            let (Some(from), Some(to)) = (from.join(&name), to.join(&name)) else {
                continue;
            };
            let kind = super::type_of(kind);
            if !takes(&to, kind) {
                return Err(FsError::Invalid);
            }
            if kind == Type::Directory {
                self.check_taken(&from, &to)?;
            }
        }
        Ok(())
    }

    /// A directory of refs: what is replicated beneath it moves in one commit;
    /// real files beneath it are committed one by one (git prepares whole
    /// directories when it migrates between ref storages), a list of tables after the tables.
    fn rename_refs_directory(
        &self,
        from: &RepoPath,
        to: &RepoPath,
        caller: &Caller,
    ) -> FsResult<()> {
        if self.refs.has_children(from)? {
            self.refs.rename(from, to, &self.author(caller))?;
        }
        let mut names = self.files.list(from)?;
        names.sort_by_key(|(name, _)| name == b"tables.list");
        for (name, kind) in names {
            let (Some(from), Some(to)) = (from.join(&name), to.join(&name)) else {
                continue;
            };
            if kind.is_dir() {
                self.rename_refs_directory(&from, &to, caller)?;
            } else {
                self.refs.commit_file(&from, &to, &self.author(caller))?;
            }
        }
        if self.files.stat(to)?.is_none() && self.files.stat(from)?.is_some() {
            self.files.rename(from, to)
        } else {
            self.files.rmdir(from)
        }
    }

    fn rename_into_objects(
        &self,
        from: &RepoPath,
        to: &RepoPath,
        source: &Found,
        caller: &Caller,
    ) -> FsResult<Named> {
        let meta = match source {
            Found::Real(meta) => meta,
            Found::Object(entry) if name::is_rewritable(from) => {
                return self.rename_catalogued(from, to, entry, caller);
            }
            _ => return Err(FsError::CrossRoom),
        };
        // Files would get final names with it, or lose theirs, unchecked. git renames none.
        if meta.is_dir() {
            return Err(FsError::CrossRoom);
        }
        // As if it were stored already: it has its name for good.
        if self.objects.is_sealed(from) {
            return Err(FsError::CrossRoom);
        }
        self.check_quota(from, to)?;
        let rename = || self.files.rename(from, to);
        if name::kind(to).is_none() {
            self.transactions.leave(from, caller.read, rename)?;
            self.objects.gave_up(from);
            self.objects.began(to);
            return Ok(Named::File);
        }
        let ready = self.objects.ready(from, to)?;
        failpoint::OBJECT_UNNAMED.hit();
        let named = self.objects.finish(to, ready, rename)?;
        self.objects.gave_up(from);
        self.transactions.leave(from, caller.read, || match named {
            Named::File => Ok(()),
            Named::Copy => self.files.unlink_if_there(from),
        })?;
        Ok(named)
    }

    /// A file gets the name of one that holds objects, in a quarantine too: whoever pushes is told there.
    pub(super) fn check_quota(&self, from: &RepoPath, to: &RepoPath) -> FsResult<()> {
        match name::holds_objects(&final_name(to)) {
            true => self.objects.check_quota(from),
            false => Ok(()),
        }
    }

    /// A catalogued file that may change its name (git makes the one
    /// commit-graph the base of a chain): new under that name, gone under the old.
    fn rename_catalogued(
        &self,
        from: &RepoPath,
        to: &RepoPath,
        entry: &FileEntry,
        caller: &Caller,
    ) -> FsResult<Named> {
        self.copy_catalogued(from, to, entry)?;
        self.transactions.unlink(from, caller.read)?;
        Ok(Named::File)
    }

    pub(super) fn copy_catalogued(
        &self,
        from: &RepoPath,
        to: &RepoPath,
        entry: &FileEntry,
    ) -> FsResult<()> {
        if room(to) != Room::Objects {
            return Err(FsError::CrossRoom);
        }
        let copy = self.copy_of(from, entry)?;
        if name::kind(to).is_none() {
            return self.files.put_private(&copy.path(), to);
        }
        let ready = self.objects.ready_private(copy, to)?;
        self.objects.finish(to, ready, || Ok(())).map(drop)
    }
}
