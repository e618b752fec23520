//! An open file of a repository.

use super::{Draft, Identity, Users};
use crate::error::{FsError, FsResult};
use crate::repository::objects::{Seal, Seals, Writing};
use bytes::Bytes;
use gitmoor_model::{NamePath, RepoPath};
use gitmoor_store::block_cache::CachedFile;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// An open file. It keeps working when its name goes away.
pub(crate) struct Opened {
    /// Where its bytes are.
    pub body: Body,
    /// What its closing means.
    pub closing: Closing,
    /// Whether pages that the kernel has cached of it stay good: it never changes, or
    /// only through this kernel's page cache or under another inode number.
    pub lasting: bool,
    /// Whether it was opened for writing.
    pub writes: bool,
    /// Which file it is, if its name may get another; not of one that is open for writing,
    /// whose closing may make it another.
    pub identity: Option<Identity>,
    /// What keeps a finished file as it is for who reads it.
    pub(super) seal: Option<Arc<Seal>>,
    /// What allows to write to a real file; `None` once that is finished. Held shared by each write.
    writing: RwLock<Option<Writing>>,
}

/// Where the bytes of an open file are.
pub(crate) enum Body {
    Real(File),
    /// A replicated value that is being written.
    Draft(Arc<Draft>, Users),
    /// Replicated bytes.
    Bytes(Bytes),
    /// The same, of which there are too many for the memory.
    Value(Arc<File>),
    /// In the object store, through the cache.
    Stored(Arc<CachedFile>),
}

/// What lseek(2) looks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sought {
    /// SEEK_DATA.
    Data,
    /// SEEK_HOLE; the end of the file is one.
    Hole,
}

/// What closing a file means beyond closing it.
#[derive(Clone, Debug)]
pub(crate) enum Closing {
    Plain,
    /// A value was open for writing: what was written is committed.
    Commit(RepoPath),
    /// The same of a file beside repositories.
    CommitName(NamePath),
    /// A file was created under a final name: it is finished if its bytes are right.
    Finish(RepoPath),
    /// `config` was open for writing: its format may have changed.
    Config,
    /// The same of one that was created.
    NewConfig,
}

impl Opened {
    pub(crate) fn new(body: Body, closing: Closing) -> Self {
        let lasting = matches!(body, Body::Stored(_));
        Self {
            body,
            closing,
            lasting,
            writes: false,
            identity: None,
            seal: None,
            writing: RwLock::new(None),
        }
    }

    /// An open file of a draft.
    pub(crate) fn of_draft(draft: Arc<Draft>, users: Users, closing: Closing) -> Self {
        Self {
            writes: true,
            ..Self::new(Body::Draft(draft, users), closing)
        }
    }

    /// The same, [`lasting`](Self::lasting).
    pub(crate) fn lasting(self) -> Self {
        Self {
            lasting: true,
            ..self
        }
    }

    /// Up to `len` bytes from `offset`; fewer only at the end of the file.
    pub(crate) fn read(&self, offset: u64, len: usize) -> FsResult<Bytes> {
        match &self.body {
            Body::Real(file) => read_real(file, offset, len),
            Body::Draft(draft, _) => read_real(draft.file(), offset, len),
            Body::Bytes(bytes) => Ok(slice(bytes, offset, len)),
            Body::Value(file) => read_real(file, offset, len),
            Body::Stored(file) => Ok(file.read(offset, len)?),
        }
    }

    /// Whether reading this must ask the object store.
    pub(crate) fn needs_request(&self, offset: u64, len: usize) -> bool {
        match &self.body {
            Body::Stored(file) => !file.has(offset, len),
            Body::Real(_) | Body::Draft(..) | Body::Bytes(_) | Body::Value(_) => false,
        }
    }

    /// It may be written to. Nobody may write to a file whose bytes are finished, under whichever name.
    pub(crate) fn begin_writing(&mut self, seals: &Seals) -> FsResult<()> {
        self.writes = true;
        let Some(file) = self.real() else {
            return Ok(());
        };
        let writing = seals.write(&file.metadata()?).ok_or(FsError::Immutable)?;
        *self.writing() = Some(writing);
        Ok(())
    }

