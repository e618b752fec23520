//! Whether an operation may block: answered for every operation in this one place.
//!
//! A few threads read everybody's requests from the kernel. An operation that may block runs on
//! another thread, so that it holds up nobody ([`crate::fuse`]): one that waits for the cluster (a
//! ReadIndex, a lock, a commit), for the object store, for space in staging, or for a disk. The
//! answer comes from memory, or from the replicator's database.
//!
//! The question is asked once, before the operation begins. [`Process::may_wait`] carries the answer
//! along: on a thread that must not wait, [`Tree::sync_reads`] asks nothing of the cluster, even if
//! what was fresh a moment ago no longer is.

use super::{Place, Process, Tree, join_name};
use crate::consistency::is_shared;
use crate::error::FsResult;
use crate::repository::{Closing, Opened};
use gitmoor_model::NamePath;
use gitmoor_model::room::{Room, is_value, room};
use gitmoor_replicator::{NameEntry, read};
use std::sync::Arc;

/// An operation, with what decides whether it may block besides its inode, name and process.
pub enum Op {
    /// lookup of a name.
    Lookup,
    /// getattr.
    Getattr,
    /// setattr.
    Setattr,
    /// readlink.
    Readlink,
    /// mknod.
    Mknod,
    /// mkdir.
    Mkdir,
    /// unlink.
    Unlink,
    /// rmdir.
    Rmdir,
    /// symlink.
    Symlink,
    /// rename.
    Rename,
    /// link.
    Link,
    /// open.
    Open {
        /// Whether the flags allow writing.
        write: bool,
    },
    /// create.
    Create,
    /// read.
    Read {
        /// The open file.
        opened: Arc<Opened>,
        /// The first byte.
        offset: u64,
        /// So many bytes.
        len: usize,
    },
    /// write.
    Write,
    /// lseek.
    Lseek,
    /// flush of an open file.
    Flush(Arc<Opened>),
    /// release of an open file.
    Release(Arc<Opened>),
    /// fsync.
    Fsync,
    /// fsyncdir.
    Fsyncdir,
    /// opendir.
    Opendir,
    /// readdir.
    Readdir {
        /// Whether the listing is in memory.
        is_kept: bool,
    },
    /// releasedir.
    Releasedir,
    /// statfs.
    Statfs,
}

/// Whether it may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MayBlock {
    /// It is answered from memory, or by a few local system calls.
    No,
    /// It waits for nothing, but lists a directory, which takes as long as that is large.
    Lists,
    /// It may wait.
    Yes,
}

impl Op {
    /// The name in metrics, logs and traces.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Lookup => "lookup",
            Op::Getattr => "getattr",
            Op::Setattr => "setattr",
            Op::Readlink => "readlink",
            Op::Mknod => "mknod",
            Op::Mkdir => "mkdir",
            Op::Unlink => "unlink",
            Op::Rmdir => "rmdir",
            Op::Symlink => "symlink",
            Op::Rename => "rename",
            Op::Link => "link",
            Op::Open { .. } => "open",
            Op::Create => "create",
            Op::Read { .. } => "read",
            Op::Write => "write",
            Op::Lseek => "lseek",
            Op::Flush(_) => "flush",
            Op::Release(_) => "release",
            Op::Fsync => "fsync",
            Op::Fsyncdir => "fsyncdir",
            Op::Opendir => "opendir",
            Op::Readdir { .. } => "readdir",
            Op::Releasedir => "releasedir",
            Op::Statfs => "statfs",
        }
    }
}

