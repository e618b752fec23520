//! The FUSE operations. What is answered from memory or by one local system call
//! is answered on the thread that read the request; what may wait for the
//! replicator or the store goes to others ([`super::waiting`]), so that it holds up nobody.

use super::calls::{Calls, TTL, empty, failed, reply_read, writes};
use super::convert::{attr, process, time};
use super::metrics::At;
use super::waiting::{BACKGROUND, Call, Waiting};
use crate::error::{FsError, FsResult};
use crate::filesystem::FileSystem;
use crate::repository::{Closing, NewAttributes};
use crate::tree::Tree;
use fuser::{
    BsdFileFlags, Errno, FileHandle, Filesystem, INodeNo, InitFlags, IoctlFlags, KernelConfig,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr,
    Request, TimeOrNow, WriteFlags,
};
use gitmoor_store::wait::on_behalf_of;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

pub(super) struct Handler {
    inner: Arc<Calls>,
    waiting: Waiting,
    ended: crossbeam_channel::Sender<()>,
}

impl Handler {
    pub(super) fn new(
        fs: Arc<FileSystem>,
        tree: Arc<Tree>,
        ended: crossbeam_channel::Sender<()>,
    ) -> io::Result<Self> {
        Ok(Self {
            inner: Arc::new(Calls::new(fs, tree)?),
            waiting: Waiting::new()?,
            ended,
        })
    }

    /// Runs what may wait, when the share of its user allows that.
    fn wait<'a, R: Refusable>(
        &self,
        op: &'static str,
        request: &Request,
        at: impl Into<At<'a>>,
        reply: R,
        work: impl FnOnce(&Calls, R) + Send + 'static,
    ) {
        let (user, can_be_refused) = (request.uid(), true);
        let answer = self.answer(op, request, at, reply, work);
        self.waiting.begin(Call {
            user,
            caller: request.pid(),
            can_be_refused,
            answer,
        });
    }

    /// The span carries the request's id to the logs of the store and the replicator.
    fn answer<'a, R: Refusable>(
        &self,
        op: &'static str,
        request: &Request,
        at: impl Into<At<'a>>,
        reply: R,
        work: impl FnOnce(&Calls, R) + Send + 'static,
    ) -> Box<dyn FnOnce(FsResult<()>) + Send> {
        let (begin, at) = (Instant::now(), at.into().into_owned());
        let (inner, caller) = (self.inner.clone(), request.pid());
        let span = inner.step(op, request, &at).unwrap_or_else(|| {
            tracing::info_span!("fuse", op, request = request.unique().0, pid = caller)
        });
        Box::new(move |may: FsResult<()>| {
            let _in_span = span.enter();
            let _timer = inner.time_since(begin, op, at);
            match may {
                Ok(()) => on_behalf_of(caller, || work(&inner, reply)),
                Err(refused) => reply.refuse(failed(op, &refused)),
            }
        })
    }
}

/// A reply that can be an error.
trait Refusable: Send + 'static {
    fn refuse(self, errno: Errno);
}

macro_rules! refusable {
    ($($reply:ty),*) => {
        $(impl Refusable for $reply {
            fn refuse(self, errno: Errno) {
                self.error(errno);
            }
        })*
    };
}

refusable!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyEmpty,
    ReplyEntry,
    ReplyOpen
);

