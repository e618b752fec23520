//! The FUSE operations. What is answered from memory or by one local system call
//! is answered on the thread that read the request; what may wait for the
//! replicator or the store goes to a pool, so that it holds up nobody.

use super::convert::{attr, entry, kind, process, time};
use super::metrics;
use super::open_files::{Handle, OpenFiles};
use crate::error::{FsError, FsResult};
use crate::filesystem::FileSystem;
use crate::repository::{Closing, NewAttributes, Type};
use crate::tree::{Listed, Process, Tree};
use crate::wait::on_behalf_of;
use bytes::Bytes;
use fuser::{
    BsdFileFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr,
    Request, TimeOrNow, WriteFlags,
};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Everything that changes a name goes through this mount's kernel, which then
/// knows; for the rest there are invalidations. Hence long.
const TTL: Duration = Duration::from_secs(24 * 3600);

/// Threads that may wait at the same time; beyond that requests queue.
const WAITING: usize = 512;

struct Inner {
    fs: Arc<FileSystem>,
    tree: Arc<Tree>,
    files: OpenFiles,
    listings: Mutex<HashMap<u64, Arc<Vec<Listed>>>>,
    last_listing: AtomicU64,
    passthrough: AtomicBool,
    /// An operation that takes longer is logged.
    slow: Duration,
}

pub(super) struct Handler {
    inner: Arc<Inner>,
    pool: tokio::runtime::Runtime,
    ended: crossbeam_channel::Sender<()>,
}

impl Handler {
    pub(super) fn new(
        fs: Arc<FileSystem>,
        tree: Arc<Tree>,
        ended: crossbeam_channel::Sender<()>,
    ) -> io::Result<Self> {
        let pool = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(WAITING)
            .thread_name("fuse-wait")
            .build()?;
        let slow = fs.shared().config.slow_operation;
        let inner = Inner {
            fs,
            tree,
            files: OpenFiles::new(),
            listings: Mutex::default(),
            last_listing: AtomicU64::new(0),
            passthrough: AtomicBool::new(false),
            slow,
        };
        Ok(Self {
            inner: Arc::new(inner),
            pool,
            ended,
        })
    }

    /// Runs what may wait. The span carries the request's id to the logs of the
    /// store and the replicator.
    fn wait(
        &self,
        op: &'static str,
        request: &Request,
        ino: INodeNo,
        work: impl FnOnce(&Inner) + Send + 'static,
    ) {
        let (inner, caller) = (self.inner.clone(), request.pid());
        let span = tracing::info_span!("fuse", op, request = request.unique().0, pid = caller);
        self.pool.spawn_blocking(move || {
            let _in_span = span.enter();
            let _timer = inner.time(op, ino);
            on_behalf_of(caller, || work(&inner));
        });
    }
}

/// The errno for the kernel, after logging what a person must know.
fn failed(op: &'static str, error: &FsError) -> Errno {
    let errno = error.errno();
    metrics::failed(op, errno);
    if error.is_fault() {
        tracing::error!(op, %error, "failed");
    } else {
        tracing::debug!(op, %error, "refused");
    }
    Errno::from_i32(errno)
}

fn empty(op: &'static str, result: FsResult<()>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(failed(op, &error)),
    }
}

fn reply_entry(op: &'static str, result: FsResult<crate::tree::Entry>, reply: ReplyEntry) {
    match result {
        Ok(found) => {
            reply.entry_with_ttls(&found.stat.ttl(TTL), &TTL, &entry(&found), Generation(0))
        }
        Err(error) => reply.error(failed(op, &error)),
    }
}

