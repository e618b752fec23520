//! The system calls of the hostile user, each of which returns soon: nothing is opened blocking, no lock is
//! waited for, nothing large is allocated.

use nix::fcntl::{FcntlArg, fcntl};
use nix::sched::CloneFlags;
use rustix::fs::{self, AtFlags, CWD, FallocateFlags, FileType, FlockOperation, Gid, Mode, OFlags};
use rustix::fs::{RenameFlags, Timespec, Timestamps, UTIME_NOW, Uid, XattrFlags};
use rustix::io::{pread, pwrite};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::ptr::null_mut;
use std::time::{Duration, Instant};

/// How an operation ended.
pub(crate) type Answer = io::Result<()>;

/// What is read or copied at most.
const PIECE: usize = 256 << 10;

/// How long a git may take: it may have met a FIFO.
const GIT: Duration = Duration::from_secs(10);

const ALWAYS: OFlags = OFlags::NONBLOCK
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY);

fn open_with(path: &Path, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
    Ok(fs::open(path, flags | ALWAYS, Mode::from_raw_mode(mode))?)
}

/// The working directory becomes the calling thread's own.
pub(crate) fn own_working_directory() {
    nix::sched::unshare(CloneFlags::CLONE_FS).expect("allowed to everybody");
}

pub(crate) fn user() -> u32 {
    nix::unistd::getuid().as_raw()
}

pub(crate) fn create(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    open_with(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode)
}

pub(crate) fn open_to_write(path: &Path, truncate: bool) -> io::Result<OwnedFd> {
    let truncate = if truncate {
        OFlags::TRUNC
    } else {
        OFlags::empty()
    };
    open_with(path, OFlags::RDWR | truncate, 0)
}

/// For reading, for writing, as a name only, or without a name.
pub(crate) fn open(path: &Path, how: u32) -> io::Result<OwnedFd> {
    match how {
        0 => open_with(path, OFlags::RDONLY, 0),
        1 => open_with(path, OFlags::RDWR, 0),
        2 => open_with(path, OFlags::PATH | OFlags::NOFOLLOW, 0),
        _ => open_with(
            path.parent().unwrap_or(path),
            OFlags::TMPFILE | OFlags::RDWR,
            0o600,
        ),
    }
}

pub(crate) fn write(file: &OwnedFd, at: u64, bytes: &[u8]) -> Answer {
    pwrite(file, bytes, at)?;
    Ok(())
}

fn read(file: &OwnedFd, at: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; PIECE];
    let n = pread(file, &mut bytes[..], at)?;
    bytes.truncate(n);
    Ok(bytes)
}

pub(crate) fn rename(from: &Path, to: &Path, flags: RenameFlags) -> Answer {
    Ok(fs::renameat_with(CWD, from, CWD, to, flags)?)
}

pub(crate) fn link(from: &Path, to: &Path, follow: bool) -> Answer {
    let follow = if follow {
        AtFlags::SYMLINK_FOLLOW
    } else {
        AtFlags::empty()
    };
    Ok(fs::linkat(CWD, from, CWD, to, follow)?)
}

/// The device would be /dev/mem.
pub(crate) fn make_node(path: &Path, kind: FileType) -> Answer {
    let mode = Mode::from_raw_mode(0o666);
    Ok(fs::mknodat(CWD, path, kind, mode, fs::makedev(1, 1))?)
}

pub(crate) fn change_mode(path: &Path, mode: u32) -> Answer {
    Ok(fs::chmod(path, Mode::from_raw_mode(mode))?)
}

