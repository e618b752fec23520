//! What the kernel asks for: which operation, on what, and for whom.

use crate::tree::{Process, Tree};
use fuser::{INodeNo, Request};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// What an operation is about.
pub(super) struct At<'a> {
    /// The inode that the kernel named.
    ino: u64,
    /// The name in it, for operations on names.
    name: Option<Cow<'a, [u8]>>,
}

impl From<INodeNo> for At<'_> {
    fn from(ino: INodeNo) -> Self {
        Self {
            ino: ino.0,
            name: None,
        }
    }
}

impl<'a> From<(INodeNo, &'a OsStr)> for At<'a> {
    fn from((parent, name): (INodeNo, &'a OsStr)) -> Self {
        Self {
            ino: parent.0,
            name: Some(name.as_bytes().into()),
        }
    }
}

pub(super) struct Asked<'a> {
    /// The operation's name in metrics, logs and traces.
    pub(super) op: &'static str,
    at: At<'a>,
    pub(super) process: Process,
    /// The number of the request.
    pub(super) number: u64,
}

impl<'a> Asked<'a> {
    pub(super) fn new(op: &'static str, request: &Request, at: At<'a>) -> Self {
        let process = Process {
            uid: request.uid(),
            gid: request.gid(),
            tid: request.pid(),
            may_wait: false,
        };
        Self {
            op,
            at,
            process,
            number: request.unique().0,
        }
    }

    /// The same when another thread does it, which may wait.
    pub(super) fn on_a_thread_that_waits(self) -> Asked<'static> {
        let name = self.at.name.map(|name| Cow::Owned(name.into_owned()));
        let at = At {
            ino: self.at.ino,
            name,
        };
        let process = Process {
            may_wait: true,
            ..self.process
        };
        Asked {
            op: self.op,
            at,
            process,
            number: self.number,
        }
    }

    /// The inode that the kernel named.
    pub(super) fn ino(&self) -> u64 {
        self.at.ino
    }

    /// The name in that; empty for an operation on the inode itself.
    pub(super) fn name(&self) -> &[u8] {
        self.at.name.as_deref().unwrap_or_default()
    }

    /// The path, also when the name is gone.
    pub(super) fn describe(&self, tree: &Tree) -> String {
        let path = tree.describe(self.at.ino);
        match &self.at.name {
            // The top of the namespace has no name, that of a repository ends in a slash.
            Some(name) => {
                let name = String::from_utf8_lossy(name);
                match path.trim_end_matches('/') {
                    "" => name.into_owned(),
                    above => format!("{above}/{name}"),
                }
            }
            None => path,
        }
    }
}
