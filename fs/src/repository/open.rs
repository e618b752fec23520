//! Opening, creating and closing files: what a handle's bytes are, and what its
//! closing means.

use super::{Body, Caller, Closing, Creation, Found, Identity, Opened, Repository, Users};
use crate::error::{FsError, FsResult};
use crate::repository::host_files::mode_of_value;
use crate::repository::objects::{Content, FileId};
use crate::repository::refs::Value;
use gitmoor_model::name;
use gitmoor_model::room::{Room, Type, room};
use gitmoor_model::{Expect, FileEntry, RepoPath};
use std::io::{Cursor, ErrorKind, Read};

/// Bytes of a `packed-refs` that the kernel keeps as it keeps values. Each read that it passes
/// through instead has it ask for the attributes anew.
const KEPT_PACKED_REFS: u64 = 256 << 10;

/// How often open(2) looks what has a name, which may become another file's meanwhile.
const ATTEMPTS: usize = 3;

impl Repository {
    /// open(2) of an existing file; `write` when the flags allow writing.
    pub(crate) fn open_file(&self, path: &RepoPath, write: bool) -> FsResult<Opened> {
        // Publishing may move a real file into the cache between the look and
        // the open; the second look finds it catalogued. Or it may seal one that is to be written, of which the
        // next look makes a copy.
        if write {
            drop(self.change_hooks(path)?);
        }
        for _ in 0..ATTEMPTS {
            let found = self.find(path)?.ok_or(FsError::NotFound)?;
            let identity = Identity::of(path, &found);
            let mut opened = match self.open_found(path, found, write) {
                Err(FsError::NotFound) => continue,
                Err(FsError::Immutable) if write && name::is_rewritable(path) => continue,
                Err(FsError::Io(e)) if e.kind() == ErrorKind::NotFound => continue,
                other => other?,
            };
            if !write {
                opened.identity = Identity::of_opened(&opened, identity)?;
                return Ok(opened);
            }
            match opened.begin_writing(&self.shared.seals) {
                Err(FsError::Immutable) if name::is_rewritable(path) => continue,
                begun => return begun.map(|()| opened),
            }
        }
        Err(FsError::NotFound)
    }

    pub(super) fn open_found(
        &self,
        path: &RepoPath,
        found: Found,
        write: bool,
    ) -> FsResult<Opened> {
        match found {
            Found::Real(_) => self.open_real(path, write),
            Found::Object(entry) if write && name::is_rewritable(path) => {
                self.open_copy(path, &entry)
            }
            // A value is written in a draft.
            Found::Ref(_) | Found::Packed(_) | Found::Object(_) | Found::Settings(_) if write => {
                Err(FsError::Immutable)
            }
            // Another value is another inode, or was written through the kernel's pages.
            Found::Ref(entry) => Ok(plain(match self.refs.open_value(path, entry)? {
                Value::Bytes(bytes) => Body::Bytes(bytes),
                Value::File(file) => Body::Value(file),
            })
            .lasting()),
            Found::Packed(rendered) => {
                let opened = plain(Body::Real(rendered.open()?));
                // As a value. A large one is sooner read where it lies than through here.
                match rendered.stat().len() <= KEPT_PACKED_REFS {
                    true => Ok(opened.lasting()),
                    false => Ok(opened),
                }
            }
            Found::Hook(_) if write => Err(FsError::HooksOfMachine),
            Found::Hook(node) if node.type_of() == Type::File => {
                Ok(plain(Body::Bytes(node.bytes)).lasting())
            }
            Found::Hook(_) => Err(FsError::Invalid),
            Found::Settings(bytes) => Ok(plain(Body::Bytes(bytes.into())).lasting()),
            // Its bytes stay, or the name gets another inode.
            Found::Object(entry) => Ok(plain(match self.objects.content(path, &entry)? {
                Content::Inline(bytes) => Body::Bytes(bytes),
                Content::Stored(file) => Body::Stored(file),
            })
            .lasting()),
            Found::Directory => Err(FsError::IsDirectory),
        }
    }