pub(crate) fn change_owner(path: &Path, user: u32) -> Answer {
    let (user, group) = (Some(Uid::from_raw(user)), None::<Gid>);
    Ok(fs::chownat(
        CWD,
        path,
        user,
        group,
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

fn both(tv_sec: i64, tv_nsec: i64) -> Timestamps {
    let time = Timespec { tv_sec, tv_nsec };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

pub(crate) fn set_times(path: &Path, seconds: i64) -> Answer {
    Ok(fs::utimensat(
        CWD,
        path,
        &both(seconds, 7),
        AtFlags::empty(),
    )?)
}

pub(crate) fn set_xattr(path: &Path) -> Answer {
    Ok(fs::setxattr(path, "user.x", &[1], XattrFlags::empty())?)
}

pub(crate) fn truncate(path: &Path, size: u64) -> Answer {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    Ok(nix::unistd::truncate(path, size)?)
}

/// How many ways there are to use a descriptor.
pub(crate) const USES: u32 = 14;

pub(crate) fn use_held(
    held: &OwnedFd,
    other: &OwnedFd,
    what: u32,
    size: u64,
    bytes: &[u8],
) -> Answer {
    match what {
        0..3 => write(held, size, bytes)?,
        3 => write(held, 0, bytes)?,
        4 => drop(read(held, size)?),
        5 => fs::ftruncate(held, size)?,
        6 => fs::fsync(held)?,
        7 => fs::fchmod(held, Mode::from_raw_mode(0o6777))?,
        8 => fs::fallocate(held, FallocateFlags::KEEP_SIZE, 0, PIECE as u64)?,
        9 => fs::flock(held, FlockOperation::NonBlockingLockExclusive)?,
        10 => lock_range(held.as_fd())?,
        11 => map(held, bytes)?,
        12 => drop(fs::copy_file_range(other, None, held, None, PIECE)?),
        _ => fs::futimens(held, &both(0, UTIME_NOW))?,
    }
    Ok(())
}

fn lock_range(fd: BorrowedFd<'_>) -> Answer {
    let lock = libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: 0,
        l_len: 100,
        l_pid: 0,
    };
    fcntl(fd, FcntlArg::F_OFD_SETLK(&lock))?;
    Ok(())
}

/// Writes through a shared mapping. The kernel copies, so that a file that was cut meanwhile is an error and no
/// signal.
fn map(file: &OwnedFd, bytes: &[u8]) -> Answer {
    let len = bytes.len().max(1);
    let (access, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let at = unsafe { libc::mmap(null_mut(), len, access, libc::MAP_SHARED, fd, 0) };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let source = File::open("/dev/urandom")?;
    // SAFETY: the kernel writes within the mapping, which is this function's own.
    let copied = unsafe { libc::read(source.as_raw_fd(), at, len) };
    let copied = if copied < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    };
    // SAFETY: the mapping from above, of which no reference was made.
    unsafe { libc::munmap(at, len) };
    copied
}

fn of_descriptor(held: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()))
}

pub(crate) fn link_held(held: &OwnedFd, to: &Path) -> Answer {
    link(&of_descriptor(held), to, true)
}

pub(crate) fn reopen(held: &OwnedFd) -> io::Result<OwnedFd> {
    open_with(&of_descriptor(held), OFlags::RDWR, 0)
}

/// In a directory that is held, wherever that is by now.
pub(crate) fn create_at(held: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | ALWAYS;
    Ok(fs::openat(held, name, flags, Mode::from_raw_mode(0o666))?)
}

pub(crate) fn rename_at(held: &OwnedFd, name: &OsStr, to: &Path) -> Answer {
    Ok(fs::renameat(held, name, CWD, to)?)
}

pub(crate) fn copy(from: &Path, to: &Path) -> Answer {
    let bytes = read(&open_with(from, OFlags::RDONLY, 0)?, 0)?;
    write(&create(to, 0o644)?, 0, &bytes)
}

/// As ls(1), cat(1) and find(1) do.
pub(crate) fn look(path: &Path) -> Answer {
    let meta = std::fs::symlink_metadata(path)?;
    if meta.is_dir() {
        let names = std::fs::read_dir(path)?.take(1000).flatten();
        names.for_each(|entry| drop(entry.metadata()));
        return Ok(());
    }
    read(&open_with(path, OFlags::RDONLY, 0)?, 0).map(drop)
}

/// With the directory as the working directory.
pub(crate) fn within(dir: &Path, name: &OsStr) -> Answer {
    rustix::process::chdir(dir)?;
    let up = Path::new("..").join(name);
    let made = create(Path::new(name), 0o644);
    let moved = rename(Path::new(name), &up, RenameFlags::empty());
    rustix::process::chdir("/")?;
    made.map(drop).and(moved)
}

/// For a bounded time.
pub(crate) fn git(repository: &Path, command: &str) -> Answer {
    let mut git = Command::new("git");
    git.arg("--git-dir")
        .arg(repository)
        .args(command.split(' '));
    git.current_dir("/").stdin(Stdio::null());
    let mut git = git.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let end = Instant::now() + GIT;
    while Instant::now() < end {
        if git.try_wait()?.is_some() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    git.kill()?;
    git.wait().map(drop)
}