    /// What allows to write to it, when no write is under way.
    pub(crate) fn writing(&self) -> RwLockWriteGuard<'_, Option<Writing>> {
        self.writing.write()
    }

    /// While it is held nobody seals the file.
    fn may_write(&self) -> FsResult<RwLockReadGuard<'_, Option<Writing>>> {
        let writing = self.writing.read();
        match writing.is_some() {
            true => Ok(writing),
            false => Err(FsError::Immutable),
        }
    }

    /// pwrite(2) by a thread; `append` for a descriptor with O_APPEND.
    pub(crate) fn write(&self, offset: u64, data: &[u8], append: bool, tid: u32) -> FsResult<()> {
        match &self.body {
            Body::Real(file) => {
                let _writing = self.may_write()?;
                Ok(file.write_all_at(data, offset)?)
            }
            Body::Draft(draft, users) => {
                users.wrote(tid);
                draft.write(offset, data, append)
            }
            Body::Bytes(_) | Body::Value(_) | Body::Stored(_) => Err(FsError::Immutable),
        }
    }

    /// ftruncate(2).
    pub(crate) fn truncate(&self, size: u64) -> FsResult<()> {
        match &self.body {
            Body::Real(file) => {
                let _writing = self.may_write()?;
                Ok(file.set_len(size)?)
            }
            Body::Draft(draft, users) => {
                users.change();
                draft.truncate(size)
            }
            Body::Bytes(_) | Body::Value(_) | Body::Stored(_) => Err(FsError::Immutable),
        }
    }

    /// lseek(2) to data or to a hole: the next at or after `offset`. Of what has no real file all is data.
    pub(crate) fn seek(&self, offset: u64, to: Sought) -> FsResult<u64> {
        let file = match &self.body {
            Body::Real(file) => file,
            Body::Draft(draft, _) => draft.file(),
            Body::Value(file) => file,
            Body::Bytes(bytes) => return without_holes(bytes.len() as u64, offset, to),
            Body::Stored(file) => return without_holes(file.object().size, offset, to),
        };
        let to = match to {
            Sought::Data => SeekFrom::Data(offset),
            Sought::Hole => SeekFrom::Hole(offset),
        };
        // Every read and write names its place, so that nobody uses the one that this leaves.
        Ok(seek(file, to).map_err(io::Error::from)?)
    }

    /// The value in the making, if it is one.
    pub(crate) fn draft(&self) -> Option<&Arc<Draft>> {
        match &self.body {
            Body::Draft(draft, _) => Some(draft),
            Body::Real(_) | Body::Bytes(_) | Body::Value(_) | Body::Stored(_) => None,
        }
    }

    /// Who uses it, of a value in the making.
    pub(crate) fn users(&self) -> Option<&Users> {
        match &self.body {
            Body::Draft(_, users) => Some(users),
            Body::Real(_) | Body::Bytes(_) | Body::Value(_) | Body::Stored(_) => None,
        }
    }

    /// The real file, if it is one.
    pub(crate) fn real(&self) -> Option<&File> {
        match &self.body {
            Body::Real(file) => Some(file),
            Body::Draft(..) | Body::Bytes(_) | Body::Value(_) | Body::Stored(_) => None,
        }
    }
}

fn without_holes(size: u64, offset: u64, to: Sought) -> FsResult<u64> {
    match to {
        _ if offset >= size => Err(io::Error::from(Errno::NXIO).into()),
        Sought::Data => Ok(offset),
        Sought::Hole => Ok(size),
    }
}

fn read_real(file: &File, offset: u64, len: usize) -> FsResult<Bytes> {
    let mut buffer = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut buffer[filled..], offset + filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    buffer.truncate(filled);
    Ok(buffer.into())
}

fn slice(bytes: &Bytes, offset: u64, len: usize) -> Bytes {
    let start = usize::try_from(offset)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    let end = start.saturating_add(len).min(bytes.len());
    bytes.slice(start..end)
}
