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
use gitmoor_model::name::{holds_objects, is_fan_out};
use gitmoor_model::room::{Room, room};
use gitmoor_model::{RepoId, RepoPath};
use gitmoor_replicator::{NameEntry, read};

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
        match join_name(dir, name).map(|path| replica.name(&path)) {
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
        match self.shared.replica.name(path)? {
            Some(NameEntry::Repo(id)) if !self.shared.replica.holds(id) => {
                self.shared.freshness.hold(id)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The repository of this name, if it has to be opened, or what is in it has to be asked for.
    fn not_open(&self, parent: u64, name: &[u8]) -> Option<RepoId> {
        let Some(Place::Name(dir)) = self.inodes.place(parent) else {
            return None;
        };
        let replica = &self.shared.replica;
        match read::name(replica.view(), &join_name(&dir, name).ok()?) {
            Ok(Some(NameEntry::Repo(id)))
                if !replica.holds(id) || self.repositories.if_open(id).is_none() =>
            {
                Some(id)
            }
            Ok(_) | Err(_) => None,
        }
    }

    /// Whether it comes before [`Tree::looked`].
    pub fn look_asks(&self, ino: u64, process: Process) -> bool {
        let fresh = &self.shared.freshness;
        !fresh.is_fresh_for(process.pid)
            && (self.inodes.place(ino)).is_some_and(|place| place.is_shared())
    }

    /// Whether [`Tree::create`] asks, since others may hold what is locked, or [`Tree::wait_for_room`] waits.
    pub fn create_waits(&self, parent: u64, name: &[u8]) -> bool {
        self.child_is_shared(parent, name)
            || self.is_in_objects(parent) && !self.shared.staging.has_room()
    }

    fn is_in_objects(&self, dir: u64) -> bool {
        matches!(self.inodes.place(dir), Some(Place::Repo(_, dir)) if room(&dir) == Room::Objects)
    }

    fn child_is_shared(&self, dir: u64, name: &[u8]) -> bool {
        !self.shared.freshness.is_alone()
            && match self.inodes.place(dir) {
                Some(Place::Name(_)) => true,
                Some(Place::Repo(_, dir)) => dir.join(name).is_some_and(|path| is_shared(&path)),
                None => false,
            }
    }

    /// The TTL of the name of what stands there.
    pub(super) fn name_ttl(&self, place: &Place) -> NameTtl {
        match place {
            Place::Repo(_, path) => self.name_ttl_in_repo(path, true),
            Place::Name(_) if self.shared.freshness.is_alone() => NameTtl::Long,
            Place::Name(_) => NameTtl::Zero,
        }
    }

    fn name_ttl_in_repo(&self, path: &RepoPath, is_there: bool) -> NameTtl {
        match self.shared.freshness.is_alone() {
            true => NameTtl::Long,
            false => NameTtl::of(path, is_there),
        }
    }

    /// How long "there is no such name" may be remembered by the kernel: never of
    /// what this file system itself brings into being, which are also objects (in a pack
    /// that bundles loose ones, or back because a ref needs them). The kernel learns of
    /// those a moment later, when a ref may name them already.
    pub fn absence_ttl(&self, parent: u64, name: &[u8]) -> NameTtl {
        let Some(Place::Repo(repo, dir)) = self.inodes.place(parent) else {
            return NameTtl::Zero;
        };
        match dir.join(name) {
            Some(path) if !is_ours(&path) => {
                let ttl = self.name_ttl_in_repo(&path, false);
                match self.inodes.has_writers(&Place::Repo(repo, path)) {
                    true => NameTtl::Zero,
                    false => ttl,
                }
            }
            Some(_) | None => NameTtl::Zero,
        }
    }
}

fn is_ours(path: &RepoPath) -> bool {
    path.as_bytes() == b"config" || holds_objects(path) || is_fan_out(path)
}
