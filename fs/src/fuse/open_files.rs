//! Open files of a mount, and in which of two modes each inode is open.
//!
//! An inode is open either in *passthrough* (the kernel reads and writes a
//! backing file, the daemon is out of the way) or *cached* (the kernel's page
//! cache, filled by the daemon); the kernel refuses to mix them, and wants one
//! backing file per inode.
//!
//! Descriptors are what the daemon has least of, so each user has a share of them ([`Shares`]). The daemon's own user
//! may have all: alone on a machine nobody else needs any, and to root of a server it is the machine's limit.

use crate::error::{FsError, FsResult};
use crate::repository::objects::FileId;
use crate::repository::{Body, Closing, Opened};
use crate::shares::Shares;
use fuser::BackingId;
use parking_lot::Mutex;
use rustix::process::{Resource, geteuid, getrlimit};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Weak};

pub(super) struct Handle {
    pub(super) ino: u64,
    /// Kept while open, as the kernel demands. Dropped before the file: whoever closes that last may have it sealed.
    backing: Option<Arc<BackingId>>,
    pub(super) opened: Arc<Opened>,
    slot: Slot,
}

impl Handle {
    pub(super) fn backing(&self) -> Option<&BackingId> {
        self.backing.as_deref()
    }

    pub(super) fn user(&self) -> u32 {
        self.slot.user
    }
}

/// A place for one open file of a user, out of the share; free again when it is dropped.
pub(super) struct Slot {
    shares: Arc<Mutex<Shares<u32>>>,
    user: u32,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shares.lock().give_back(self.user, 1);
    }
}

#[derive(Default)]
struct Mode {
    backing: Weak<BackingId>,
    /// The file behind that.
    of: Option<FileId>,
    cached: usize,
}

#[derive(Default)]
struct Table {
    handles: HashMap<u64, Arc<Handle>>,
    modes: HashMap<u64, Mode>,
    last: u64,
}

/// Descriptors that open files leave to the replicator's database, which must never lack one, to the store and
/// to everything else.
const RESERVED: u64 = 256;

/// Bytes of a stored file whose pages the kernel keeps rather than read the backing file: after that the kernel asks
/// for the attributes at the next fstat(2), and each open registers the backing.
const SMALL: u64 = 1 << 20;

/// Descriptors of one open file: a cached one has one for the daemon, one for passthrough.
const EACH: u64 = 2;

pub(super) struct OpenFiles {
    table: Mutex<Table>,
    shares: Arc<Mutex<Shares<u32>>>,
    /// The daemon's user.
    own: u32,
}

impl OpenFiles {
    /// As many as this process's limit of descriptors allows.
    pub(super) fn new() -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = (limit - RESERVED.min(limit / 2)) / EACH;
        Self {
            table: Mutex::default(),
            shares: Arc::new(Mutex::new(Shares::of(most))),
            own: geteuid().as_raw(),
        }
    }

    /// A place for one more, before it is opened.
    pub(super) fn slot(&self, user: u32) -> FsResult<Slot> {
        let mut shares = self.shares.lock();
        let granted = match user == self.own {
            true => shares.take_free(user, 1),
            false => shares.take(user, 1),
        };
        match granted {
            true => Ok(Slot {
                shares: self.shares.clone(),
                user,
            }),
            false => Err(FsError::TooManyOpen {
                open: shares.held(user),
                user,
            }),
        }
    }

    /// Registers an open file, in the mode that its inode is open in already or
    /// else in passthrough where the body allows; `register` makes a backing. `None` when that mode would have it
    /// write to another file: others read what the name had before.
    pub(super) fn add(
        &self,
        slot: Slot,
        ino: u64,
        opened: Arc<Opened>,
        register: impl FnOnce(&File) -> io::Result<BackingId>,
    ) -> Option<(u64, Arc<Handle>)> {
        let mut table = self.table.lock();
        let mode = table.modes.entry(ino).or_default();
        if mode.is_of_another(&opened) {
            return None;
        }
        let backing = mode.choose(&opened, register);
        match &backing {
            Some(backing) => mode.backing = Arc::downgrade(backing),
            None => mode.cached += 1,
        }
        table.last += 1;
        let fh = table.last;
        let handle = Arc::new(Handle {
            ino,
            backing,
            opened,
            slot,
        });
        table.handles.insert(fh, handle.clone());
        Some((fh, handle))
    }

    pub(super) fn get(&self, fh: u64) -> Option<Arc<Handle>> {
        self.table.lock().handles.get(&fh).cloned()
    }

    pub(super) fn remove(&self, fh: u64) -> Option<Arc<Handle>> {
        let mut table = self.table.lock();
        let handle = table.handles.remove(&fh)?;
        if let Some(mode) = table.modes.get_mut(&handle.ino) {
            mode.cached -= usize::from(handle.backing.is_none());
            let last = mode.cached == 0
                && mode.backing.strong_count() <= usize::from(handle.backing.is_some());
            if last {
                table.modes.remove(&handle.ino);
            }
        }
        Some(handle)
    }
}

impl Mode {
    fn is_of_another(&self, opened: &Opened) -> bool {
        let in_passthrough = opened.writes && self.backing.strong_count() > 0;
        in_passthrough && opened.real().and_then(id_of) != self.of
    }

    fn choose(
        &mut self,
        opened: &Opened,
        register: impl FnOnce(&File) -> io::Result<BackingId>,
    ) -> Option<Arc<BackingId>> {
        if let Some(backing) = self.backing.upgrade() {
            return Some(backing);
        }
        if self.cached > 0 {
            return None;
        }
        let register = |file: &File| match register(file) {
            Ok(backing) => {
                self.of = id_of(file);
                Some(Arc::new(backing))
            }
            Err(error) => {
                tracing::debug!(%error, "no passthrough for this file");
                None
            }
        };
        match (&opened.body, &opened.closing) {
            // Its closing asks whether it was written to, which passthrough hides.
            (Body::Draft(..), _) | (_, Closing::Commit(_) | Closing::CommitName(_)) => None,
            // Its closing may end its writing, which passthrough goes past.
            (_, Closing::Finish(_)) => None,
            // Its pages are in the kernel's cache, where a backing would go past them.
            (Body::Real(_), _) if opened.lasting => None,
            (Body::Stored(file), _) if file.object().size <= SMALL => None,
            (Body::Real(file), Closing::Plain | Closing::Config | Closing::NewConfig) => {
                register(file)
            }
            (Body::Stored(file), _) => register(&*file.complete()?),
            (Body::Bytes(_) | Body::Value(_), _) => None,
        }
    }
}

fn id_of(file: &File) -> Option<FileId> {
    file.metadata().ok().map(|meta| FileId::of(&meta))
}
