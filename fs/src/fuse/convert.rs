//! Between our types and fuser's.

use crate::repository::SetTime;
use crate::tree::{Entry, Process, Stat};
use fuser::{FileAttr, FileType, INodeNo, Request, TimeOrNow};
use gitmoor_model::room::Type;
use std::time::SystemTime;

pub(super) fn process(request: &Request) -> Process {
    Process {
        uid: request.uid(),
        gid: request.gid(),
        pid: request.pid(),
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
