//! The FUSE operations. Each decodes what the kernel asks for and makes one call, whose result is
//! the reply. On which thread that happens, [`super::dispatch`] decides.

use super::calls::Calls;
use super::convert::{appends, creation, replaces, sought, time, truncates, writes};
use super::dispatch::Dispatch;
use super::reply;
use super::waiting::{BACKGROUND, Requester};
use crate::filesystem::FileSystem;
use crate::repository::NewAttributes;
use crate::tree::{Op, Tree};
use fuser::{
    BsdFileFlags, Errno, FileHandle, Filesystem, INodeNo, InitFlags, IoctlFlags, KernelConfig,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr,
    Request, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

pub(super) struct Handler {
    calls: Arc<Calls>,
    dispatch: Dispatch,
    ended: crossbeam_channel::Sender<()>,
}

impl Handler {
    pub(super) fn new(
        fs: Arc<FileSystem>,
        tree: Arc<Tree>,
        ended: crossbeam_channel::Sender<()>,
    ) -> io::Result<Self> {
        let calls = Arc::new(Calls::new(fs, tree));
        Ok(Self {
            dispatch: Dispatch::new(calls.clone())?,
            calls,
            ended,
        })
    }
}

impl Filesystem for Handler {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Whatever an older kernel lacks only makes things slower.
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        let _ = config.add_capabilities(InitFlags::FUSE_HANDLE_KILLPRIV_V2);
        // So that a truncation is part of its open, and never seen without it.
        let _ = config.add_capabilities(InitFlags::FUSE_ATOMIC_O_TRUNC);
        let passthrough = config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_ok()
            && config.set_max_stack_depth(self.calls.stack_depth()).is_ok();
        self.calls.passthrough.store(passthrough, Ordering::Relaxed);
        let _ = config.set_max_write(1 << 20);
        let _ = config.set_max_background(BACKGROUND);
        Ok(())
    }

    fn destroy(&mut self) {
        let _ = self.ended.try_send(());
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let at = (parent, name);
        (self.dispatch).run(Op::Lookup, request, at, reply, |calls, asked, _| {
            (calls.tree).lookup(asked.ino(), asked.name(), asked.process)
        });
    }

    fn forget(&self, _: &Request, ino: INodeNo, lookups: u64) {
        self.calls.tree.forget(ino.0, lookups);
    }

    fn getattr(&self, request: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        (self.dispatch).run(Op::Getattr, request, ino, reply, move |calls, asked, _| {
            calls.getattr(asked, fh)
        });
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
        let new = NewAttributes {
            mode,
            uid,
            gid,
            size,
            atime: atime.map(time),
            mtime: mtime.map(time),
        };
        (self.dispatch).run(Op::Setattr, request, ino, reply, move |calls, asked, _| {
            calls.setattr(asked, &new, fh)
        });
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        (self.dispatch).run(Op::Readlink, request, ino, reply, |calls, asked, _| {
            calls.tree.readlink(asked.ino())
        });
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
        let at = (parent, name);
        (self.dispatch).run(Op::Mknod, request, at, reply, move |calls, asked, _| {
            (calls.tree).mknod(asked.ino(), asked.name(), mode, asked.process)
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
        let at = (parent, name);
        (self.dispatch).run(Op::Mkdir, request, at, reply, move |calls, asked, _| {
            (calls.tree).mkdir(asked.ino(), asked.name(), mode, asked.process)
        });
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let at = (parent, name);
        (self.dispatch).run(Op::Unlink, request, at, reply, |calls, asked, _| {
            (calls.tree).unlink(asked.ino(), asked.name(), asked.process)
        });
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let at = (parent, name);
        (self.dispatch).run(Op::Rmdir, request, at, reply, |calls, asked, _| {
            (calls.tree).rmdir(asked.ino(), asked.name(), asked.process)
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
        let (at, target) = ((parent, name), target.to_owned());
        (self.dispatch).run(Op::Symlink, request, at, reply, move |calls, asked, _| {
            (calls.tree).symlink(asked.ino(), asked.name(), &target, asked.process)
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
        let (at, new_name) = ((parent, name), new_name.as_bytes().to_vec());
        (self.dispatch).run(Op::Rename, request, at, reply, move |calls, asked, _| {
            let (from, to) = ((asked.ino(), asked.name()), (new_parent.0, &*new_name));
            (calls.tree).rename(from, to, replaces(flags)?, asked.process)
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
        let at = (parent, name);
        (self.dispatch).run(Op::Link, request, at, reply, move |calls, asked, _| {
            (calls.tree).link(ino.0, asked.ino(), asked.name(), asked.process)
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (write, truncate) = (writes(flags), truncates(flags));
        let op = Op::Open { write };
        (self.dispatch).run(op, request, ino, reply, move |calls, asked, reply| {
            calls.open(asked, (write, truncate), |file| reply.open_backing(file))
        });
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
        let (at, how) = ((parent, name), creation(flags));
        (self.dispatch).run(
            Op::Create,
            request,
            at,
            reply,
            move |calls, asked, reply| {
                calls.create(asked, mode, how, |file| reply.open_backing(file))
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
        let Some(handle) = self.calls.files.get(fh.0) else {
            return reply.error(Errno::EINVAL);
        };
        let (opened, len) = (handle.opened.clone(), size as usize);
        let op = Op::Read {
            opened,
            offset,
            len,
        };
        (self.dispatch).run(op, request, ino, reply, move |_, _, _| {
            handle.opened.read(offset, len)
        });
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
        (self.dispatch).run_here(Op::Write, request, ino, reply, |calls, asked, _| {
            let opened = &calls.handle(fh)?.opened;
            opened.write(offset, data, appends(flags), asked.process.tid)?;
            Ok(data.len() as u32)
        });
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
        (self.dispatch).run(Op::Lseek, request, ino, reply, move |calls, _, _| {
            calls.seek(fh, offset, sought(whence)?)
        });
    }

    fn flush(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        let Some(handle) = self.calls.files.get(fh.0) else {
            return reply.error(Errno::EINVAL);
        };
        let op = Op::Flush(handle.opened.clone());
        (self.dispatch).run(op, request, ino, reply, move |calls, asked, _| {
            (calls.tree).flush(handle.ino, &handle.opened, asked.process)
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
        let Some(handle) = self.calls.files.remove(fh.0) else {
            return reply.ok();
        };
        let op = Op::Release(handle.opened.clone());
        let by = Requester::kernel(handle.user());
        (self.dispatch).run_for(by, op, request, ino, reply, move |calls, _, _| {
            calls.tree.release(handle.ino, &handle.opened)
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
        (self.dispatch).run(Op::Fsync, request, ino, reply, move |calls, asked, _| {
            let handle = calls.handle(fh)?;
            calls.tree.fsync(asked.ino(), &handle.opened, datasync)
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
        (self.dispatch).run(Op::Fsyncdir, request, ino, reply, |calls, asked, _| {
            calls.tree.fsync_dir(asked.ino())
        });
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let is_compared = self.calls.dir_cache.is_compared(ino.0);
        let op = Op::Opendir { is_compared };
        (self.dispatch).run(op, request, ino, reply, move |calls, asked, _| {
            calls.opendir(asked, is_compared)
        });
    }

    fn readdir(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        let kept = self.calls.listings.kept(fh.0, offset);
        let is_kept = kept.is_some();
        let op = Op::Readdir { is_kept };
        (self.dispatch).run(op, request, ino, reply, move |calls, asked, reply| {
            calls.readdir(asked, (fh.0, offset), kept, |next, listed| {
                reply::add(reply, next, listed)
            })
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
        (self.dispatch).run(Op::Releasedir, request, ino, reply, move |calls, _, _| {
            calls.listings.close(fh.0);
            calls.dir_cache.close(fh.0);
            Ok(())
        });
    }

    fn statfs(&self, request: &Request, ino: INodeNo, reply: ReplyStatfs) {
        (self.dispatch).run(Op::Statfs, request, ino, reply, |calls, _, _| {
            calls.statfs()
        });
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
