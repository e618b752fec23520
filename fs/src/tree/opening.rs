//! Opening and creating files.

use super::{Entry, Place, Process, Tree, observe};
use crate::error::{FsError, FsResult};
use crate::repository::{Creation, Opened};
use gitmoor_model::room::{Room, is_value, room};
use std::sync::Arc;

impl Tree {
    /// open; `truncate` only with `write`. [`FsError::Stale`] when the kernel is to look the name
    /// up again.
    pub fn open(
        &self,
        ino: u64,
        write: bool,
        truncate: bool,
        process: Process,
    ) -> FsResult<Arc<Opened>> {
        let opened = self.open_inode(ino, write, truncate, process);
        opened.map_err(FsError::of_inode)
    }

    fn open_inode(
        &self,
        ino: u64,
        write: bool,
        truncate: bool,
        process: Process,
    ) -> FsResult<Arc<Opened>> {
        let place = self.place(ino)?;
        self.sync_reads(&place, process)?;
        observe(&place, process);
        let Place::Repo(repo, path) = place else {
            return Err(FsError::IsDirectory);
        };
        if write {
            self.check_writable()?;
        }
        match (is_value(&path), write) {
            (true, true) => return self.open_draft(ino, (&repo, &path), truncate, process),
            (true, false) => self.open_beside_writers(ino)?,
            (false, true) => self.inodes.writing(ino),
            (false, false) => {}
        }
        let opened = repo.open_file(&path, write);
        let opened = opened.and_then(|opened| match truncate {
            true => opened.truncate(0).map(|()| opened),
            false => Ok(opened),
        });
        if write && opened.is_err() {
            self.inodes.written(ino);
        }
        let opened = Arc::new(opened?);
        if !self.inodes.is(ino, opened.identity) {
            return Err(FsError::NotFound);
        }
        self.inodes.opened(ino, &opened);
        Ok(opened)
    }

    /// opendir. libc asks at once for the attributes of what it has opened, and for those the kernel
    /// does not look the name up again: a directory that is gone, by maintenance here or elsewhere, is
    /// [`FsError::Stale`] now.
    pub fn open_dir(&self, ino: u64, process: Process) -> FsResult<()> {
        let place = self.place(ino).map_err(FsError::of_inode)?;
        self.sync_reads(&place, process)?;
        observe(&place, process);
        match self.stat_place(&place) {
            Ok((_, identity)) if self.inodes.is(ino, identity) => Ok(()),
            Ok(_) | Err(FsError::NotFound) => Err(FsError::Stale),
            // The listing says so.
            Err(_) => Ok(()),
        }
    }

    /// create. Waits until there is space in staging.
    pub fn create(
        &self,
        parent: u64,
        name: &[u8],
        mode: u32,
        how: Creation,
        process: Process,
    ) -> FsResult<(Entry, Arc<Opened>)> {
        self.check_writable()?;
        let (repo, path) = self.in_repo(parent, name)?;
        if process.may_wait && room(&path) == Room::Objects {
            repo.objects().wait_for_room()?;
        }
        if is_value(&path) {
            return self.create_draft((repo, path), mode, how, process);
        }
        let opened = Arc::new(repo.create(&path, mode, &self.caller(&repo, process))?);
        let place = Place::Repo(repo, path);
        let (stat, ino) = (
            self.stat_nameless(&opened)?,
            self.inodes.look_up(&place, None),
        );
        self.inodes.writing(ino);
        self.inodes.opened(ino, &opened);
        let name_ttl = self.name_ttl(&place);
        let entry = Entry {
            ino,
            stat,
            name_ttl,
        };
        Ok((entry, opened))
    }
}
