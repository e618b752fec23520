//! rename(2) to a name of the refs room or of the objects room.

use super::quarantine::final_name;
use super::{Found, type_of};
use crate::error::{FsError, FsResult};
use crate::failpoint;
use crate::repository::local::Files;
use crate::repository::objects::{Named, Objects};
use crate::repository::refs::Refs;
use crate::repository::transaction::{Author, ReadVersion, Transactions};
use gitmoor_model::name;
use gitmoor_model::room::{Type, is_ref_scratch, takes};
use gitmoor_model::{FileEntry, PACKED_REFS, RepoPath};

/// To names of the refs room.
pub(super) struct IntoRefs<'a> {
    pub(super) files: &'a Files,
    pub(super) refs: &'a Refs,
    pub(super) by: &'a Author,
}

impl IntoRefs<'_> {
    pub(super) fn rename(&self, from: &RepoPath, to: &RepoPath, source: &Found) -> FsResult<Named> {
        match source {
            Found::Packed(_) | Found::Object(_) | Found::Settings(_) | Found::Hook(_) => {
                Err(FsError::CrossRoom)
            }
            Found::Real(meta) if !meta.is_dir() && is_ref_scratch(to) => {
                self.gives_up(from)?;
                self.refs.claimed(to, || self.files.rename(from, to))?;
                self.refs.removed(from);
                Ok(Named::File)
            }
            Found::Real(meta) if !meta.is_dir() => self.refs.commit_file(from, to, self.by),
            // The table is no value.
            Found::Ref(_) if is_ref_scratch(to) || to.as_bytes() == PACKED_REFS => {
                Err(FsError::CrossRoom)
            }
            Found::Ref(_) => self.refs.rename(from, to, self.by).map(|()| Named::File),
            // A lock is taken under its name, by whoever makes it.
            Found::Real(_) | Found::Directory if self.brings_scratch(from, to)? => {
                Err(FsError::CrossRoom)
            }
            Found::Real(_) | Found::Directory => {
                self.check_taken(from, to)?;
                self.rename_directory(from, to).map(|()| Named::File)
            }
        }
    }

    fn gives_up(&self, lock: &RepoPath) -> FsResult<()> {
        let pid = self.by.read.map_or(0, |read| read.pid);
        self.refs.gives_up(lock, pid)
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
            let kind = type_of(kind);
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
    fn rename_directory(&self, from: &RepoPath, to: &RepoPath) -> FsResult<()> {
        if self.refs.has_children(from)? {
            self.refs.rename(from, to, self.by)?;
        }
        let mut names = self.files.list(from)?;
        names.sort_by_key(|(name, _)| name == b"tables.list");
        for (name, kind) in names {
            let (Some(from), Some(to)) = (from.join(&name), to.join(&name)) else {
                continue;
            };
            if kind.is_dir() {
                self.rename_directory(&from, &to)?;
            } else {
                self.refs.commit_file(&from, &to, self.by)?;
            }
        }
        if self.files.stat(to)?.is_none() && self.files.stat(from)?.is_some() {
            self.files.rename(from, to)
        } else {
            self.files.rmdir(from)
        }
    }
}

/// To names of the objects room.
pub(super) struct IntoObjects<'a> {
    pub(super) files: &'a Files,
    pub(super) objects: &'a Objects,
    pub(super) transactions: &'a Transactions,
    /// What the process has read.
    pub(super) read: ReadVersion,
}

impl IntoObjects<'_> {
    pub(super) fn rename(&self, from: &RepoPath, to: &RepoPath, source: &Found) -> FsResult<Named> {
        let meta = match source {
            Found::Real(meta) => meta,
            Found::Object(entry) if name::is_rewritable(from) => {
                return self.rename_catalogued(from, to, entry);
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
        check_quota(self.objects, from, to)?;
        let rename = || self.files.rename(from, to);
        if name::kind(to).is_none() {
            self.transactions.leave(from, self.read, rename)?;
            self.objects.gave_up(from);
            self.objects.began(to);
            return Ok(Named::File);
        }
        let ready = self.objects.ready(from, to)?;
        failpoint::OBJECT_UNNAMED.hit();
        let named = self.objects.finish(to, ready, rename)?;
        self.objects.gave_up(from);
        self.transactions.leave(from, self.read, || match named {
            Named::File | Named::Later => Ok(()),
            Named::Copy => self.files.unlink_if_there(from),
        })?;
        Ok(named)
    }

    /// A catalogued file that may change its name (git makes the one
    /// commit-graph the base of a chain): new under that name, gone under the old.
    fn rename_catalogued(
        &self,
        from: &RepoPath,
        to: &RepoPath,
        entry: &FileEntry,
    ) -> FsResult<Named> {
        self.objects.copy_to(from, to, entry)?;
        self.transactions.unlink(from, self.read)?;
        Ok(Named::File)
    }
}

/// A file gets the name of one that holds objects, in a quarantine too: whoever pushes is told there.
pub(super) fn check_quota(objects: &Objects, from: &RepoPath, to: &RepoPath) -> FsResult<()> {
    match name::holds_objects(&final_name(to)) {
        true => objects.check_quota(from),
        false => Ok(()),
    }
}
