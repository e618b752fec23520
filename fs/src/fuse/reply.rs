//! Replies: what fuser sends for each kind of result, how long the kernel may keep it, and which
//! errno an error is.

use super::convert::{attr, entry, kind};
use super::dir_cache::Opening;
use super::metrics;
use super::open_files::Handle;
use crate::consistency::{NameTtl, TOLD};
use crate::error::{FsError, FsResult};
use crate::repository::Closing;
use crate::tree::{Entry, Listed, Lookup, Stat};
use bytes::Bytes;
use fuser::{
    Errno, FileHandle, FopenFlags, Generation, INodeNo, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite,
};
use rustix::fs::StatVfs;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

/// Everything that changes a name goes through this mount's kernel, which then
/// knows; for the rest there are invalidations. Hence long.
const TTL: Duration = Duration::from_secs(24 * 3600);

/// A reply that can be an error.
pub(super) trait Reply: Send + 'static {
    fn refuse(self, errno: Errno);
}

/// A reply that can be a `T`.
pub(super) trait ReplyWith<T>: Reply {
    fn with(self, value: T);
}

/// Replies with the result of an operation.
pub(super) fn reply_with<T>(reply: impl ReplyWith<T>, op: &'static str, result: FsResult<T>) {
    match result {
        Ok(value) => reply.with(value),
        Err(error) => reply.refuse(failed(op, &error)),
    }
}

/// The errno for the kernel, after logging what a person must know.
fn failed(op: &'static str, error: &FsError) -> Errno {
    let errno = error.errno();
    // Nothing has failed yet: the kernel looks the name up again.
    if matches!(error, FsError::Stale) {
        return Errno::from_i32(errno);
    }
    metrics::failed(op, errno);
    if error.is_fault() {
        tracing::error!(op, %error, "failed");
    } else {
        tracing::debug!(op, %error, "refused");
    }
    Errno::from_i32(errno)
}

fn duration(ttl: NameTtl) -> Duration {
    match ttl {
        NameTtl::Long => TTL,
        NameTtl::Told => TOLD,
        NameTtl::Zero => Duration::ZERO,
    }
}

macro_rules! replies {
    ($($reply:ty),*) => {
        $(impl Reply for $reply {
            fn refuse(self, errno: Errno) {
                self.error(errno);
            }
        })*
    };
}

replies!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyEmpty,
    ReplyEntry,
    ReplyLseek,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite
);

impl ReplyWith<()> for ReplyEmpty {
    fn with(self, (): ()) {
        self.ok();
    }
}

/// The attributes of an inode.
impl ReplyWith<(u64, Stat)> for ReplyAttr {
    fn with(self, (ino, stat): (u64, Stat)) {
        self.attr(&duration(stat.ttl()), &attr(ino, &stat));
    }
}

impl ReplyWith<Entry> for ReplyEntry {
    fn with(self, found: Entry) {
        let (ttl, attr_ttl) = (duration(found.name_ttl), duration(found.stat.ttl()));
        self.entry_with_ttls(&attr_ttl, &ttl, &entry(&found), Generation(0));
    }
}

impl ReplyWith<Lookup> for ReplyEntry {
    fn with(self, lookup: Lookup) {
        match lookup {
            Lookup::Found(found) => self.with(found),
            Lookup::Absent(NameTtl::Zero) => self.error(Errno::ENOENT),
            Lookup::Absent(ttl) => {
                let nothing = attr(0, &Stat::namespace());
                self.entry(&duration(ttl), &nothing, Generation(0));
            }
        }
    }
}

impl ReplyWith<Vec<u8>> for ReplyData {
    fn with(self, bytes: Vec<u8>) {
        self.data(&bytes);
    }
}

impl ReplyWith<Bytes> for ReplyData {
    fn with(self, bytes: Bytes) {
        self.data(&bytes);
    }
}

impl ReplyWith<u32> for ReplyWrite {
    fn with(self, written: u32) {
        self.written(written);
    }
}

impl ReplyWith<i64> for ReplyLseek {
    fn with(self, offset: i64) {
        self.offset(offset);
    }
}

/// An open directory.
pub(super) struct OpenDir {
    pub(super) fh: FileHandle,
    pub(super) opening: Opening,
}

impl ReplyWith<OpenDir> for ReplyOpen {
    fn with(self, dir: OpenDir) {
        self.opened(dir.fh, dir.opening.flags());
    }
}

pub(super) struct OpenFile {
    pub(super) fh: FileHandle,
    pub(super) handle: Arc<Handle>,
    /// Whether the flags of open(2) allow writing.
    pub(super) write: bool,
}

impl OpenFile {
    /// What the kernel may keep after the last close. A close(2) that means nothing to us need not be
    /// told: git closes ten files in a short command.
    fn flags(&self) -> FopenFlags {
        let opened = &self.handle.opened;
        let passthrough = self.handle.backing().is_some();
        let plain = matches!(opened.closing, Closing::Plain);
        // Other descriptors may share a draft under other inodes.
        let shared = opened.draft().is_some();
        let mut flags = FopenFlags::empty();
        flags.set(FopenFlags::FOPEN_KEEP_CACHE, opened.lasting && !passthrough);
        flags.set(
            FopenFlags::FOPEN_NOFLUSH,
            plain && (passthrough || !self.write),
        );
        flags.set(FopenFlags::FOPEN_DIRECT_IO, shared);
        flags
    }
}

impl ReplyWith<OpenFile> for ReplyOpen {
    fn with(self, file: OpenFile) {
        match file.handle.backing() {
            Some(backing) => self.opened_passthrough(file.fh, file.flags(), backing),
            None => self.opened(file.fh, file.flags()),
        }
    }
}

impl ReplyWith<(Entry, OpenFile)> for ReplyCreate {
    fn with(self, (made, file): (Entry, OpenFile)) {
        let (ttl, attr, flags) = (duration(made.name_ttl), entry(&made), file.flags());
        let first = Generation(0);
        match file.handle.backing() {
            Some(backing) => {
                self.created_passthrough(&ttl, &attr, first, file.fh, flags, backing);
            }
            None => self.created(&ttl, &attr, first, file.fh, flags),
        }
    }
}

/// The names were added before.
impl ReplyWith<()> for ReplyDirectory {
    fn with(self, (): ()) {
        self.ok();
    }
}

/// Adds a name with the number behind it; whether there was room.
pub(super) fn add(reply: &mut ReplyDirectory, next: u64, listed: &Listed) -> bool {
    // The kernel takes the number from lookup; here it only must not be 0.
    let ino = INodeNo(u64::MAX);
    let name = OsStr::from_bytes(&listed.name);
    let is_full = reply.add(ino, next, kind(listed.kind), name);
    !is_full
}

impl ReplyWith<StatVfs> for ReplyStatfs {
    fn with(self, disk: StatVfs) {
        self.statfs(
            disk.f_blocks,
            disk.f_bfree,
            disk.f_bavail,
            disk.f_files,
            disk.f_ffree,
            disk.f_bsize as u32,
            255,
            disk.f_frsize as u32,
        );
    }
}
