//! The calls behind the operations: one call of the tree, then the reply. On whichever thread the
//! handler chose.

use super::commands::Commands;
use super::convert::{attr, entry};
use super::metrics::{self, At, Timer};
use super::open_files::{Handle, OpenFiles};
use crate::error::{FsError, FsResult};
use crate::filesystem::FileSystem;
use crate::others::{AGAIN, Lasting};
use crate::repository::{Closing, Type};
use crate::tree::{Entry, Listed, Process, Stat, Tree};
use bytes::Bytes;
use fuser::{
    Errno, FileHandle, FopenFlags, Generation, RenameFlags, ReplyCreate, ReplyData, ReplyEmpty,
    ReplyEntry, ReplyOpen, Request,
};
use gitmoor_replicator::trace::TARGET;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tracing::span::EnteredSpan;
use tracing::{Span, info_span};

/// Everything that changes a name goes through this mount's kernel, which then
/// knows; for the rest there are invalidations. Hence long.
pub(super) const TTL: Duration = Duration::from_secs(24 * 3600);

/// What serves the calls of one mount.
pub(super) struct Calls {
    pub(super) fs: Arc<FileSystem>,
    pub(super) tree: Arc<Tree>,
    commands: Commands,
    pub(super) files: OpenFiles,
    pub(super) listings: Mutex<HashMap<u64, Arc<Vec<Listed>>>>,
    last_listing: AtomicU64,
    pub(super) passthrough: AtomicBool,
    /// An operation that takes longer is logged.
    slow: Duration,
}

/// The errno for the kernel, after logging what a person must know.
pub(super) fn failed(op: &'static str, error: &FsError) -> Errno {
    let errno = error.errno();
    metrics::failed(op, errno);
    if error.is_fault() {
        tracing::error!(op, %error, "failed");
    } else {
        tracing::debug!(op, %error, "refused");
    }
    Errno::from_i32(errno)
}

pub(super) fn empty(op: &'static str, result: FsResult<()>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(failed(op, &error)),
    }
}

/// The kernel is not told of what others change: an invalidation takes the lock of the directory, which
/// a lookup holds that may wait for the very change, and a new epoch (Linux 6.16) drops the
/// directories that processes work in. So it asks each time, which costs much less than starting a git.
fn ttl(lasting: Lasting) -> Duration {
    match lasting {
        Lasting::Long => TTL,
        Lasting::Moment => AGAIN,
        Lasting::Never => Duration::ZERO,
    }
}

impl Calls {
    pub(super) fn new(fs: Arc<FileSystem>, tree: Arc<Tree>) -> io::Result<Self> {
        let slow = fs.shared().config.slow_operation;
        let commands = Commands::new(fs.shared().config.trace_ratio)?;
        Ok(Self {
            fs,
            tree,
            commands,
            files: OpenFiles::new(),
            listings: Mutex::default(),
            last_listing: AtomicU64::new(0),
            passthrough: AtomicBool::new(false),
            slow,
        })
    }

    pub(super) fn reply_entry(&self, op: &'static str, result: FsResult<Entry>, reply: ReplyEntry) {
        match result {
            Ok(found) => {
                let ttl = ttl(found.lasting);
                reply.entry_with_ttls(&found.stat.ttl(TTL), &ttl, &entry(&found), Generation(0));
            }
            Err(error) => reply.error(failed(op, &error)),
        }
    }

    pub(super) fn lookup(&self, parent: u64, name: &[u8], caller: Process, reply: ReplyEntry) {
        match self.tree.lookup(parent, name, caller) {
            Err(FsError::NotFound) => match ttl(self.tree.absence_lasts(parent, name)) {
                Duration::ZERO => reply.error(Errno::ENOENT),
                ttl => reply.entry(&ttl, &attr(0, &Stat::namespace()), Generation(0)),
            },
            result => self.reply_entry("lookup", result, reply),
        }
    }

    pub(super) fn opendir(&self, ino: u64, caller: Process, reply: ReplyOpen) {
        self.tree.looked(ino, caller);
        // As for open. It may be gone by maintenance, here or elsewhere: libc looks at what it has
        // opened at once, and for that the kernel does not look again.
        if let Err(FsError::NotFound) = self.tree.getattr(ino, None) {
            return reply.error(Errno::ESTALE);
        }
        let fh = self.last_listing.fetch_add(1, Ordering::Relaxed);
        reply.opened(FileHandle(fh), FopenFlags::empty());
    }

