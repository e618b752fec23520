//! Finishing: git gives a file its final name, if its bytes may stand there, and takes it
//! away again.
//!
//! A file that holds objects is sealed ([`super::seal`]), then checked, and only then named: what has the name is what
//! was checked, for as long as it has it. While somebody writes to it a copy is finished in its stead. The digest
//! of what was checked is remembered until it is stored.
//!
//! The file under a final name and what is known of it change together ([`super::naming`]).

use super::Objects;
use super::seal::{FileId, Seal, Writing};
use crate::beneath::{MostlyHoles, mostly_holes};
use crate::bundle;
use crate::error::{FsError, FsResult};
use crate::failpoint;
use crate::repository::local::Private;
use gitmoor_model::name::{self, Kind};
use gitmoor_model::room::{Room, room};
use gitmoor_model::{Digest, FileEntry, ObjectFormat, RepoPath};
use gitmoor_replicator::read;
use gitmoor_store::block_cache;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

/// Refuses a file that is mostly holes.
pub(super) fn check_written(file: &File, name: &RepoPath) -> FsResult<()> {
    match mostly_holes(file)? {
        None => Ok(()),
        Some(MostlyHoles { bytes, written }) => Err(FsError::Sparse {
            path: name.to_string(),
            bytes,
            written,
        }),
    }
}

/// Whose bytes stand under a final name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Named {
    /// Those of the file that was to get it.
    File,
    /// Those of a copy: whoever writes to the file does not write to them.
    Copy,
    /// Those that stood there before: the change of a ref waits, and the file that was to get the name is gone.
    Later,
}

/// What may get a final name.
pub struct Ready {
    file: FileId,
    copy: Option<Private>,
    pub(super) size: u64,
    pub(super) digest: Option<Digest>,
    pub(super) seal: Option<Seal>,
}

impl Objects {
    /// Whether a file may not be written to any more.
    pub fn is_finished(&self, path: &RepoPath) -> bool {
        self.state.lock().pending.contains_key(path)
    }

    /// Whether a file has a final name under which nobody can write to it any more, nor rename it.
    pub(crate) fn is_sealed(&self, path: &RepoPath) -> bool {
        name::holds_objects(path) && self.is_finished(path)
    }

    /// What of a file may get a final name: the file, or a copy. An error when its bytes may not.
    pub fn ready(&self, file: &RepoPath, name: &RepoPath) -> FsResult<Ready> {
        let file = self.files.open_to_read(file)?.ok_or(FsError::NotFound)?;
        check_written(&file, name)?;
        if !name::holds_objects(name) {
            return self.ready_unchecked(&file, name, None);
        }
        match self.shared.seals.seal_closed(&file)?.done() {
            Some(seal) => self.ready_sealed(&file, name, seal),
            None => self.ready_copy(&file, name),
        }
    }

    fn ready_copy(&self, file: &File, name: &RepoPath) -> FsResult<Ready> {
        let (copy, file) = self.files.copy(file)?;
        let seal = self.shared.seals.seal_own(&file)?;
        let ready = self.ready_sealed(&file, name, seal)?;
        let copy = Some(copy);
        Ok(Ready { copy, ..ready })
    }

    /// The same of a private file.
    pub(super) fn ready_private(&self, made: Private, name: &RepoPath) -> FsResult<Ready> {
        let file = self.files.open_private(&made.path())?;
        let seal = self.shared.seals.seal_own(&file)?;
        let ready = self.ready_sealed(&file, name, seal)?;
        let copy = Some(made);
        Ok(Ready { copy, ..ready })
    }

    fn ready_sealed(&self, file: &File, name: &RepoPath, seal: Seal) -> FsResult<Ready> {
        self.check_bytes(file, name)?;
        self.ready_unchecked(file, name, Some(seal))
    }

    pub(super) fn ready_unchecked(
        &self,
        file: &File,
        name: &RepoPath,
        seal: Option<Seal>,
    ) -> FsResult<Ready> {
        let meta = file.metadata()?;
        let digest = match name::holds_objects(name) {
            true => Some(digest(file, meta.len())?),
            false => None,
        };
        Ok(Ready {
            file: FileId::of(&meta),
            copy: None,
            size: meta.len(),
            digest,
            seal,
        })
    }

