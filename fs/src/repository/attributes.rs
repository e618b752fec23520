//! What chmod, chown, truncate and utimes set.

use crate::error::FsResult;
use crate::repository::local::Files;
use gitmoor_model::{RepoPath, Timestamp};

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

impl NewAttributes {
    /// To a real file.
    pub(crate) fn apply(&self, files: &Files, path: &RepoPath) -> FsResult<()> {
        let node = files.node(path)?;
        if self.uid.is_some() || self.gid.is_some() {
            node.chown(self.uid, self.gid)?;
        }
        if let Some(mode) = self.mode {
            node.chmod(mode)?;
        }
        if self.atime.is_some() || self.mtime.is_some() {
            let times = rustix::fs::Timestamps {
                last_access: timespec(self.atime),
                last_modification: timespec(self.mtime),
            };
            files.set_times(path, &times)?;
        }
        Ok(())
    }
}

impl SetTime {
    pub(super) fn timestamp(self) -> Timestamp {
        match self {
            Self::Now => Timestamp::now(),
            Self::At(time) => time,
        }
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