impl Filesystem for Handler {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Whatever an older kernel lacks only makes things slower.
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        let _ = config.add_capabilities(InitFlags::FUSE_HANDLE_KILLPRIV_V2);
        // So that a truncation is part of its open, and never seen without it.
        let _ = config.add_capabilities(InitFlags::FUSE_ATOMIC_O_TRUNC);
        let passthrough = config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_ok()
            && config.set_max_stack_depth(self.inner.stack_depth()).is_ok();
        self.inner.passthrough.store(passthrough, Ordering::Relaxed);
        let _ = config.set_max_write(1 << 20);
        let _ = config.set_max_background(BACKGROUND);
        Ok(())
    }

    fn destroy(&mut self) {
        let _ = self.ended.try_send(());
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let caller = process(request);
        let (tree, name) = (&self.inner.tree, name.as_bytes());
        if tree.lookup_waits(parent.0, name, caller) {
            let owned = name.to_vec();
            return self.wait(
                "lookup",
                request,
                (parent, name),
                reply,
                move |inner, reply| match inner.tree.ask_lookup(parent.0, &owned, caller) {
                    Ok(()) => inner.lookup(parent.0, &owned, caller, reply),
                    Err(error) => reply.error(failed("lookup", &error)),
                },
            );
        }
        let _timer = self.inner.time("lookup", request, (parent, name));
        self.inner.lookup(parent.0, name, caller, reply);
    }

    fn forget(&self, _: &Request, ino: INodeNo, lookups: u64) {
        self.inner.tree.forget(ino.0, lookups);
    }

    fn getattr(&self, request: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        let _timer = self.inner.time("getattr", request, ino);
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
        self.wait("setattr", request, ino, reply, move |inner, reply| {
            let handle = fh.and_then(|fh| inner.files.get(fh.0));
            let opened = handle.as_ref().map(|handle| &*handle.opened);
            match inner.tree.setattr(ino.0, &new, opened, caller) {
                Ok(stat) => reply.attr(&stat.ttl(TTL), &attr(ino.0, &stat)),
                // As for open.
                Err(FsError::NotFound) => reply.error(Errno::ESTALE),
                Err(error) => reply.error(failed("setattr", &error)),
            }
        });
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        let _timer = self.inner.time("readlink", request, ino);
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
        let (at, name) = ((parent, name.as_bytes()), name.as_bytes().to_vec());
        let caller = process(request);
        self.wait("mknod", request, at, reply, move |inner, reply| {
            inner.reply_entry(
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
        let (at, name) = ((parent, name.as_bytes()), name.as_bytes().to_vec());
        let caller = process(request);
        self.wait("mkdir", request, at, reply, move |inner, reply| {
            inner.reply_entry(
                "mkdir",
                inner.tree.mkdir(parent.0, &name, mode, caller),
                reply,
            );
        });
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (at, name) = ((parent, name.as_bytes()), name.as_bytes().to_vec());
        let caller = process(request);
        self.wait("unlink", request, at, reply, move |inner, reply| {
            empty("unlink", inner.tree.unlink(parent.0, &name, caller), reply);
        });
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (at, name) = ((parent, name.as_bytes()), name.as_bytes().to_vec());
        let caller = process(request);
        self.wait("rmdir", request, at, reply, move |inner, reply| {
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
        let (at, name) = ((parent, name.as_bytes()), name.as_bytes().to_vec());
        let (target, caller) = (target.to_owned(), process(request));
        self.wait("symlink", request, at, reply, move |inner, reply| {
            inner.reply_entry(
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
        let at = (parent, name.as_bytes());
        let (name, new_name) = (name.as_bytes().to_vec(), new_name.as_bytes().to_vec());
        let caller = process(request);
        self.wait("rename", request, at, reply, move |inner, reply| {
            let result = Calls::rename_flags(flags).and_then(|replace| {
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
        let (at, name) = ((parent, name.as_bytes()), name.as_bytes().to_vec());
        let caller = process(request);
        self.wait("link", request, at, reply, move |inner, reply| {
            inner.reply_entry(
                "link",
                inner.tree.link(ino.0, parent.0, &name, caller),
                reply,
            );
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let caller = process(request);
        let copies = writes(flags) && self.inner.tree.opens_draft(ino.0);
        if copies || self.inner.tree.look_asks(ino.0, caller) {
            return self.wait("open", request, ino, reply, move |inner, reply| match inner
                .tree
                .ask(caller)
            {
                Ok(()) => inner.open(ino.0, flags, caller, reply),
                Err(error) => reply.error(failed("open", &error)),
            });
        }
        let _timer = self.inner.time("open", request, ino);
        self.inner.open(ino.0, flags, caller, reply);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let caller = process(request);
        if !self.inner.tree.create_waits(parent.0, name.as_bytes()) {
            let _timer = self
                .inner
                .time("create", request, (parent, name.as_bytes()));
            return self
                .inner
                .create(parent.0, name, (mode, flags), caller, reply);
        }
        let owned = name.to_owned();
        self.wait(
            "create",
            request,
            (parent, name.as_bytes()),
            reply,
            move |inner, reply| match inner.tree.wait_for_room(parent.0) {
                Ok(()) => inner.create(parent.0, &owned, (mode, flags), caller, reply),
                Err(error) => reply.error(failed("create", &error)),
            },
        );
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
            return self.wait("read", request, ino, reply, move |_, reply| {
                reply_read(handle.opened.read(offset, size as usize), reply);
            });
        }
        let _timer = self.inner.time("read", request, ino);
        reply_read(handle.opened.read(offset, size as usize), reply);
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let _timer = self.inner.time("write", request, ino);
        let (append, tid) = (flags.0 & libc::O_APPEND != 0, request.pid());
        match self
            .inner
            .handle(fh)
            .and_then(|handle| handle.opened.write(offset, data, append, tid))
        {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(failed("write", &error)),
        }
    }

    fn lseek(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let _timer = self.inner.time("lseek", request, ino);
        match self.inner.seek(fh, offset, whence) {
            Ok(at) => reply.offset(at),
            Err(error) => reply.error(failed("lseek", &error)),
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
            let _timer = self.inner.time("flush", request, ino);
            return reply.ok();
        }
        let caller = process(request);
        self.wait("flush", request, ino, reply, move |inner, reply| {
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
            let _timer = self.inner.time("release", request, ino);
            self.inner.tree.closed(handle.ino, &handle.opened);
            return reply.ok();
        }
        let user = handle.user();
        let release = move |inner: &Calls, reply| {
            empty(
                "release",
                inner.tree.release(handle.ino, &handle.opened),
                reply,
            );
        };
        // It is asked for by nobody, and only once; it counts for whoever opened the file.
        self.waiting.begin(Call {
            user,
            caller: 0,
            can_be_refused: false,
            answer: self.answer("release", request, ino, reply, release),
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
        self.wait("fsync", request, ino, reply, move |inner, reply| {
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
        self.wait("fsyncdir", request, ino, reply, move |inner, reply| {
            empty("fsyncdir", inner.tree.fsync_dir(ino.0), reply)
        });
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let caller = process(request);
        if self.inner.tree.look_asks(ino.0, caller) {
            return self.wait(
                "opendir",
                request,
                ino,
                reply,
                move |inner, reply| match inner.tree.ask(caller) {
                    Ok(()) => inner.opendir(ino.0, caller, reply),
                    Err(error) => reply.error(failed("opendir", &error)),
                },
            );
        }
        let _timer = self.inner.time("opendir", request, ino);
        self.inner.opendir(ino.0, caller, reply);
    }

    fn readdir(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        let user = request.uid();
        let is_kept = self.inner.listings.kept(fh.0, offset).is_some();
        let leave = self.inner.leave_to_list();
        if is_kept || leave.is_some() {
            let _timer = self.inner.time("readdir", request, ino);
            return self.inner.readdir(ino.0, fh.0, offset, user, reply);
        }
        drop(leave);
        self.wait("readdir", request, ino, reply, move |inner, reply| {
            inner.readdir(ino.0, fh.0, offset, user, reply);
        });
    }

    fn releasedir(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        let _timer = self.inner.time("releasedir", request, ino);
        self.inner.listings.close(fh.0);
        reply.ok();
    }

    /// The disk under the data directory: what is written here needs its space first. The limit of
    /// staging is none of the mount's size, since what is over it goes up and makes room.
    fn statfs(&self, request: &Request, ino: INodeNo, reply: ReplyStatfs) {
        let _timer = self.inner.time("statfs", request, ino);
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

    /// There is none. isatty(3) asks at each open of many languages' libraries.
    fn ioctl(
        &self,
        _: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
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