    fn open_real(&self, path: &RepoPath, write: bool) -> FsResult<Opened> {
        let closing = match room(path) {
            Room::Objects if write && self.objects.is_sealed(path) => {
                return Err(FsError::Immutable);
            }
            Room::Objects if write && name::is_rewritable(path) => {
                self.objects.reopen(path)?;
                Closing::Finish(path.clone())
            }
            Room::Objects if write && name::kind(path).is_some() => Closing::Finish(path.clone()),
            Room::Local if write && path.as_bytes() == b"config" => {
                self.config.begin_in_place()?;
                Closing::Config
            }
            Room::Objects | Room::Refs | Room::Host | Room::Local => Closing::Plain,
        };
        let file = match write {
            true => match self.files.open_to_write(path) {
                // It is being sealed just now.
                Err(FsError::Io(e)) if e.kind() == ErrorKind::WouldBlock => {
                    return Err(FsError::Immutable);
                }
                opened => opened?,
            },
            // Not for writing: that would look like a writer to whoever finishes the file.
            false => self.files.open_to_read(path)?.ok_or(FsError::NotFound)?,
        };
        let mut opened = Opened::new(Body::Real(file), closing);
        if room(path) == Room::Objects && !write {
            opened.seal = self.objects.seal_of(path);
        }
        Ok(match path.as_bytes() {
            // Every command reads it several times, and after each read that the
            // kernel passes through it asks for the attributes anew.
            b"config" => opened.lasting(),
            _ => opened,
        })
    }

    /// A name that may get other bytes (`info/alternates`, …) is written to in a
    /// real copy, which is finished again when it is closed.
    fn open_copy(&self, path: &RepoPath, entry: &FileEntry) -> FsResult<Opened> {
        let copy = self.objects.copy(path, entry)?;
        match self.files.put_private_new(&copy.path(), path)? {
            true => self.open_real(path, true),
            // Somebody has given it other bytes meanwhile.
            false => Err(FsError::NotFound),
        }
    }

    /// open(2) with O_CREAT of a name that is not there, and is not a value's.
    pub(crate) fn create(&self, path: &RepoPath, mode: u32, caller: &Caller) -> FsResult<Opened> {
        if self.find(path)?.is_some() {
            return Err(FsError::Exists);
        }
        let _changing = self.change_hooks(path)?;
        self.config.begin(path, mode, caller.owner)?;
        let make = || self.files.create(path, mode, caller.owner);
        let file = match room(path) {
            Room::Refs => {
                self.own_hooks.tell()?;
                self.refs.created(path, caller.read.pid, make)?
            }
            // A file of a host that is still plain.
            Room::Objects | Room::Host | Room::Local => make()?,
        };
        self.objects.began(path);
        let quarantines = &self.shared.quarantines;
        quarantines.made(self.id, path, caller.read.pid);
        let closing = match room(path) {
            Room::Objects if name::kind(path).is_some() => Closing::Finish(path.clone()),
            Room::Local if path.as_bytes() == b"config" => Closing::NewConfig,
            Room::Objects | Room::Refs | Room::Host | Room::Local => Closing::Plain,
        };
        let mut opened = Opened::new(Body::Real(file), closing);
        opened.begin_writing(&self.shared.seals)?;
        Ok(opened)
    }

    /// open(2) for writing of a value that is there. What others write until the commit is not
    /// overwritten.
    pub(crate) fn open_draft(
        &self,
        path: &RepoPath,
        truncate: bool,
        caller: &Caller,
    ) -> FsResult<Opened> {
        self.host_files.adopt_if_plain(path)?;
        let (mode, base, bytes): (_, _, Box<dyn Read>) = match self.find(path)? {
            Some(Found::Ref(entry)) => {
                let base = Expect::Is(entry.version);
                (entry.mode, base, Box::new(Cursor::new(entry.value)))
            }
            Some(Found::Packed(rendered)) => {
                let base = Expect::Is(rendered.version());
                let mode = libc::S_IFREG | self.packed_mode()?;
                (mode, base, Box::new(rendered.open()?))
            }
            Some(Found::Directory | Found::Real(_)) => return Err(FsError::IsDirectory),
            Some(Found::Object(_) | Found::Settings(_)) => return Err(FsError::Immutable),
            Some(Found::Hook(_)) => return Err(FsError::HooksOfMachine),
            None => return Err(FsError::NotFound),
        };
        let bytes: Box<dyn Read> = match truncate {
            true => Box::new(std::io::empty()),
            false => bytes,
        };
        let opened = self
            .drafts
            .open(path, (mode, base), bytes, self.author(caller))?;
        if truncate {
            opened.truncate(0)?;
        }
        Ok(opened)
    }

