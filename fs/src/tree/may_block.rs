//! Whether an operation may block: answered for every operation in this one place.
//!
//! A few threads read everybody's requests from the kernel. An operation that may block runs on
//! another thread, so that it holds up nobody ([`crate::fuse`]): one that waits for the cluster (a
//! ReadIndex, a lock, a commit), for the object store, for space in staging, or for a disk. The
//! answer comes from memory, or from the replicator's database.
//!
//! The question is asked once, before the operation begins. [`Process::may_wait`] carries the answer
//! along: on a thread that must not wait, the tree asks nothing of the cluster, even if what was fresh
//! a moment ago no longer is.

use super::names::begins_repository;
use super::{Place, Process, Tree, join_name};
use crate::consistency::is_shared;
use crate::repository::{Closing, Opened};
use gitmoor_model::room::{Room, may_be_value, room};
use gitmoor_model::{NamePath, RepoId, RepoPath, is_in_modules};
use gitmoor_replicator::{NameEntry, read};
use std::sync::Arc;

/// An operation, with what decides whether it may block besides its inode, name and process.
pub(crate) enum Op {
    /// lookup of a name.
    Lookup,
    Getattr,
    Setattr,
    Readlink,
    Mknod,
    Mkdir,
    Unlink,
    Rmdir,
    Symlink,
    Rename,
    Link,
    Open {
        /// Whether the flags allow writing.
        write: bool,
    },
    Create,
    Read {
        opened: Arc<Opened>,
        offset: u64,
        /// So many bytes.
        len: usize,
    },
    Write,
    Lseek,
    /// flush of an open file.
    Flush(Arc<Opened>),
    /// release of an open file.
    Release(Arc<Opened>),
    Fsync,
    Fsyncdir,
    Opendir {
        /// Whether the directory is listed for it.
        is_compared: bool,
    },
    Readdir {
        /// Whether the listing is in memory.
        is_kept: bool,
    },
    Releasedir,
    Statfs,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MayBlock {
    /// It is answered from memory, or by a few local system calls.
    No,
    /// It waits for nothing, but lists a directory, which takes as long as that is large.
    Lists,
    Yes,
}

impl Op {
    /// The name in metrics, logs and traces.
    pub(crate) fn name(&self) -> &'static str {
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
            Op::Opendir { .. } => "opendir",
            Op::Readdir { .. } => "readdir",
            Op::Releasedir => "releasedir",
            Op::Statfs => "statfs",
        }
    }

    /// Whether it may, of a process, on an inode or on a name in it.
    pub(crate) fn may_block(
        self,
        tree: &Tree,
        ino: u64,
        name: &[u8],
        process: Process,
    ) -> MayBlock {
        let may_block = match self {
            Op::Getattr | Op::Readlink | Op::Write | Op::Lseek | Op::Releasedir | Op::Statfs => {
                false
            }
            Op::Lookup => lookup_may_block(tree, ino, name, process),
            Op::Open { write } => open_may_block(tree, ino, write, process),
            Op::Opendir { is_compared } => {
                let waits = any_waits(tree, ino) || open_may_block(tree, ino, false, process);
                if is_compared && !waits {
                    return MayBlock::Lists;
                }
                waits
            }
            Op::Create => any_waits(tree, ino) || create_may_block(tree, ino, name),
            Op::Read {
                opened,
                offset,
                len,
            } => opened.needs_request(offset, len),
            Op::Flush(opened) => !matches!(opened.closing, Closing::Plain),
            Op::Release(opened) => match opened.closing {
                Closing::Plain | Closing::Config | Closing::NewConfig => false,
                Closing::Commit(_) | Closing::CommitName(_) | Closing::Finish(_) => true,
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
}

/// A lookup syncs reads, or opens a repository.
fn lookup_may_block(tree: &Tree, parent: u64, name: &[u8], process: Process) -> bool {
    let is_fresh = tree.shared.freshness.is_fresh_for(process.tid);
    match tree.inodes.above_repositories(parent) {
        Some(Place::Name(dir)) => !is_fresh || is_unopened(tree, &dir, name),
        Some(Place::Local(dir)) => is_unopened(tree, &dir, name),
        Some(Place::Beside(_) | Place::Repo(..)) | None => {
            !is_fresh && child_is_shared(tree, parent, name)
                || is_unopened_inside(tree, parent, name)
                || child_waits(tree, parent, name)
        }
    }
}

/// Whether a repository is not open, or its rows are not here.
fn is_away(tree: &Tree, id: RepoId) -> bool {
    !tree.shared.replica.has_loaded(id) || tree.repositories.if_open(id).is_none()
}

/// Whether this is the name of such a repository.
fn is_unopened(tree: &Tree, dir: &NamePath, name: &[u8]) -> bool {
    let is_unopened = |path: &NamePath| match read::name(tree.shared.replica.view(), path) {
        Ok(Some(NameEntry::Repo(id))) => is_away(tree, id),
        Ok(_) | Err(_) => false,
    };
    // The directory may have become one.
    is_unopened(dir) || join_name(dir, name).is_ok_and(|path| is_unopened(&path))
}

/// The same of one inside another.
fn is_unopened_inside(tree: &Tree, parent: u64, name: &[u8]) -> bool {
    let Some(Place::Repo(owner, dir)) = tree.inodes.place(parent) else {
        return false;
    };
    let is_unopened = |path: &RepoPath| match owner.modules().at(path) {
        Ok(Some(id)) => is_away(tree, id),
        Ok(None) | Err(_) => false,
    };
    is_unopened(&dir) || dir.join(name).is_some_and(|path| is_unopened(&path))
}

fn child_is_shared(tree: &Tree, parent: u64, name: &[u8]) -> bool {
    match tree.inodes.place(parent) {
        Some(Place::Repo(_, dir)) => dir.join(name).is_some_and(|path| is_shared(&path)),
        Some(Place::Name(_) | Place::Beside(_) | Place::Local(_)) | None => false,
    }
}

/// Whether a change of a ref waits for the end of its transaction.
fn child_waits(tree: &Tree, parent: u64, name: &[u8]) -> bool {
    match tree.inodes.place(parent) {
        Some(Place::Repo(repo, dir)) if repo.has_waiting() => {
            dir.join(name).is_some_and(|path| repo.waits(&path))
        }
        Some(Place::Repo(..) | Place::Name(_) | Place::Beside(_) | Place::Local(_)) | None => false,
    }
}

/// Whether one does in the repository of a directory of refs.
fn any_waits(tree: &Tree, dir: u64) -> bool {
    match tree.inodes.place(dir) {
        Some(Place::Repo(repo, dir)) => repo.has_waiting() && room(&dir) == Room::Refs,
        Some(Place::Name(_) | Place::Beside(_) | Place::Local(_)) | None => false,
    }
}

/// An open syncs reads, or copies a value into a draft.
fn open_may_block(tree: &Tree, ino: u64, write: bool, process: Process) -> bool {
    let is_fresh = tree.shared.freshness.is_fresh_for(process.tid);
    if tree.shared.freshness.is_alone() && !write {
        return false;
    }
    match tree.inodes.place(ino) {
        // A client asks a node for the bytes.
        Some(Place::Beside(_)) => true,
        Some(Place::Repo(_, path)) if write && may_be_value(&path) => true,
        Some(place) => !is_fresh && place.is_shared(),
        None => false,
    }
}

/// A creation asks the cluster for a lock, or waits for space in staging.
fn create_may_block(tree: &Tree, parent: u64, name: &[u8]) -> bool {
    let dir = match tree.inodes.place(parent) {
        // It may become a repository.
        Some(Place::Repo(_, dir)) if is_in_modules(&dir) && begins_repository(name) => return true,
        Some(Place::Repo(_, dir)) => dir,
        Some(Place::Name(_) | Place::Local(_)) => return begins_repository(name),
        Some(Place::Beside(_)) | None => return false,
    };
    let locks = || dir.join(name).is_some_and(|path| is_shared(&path));
    !tree.shared.freshness.is_alone() && locks()
        || room(&dir) == Room::Objects && !tree.shared.staging.has_space()
}
