//! Writing of values in place: who gets an inode of its own for it, and what is shown of it.
//!
//! The kernel opens the inode that a name led to, and shares what it keeps of that between all
//! who have it open. So a process that opens a value for writing is told to look again (ESTALE,
//! which open(2) does by itself, once), and its next lookup of the name finds an inode that
//! nobody else has. While there is one, the kernel may keep nothing of the name.

use super::inodes::{Key, Role};
use super::{Entry, Place, Process, Tree, stat};
use crate::consistency::NameTtl;
use crate::error::{FsError, FsResult};
use crate::repository::{Closing, Creation, NewAttributes, Opened};
use crate::tree::Stat;
use gitmoor_model::NamePath;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A process that has not come again for so long was ended in between.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// Who was told to look again: the thread, and for what. A thread of another pid namespace is 0, so
/// there may be several.
#[derive(Default)]
pub(super) struct Wanted(Mutex<HashMap<(u32, Key), Want>>);

struct Want {
    threads: usize,
    since: Instant,
}

impl Wanted {
    fn add(&self, tid: u32, place: &Place) {
        let mut wanted = self.0.lock();
        wanted.retain(|_, want| want.since.elapsed() < FORGOTTEN);
        let want = wanted.entry((tid, Key::of(place))).or_insert(Want {
            threads: 0,
            since: Instant::now(),
        });
        want.threads += 1;
        want.since = Instant::now();
    }

    fn has(&self, tid: u32, place: &Place) -> bool {
        let wanted = self.0.lock();
        !wanted.is_empty() && wanted.contains_key(&(tid, Key::of(place)))
    }

    fn remove(&self, tid: u32, place: &Place) {
        let mut wanted = self.0.lock();
        let key = (tid, Key::of(place));
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
        let has = self.wanted.has(process.tid, place);
        has.then(|| self.inodes.spare(place))
    }

    /// open(2) for writing of a value, or of a file beside repositories.
    pub(super) fn open_draft(
        &self,
        ino: u64,
        place: &Place,
        truncate: bool,
        process: Process,
    ) -> FsResult<Arc<Opened>> {
        let is_open = || self.inodes.an_opened(ino).is_some();
        match self.inodes.role(ino) {
            Some(Role::Spare) => {}
            Some(Role::Draft) if is_open() => {}
            Some(Role::Named | Role::Draft) | None => {
                self.wanted.add(process.tid, place);
                return Err(FsError::NotFound);
            }
        }
        self.wanted.remove(process.tid, place);
        let opened = Arc::new(match place {
            Place::Repo(repo, path) => {
                repo.open_draft(path, truncate, &self.caller(repo, process))?
            }
            Place::Beside(path) => {
                let actor = self.names.actor(process);
                self.names.beside.open_draft(path, truncate, actor)?
            }
            Place::Name(_) | Place::Local(_) => return Err(FsError::IsDirectory),
        });
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
        match users.hold((self.device.get().copied(), ino), process.tid) {
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

    /// open(2) with O_CREAT of a value, or of a file beside repositories, that is not there.
    pub(super) fn create_draft(
        &self,
        place: Place,
        mode: u32,
        how: Creation,
        process: Process,
    ) -> FsResult<(Entry, Arc<Opened>)> {
        self.wanted.remove(process.tid, &place);
        let opened = Arc::new(match &place {
            Place::Repo(repo, path) => {
                repo.create_draft(path, mode, how, &self.caller(repo, process))?
            }
            Place::Beside(path) => {
                let actor = self.names.actor(process);
                self.names.beside.create_draft(path, mode, how, actor)?
            }
            Place::Name(_) | Place::Local(_) => return Err(FsError::IsDirectory),
        });
        let stat = self.stat_of_draft(&place, &opened)?;
        let ino = self.inodes.spare(&place);
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
        let place = self.inodes.draft(ino)?;
        Some(match (opened, self.inodes.an_opened(ino)) {
            (Some(opened), _) => self.stat_of_draft(&place, opened),
            (None, Some(opened)) => self.stat_of_draft(&place, &opened),
            (None, None) => Err(FsError::NotFound),
        })
    }

    fn stat_of_draft(&self, place: &Place, opened: &Opened) -> FsResult<Stat> {
        match place {
            Place::Repo(repo, _) => self.stat_opened(opened, repo),
            Place::Name(_) | Place::Beside(_) | Place::Local(_) => {
                let directory = Stat::namespace();
                let owner = (directory.uid, directory.gid);
                Ok(self.shown().of(stat::of_opened(opened, owner)?))
            }
        }
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
        let place = self.inodes.draft(ino)?;
        let any = self.inodes.an_opened(ino);
        Some(match (place, opened.or(any.as_deref())) {
            (Place::Repo(repo, path), Some(opened)) => {
                repo.set_draft(&path, opened, new, &self.caller(&repo, process))
            }
            (Place::Beside(path), Some(opened)) => check_owner(new).and_then(|()| {
                let actor = self.names.actor(process);
                self.names.beside.set_draft(&path, opened, new, actor)
            }),
            (Place::Name(_) | Place::Local(_), Some(_)) | (_, None) => Err(FsError::NotFound),
        })
    }

    /// open(2) for reading of a file beside repositories.
    pub(super) fn open_beside(&self, ino: u64, path: &NamePath) -> FsResult<Arc<Opened>> {
        self.open_beside_writers(ino)?;
        let opened = Arc::new(self.names.beside.open(path)?);
        if !self.inodes.is(ino, opened.identity) {
            return Err(FsError::NotFound);
        }
        self.inodes.opened(ino, &opened);
        Ok(opened)
    }

    /// A close of a file beside repositories.
    pub(super) fn commit_beside(&self, opened: &Opened) -> FsResult<()> {
        match &opened.closing {
            Closing::CommitName(path) => self.names.beside.commit(opened, path),
            Closing::Plain
            | Closing::Commit(_)
            | Closing::Finish(_)
            | Closing::Config
            | Closing::NewConfig => Ok(()),
        }
    }

    /// New attributes of a file or a symbolic link beside repositories.
    pub(super) fn set_beside(
        &self,
        ino: u64,
        path: NamePath,
        new: &NewAttributes,
        opened: Option<&Opened>,
        process: Process,
    ) -> FsResult<Stat> {
        check_owner(new)?;
        let actor = self.names.actor(process);
        self.names.beside.set(&path, new, opened, actor)?;
        match new.size.is_some() {
            true => self.truncated(ino, &Place::Beside(path)),
            false => self.stat_inode(ino, opened),
        }
    }
}

/// Names beside repositories have no owners of their own; that a name belongs to its owner is no change.
fn check_owner(new: &NewAttributes) -> FsResult<()> {
    let directory = Stat::namespace();
    match new.uid.is_none_or(|uid| uid == directory.uid)
        && new.gid.is_none_or(|gid| gid == directory.gid)
    {
        true => Ok(()),
        false => Err(FsError::NotHere(
            "files beside repositories belong to the owner of their directory",
        )),
    }
}
