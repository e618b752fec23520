//! Before the kernel is answered: whether the cluster is asked first, or something else is waited for; and how long the
//! kernel may take the answer for true. A mount that is alone asks nobody, and what it says lasts.

use super::{Place, Process, Tree, join_name};
use crate::consistency::{NameTtl, is_shared};
use crate::error::FsResult;
use gitmoor_model::name::{holds_objects, is_fan_out};
use gitmoor_model::room::{Room, room};
use gitmoor_model::{RepoId, RepoPath};
use gitmoor_replicator::{NameEntry, read};

impl Tree {
    /// Asks the cluster, if a process may not be shown what is known here.
    pub fn ask(&self, process: Process) -> FsResult<()> {
        self.shared.freshness.sync_reads_for(process.pid)
    }

    /// Whether [`Tree::lookup`] may take long, and [`Tree::ask_lookup`] comes before it.
    pub fn lookup_waits(&self, parent: u64, name: &[u8], process: Process) -> bool {
        let is_fresh = self.shared.freshness.is_fresh_for(process.pid);
        !is_fresh && self.child_is_shared(parent, name) || self.not_open(parent, name).is_some()
    }

    /// Asks the cluster as [`Tree::ask`] does, and for a repository that is not known here yet.
    pub fn ask_lookup(&self, parent: u64, name: &[u8], process: Process) -> FsResult<()> {
        self.ask(process)?;
        match self.not_open(parent, name) {
            Some(repo) if !self.shared.replica.holds(repo) => self.shared.freshness.hold(repo),
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
