//! The calls behind the operations: what a mount knows besides its tree, which are its open files
//! and listings. On whichever thread [`super::dispatch`] chose.

use super::asked::Asked;
use super::dir_cache::{DirCache, Opening};
use super::listings::{Listing, Listings};
use super::open_files::{Handle, OpenFiles, Slot};
use super::reply::{OpenDir, OpenFile};
use crate::error::{FsError, FsResult};
use crate::filesystem::FileSystem;
use crate::repository::{Creation, NewAttributes, Opened, Sought};
use crate::tree::{Entry, Listed, Stat, Tree};
use fuser::{BackingId, FileHandle};
use gitmoor_model::room::Type;
use rustix::fs::StatVfs;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What serves the calls of one mount.
pub(super) struct Calls {
    pub(super) fs: Arc<FileSystem>,
    pub(super) tree: Arc<Tree>,
    pub(super) files: OpenFiles,
    pub(super) listings: Listings,
    pub(super) dir_cache: DirCache,
    last_listing: AtomicU64,
    pub(super) passthrough: AtomicBool,
}

impl Calls {
    pub(super) fn new(fs: Arc<FileSystem>, tree: Arc<Tree>) -> Self {
        Self {
            fs,
            tree,
            files: OpenFiles::new(),
            listings: Listings::new(),
            dir_cache: DirCache::default(),
            last_listing: AtomicU64::new(0),
            passthrough: AtomicBool::new(false),
        }
    }

    /// Of the two levels that the kernel allows, what is below this mount in passthrough: one, so
    /// that the mount may be a lower layer of an overlay; two where the data directory is on an
    /// overlay itself, as in many containers.
    pub(super) fn stack_depth(&self) -> u32 {
        match rustix::fs::statfs(&self.fs.shared().config.data) {
            Ok(disk) if disk.f_type == libc::OVERLAYFS_SUPER_MAGIC => 2,
            Ok(_) | Err(_) => 1,
        }
    }

    /// Remembers why an operation was refused, if its errno does not say so.
    pub(super) fn note<T>(&self, asked: &Asked<'_>, result: &FsResult<T>) {
        if let Err(error) = result
            && error.says_more_than_its_errno()
        {
            self.fs.refusals.note(&asked.describe(&self.tree), error);
        }
    }

    pub(super) fn handle(&self, fh: FileHandle) -> FsResult<Arc<Handle>> {
        self.files.get(fh.0).ok_or(FsError::Invalid)
    }

    pub(super) fn getattr(
        &self,
        asked: &Asked<'_>,
        fh: Option<FileHandle>,
    ) -> FsResult<(u64, Stat)> {
        let handle = fh.and_then(|fh| self.files.get(fh.0));
        let opened = handle.as_ref().map(|handle| &*handle.opened);
        let stat = (self.tree).getattr(asked.ino(), opened, asked.process)?;
        Ok((asked.ino(), stat))
    }

    pub(super) fn setattr(
        &self,
        asked: &Asked<'_>,
        new: &NewAttributes,
        fh: Option<FileHandle>,
    ) -> FsResult<(u64, Stat)> {
        let handle = fh.and_then(|fh| self.files.get(fh.0));
        let opened = handle.as_ref().map(|handle| &*handle.opened);
        let stat = (self.tree).setattr(asked.ino(), new, opened, asked.process)?;
        Ok((asked.ino(), stat))
    }

    /// Opens a file; `register` makes a backing.
    pub(super) fn open(
        &self,
        asked: &Asked<'_>,
        (write, truncate): (bool, bool),
        register: impl FnOnce(&File) -> io::Result<BackingId>,
    ) -> FsResult<OpenFile> {
        let slot = self.files.slot(asked.process.uid)?;
        let opened = (self.tree).open(asked.ino(), write, truncate, asked.process)?;
        self.add(slot, asked.ino(), opened, write, register)
    }

    /// Creates a file, as [`Calls::open`].
    pub(super) fn create(
        &self,
        asked: &Asked<'_>,
        mode: u32,
        how: Creation,
        register: impl FnOnce(&File) -> io::Result<BackingId>,
    ) -> FsResult<(Entry, OpenFile)> {
        let slot = self.files.slot(asked.process.uid)?;
        let (dir, name) = (asked.ino(), asked.name());
        let (made, opened) = (self.tree).create(dir, name, mode, how, asked.process)?;
        let file = self.add(slot, made.ino, opened, true, register)?;
        Ok((made, file))
    }