    /// Times an operation that begins now, and is a step of its command until it ends.
    pub(super) fn time<'a>(
        &'a self,
        op: &'static str,
        request: &Request,
        at: impl Into<At<'a>>,
    ) -> (Timer<'a>, EnteredSpan) {
        let at = at.into();
        let step = self.step(op, request, &at).unwrap_or_else(Span::none);
        (self.time_since(Instant::now(), op, at), step.entered())
    }

    /// The operation as a step of the command that asks; `None` if that is not traced.
    pub(super) fn step(&self, op: &'static str, request: &Request, at: &At<'_>) -> Option<Span> {
        let command = self.commands.span_of(request.pid());
        if command.is_none() {
            return None;
        }
        let (path, number) = (at.describe(&self.tree), request.unique().0);
        Some(info_span!(
            target: TARGET, parent: &command, "fuse", otel.name = op,
            op, request = number, pid = request.pid(), path
        ))
    }

    /// One that came earlier.
    pub(super) fn time_since<'a>(
        &'a self,
        begin: Instant,
        op: &'static str,
        at: impl Into<At<'a>>,
    ) -> Timer<'a> {
        Timer::since(begin, op, at.into(), &self.tree, self.slow)
    }

    fn register<'a>(
        &'a self,
        reply: impl FnOnce(&std::fs::File) -> io::Result<fuser::BackingId> + 'a,
    ) -> impl FnOnce(&std::fs::File) -> io::Result<fuser::BackingId> + 'a {
        move |file| {
            if !self.passthrough.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Unsupported.into());
            }
            reply(file).inspect_err(|error| {
                if error.raw_os_error() == Some(libc::EPERM) {
                    tracing::info!("no FUSE passthrough without CAP_SYS_ADMIN: warm reads go through the daemon");
                    self.passthrough.store(false, Ordering::Relaxed);
                }
            })
        }
    }

    pub(super) fn handle(&self, fh: FileHandle) -> FsResult<Arc<Handle>> {
        self.files.get(fh.0).ok_or(FsError::Invalid)
    }

    pub(super) fn open(&self, ino: u64, write: bool, caller: Process, reply: ReplyOpen) {
        self.tree.looked(ino, caller);
        let opened = self.files.check_room();
        let opened = match opened.and_then(|()| self.tree.open(ino, write)) {
            Ok(opened) => opened,
            // The name is another file's by now: the kernel looks again.
            Err(FsError::NotFound) => return reply.error(Errno::ESTALE),
            Err(error) => return reply.error(failed("open", &error)),
        };
        let register = self.register(|file| reply.open_backing(file));
        let (fh, handle) = self.files.add(ino, opened, register);
        let flags = open_flags(&handle, write);
        match handle.backing() {
            Some(backing) => reply.opened_passthrough(FileHandle(fh), flags, backing),
            None => reply.opened(FileHandle(fh), flags),
        }
    }

    pub(super) fn create(
        &self,
        parent: u64,
        name: &OsStr,
        mode: u32,
        caller: Process,
        reply: ReplyCreate,
    ) {
        let create = || self.tree.create(parent, name.as_bytes(), mode, caller);
        let (made, opened) = match self.files.check_room().and_then(|()| create()) {
            Ok(created) => created,
            Err(error) => return reply.error(failed("create", &error)),
        };
        let register = self.register(|file| reply.open_backing(file));
        let (fh, handle) = self.files.add(made.ino, opened, register);
        let flags = open_flags(&handle, true);
        let (fh, attr) = (FileHandle(fh), entry(&made));
        let ttl = ttl(made.lasting);
        match handle.backing() {
            Some(backing) => {
                reply.created_passthrough(&ttl, &attr, Generation(0), fh, flags, backing);
            }
            None => reply.created(&ttl, &attr, Generation(0), fh, flags),
        }
    }

    /// The names of an open directory, as they were when it was opened or rewound.
    pub(super) fn listing(&self, ino: u64, fh: u64, offset: u64) -> FsResult<Arc<Vec<Listed>>> {
        if offset > 0 {
            let listings = self.listings.lock();
            return listings.get(&fh).cloned().ok_or(FsError::Invalid);
        }
        let dots = [".", ".."].map(|name| Listed {
            name: name.into(),
            kind: Type::Directory,
        });
        let names = Arc::new(
            dots.into_iter()
                .chain(self.tree.list(ino)?)
                .collect::<Vec<_>>(),
        );
        self.listings.lock().insert(fh, names.clone());
        Ok(names)
    }

    pub(super) fn rename_flags(flags: RenameFlags) -> FsResult<bool> {
        if flags.contains(RenameFlags::RENAME_EXCHANGE)
            || flags.contains(RenameFlags::RENAME_WHITEOUT)
        {
            return Err(FsError::Unsupported("RENAME_EXCHANGE and RENAME_WHITEOUT"));
        }
        Ok(!flags.contains(RenameFlags::RENAME_NOREPLACE))
    }
}

/// What the kernel may keep after the last close. A close(2) that means nothing to us need not be told: git closes ten files in a short command.
fn open_flags(handle: &Handle, write: bool) -> FopenFlags {
    let passthrough = handle.backing().is_some();
    let plain = matches!(handle.opened.closing, Closing::Plain);
    let mut flags = FopenFlags::empty();
    flags.set(
        FopenFlags::FOPEN_KEEP_CACHE,
        handle.opened.lasting && !passthrough,
    );
    flags.set(FopenFlags::FOPEN_NOFLUSH, plain && (passthrough || !write));
    flags
}

pub(super) fn reply_read(result: FsResult<Bytes>, reply: ReplyData) {
    match result {
        Ok(bytes) => reply.data(&bytes),
        Err(error) => reply.error(failed("read", &error)),
    }
}