    /// Gives what is ready a final name: `give` does that, unless a copy takes it.
    pub fn finish(
        &self,
        name: &RepoPath,
        ready: Ready,
        give: impl FnOnce() -> FsResult<()>,
    ) -> FsResult<Named> {
        let naming = self.naming();
        let named = match &ready.copy {
            Some(copy) => {
                self.files.put_private(&copy.path(), name)?;
                Named::Copy
            }
            None => {
                give()?;
                Named::File
            }
        };
        failpoint::OBJECT_NAMED.hit();
        // The name that it had may have become another file's while it was checked.
        if named == Named::File && !self.has_name(name, ready.file)? {
            let error = FsError::WrongBytes {
                path: name.to_string(),
                reason: "another file got its name while it was checked".to_owned(),
            };
            naming.move_aside(name, &error)?;
            return Err(error);
        }
        naming.note(name, ready);
        Ok(named)
    }

    /// The same of a file that has its final name already. If another file has that by now, nothing is done.
    pub(super) fn finish_there(&self, name: &RepoPath, ready: Ready) -> FsResult<()> {
        let naming = self.naming();
        if self.has_name(name, ready.file)? {
            naming.note(name, ready);
        }
        Ok(())
    }

    /// The same of what was copied of a borrowed file, unless that has not the name any more.
    pub(super) fn finish_borrowed(&self, name: &RepoPath, ready: Ready) -> FsResult<()> {
        let naming = self.naming();
        match &ready.copy {
            Some(copy) if self.loans().has(name) => self.files.put_private(&copy.path(), name)?,
            Some(_) | None => return Ok(()),
        }
        naming.note(name, ready);
        (self.shared.changed)(self.repo, name);
        Ok(())
    }

    /// A file that was written under its final name is closed. Its bytes are those that it stays with, and from now
    /// on nobody writes to it; an error when they are not right yet.
    pub(crate) fn finish_written(
        &self,
        name: &RepoPath,
        file: &File,
        writing: &mut Option<Writing>,
    ) -> FsResult<()> {
        check_written(file, name)?;
        let Some(held) = writing.take() else {
            return Ok(());
        };
        let meta = file.metadata()?;
        let sealed = match meta.nlink() {
            1 => self.shared.seals.seal_written(held),
            _ => Err(held),
        };
        match sealed {
            Ok(seal) => match self.ready_sealed(file, name, seal) {
                Ok(ready) => self.finish_there(name, ready),
                Err(error) => {
                    *writing = self.shared.seals.write(&meta);
                    Err(error)
                }
            },
            // Others write to it as well, or it has another name.
            Err(held) => {
                *writing = Some(held);
                self.finish_copy(name, FileId::of(&meta))
            }
        }
    }

    /// The same of a name that git may give other bytes.
    pub(crate) fn finish_rewritten(&self, name: &RepoPath) -> FsResult<()> {
        self.finish_there(name, self.ready(name, name)?)
    }

    /// Puts a copy in the place of a file that others go on writing to.
    fn finish_copy(&self, name: &RepoPath, written: FileId) -> FsResult<()> {
        let Some(file) = self.files.open_to_read(name)? else {
            return Ok(());
        };
        if FileId::of(&file.metadata()?) != written {
            return Ok(());
        }
        check_written(&file, name)?;
        let ready = self.ready_copy(&file, name)?;
        self.finish(name, ready, || Ok(())).map(drop)
    }

    /// A private copy of a catalogued file.
    pub(crate) fn copy(&self, path: &RepoPath, entry: &FileEntry) -> FsResult<Private> {
        self.files.make(entry.mode, self.files.owner()?, |file| {
            self.write_to(path, entry, file)
        })
    }

    /// Gives a copy of a catalogued file another name in the room.
    pub fn copy_to(&self, from: &RepoPath, to: &RepoPath, entry: &FileEntry) -> FsResult<()> {
        if room(to) != Room::Objects {
            return Err(FsError::CrossRoom);
        }
        let copy = self.copy(from, entry)?;
        if name::kind(to).is_none() {
            return self.files.put_private(&copy.path(), to);
        }
        let ready = self.ready_private(copy, to)?;
        self.finish(to, ready, || Ok(())).map(drop)
    }

    /// Whether this file has a name.
    fn has_name(&self, name: &RepoPath, file: FileId) -> FsResult<bool> {
        let there = self.files.stat(name)?;
        Ok(there.is_some_and(|meta| FileId::of(&meta) == file))
    }