    /// The kernel has this inode open with another file: it is to look the name up again.
    fn add(
        &self,
        slot: Slot,
        ino: u64,
        opened: Arc<Opened>,
        write: bool,
        register: impl FnOnce(&File) -> io::Result<BackingId>,
    ) -> FsResult<OpenFile> {
        let register = |file: &File| self.register(file, register);
        let Some((fh, handle)) = self.files.add(slot, ino, opened.clone(), register) else {
            self.tree.part(ino, &opened);
            return Err(FsError::Stale);
        };
        let fh = FileHandle(fh);
        Ok(OpenFile { fh, handle, write })
    }

    fn register(
        &self,
        file: &File,
        register: impl FnOnce(&File) -> io::Result<BackingId>,
    ) -> io::Result<BackingId> {
        if !self.passthrough.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        register(file).inspect_err(|error| {
            if error.raw_os_error() == Some(libc::EPERM) {
                tracing::info!(
                    "no FUSE passthrough without CAP_SYS_ADMIN: warm reads go through the daemon"
                );
                self.passthrough.store(false, Ordering::Relaxed);
            }
        })
    }

    pub(super) fn seek(&self, fh: FileHandle, offset: i64, to: Sought) -> FsResult<i64> {
        let offset = u64::try_from(offset).map_err(|_| FsError::Invalid)?;
        let at = self.handle(fh)?.opened.seek(offset, to)?;
        i64::try_from(at).map_err(|_| FsError::Invalid)
    }

    /// Opens a directory; `is_compared` where the kernel may hold its listing.
    pub(super) fn opendir(&self, asked: &Asked<'_>, is_compared: bool) -> FsResult<OpenDir> {
        self.tree.open_dir(asked.ino(), asked.process)?;
        let fh = self.last_listing.fetch_add(1, Ordering::Relaxed);
        // What fails now fails again when the names are asked for.
        let names = match is_compared {
            true => self.names(asked).ok(),
            false => None,
        };
        let digest = names.as_deref().map(|names| self.dir_cache.digest(names));
        let opening = self.dir_cache.open(asked.ino(), fh, digest);
        if let (Opening::Kept, Some(names)) = (opening, names) {
            // The kernel may lose a part of it.
            (self.listings).keep(fh, asked.process.uid, 0, names);
        }
        let fh = FileHandle(fh);
        Ok(OpenDir { fh, opening })
    }

    /// Tells a piece of a listing, made anew unless it is kept. `add` takes a name with the number
    /// behind it, and says whether there was room.
    pub(super) fn readdir(
        &self,
        asked: &Asked<'_>,
        (fh, offset): (u64, u64),
        kept: Option<Listing>,
        mut add: impl FnMut(u64, &Listed) -> bool,
    ) -> FsResult<()> {
        let listing = kept.map_or_else(|| self.list(asked, fh, offset), Ok)?;
        let mut told = None;
        for (next, listed) in listing.from(offset) {
            if !add(next, listed) {
                break;
            }
            told = Some((next, &listed.name));
        }
        if let Some((next, last)) = told {
            self.listings.told(fh, next, last);
        }
        Ok(())
    }

    fn list(&self, asked: &Asked<'_>, fh: u64, offset: u64) -> FsResult<Listing> {
        let filling = self.dir_cache.fill(fh);
        let names = self.names(asked)?;
        if let Some(filling) = filling {
            filling.with(&names);
        }
        let listing = (self.listings).keep(fh, asked.process.uid, offset, names);
        listing.ok_or(FsError::Invalid)
    }

    fn names(&self, asked: &Asked<'_>) -> FsResult<Vec<Listed>> {
        let dots = [".", ".."].map(|name| Listed {
            name: name.into(),
            kind: Type::Directory,
        });
        let names = dots.into_iter().chain(self.tree.list(asked.ino())?);
        Ok(names.collect())
    }

    /// The disk under the data directory: what is written here needs its space first. The limit of
    /// staging is none of the mount's size, since what is over it goes up and makes room.
    pub(super) fn statfs(&self) -> FsResult<StatVfs> {
        let data = &self.fs.shared().config.data;
        Ok(rustix::fs::statvfs(data).map_err(io::Error::from)?)
    }
}