impl Inner {
    fn time(&self, op: &'static str, ino: INodeNo) -> metrics::Timer<'_> {
        metrics::Timer {
            op,
            ino: ino.0,
            tree: &self.tree,
            slow: self.slow,
            begin: Instant::now(),
        }
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

    fn handle(&self, fh: FileHandle) -> FsResult<Arc<Handle>> {
        self.files.get(fh.0).ok_or(FsError::Invalid)
    }

    fn open(&self, ino: u64, write: bool, reply: ReplyOpen) {
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

    fn create(&self, parent: u64, name: &OsStr, mode: u32, caller: Process, reply: ReplyCreate) {
        let create = || self.tree.create(parent, name.as_bytes(), mode, caller);
        let (made, opened) = match self.files.check_room().and_then(|()| create()) {
            Ok(created) => created,
            Err(error) => return reply.error(failed("create", &error)),
        };
        let register = self.register(|file| reply.open_backing(file));
        let (fh, handle) = self.files.add(made.ino, opened, register);
        let flags = open_flags(&handle, true);
        let (fh, attr) = (FileHandle(fh), entry(&made));
        match handle.backing() {
            Some(backing) => {
                reply.created_passthrough(&TTL, &attr, Generation(0), fh, flags, backing);
            }
            None => reply.created(&TTL, &attr, Generation(0), fh, flags),
        }
    }

    /// The names of an open directory, as they were when it was opened or rewound.
    fn listing(&self, ino: u64, fh: u64, offset: u64) -> FsResult<Arc<Vec<Listed>>> {
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

    fn rename_flags(flags: RenameFlags) -> FsResult<bool> {
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

fn reply_read(result: FsResult<Bytes>, reply: ReplyData) {
    match result {
        Ok(bytes) => reply.data(&bytes),
        Err(error) => reply.error(failed("read", &error)),
    }
}

impl Filesystem for Handler {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Whatever an older kernel lacks only makes things slower.
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        let _ = config.add_capabilities(InitFlags::FUSE_HANDLE_KILLPRIV_V2);
        let passthrough = config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_ok()
            && config.set_max_stack_depth(2).is_ok();
        self.inner.passthrough.store(passthrough, Ordering::Relaxed);
        let _ = config.set_max_write(1 << 20);
        let _ = config.set_max_background(64);
        Ok(())
    }

    fn destroy(&mut self) {
        let _ = self.ended.try_send(());
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let _timer = self.inner.time("lookup", parent);
        let (tree, name) = (&self.inner.tree, name.as_bytes());
        match tree.lookup(parent.0, name, process(request)) {
            Err(FsError::NotFound) if tree.may_cache_absence(parent.0, name) => {
                reply.entry(
                    &TTL,
                    &super::convert::attr(0, &crate::tree::Stat::namespace()),
                    Generation(0),
                );
            }
            Err(FsError::NotFound) => reply.error(Errno::ENOENT),
            result => reply_entry("lookup", result, reply),
        }
    }

    fn forget(&self, _: &Request, ino: INodeNo, lookups: u64) {
        self.inner.tree.forget(ino.0, lookups);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        let _timer = self.inner.time("getattr", ino);
        let handle = fh.and_then(|fh| self.inner.files.get(fh.0));
        match self
            .inner
            .tree
            .getattr(ino.0, handle.as_ref().map(|handle| &*handle.opened))
        {
            Ok(stat) => reply.attr(&stat.ttl(TTL), &attr(ino.0, &stat)),
            // As for open.
            Err(FsError::NotFound) => reply.error(Errno::ESTALE),
            Err(error) => reply.error(failed("getattr", &error)),
        }
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let (atime, mtime) = (atime.map(time), mtime.map(time));
        let new = NewAttributes {
            mode,
            uid,
            gid,
            size,
            atime,
            mtime,
        };
        let caller = process(request);
        self.wait("setattr", request, ino, move |inner| {
            let handle = fh.and_then(|fh| inner.files.get(fh.0));
            let opened = handle.as_ref().map(|handle| &*handle.opened);
            match inner.tree.setattr(ino.0, &new, opened, caller) {
                Ok(stat) => reply.attr(&stat.ttl(TTL), &attr(ino.0, &stat)),
                Err(error) => reply.error(failed("setattr", &error)),
            }
        });
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        let _timer = self.inner.time("readlink", ino);
        match self.inner.tree.readlink(ino.0) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(failed("readlink", &error)),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        let (name, caller) = (name.as_bytes().to_vec(), process(request));
        self.wait("mknod", request, parent, move |inner| {
            reply_entry(
                "mknod",
                inner.tree.mknod(parent.0, &name, mode, caller),
                reply,
            );
        });
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let (name, caller) = (name.as_bytes().to_vec(), process(request));
        self.wait("mkdir", request, parent, move |inner| {
            reply_entry(
                "mkdir",
                inner.tree.mkdir(parent.0, &name, mode, caller),
                reply,
            );
        });
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (name, caller) = (name.as_bytes().to_vec(), process(request));
        self.wait("unlink", request, parent, move |inner| {
            empty("unlink", inner.tree.unlink(parent.0, &name, caller), reply);
        });
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (name, caller) = (name.as_bytes().to_vec(), process(request));
        self.wait("rmdir", request, parent, move |inner| {
            empty("rmdir", inner.tree.rmdir(parent.0, &name, caller), reply);
        });
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let (name, target, caller) = (
            name.as_bytes().to_vec(),
            target.to_owned(),
            process(request),
        );
        self.wait("symlink", request, parent, move |inner| {
            reply_entry(
                "symlink",
                inner.tree.symlink(parent.0, &name, &target, caller),
                reply,
            );
        });
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (name, new_name) = (name.as_bytes().to_vec(), new_name.as_bytes().to_vec());
        let caller = process(request);
        self.wait("rename", request, parent, move |inner| {
            let result = Inner::rename_flags(flags).and_then(|replace| {
                inner.tree.rename(
                    (parent.0, &name),
                    (new_parent.0, &new_name),
                    replace,
                    caller,
                )
            });
            empty("rename", result, reply);
        });
    }

    fn link(
        &self,
        request: &Request,
        ino: INodeNo,
        parent: INodeNo,
        name: &OsStr,
        reply: ReplyEntry,
    ) {
        let (name, caller) = (name.as_bytes().to_vec(), process(request));
        self.wait("link", request, parent, move |inner| {
            reply_entry(
                "link",
                inner.tree.link(ino.0, parent.0, &name, caller),
                reply,
            );
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let _timer = self.inner.time("open", ino);
        self.inner.tree.looked(ino.0, process(request));
        let write = flags.acc_mode() != fuser::OpenAccMode::O_RDONLY;
        self.inner.open(ino.0, write, reply);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        if self.inner.tree.has_room(parent.0) {
            let _timer = self.inner.time("create", parent);
            return self
                .inner
                .create(parent.0, name, mode, process(request), reply);
        }
        let (name, caller) = (name.to_owned(), process(request));
        self.wait("create", request, parent, move |inner| {
            match inner.tree.wait_for_room(parent.0) {
                Ok(()) => inner.create(parent.0, &name, mode, caller, reply),
                Err(error) => reply.error(failed("create", &error)),
            }
        });
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let handle = match self.inner.handle(fh) {
            Ok(handle) => handle,
            Err(error) => return reply.error(failed("read", &error)),
        };
        if handle.opened.needs_request(offset, size as usize) {
            return self.wait("read", request, ino, move |_| {
                reply_read(handle.opened.read(offset, size as usize), reply);
            });
        }
        let _timer = self.inner.time("read", ino);
        reply_read(handle.opened.read(offset, size as usize), reply);
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let _timer = self.inner.time("write", ino);
        match self
            .inner
            .handle(fh)
            .and_then(|handle| handle.opened.write(offset, data))
        {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(failed("write", &error)),
        }
    }

    fn flush(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        let handle = match self.inner.handle(fh) {
            Ok(handle) => handle,
            Err(error) => return reply.error(failed("flush", &error)),
        };
        if matches!(handle.opened.closing, Closing::Plain) {
            return reply.ok();
        }
        let caller = process(request);
        self.wait("flush", request, ino, move |inner| {
            empty(
                "flush",
                inner.tree.flush(handle.ino, &handle.opened, caller),
                reply,
            );
        });
    }

    fn release(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let Some(handle) = self.inner.files.remove(fh.0) else {
            return reply.ok();
        };
        if matches!(
            handle.opened.closing,
            Closing::Plain | Closing::Config | Closing::NewConfig
        ) {
            self.inner.tree.closed(handle.ino, &handle.opened);
            return reply.ok();
        }
        let caller = process(request);
        self.wait("release", request, ino, move |inner| {
            empty(
                "release",
                inner.tree.release(handle.ino, &handle.opened, caller),
                reply,
            );
        });
    }

    fn fsync(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.wait("fsync", request, ino, move |inner| {
            let synced = inner
                .handle(fh)
                .and_then(|handle| inner.tree.fsync(ino.0, &handle.opened, datasync));
            empty("fsync", synced, reply);
        });
    }

    fn fsyncdir(
        &self,
        request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.wait("fsyncdir", request, ino, move |inner| {
            empty("fsyncdir", inner.tree.fsync_dir(ino.0), reply)
        });
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.inner.tree.looked(ino.0, process(request));
        let fh = self.inner.last_listing.fetch_add(1, Ordering::Relaxed);
        reply.opened(FileHandle(fh), FopenFlags::empty());
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let _timer = self.inner.time("readdir", ino);
        let names = match self.inner.listing(ino.0, fh.0, offset) {
            Ok(names) => names,
            Err(error) => return reply.error(failed("readdir", &error)),
        };
        for (i, listed) in names.iter().enumerate().skip(offset as usize) {
            // The kernel takes the number from lookup; here it only must not be 0.
            let (next, name) = (i as u64 + 1, OsStr::from_bytes(&listed.name));
            if reply.add(INodeNo(u64::MAX), next, kind(listed.kind), name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.inner.listings.lock().remove(&fh.0);
        reply.ok();
    }

    /// The disk under the data directory: what is written here needs its space first. The limit of
    /// staging is none of the mount's size, since what is over it goes up and makes room.
    fn statfs(&self, _: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        match rustix::fs::statvfs(&self.inner.fs.shared().config.data) {
            Ok(s) => reply.statfs(
                s.f_blocks,
                s.f_bfree,
                s.f_bavail,
                s.f_files,
                s.f_ffree,
                s.f_bsize as u32,
                255,
                s.f_frsize as u32,
            ),
            Err(error) => reply.error(Errno::from_i32(error.raw_os_error())),
        }
    }

    // ENOSYS once, and the kernel never asks again.

    fn getxattr(&self, _: &Request, _ino: INodeNo, _name: &OsStr, _size: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _: &Request, _ino: INodeNo, _size: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn setxattr(
        &self,
        _: &Request,
        _ino: INodeNo,
        _name: &OsStr,
        _value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn removexattr(&self, _: &Request, _ino: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }
}
