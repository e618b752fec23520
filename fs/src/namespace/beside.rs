//! Files and symbolic links beside repositories, as a mount reads and writes them.
//!
//! A file is written as a value of a repository is, in a draft: a private copy, of which a close commits the whole if
//! the file is still the one that was opened. What has no owner of its own belongs to the owner of its directory,
//! who alone may make and remove names there.

use crate::error::{FsError, FsResult};
use crate::repository::context::Context;
use crate::repository::draft::{Beginning, OpenDrafts, Written};
use crate::repository::refs::{OpenValues, Value};
use crate::repository::transaction::Author;
use crate::repository::{Body, Closing, Creation, Identity, NewAttributes, Opened, SetTime, Users};
use gitmoor_model::{
    Actor, Command, Expect, MOST_OF_FILE, NameChange, NamePath, NameStep, Timestamp, Version,
};
use gitmoor_replicator::{NameEntry, NamedFile, read};
use std::io::{Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// See the module.
pub(crate) struct Beside {
    shared: Arc<Context>,
    drafts: OpenDrafts<NamePath>,
    values: OpenValues<NamePath>,
}

impl Beside {
    pub(crate) fn new(shared: Arc<Context>) -> Self {
        // Neither leaves a name there.
        let dir = shared.config.data.clone();
        Self {
            drafts: OpenDrafts::new(dir.clone()),
            values: OpenValues::new(dir),
            shared,
        }
    }

    fn change(&self, path: &NamePath, step: NameStep, actor: Actor) -> FsResult<Version> {
        let path = path.clone();
        let change = NameChange { path, step };
        self.shared.propose(actor, Command::Name(Box::new(change)))
    }

    fn file(&self, path: &NamePath) -> FsResult<NamedFile> {
        match read::name(self.shared.replica.view(), path)? {
            Some(NameEntry::File(file)) => Ok(file),
            Some(NameEntry::Directory | NameEntry::Repo(_)) => Err(FsError::IsDirectory),
            // Another name by now.
            Some(NameEntry::Link(_)) | None => Err(FsError::NotFound),
        }
    }

    fn bytes(&self, file: &NamedFile) -> FsResult<Vec<u8>> {
        let bytes = read::contents(self.shared.replica.view(), file.version)?;
        if bytes.is_none() {
            // A client has an older row than the node has bytes. The kernel is to look again, at the row of now.
            self.shared.freshness.sync_reads()?;
        }
        bytes.ok_or(FsError::NotFound)
    }

    /// Whether a file is being written in a directory, and perhaps made.
    pub(crate) fn has_drafts_in(&self, dir: &NamePath) -> bool {
        self.drafts.any(|path| path.parent().as_ref() == Some(dir))
    }

    /// symlink(2).
    pub(crate) fn link(&self, path: &NamePath, target: &Path, actor: Actor) -> FsResult<()> {
        let target = target.as_os_str().as_bytes().to_vec();
        self.change(path, NameStep::Link { target }, actor)
            .map(drop)
    }

    /// readlink(2).
    pub(crate) fn target(&self, path: &NamePath) -> FsResult<Vec<u8>> {
        match read::name(self.shared.replica.view(), path)? {
            Some(NameEntry::Link(link)) => Ok(link.target),
            Some(NameEntry::Directory | NameEntry::Repo(_) | NameEntry::File(_)) => {
                Err(FsError::Invalid)
            }
            None => Err(FsError::NotFound),
        }
    }

    /// unlink(2).
    pub(crate) fn unlink(&self, path: &NamePath, actor: Actor) -> FsResult<()> {
        self.change(path, NameStep::Unlink, actor)?;
        self.drafts.unlinked(path);
        Ok(())
    }

    /// rename(2); `replace` lets the name of another file or symbolic link be taken.
    pub(crate) fn rename(
        &self,
        from: &NamePath,
        to: &NamePath,
        replace: bool,
        actor: Actor,
    ) -> FsResult<()> {
        let step = NameStep::Move {
            to: to.clone(),
            replace,
        };
        self.change(from, step, actor)?;
        self.drafts.unlinked(to);
        Ok(())
    }

    /// open(2) for reading.
    pub(crate) fn open(&self, path: &NamePath) -> FsResult<Opened> {
        let file = self.file(path)?;
        let bytes = self.bytes(&file)?;
        let body = match self.values.open(path, file.version, bytes)? {
            Value::Bytes(bytes) => Body::Bytes(bytes),
            Value::File(file) => Body::Value(file),
        };
        // Another version is another inode.
        let mut opened = Opened::new(body, Closing::Plain).lasting();
        opened.identity = Some(Identity::Written(file.version));
        Ok(opened)
    }

    /// open(2) for writing of a file that is there.
    pub(crate) fn open_draft(
        &self,
        path: &NamePath,
        truncate: bool,
        actor: Actor,
    ) -> FsResult<Opened> {
        let file = self.file(path)?;
        let bytes = match truncate {
            true => Vec::new(),
            false => self.bytes(&file)?,
        };
        let base = (file.mode, Expect::Is(file.version));
        let opened = self.draft(path, base, Cursor::new(bytes), actor)?;
        if truncate {
            opened.truncate(0)?;
        }
        Ok(opened)
    }

    /// open(2) with O_CREAT of a file that is not there. Others see the file when it is closed.
    pub(crate) fn create_draft(
        &self,
        path: &NamePath,
        mode: u32,
        how: Creation,
        actor: Actor,
    ) -> FsResult<Opened> {
        let is_there = read::name(self.shared.replica.view(), path)?.is_some();
        if is_there || how.exclusive && self.drafts.get(path).is_some() {
            return Err(FsError::Exists);
        }
        let opened = self.draft(path, (mode, Expect::Absent), std::io::empty(), actor)?;
        if how.truncate {
            opened.truncate(0)?;
        }
        // It is new, though nothing may be written to it.
        opened.users().into_iter().for_each(Users::change);
        Ok(opened)
    }

    fn draft(
        &self,
        path: &NamePath,
        (mode, base): (u32, Expect),
        bytes: impl Read,
        actor: Actor,
    ) -> FsResult<Opened> {
        let beginning = Beginning {
            mode: libc::S_IFREG | mode & 0o7777,
            base,
            bytes,
            most: MOST_OF_FILE,
        };
        let draft = self.drafts.share(path, beginning)?;
        let author = Author { actor, read: None };
        let closing = Closing::CommitName(path.clone());
        Ok(Opened::of_draft(draft, Users::new(author), closing))
    }

    /// What was written is the file from now on, if it still is the one that was opened.
    pub(crate) fn commit(&self, opened: &Opened, path: &NamePath) -> FsResult<()> {
        let (Some(draft), Some(users)) = (opened.draft(), opened.users()) else {
            return Ok(());
        };
        let commit = |Written { mode, base, value }| {
            let step = NameStep::Write {
                expect: base,
                mode,
                value,
            };
            self.change(path, step, users.opener().actor.clone())
        };
        // One is as small as an entry of the log.
        draft.commit(users, |_| Ok(()), commit)
    }

    /// New attributes; `opened` when the caller names an open file.
    pub(crate) fn set(
        &self,
        path: &NamePath,
        new: &NewAttributes,
        opened: Option<&Opened>,
        actor: Actor,
    ) -> FsResult<()> {
        match (new.size, opened) {
            (Some(size), Some(opened)) => opened.truncate(size)?,
            (Some(size), None) => self.truncate(path, size, actor.clone())?,
            (None, _) => {}
        }
        let mtime = new.mtime.map(|time| match time {
            SetTime::Now => Timestamp::now(),
            SetTime::At(time) => time,
        });
        let mode = new.mode;
        if mode.is_none() && mtime.is_none() {
            return Ok(());
        }
        self.change(path, NameStep::Touch { mode, mtime }, actor)
            .map(drop)
    }

    /// New attributes of a file that is being written. Its times are those of its commit.
    pub(crate) fn set_draft(
        &self,
        path: &NamePath,
        opened: &Opened,
        new: &NewAttributes,
        actor: Actor,
    ) -> FsResult<()> {
        if let Some(size) = new.size {
            opened.truncate(size)?;
        }
        let (Some(mode), Some(draft)) = (new.mode, opened.draft()) else {
            return Ok(());
        };
        draft.set_mode(mode);
        match self.file(path) {
            Ok(file) if draft.is_of(Expect::Is(file.version)) => {
                let (mode, mtime) = (Some(mode), None);
                self.change(path, NameStep::Touch { mode, mtime }, actor)
                    .map(drop)
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// truncate(2). One that is being written is truncated there, and is committed when that is closed.
    fn truncate(&self, path: &NamePath, size: u64, actor: Actor) -> FsResult<()> {
        let written_elsewhere = self.drafts.get(path);
        let opened = self.open_draft(path, false, actor)?;
        opened.truncate(size)?;
        match (opened.draft(), written_elsewhere) {
            (Some(draft), Some(other)) if Arc::ptr_eq(draft, &other) => {
                draft.cut();
                Ok(())
            }
            _ => self.commit(&opened, path),
        }
    }
}
