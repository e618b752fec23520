//! Between our types and fuser's.

use crate::error::{FsError, FsResult};
use crate::repository::{Creation, SetTime, Sought};
use crate::tree::{Entry, Stat};
use fuser::{FileAttr, FileType, INodeNo, OpenAccMode, OpenFlags, RenameFlags, TimeOrNow};
use gitmoor_model::room::Type;
use std::time::SystemTime;

/// Whether open(2) may change the file: the kernel leaves O_TRUNC to us.
pub(super) fn writes(flags: OpenFlags) -> bool {
    flags.acc_mode() != OpenAccMode::O_RDONLY || truncates(flags)
}

pub(super) fn truncates(flags: OpenFlags) -> bool {
    flags.0 & libc::O_TRUNC != 0
}

pub(super) fn appends(flags: OpenFlags) -> bool {
    flags.0 & libc::O_APPEND != 0
}

pub(super) fn creation(flags: i32) -> Creation {
    Creation {
        exclusive: flags & libc::O_EXCL != 0,
        truncate: truncates(OpenFlags(flags)),
    }
}

/// Whether rename(2) may replace what has the name.
pub(super) fn replaces(flags: RenameFlags) -> FsResult<bool> {
    if flags.contains(RenameFlags::RENAME_EXCHANGE) || flags.contains(RenameFlags::RENAME_WHITEOUT)
    {
        return Err(FsError::Unsupported("RENAME_EXCHANGE and RENAME_WHITEOUT"));
    }
    Ok(!flags.contains(RenameFlags::RENAME_NOREPLACE))
}

/// The kernel does the other kinds of lseek(2) itself.
pub(super) fn sought(whence: i32) -> FsResult<Sought> {
    match whence {
        libc::SEEK_DATA => Ok(Sought::Data),
        libc::SEEK_HOLE => Ok(Sought::Hole),
        _ => Err(FsError::Invalid),
    }
}

pub(super) fn kind(kind: Type) -> FileType {
    match kind {
        Type::File => FileType::RegularFile,
        Type::Directory => FileType::Directory,
        Type::Symlink => FileType::Symlink,
        Type::Fifo => FileType::NamedPipe,
        Type::Socket => FileType::Socket,
    }
}

pub(super) fn attr(ino: u64, stat: &Stat) -> FileAttr {
    FileAttr {
        ino: INodeNo(ino),
        size: stat.size,
        blocks: stat.blocks,
        atime: stat.atime.into(),
        mtime: stat.mtime.into(),
        ctime: stat.ctime.into(),
        crtime: SystemTime::UNIX_EPOCH,
        kind: kind(stat.kind),
        perm: stat.mode as u16,
        nlink: stat.nlink,
        uid: stat.uid,
        gid: stat.gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

pub(super) fn entry(entry: &Entry) -> FileAttr {
    attr(entry.ino, &entry.stat)
}

pub(super) fn time(time: TimeOrNow) -> SetTime {
    match time {
        TimeOrNow::Now => SetTime::Now,
        TimeOrNow::SpecificTime(at) => SetTime::At(at.into()),
    }
}
