//! Writing of values in place: who gets an inode of its own for it, and what is shown of it.
//!
//! The kernel opens the inode that a name led to, and shares what it keeps of that between all
//! who have it open. So a process that opens a value for writing is told to look again (ESTALE,
//! which open(2) does by itself, once), and its next lookup of the name finds an inode that
//! nobody else has. While there is one, the kernel may keep nothing of the name.

use super::inodes::Role;
use super::{Entry, Place, Process, Tree};
use crate::consistency::NameTtl;
use crate::error::{FsError, FsResult};
use crate::repository::{Creation, NewAttributes, Opened, Repository};
use crate::tree::Stat;
use gitmoor_model::{RepoId, RepoPath};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A process that has not come again for so long was ended in between.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// Who was told to look again: the thread, and for what. A thread of another pid namespace is 0, so
/// there may be several.
#[derive(Default)]
pub(super) struct Wanted(Mutex<HashMap<(u32, RepoId, RepoPath), Want>>);

struct Want {
    threads: usize,
    since: Instant,
}

impl Wanted {
    fn add(&self, tid: u32, repo: RepoId, path: &RepoPath) {
        let mut wanted = self.0.lock();
        wanted.retain(|_, want| want.since.elapsed() < FORGOTTEN);
        let want = wanted.entry((tid, repo, path.clone())).or_insert(Want {
            threads: 0,
            since: Instant::now(),
        });
        want.threads += 1;
        want.since = Instant::now();
    }

    fn has(&self, tid: u32, repo: RepoId, path: &RepoPath) -> bool {
        let wanted = self.0.lock();
        !wanted.is_empty() && wanted.contains_key(&(tid, repo, path.clone()))
    }

    fn remove(&self, tid: u32, repo: RepoId, path: &RepoPath) {
        let mut wanted = self.0.lock();
        let key = (tid, repo, path.clone());
        if let Some(want) = wanted.get_mut(&key) {
            want.threads -= 1;
            if want.threads == 0 {
                wanted.remove(&key);
            }
        }
    }
}

impl Tree {
    /// The inode of a lookup by a process that was told to look again.
    pub(super) fn inode_of_writer(&self, place: &Place, process: Process) -> Option<u64> {
        let Place::Repo(repo, path) = place else {
            return None;
        };
        let has = self.wanted.has(process.tid, repo.id, path);
        has.then(|| self.inodes.spare(place))
    }

    /// open(2) for writing of a value.
    pub(super) fn open_draft(
        &self,
        ino: u64,
        (repo, path): (&Repository, &RepoPath),
        truncate: bool,
        process: Process,
    ) -> FsResult<Arc<Opened>> {
        let is_open = || self.inodes.an_opened(ino).is_some();
        match self.inodes.role(ino) {
            Some(Role::Spare) => {}
            Some(Role::Draft) if is_open() => {}
            Some(Role::Named | Role::Draft) | None => {
                self.wanted.add(process.tid, repo.id, path);
                return Err(FsError::NotFound);
            }
        }
        self.wanted.remove(process.tid, repo.id, path);
        let opened = Arc::new(repo.open_draft(path, truncate, &self.caller(repo, process))?);
        self.inodes.take(ino, Role::Draft);
        self.opened_draft(ino, &opened, process);
        Ok(opened)
    }

    fn opened_draft(&self, ino: u64, opened: &Arc<Opened>, process: Process) {
        self.inodes.opened(ino, opened);
        if let Some(users) = opened.users() {
            users.add(process.tid);
        }
    }

    /// Whether the close of a descriptor commits the value; the last one does in any case.
    pub(super) fn commits(&self, ino: u64, opened: &Opened, process: Process) -> bool {
        let Some(users) = opened.users() else {
            return true;
        };
        match users.hold(ino, process.tid) {
            Some(held) => !held,
            None => users.is_written(),
        }
    }

    /// open(2) for reading of an inode that may be a writer's.
    pub(super) fn open_beside_writers(&self, ino: u64) -> FsResult<()> {
        match self.inodes.role(ino) {
            Some(Role::Draft) => Err(FsError::NotFound),
            Some(Role::Spare) => {
                self.inodes.take(ino, Role::Named);
                Ok(())
            }
            Some(Role::Named) | None => Ok(()),
        }
    }

    /// open(2) with O_CREAT of a value that is not there.
    pub(super) fn create_draft(
        &self,
        (repo, path): (Arc<Repository>, RepoPath),
        mode: u32,
        how: Creation,
        process: Process,
    ) -> FsResult<(Entry, Arc<Opened>)> {
        self.wanted.remove(process.tid, repo.id, &path);
        let caller = self.caller(&repo, process);
        let opened = Arc::new(repo.create_draft(&path, mode, how, &caller)?);
        let stat = self.stat_opened(&opened, &repo)?;
        let ino = self.inodes.spare(&Place::Repo(repo, path));
        self.inodes.take(ino, Role::Draft);
        self.opened_draft(ino, &opened, process);
        let name_ttl = NameTtl::Zero;
        let entry = Entry {
            ino,
            stat,
            name_ttl,
        };
        Ok((entry, opened))
    }

    /// What stat(2) says of a value in the making; `None` of any other inode.
    pub(super) fn stat_draft(&self, ino: u64, opened: Option<&Opened>) -> Option<FsResult<Stat>> {
        let Some(Place::Repo(repo, _)) = self.inodes.draft(ino) else {
            return None;
        };
        Some(match (opened, self.inodes.an_opened(ino)) {
            (Some(opened), _) => self.stat_opened(opened, &repo),
            (None, Some(opened)) => self.stat_opened(&opened, &repo),
            (None, None) => Err(FsError::NotFound),
        })
    }

    /// What truncate(2) has made of a value is another one of the same file: the kernel has done
    /// with what it kept of the inode what was done here.
    pub(super) fn truncated(&self, ino: u64, place: &Place) -> FsResult<Stat> {
        let (stat, identity) = self.stat_place(place)?;
        self.inodes.became(ino, identity);
        Ok(stat)
    }

    /// New attributes of a value in the making; `None` of any other inode.
    pub(super) fn set_draft(
        &self,
        ino: u64,
        new: &NewAttributes,
        opened: Option<&Opened>,
        process: Process,
    ) -> Option<FsResult<()>> {
        let Some(Place::Repo(repo, path)) = self.inodes.draft(ino) else {
            return None;
        };
        let any = self.inodes.an_opened(ino);
        Some(match opened.or(any.as_deref()) {
            Some(opened) => repo.set_draft(&path, opened, new, &self.caller(&repo, process)),
            None => Err(FsError::NotFound),
        })
    }
}
