//! The calls behind the operations: one call of the tree, then the reply. On whichever thread the
//! handler chose.

use super::commands::Commands;
use super::convert::{attr, entry, kind};
use super::listings::{Listing, Listings};
use super::metrics::{self, At, Timer};
use super::open_files::{Handle, OpenFiles};
use super::reading_threads;
use crate::consistency::{NameTtl, REUSE_WINDOW};
use crate::error::{FsError, FsResult};
use crate::filesystem::FileSystem;
use crate::repository::{Closing, Creation, Sought};
use crate::tree::{Entry, Listed, Process, Stat, Tree};
use bytes::Bytes;
use fuser::{
    Errno, FileHandle, FopenFlags, Generation, INodeNo, OpenAccMode, OpenFlags, RenameFlags,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, Request,
};
use gitmoor_instrument::trace::TARGET;
use gitmoor_model::room::Type;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
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
    pub(super) listings: Listings,
    last_listing: AtomicU64,
    /// Reading threads that list a directory, and how many may.
    listing: AtomicUsize,
    may_list: usize,
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

fn duration(ttl: NameTtl) -> Duration {
    match ttl {
        NameTtl::Long => TTL,
        NameTtl::ReuseWindow => REUSE_WINDOW,
        NameTtl::Zero => Duration::ZERO,
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
            listings: Listings::new(),
            last_listing: AtomicU64::new(0),
            listing: AtomicUsize::new(0),
            may_list: reading_threads() - 1,
            passthrough: AtomicBool::new(false),
            slow,
        })
    }

    /// Of the two levels that the kernel allows, what is below this mount in passthrough: one, so
    /// that the mount may be a lower layer of an overlay; two where the data directory is on an
    /// overlay itself, as in many containers.
    pub(super) fn stack_depth(&self) -> u32 {
        match rustix::fs::statfs(&self.fs.shared().config.data) {
            Ok(disk) if disk.f_type == libc::OVERLAYFS_SUPER_MAGIC => 2,
            Ok(_) | Err(_) => 1,
        }
    }

    pub(super) fn reply_entry(&self, op: &'static str, result: FsResult<Entry>, reply: ReplyEntry) {
        match result {
            Ok(found) => {
                let ttl = duration(found.name_ttl);
                reply.entry_with_ttls(&found.stat.ttl(TTL), &ttl, &entry(&found), Generation(0));
            }
            Err(error) => reply.error(failed(op, &error)),
        }
    }

    pub(super) fn lookup(&self, parent: u64, name: &[u8], caller: Process, reply: ReplyEntry) {
        match self.tree.lookup(parent, name, caller) {
            Err(FsError::NotFound) => match duration(self.tree.absence_ttl(parent, name)) {
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
        let command = self.commands.span_of(request.uid(), request.pid());
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

    /// The kernel does the other kinds of lseek(2) itself.
    pub(super) fn seek(&self, fh: FileHandle, offset: i64, whence: i32) -> FsResult<i64> {
        let to = match whence {
            libc::SEEK_DATA => Sought::Data,
            libc::SEEK_HOLE => Sought::Hole,
            _ => return Err(FsError::Invalid),
        };
        let offset = u64::try_from(offset).map_err(|_| FsError::Invalid)?;
        let at = self.handle(fh)?.opened.seek(offset, to)?;
        i64::try_from(at).map_err(|_| FsError::Invalid)
    }

    pub(super) fn open(&self, ino: u64, flags: OpenFlags, caller: Process, reply: ReplyOpen) {
        let (write, truncate) = (writes(flags), truncates(flags.0));
        self.tree.looked(ino, caller);
        let room = self.files.room(caller.uid);
        let open = |room| Ok((room, self.tree.open(ino, write, truncate, caller)?));
        let (room, opened) = match room.and_then(open) {
            Ok(opened) => opened,
            // The name is another file's by now: the kernel looks again.
            Err(FsError::NotFound) => return reply.error(Errno::ESTALE),
            Err(error) => return reply.error(failed("open", &error)),
        };
        let register = self.register(|file| reply.open_backing(file));
        let Some((fh, handle)) = self.files.add(room, ino, opened.clone(), register) else {
            self.tree.part(ino, &opened);
            return reply.error(Errno::ESTALE);
        };
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
        (mode, flags): (u32, i32),
        caller: Process,
        reply: ReplyCreate,
    ) {
        let how = Creation {
            exclusive: flags & libc::O_EXCL != 0,
            truncate: truncates(flags),
        };
        let create = || (self.tree).create(parent, name.as_bytes(), mode, how, caller);
        let room = self.files.room(caller.uid);
        let (room, (made, opened)) = match room.and_then(|room| Ok((room, create()?))) {
            Ok(created) => created,
            Err(error) => return reply.error(failed("create", &error)),
        };
        let register = self.register(|file| reply.open_backing(file));
        let added = self.files.add(room, made.ino, opened.clone(), register);
        let Some((fh, handle)) = added else {
            self.tree.part(made.ino, &opened);
            return reply.error(Errno::ESTALE);
        };
        let flags = open_flags(&handle, true);
        let (fh, attr) = (FileHandle(fh), entry(&made));
        let ttl = duration(made.name_ttl);
        match handle.backing() {
            Some(backing) => {
                reply.created_passthrough(&ttl, &attr, Generation(0), fh, flags, backing);
            }
            None => reply.created(&ttl, &attr, Generation(0), fh, flags),
        }
    }

    /// Tells a piece of a listing, made anew unless it is kept.
    pub(super) fn readdir(
        &self,
        ino: u64,
        fh: u64,
        offset: u64,
        user: u32,
        mut reply: ReplyDirectory,
    ) {
        let kept = self.listings.kept(fh, offset);
        let listing = match kept.map_or_else(|| self.list(ino, fh, offset, user), Ok) {
            Ok(listing) => listing,
            Err(error) => return reply.error(failed("readdir", &error)),
        };
        let mut told = None;
        for (next, listed) in listing.from(offset) {
            // The kernel takes the number from lookup; here it only must not be 0.
            let name = OsStr::from_bytes(&listed.name);
            if reply.add(INodeNo(u64::MAX), next, kind(listed.kind), name) {
                break;
            }
            told = Some((next, &listed.name));
        }
        if let Some((next, last)) = told {
            self.listings.told(fh, next, last);
        }
        reply.ok();
    }

    fn list(&self, ino: u64, fh: u64, offset: u64, user: u32) -> FsResult<Listing> {
        let dots = [".", ".."].map(|name| Listed {
            name: name.into(),
            kind: Type::Directory,
        });
        let names = dots.into_iter().chain(self.tree.list(ino)?).collect();
        let listing = self.listings.keep(fh, user, offset, names);
        listing.ok_or(FsError::Invalid)
    }

    /// Leave for a reading thread to list a directory, which takes long if it is large: given to all of them
    /// but one, so that requests are read all the while.
    pub(super) fn leave_to_list(&self) -> Option<impl Drop + '_> {
        let begun = self.listing.fetch_add(1, Ordering::Relaxed);
        let leave = Lists(&self.listing);
        (begun < self.may_list).then_some(leave)
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

/// One more lists; no longer when it is dropped.
struct Lists<'a>(&'a AtomicUsize);

impl Drop for Lists<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
    // Other descriptors may share a draft under other inodes.
    let shared = handle.opened.draft().is_some();
    flags.set(FopenFlags::FOPEN_DIRECT_IO, shared);
    flags
}

/// Whether open(2) may change the file: the kernel leaves O_TRUNC to us.
pub(super) fn writes(flags: OpenFlags) -> bool {
    flags.acc_mode() != OpenAccMode::O_RDONLY || truncates(flags.0)
}

fn truncates(flags: i32) -> bool {
    flags & libc::O_TRUNC != 0
}

pub(super) fn reply_read(result: FsResult<Bytes>, reply: ReplyData) {
    match result {
        Ok(bytes) => reply.data(&bytes),
        Err(error) => reply.error(failed("read", &error)),
    }
}
