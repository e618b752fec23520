//! What stat(2) says.

use crate::error::FsResult;
use crate::local::file_like;
use crate::repository::{Body, Found, Opened, Repository, Type};
use gitmoor_replicator::model::Timestamp;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, UNIX_EPOCH};

/// Attributes of a file.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// Type.
    pub kind: Type,
    /// Permission bits.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// 512-byte blocks.
    pub blocks: u64,
    /// Hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last access.
    pub atime: Timestamp,
    /// Last modification.
    pub mtime: Timestamp,
    /// Last change.
    pub ctime: Timestamp,
}

impl Stat {
    /// A directory of the namespace: the daemon's own, with the time of nothing in particular.
    pub fn namespace() -> Self {
        let (uid, gid) = (
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
        );
        Self::made(Type::Directory, 0o755, 0, UNIX_EPOCH.into(), (uid, gid))
    }

    /// How long the kernel may keep this, at most `long`. It does not know that two
    /// names with inode numbers of their own are links to one file.
    pub fn ttl(&self, long: Duration) -> Duration {
        let linked = self.kind == Type::File && self.nlink > 1;
        if linked { Duration::ZERO } else { long }
    }

    fn made(kind: Type, mode: u32, size: u64, time: Timestamp, (uid, gid): (u32, u32)) -> Self {
        let nlink = if kind == Type::Directory { 2 } else { 1 };
        let blocks = size.div_ceil(512);
        let (atime, mtime, ctime) = (time, time, time);
        Self {
            kind,
            mode: mode & 0o7777,
            size,
            blocks,
            nlink,
            uid,
            gid,
            atime,
            mtime,
            ctime,
        }
    }

    fn real(meta: &Metadata, kind: Type) -> Self {
        let time = |secs, nanos| Timestamp {
            secs,
            nanos: nanos as u32,
        };
        Self {
            kind,
            mode: meta.mode() & 0o7777,
            size: meta.size(),
            blocks: meta.blocks(),
            nlink: meta.nlink() as u32,
            uid: meta.uid(),
            gid: meta.gid(),
            atime: time(meta.atime(), meta.atime_nsec()),
            mtime: time(meta.mtime(), meta.mtime_nsec()),
            ctime: time(meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// Of something in a repository.
pub fn of(found: &Found, repo: &Repository) -> FsResult<Stat> {
    let kind = found.kind();
    let made = |mode, size, time| FsResult::Ok(Stat::made(kind, mode, size, time, repo.owner()?));
    match found {
        Found::Real(meta) => Ok(Stat::real(meta, kind)),
        Found::Ref(entry) => made(entry.mode, entry.value.len() as u64, entry.mtime),
        Found::Object(entry) => made(entry.mode, entry.size, entry.mtime),
        Found::Directory => {
            let top = repo.top()?;
            let owner = (top.uid(), top.gid());
            Ok(Stat::made(kind, top.mode(), 0, UNIX_EPOCH.into(), owner))
        }
        Found::Settings(bytes) => made(0o444, bytes.len() as u64, UNIX_EPOCH.into()),
        Found::Packed(rendered) => {
            let top = repo.top()?;
            Ok(Stat {
                uid: top.uid(),
                gid: top.gid(),
                mode: file_like(top.mode()),
                ..Stat::real(rendered.stat(), kind)
            })
        }
    }
}

/// Of an open file that may have lost its name.
pub fn of_opened(opened: &Opened) -> FsResult<Stat> {
    let nameless = |size| Stat::made(Type::File, 0o444, size, UNIX_EPOCH.into(), (0, 0));
    match &opened.body {
        Body::Real(file) => Ok(Stat::real(&file.metadata()?, Type::File)),
        Body::Bytes(bytes) => Ok(nameless(bytes.len() as u64)),
        Body::Stored(file, _) => Ok(nameless(file.object().size)),
    }
}
