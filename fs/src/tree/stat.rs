//! What stat(2) says.

use crate::beneath::kind_of;
use crate::consistency::NameTtl;
use crate::error::FsResult;
use crate::repository::{
    Body, Found, Identity, NewAttributes, Opened, Repository, SetTime, type_of,
};
use gitmoor_model::name;
use gitmoor_model::room::Type;
use gitmoor_model::room::{Room, room};
use gitmoor_model::{HOOKS, RepoPath, Timestamp, Version};
use gitmoor_replicator::NameEntry;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

/// Attributes of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    pub kind: Type,
    /// Permission bits.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// 512-byte blocks.
    pub blocks: u64,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub atime: Timestamp,
    pub mtime: Timestamp,
    pub ctime: Timestamp,
    /// How long the kernel may keep this: not at all while somebody writes what has the name.
    pub kept: NameTtl,
}

impl Stat {
    /// A directory of the namespace: the daemon's own, with the time of nothing in particular.
    pub(crate) fn namespace() -> Self {
        let (uid, gid) = (
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
        );
        Self::made(Type::Directory, 0o755, 0, UNIX_EPOCH.into(), (uid, gid))
    }

    /// A file or a symbolic link beside repositories, and the version that wrote it; `None` of a directory. It
    /// belongs to whom the directory belongs: nobody else may make names there.
    pub(super) fn beside(entry: &NameEntry) -> Option<(Self, Version)> {
        let directory = Self::namespace();
        let owner = (directory.uid, directory.gid);
        match entry {
            NameEntry::Directory | NameEntry::Repo(_) => None,
            NameEntry::Link(link) => {
                let size = link.target.len() as u64;
                let stat = Self::made(Type::Symlink, 0o777, size, link.mtime, owner);
                Some((stat, link.version))
            }
            NameEntry::File(file) => {
                let stat = Self::made(Type::File, file.mode, file.size, file.mtime, owner);
                Some((stat, file.version))
            }
        }
    }

    /// How long the kernel may keep this. It does not know that two
    /// names with inode numbers of their own are links to one file.
    pub(crate) fn ttl(&self) -> NameTtl {
        let linked = self.kind == Type::File && self.nlink > 1;
        match linked {
            true => NameTtl::Zero,
            false => self.kept,
        }
    }

    /// The same, kept for no longer than that.
    pub(super) fn at_most(self, ttl: NameTtl) -> Self {
        Self {
            kept: self.kept.min(ttl),
            ..self
        }
    }

    /// The same of what is being written.
    pub(super) fn moving(self) -> Self {
        Self {
            kept: NameTtl::Zero,
            ..self
        }
    }

    /// The same of what has so many names, as far as the kernel knows: it links no file that has none.
    pub(super) fn named(self, names: usize) -> Self {
        let names = u32::try_from(names).unwrap_or(u32::MAX);
        Self {
            nlink: self.nlink.max(names),
            ..self
        }
    }

    /// With new attributes, of what may be gone by now.
    pub(super) fn with(self, new: &NewAttributes) -> Self {
        let time = |set, was| match set {
            Some(SetTime::Now) => Timestamp::now(),
            Some(SetTime::At(time)) => time,
            None => was,
        };
        Self {
            mode: new.mode.map_or(self.mode, |mode| mode & 0o7777),
            size: new.size.unwrap_or(self.size),
            uid: new.uid.unwrap_or(self.uid),
            gid: new.gid.unwrap_or(self.gid),
            atime: time(new.atime, self.atime),
            mtime: time(new.mtime, self.mtime),
            kept: NameTtl::Zero,
            ..self
        }
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
            kept: NameTtl::Long,
        }
    }

    /// Of what is in the repository's directory now, and may be in the store or the catalog in a moment:
    /// as it is shown then, since nobody will have changed it. A directory's own size would tell what
    /// is still in it.
    fn staged(meta: &Metadata, kind: Type, is_final: bool) -> Self {
        let real = Self::real(meta, kind);
        let (size, blocks) = match kind {
            Type::Directory => (0, 0),
            Type::File if is_final => (real.size, real.size.div_ceil(512)),
            Type::File | Type::Symlink | Type::Fifo | Type::Socket => return real,
        };
        Self {
            size,
            blocks,
            atime: real.mtime,
            ctime: real.mtime,
            ..real
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
            kept: NameTtl::Long,
        }
    }
}

/// Of what only this machine has, and which file it is; a directory stays the one of its name.
pub(super) fn of_local(meta: &Metadata) -> (Stat, Option<Identity>) {
    let identity = (!meta.is_dir()).then(|| Identity::real(meta));
    (Stat::real(meta, type_of(kind_of(meta))), identity)
}

/// Of something in a repository.
pub(super) fn of(path: &RepoPath, found: &Found, repo: &Repository) -> FsResult<Stat> {
    let kind = found.kind();
    let made = |mode, size, time| FsResult::Ok(Stat::made(kind, mode, size, time, repo.owner()?));
    match found {
        Found::Real(meta) if room(path) == Room::Objects => {
            Ok(Stat::staged(meta, kind, name::kind(path).is_some()))
        }
        Found::Real(meta) => Ok(Stat::real(meta, kind)),
        Found::Ref(entry) => made(entry.mode, entry.value.len() as u64, entry.mtime),
        Found::Object(entry) => made(entry.mode, entry.size, entry.mtime),
        Found::Directory => {
            let top = repo.top()?;
            let owner = (top.uid(), top.gid());
            Ok(Stat::made(kind, top.mode(), 0, UNIX_EPOCH.into(), owner))
        }
        Found::Hook(node) => {
            let size = match kind {
                Type::Directory => 0,
                Type::File | Type::Symlink | Type::Fifo | Type::Socket => node.bytes.len() as u64,
            };
            // The owner of the repository may have samples beside them.
            if path.as_bytes() == HOOKS {
                return made(0o755, size, node.mtime);
            }
            let daemon = Stat::namespace();
            let owner = (daemon.uid, daemon.gid);
            Ok(Stat::made(kind, node.mode(), size, node.mtime, owner))
        }
        Found::Settings(bytes) => made(0o444, bytes.len() as u64, UNIX_EPOCH.into()),
        Found::Packed(rendered) => {
            let rendered = Stat::real(rendered.stat(), kind);
            made(repo.packed_mode()?, rendered.size, rendered.mtime)
        }
    }
}

/// Of an open file that may have lost its name; `owner` is that of what has no real file.
pub(super) fn of_opened(opened: &Opened, owner: (u32, u32)) -> FsResult<Stat> {
    let nameless = |size| Stat::made(Type::File, 0o444, size, UNIX_EPOCH.into(), owner);
    match &opened.body {
        Body::Draft(draft, _) => {
            let ((mode, time), size) = (draft.shown(), draft.file().metadata()?.len());
            Ok(Stat::made(Type::File, mode, size, time, owner).moving())
        }
        Body::Real(file) => Ok(Stat::real(&file.metadata()?, Type::File)),
        Body::Bytes(bytes) => Ok(nameless(bytes.len() as u64)),
        Body::Value(file) => Ok(nameless(file.metadata()?.len())),
        Body::Stored(file) => Ok(nameless(file.object().size)),
    }
}