    /// open(2) with O_CREAT of a value that is not there. Others see it when it is closed.
    pub(crate) fn create_draft(
        &self,
        path: &RepoPath,
        mode: u32,
        how: Creation,
        caller: &Caller,
    ) -> FsResult<Opened> {
        // Before it is looked for, so that what comes in between is not overwritten.
        let base = self.refs.current(path)?;
        if self.find(path)?.is_some() || how.exclusive && self.drafts.get(path).is_some() {
            return Err(FsError::Exists);
        }
        let mode = mode_of_value(path, libc::S_IFREG | mode & 0o7777);
        let (value, bytes) = ((mode, base), std::io::empty());
        let opened = self.drafts.open(path, value, bytes, self.author(caller))?;
        if how.truncate {
            opened.truncate(0)?;
        }
        // It is new, though nothing may be written to it.
        opened.users().into_iter().for_each(Users::change);
        Ok(opened)
    }

    /// close(2) of one descriptor: what a direct write means takes effect here, so that its
    /// error reaches the writer.
    pub(crate) fn flush(&self, opened: &Opened) -> FsResult<()> {
        match &opened.closing {
            Closing::Plain | Closing::CommitName(_) => Ok(()),
            Closing::Commit(path) => self.drafts.commit(opened, path),
            Closing::Finish(path) if name::holds_objects(path) => self.finish_closed(opened, path),
            Closing::Finish(_) => Ok(()),
            Closing::Config | Closing::NewConfig => {
                let is_new = matches!(opened.closing, Closing::NewConfig);
                self.config.written(is_new)?;
                self.host_files.adopt_when_made();
                self.shown_hooks().changed_if_any();
                Ok(())
            }
        }
    }

    /// A file that was written to is closed.
    pub(crate) fn closed(&self, path: &RepoPath) {
        drop(self.own_hooks.changing(path));
    }

    pub(crate) fn release(&self, opened: &Opened) -> FsResult<()> {
        match &opened.closing {
            Closing::Plain | Closing::CommitName(_) | Closing::Config | Closing::NewConfig => {
                Ok(())
            }
            Closing::Commit(path) => self.drafts.commit(opened, path),
            Closing::Finish(path) => match (self.finish_closed(opened, path), opened.real()) {
                (
                    Err(error @ (FsError::WrongBytes { .. } | FsError::Sparse { .. })),
                    Some(file),
                ) => {
                    let file = FileId::of(&file.metadata()?);
                    self.objects.set_aside(path, file, &error)
                }
                (finished, _) => finished,
            },
        }
    }

    /// A file that was written under its final name is finished when its bytes are
    /// right. If not, whoever closes it is told; since the descriptor may be a
    /// duplicate, closed before the bytes are there, a later close may finish it yet.
    fn finish_closed(&self, opened: &Opened, path: &RepoPath) -> FsResult<()> {
        let Some(file) = opened.real() else {
            return Ok(());
        };
        if self.objects.is_finished(path) || self.files.stat(path)?.is_none() {
            return Ok(());
        }
        match name::holds_objects(path) {
            true => self
                .objects
                .finish_written(path, file, &mut opened.writing()),
            false => self.objects.finish_rewritten(path),
        }
    }
}

fn plain(body: Body) -> Opened {
    Opened::new(body, Closing::Plain)
}