impl Tree {
    /// Whether an operation of a process on an inode, or on a name in it, may block.
    pub fn may_block(&self, op: Op, ino: u64, name: &[u8], process: Process) -> MayBlock {
        let may_block = match op {
            Op::Getattr | Op::Readlink | Op::Write | Op::Lseek | Op::Releasedir | Op::Statfs => {
                false
            }
            Op::Lookup => self.lookup_may_block(ino, name, process),
            Op::Open { write } => self.open_may_block(ino, write, process),
            Op::Opendir => self.open_may_block(ino, false, process),
            Op::Create => self.create_may_block(ino, name),
            Op::Read {
                opened,
                offset,
                len,
            } => opened.needs_request(offset, len),
            Op::Flush(opened) => !matches!(opened.closing, Closing::Plain),
            Op::Release(opened) => match opened.closing {
                Closing::Plain | Closing::Config | Closing::NewConfig => false,
                Closing::Commit(_) | Closing::Finish(_) => true,
            },
            Op::Readdir { is_kept: true } => false,
            Op::Readdir { is_kept: false } => return MayBlock::Lists,
            Op::Setattr
            | Op::Mknod
            | Op::Mkdir
            | Op::Unlink
            | Op::Rmdir
            | Op::Symlink
            | Op::Rename
            | Op::Link
            | Op::Fsync
            | Op::Fsyncdir => true,
        };
        match may_block {
            true => MayBlock::Yes,
            false => MayBlock::No,
        }
    }

    /// It syncs reads, or opens a repository.
    fn lookup_may_block(&self, parent: u64, name: &[u8], process: Process) -> bool {
        let is_fresh = self.shared.freshness.is_fresh_for(process.pid);
        match self.inodes.namespace_dir(parent) {
            Some(dir) => !is_fresh || self.is_unopened(&dir, name),
            None => !is_fresh && self.child_is_shared(parent, name),
        }
    }

    /// Whether this is the name of a repository that is not open, or of which the rows are not here.
    fn is_unopened(&self, dir: &NamePath, name: &[u8]) -> bool {
        let replica = &self.shared.replica;
        match join_name(dir, name).map(|path| read::name(replica.view(), &path)) {
            Ok(Ok(Some(NameEntry::Repo(id)))) => {
                !replica.holds(id) || self.repositories.if_open(id).is_none()
            }
            Ok(_) | Err(_) => false,
        }
    }

    fn child_is_shared(&self, parent: u64, name: &[u8]) -> bool {
        match self.inodes.place(parent) {
            Some(Place::Repo(_, dir)) => dir.join(name).is_some_and(|path| is_shared(&path)),
            Some(Place::Name(_)) | None => false,
        }
    }

    /// It syncs reads, or copies a value into a draft.
    fn open_may_block(&self, ino: u64, write: bool, process: Process) -> bool {
        let is_fresh = self.shared.freshness.is_fresh_for(process.pid);
        if is_fresh && !write {
            return false;
        }
        match self.inodes.place(ino) {
            Some(Place::Repo(_, path)) if write && is_value(&path) => true,
            Some(place) => !is_fresh && place.is_shared(),
            None => false,
        }
    }

    /// It asks the cluster for a lock, or waits for space in staging.
    fn create_may_block(&self, parent: u64, name: &[u8]) -> bool {
        let Some(Place::Repo(_, dir)) = self.inodes.place(parent) else {
            return false;
        };
        let locks = || dir.join(name).is_some_and(|path| is_shared(&path));
        !self.shared.freshness.is_alone() && locks()
            || room(&dir) == Room::Objects && !self.shared.staging.has_room()
    }

    /// Syncs reads before a process is shown what others may have changed.
    pub(super) fn sync_reads(&self, place: &Place, process: Process) -> FsResult<()> {
        match process.may_wait && place.is_shared() {
            true => self.shared.freshness.sync_reads_for(process.pid),
            false => Ok(()),
        }
    }

    /// Syncs reads before a process is shown what a name of the namespace stands for. What is in a
    /// repository of that name is loaded, on a client that has not done so yet.
    pub(super) fn sync_name(&self, path: &NamePath, process: Process) -> FsResult<()> {
        if !process.may_wait {
            return Ok(());
        }
        self.shared.freshness.sync_reads_for(process.pid)?;
        match read::name(self.shared.replica.view(), path)? {
            Some(NameEntry::Repo(id)) if !self.shared.replica.holds(id) => {
                self.shared.freshness.hold(id)
            }
            Some(_) | None => Ok(()),
        }
    }
}
