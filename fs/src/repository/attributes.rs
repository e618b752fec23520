//! chmod, chown, truncate, utimes.

use super::{Caller, Found, Opened, Repository, config_path};
use crate::error::{FsError, FsResult};
use crate::git_config;
use gitmoor_model::room::is_value;
use gitmoor_model::{RefEntry, RepoPath, Timestamp};

/// New attributes of a file; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NewAttributes {
    /// Permission bits.
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// Size in bytes.
    pub size: Option<u64>,
    pub atime: Option<SetTime>,
    pub mtime: Option<SetTime>,
}

/// A time to set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SetTime {
    Now,
    At(Timestamp),
}

impl Repository {
    /// New attributes; `opened` when the caller names an open file. Returns what had them set, as it
    /// was before.
    pub(crate) fn set_attributes(
        &self,
        path: &RepoPath,
        new: &NewAttributes,
        opened: Option<&Opened>,
        caller: &Caller,
    ) -> FsResult<Found> {
        if let Some(size) = new.size {
            self.set_size(path, size, opened, caller)?;
        }
        let found = self.find(path)?.ok_or(FsError::NotFound)?;
        match &found {
            Found::Real(_) => {
                self.set_real(path, new)?;
                self.config_follows(path, new)?;
            }
            Found::Ref(entry) => self.set_ref(path, entry, new, caller)?,
            Found::Object(_) => self.set_object(path, new)?,
            Found::Directory => {
                self.files
                    .make_parents(&path.join(b"x").ok_or(FsError::Invalid)?)?;
                self.set_real(path, new)?;
            }
            // Rendered: its times, owner and permission bits follow what it is rendered from.
            Found::Packed(_) => {}
            Found::Settings(_) => return Err(FsError::Immutable),
        }
        Ok(found)
    }

    fn set_size(
        &self,
        path: &RepoPath,
        size: u64,
        opened: Option<&Opened>,
        caller: &Caller,
    ) -> FsResult<()> {
        if let Some(opened) = opened {
            return opened.truncate(size);
        }
        if is_value(path) {
            return self.truncate_value(path, size, caller);
        }
        let opened = self.open_file(path, true)?;
        opened.truncate(size)?;
        self.flush(&opened)?;
        self.release(&opened)
    }

    fn set_real(&self, path: &RepoPath, new: &NewAttributes) -> FsResult<()> {
        let node = self.files.node(path)?;
        if new.uid.is_some() || new.gid.is_some() {
            node.chown(new.uid, new.gid)?;
        }
        if let Some(mode) = new.mode {
            node.chmod(mode)?;
        }
        if new.atime.is_some() || new.mtime.is_some() {
            let times = rustix::fs::Timestamps {
                last_access: timespec(new.atime),
                last_modification: timespec(new.mtime),
            };
            self.files.set_times(path, &times)?;
        }
        Ok(())
    }

    /// git gives the lock of the first `config` the mode that core.sharedRepository says, and then that of the `config`
    /// which it finds: our include, made a moment before.
    fn config_follows(&self, path: &RepoPath, new: &NewAttributes) -> FsResult<()> {
        let (Some(mode), b"config.lock") = (new.mode, path.as_bytes()) else {
            return Ok(());
        };
        let config = config_path();
        match self.files.stat(&config)? {
            Some(meta) if meta.is_file() && meta.len() == git_config::INCLUDE.len() as u64 => {
                Ok(self.files.node(&config)?.chmod(mode)?)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Owners of replicated files follow the top directory, so that is not an
    /// error here; times of a ref are those of its commit.
    pub(super) fn set_ref(
        &self,
        path: &RepoPath,
        entry: &RefEntry,
        new: &NewAttributes,
        caller: &Caller,
    ) -> FsResult<()> {
        let mode = new
            .mode
            .map(|mode| entry.mode & libc::S_IFMT | mode & 0o7777);
        match mode {
            Some(mode) if mode != entry.mode => {
                self.refs.set_mode(path, mode, &self.author(caller))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn set_object(&self, path: &RepoPath, new: &NewAttributes) -> FsResult<()> {
        if new.mode.is_none() && new.mtime.is_none() {
            return Ok(());
        }
        let mtime = new.mtime.map(|time| match time {
            SetTime::Now => Timestamp::now(),
            SetTime::At(time) => time,
        });
        self.objects.touch(path, mtime, new.mode)
    }
}

fn timespec(time: Option<SetTime>) -> rustix::fs::Timespec {
    let special = |nsec| rustix::fs::Timespec {
        tv_sec: 0,
        tv_nsec: nsec,
    };
    match time {
        None => special(rustix::fs::UTIME_OMIT),
        Some(SetTime::Now) => special(rustix::fs::UTIME_NOW),
        Some(SetTime::At(at)) => rustix::fs::Timespec {
            tv_sec: at.secs,
            tv_nsec: i64::from(at.nanos) as _,
        },
    }
}