    /// Checks a finished file again if its bytes are not those that were checked: a
    /// write behind our back, or a disk that forgets. A digest costs a fraction of a check.
    pub(super) fn check_unchanged(
        &self,
        path: &RepoPath,
        file: &File,
        (checked, now): (Option<Digest>, &Digest),
    ) -> FsResult<()> {
        match checked {
            Some(checked) if checked == *now => Ok(()),
            Some(_) | None => self.check_again(path, file),
        }
    }

    /// Checks a finished file; a damaged one is moved aside.
    pub(super) fn check_again(&self, path: &RepoPath, file: &File) -> FsResult<()> {
        self.check_bytes(file, path).inspect_err(|error| {
            let file = file.metadata().map(|meta| FileId::of(&meta));
            match file
                .map_err(FsError::from)
                .and_then(|file| self.set_aside(path, file, error))
            {
                Ok(()) => {}
                Err(e) => tracing::error!(repo = %self.repo, %path, "cannot be moved aside: {e}"),
            }
        })
    }

    /// git takes a finished file's name away again: `take` does that.
    pub(crate) fn unfinish(
        &self,
        path: &RepoPath,
        take: impl FnOnce() -> FsResult<()>,
    ) -> FsResult<()> {
        let naming = self.naming();
        take()?;
        naming.forget(path);
        Ok(())
    }

    /// A name that git may give other bytes is about to be written to. While its file is sealed, for the store or by
    /// another name, a copy takes its place.
    pub fn reopen(&self, path: &RepoPath) -> FsResult<()> {
        let naming = self.naming();
        naming.forget(path);
        match self.files.open_to_read(path)? {
            Some(file) if self.shared.seals.is_sealed(&file.metadata()?) => {
                let (copy, _) = self.files.copy(&file)?;
                self.files.put_private(&copy.path(), path)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What keeps a finished file as it is for whoever reads it, also when it is stored and has lost this name.
    pub(crate) fn seal_of(&self, path: &RepoPath) -> Option<Arc<Seal>> {
        self.state.lock().pending.get(path)?.seal.clone()
    }

    /// Whether the bytes of a real file may stand under a final name. What is no regular file may not.
    pub fn check(&self, file: &RepoPath, name: &RepoPath) -> FsResult<()> {
        let file = self.files.open_to_read(file)?.ok_or(FsError::NotFound)?;
        self.check_bytes(&file, name)
    }

    /// A loose object and a file of Git LFS are proved by their oids, a pack or index by its trailer.
    fn check_bytes(&self, file: &File, name: &RepoPath) -> FsResult<()> {
        check_written(file, name)?;
        let format = self.format_of(name)?;
        let checked = match (name::kind(name), name::loose_oid(name)) {
            (Some(Kind::Loose), Some(oid)) => bundle::check_loose(&oid, file, format),
            (Some(Kind::Pack), _) => bundle::check_pack_trailer(file, format),
            (Some(Kind::Lfs), _) => match name::lfs_oid(name) {
                Some(oid) => bundle::check_lfs(oid, file),
                None => Ok(()),
            },
            (Some(Kind::Loose | Kind::Mutable | Kind::Keep) | None, _) => Ok(()),
        };
        checked.map_err(|e| FsError::WrongBytes {
            path: name.to_string(),
            reason: e.to_string(),
        })
    }

    /// Moves a damaged file aside. One that has the name no more is left alone.
    pub fn set_aside(&self, path: &RepoPath, file: FileId, why: &FsError) -> FsResult<()> {
        let naming = self.naming();
        match self.has_name(path, file)? {
            true => naming.move_aside(path, why),
            false => Ok(()),
        }
    }

    /// The object format of a file: its name's, since a repository that is being
    /// copied may not have its `config` yet.
    pub(super) fn format_of(&self, path: &RepoPath) -> FsResult<ObjectFormat> {
        if let Some(format) = name::object_format(path) {
            return Ok(format);
        }
        self.format()
    }

    /// The repository's object format.
    pub fn format(&self) -> FsResult<ObjectFormat> {
        let repo = read::repo(self.shared.replica.view(), self.repo)?;
        Ok(repo
            .and_then(|repo| repo.format)
            .map_or(ObjectFormat::Sha1, |format| format.objects))
    }
}

fn digest(file: &File, size: u64) -> FsResult<Digest> {
    let (digest, _) = block_cache::digest_file(file, size, block_cache::block_size_for(size))?;
    Ok(digest)
}
