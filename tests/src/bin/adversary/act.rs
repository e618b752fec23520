//! The system calls of the hostile user, each of which returns soon: nothing is opened blocking, no lock is
//! waited for, nothing large is allocated.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

/// How an operation ended.
pub type Answer = io::Result<()>;

/// What is read or copied at most.
const PIECE: usize = 256 << 10;

/// How long a git may take: it may have met a FIFO.
const GIT: Duration = Duration::from_secs(10);

const ALWAYS: i32 = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;

fn text(path: &Path) -> io::Result<CString> {
    name(path.as_os_str())
}

fn name(name: &OsStr) -> io::Result<CString> {
    Ok(CString::new(name.as_bytes())?)
}

fn done(result: impl Into<i64>) -> Answer {
    match result.into() {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn opened(fd: i32) -> io::Result<OwnedFd> {
    done(fd)?;
    // SAFETY: the kernel has just made it, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn open_with(path: &Path, flags: i32, mode: u32) -> io::Result<OwnedFd> {
    let path = text(path)?;
    // SAFETY: a C string that lives until the call returns.
    opened(unsafe { libc::open(path.as_ptr(), flags | ALWAYS, mode) })
}

/// The working directory becomes the calling thread's own.
pub fn own_working_directory() {
    // SAFETY: concerns the calling thread alone, and reads no memory.
    unsafe { libc::unshare(libc::CLONE_FS) };
}

pub fn user() -> u32 {
    nix::unistd::getuid().as_raw()
}

pub fn create(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    open_with(path, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, mode)
}

pub fn open_to_write(path: &Path, truncate: bool) -> io::Result<OwnedFd> {
    let truncate = if truncate { libc::O_TRUNC } else { 0 };
    open_with(path, libc::O_RDWR | truncate, 0)
}

/// For reading, for writing, as a name only, or without a name.
pub fn open(path: &Path, how: u32) -> io::Result<OwnedFd> {
    match how {
        0 => open_with(path, libc::O_RDONLY, 0),
        1 => open_with(path, libc::O_RDWR, 0),
        2 => open_with(path, libc::O_PATH | libc::O_NOFOLLOW, 0),
        _ => open_with(
            path.parent().unwrap_or(path),
            libc::O_TMPFILE | libc::O_RDWR,
            0o600,
        ),
    }
}

pub fn write(file: &OwnedFd, at: u64, bytes: &[u8]) -> Answer {
    let at = i64::try_from(at).unwrap_or(i64::MAX);
    // SAFETY: reads the bytes, which live until the call returns.
    done(unsafe { libc::pwrite(file.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), at) } as i64)
}

fn read(file: &OwnedFd, at: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; PIECE];
    let at = i64::try_from(at).unwrap_or(i64::MAX);
    // SAFETY: writes at most as many bytes as there are.
    let n = unsafe { libc::pread(file.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), at) };
    let n = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
    bytes.truncate(n);
    Ok(bytes)
}

pub fn rename(from: &Path, to: &Path, flags: u32) -> Answer {
    let (from, to, here) = (text(from)?, text(to)?, libc::AT_FDCWD);
    // SAFETY: C strings that live until the call returns.
    done(unsafe { libc::renameat2(here, from.as_ptr(), here, to.as_ptr(), flags) })
}

pub fn link(from: &Path, to: &Path, follow: bool) -> Answer {
    let (from, to, here) = (text(from)?, text(to)?, libc::AT_FDCWD);
    let flags = if follow { libc::AT_SYMLINK_FOLLOW } else { 0 };
    // SAFETY: C strings that live until the call returns.
    done(unsafe { libc::linkat(here, from.as_ptr(), here, to.as_ptr(), flags) })
}

pub fn make_node(path: &Path, kind: u32) -> Answer {
    let path = text(path)?;
    // SAFETY: a C string that lives until the call returns. The device would be /dev/mem.
    done(unsafe { libc::mknod(path.as_ptr(), kind | 0o666, libc::makedev(1, 1)) })
}

pub fn change_mode(path: &Path, mode: u32) -> Answer {
    let path = text(path)?;
    // SAFETY: a C string that lives until the call returns.
    done(unsafe { libc::chmod(path.as_ptr(), mode) })
}

pub fn change_owner(path: &Path, user: u32) -> Answer {
    let path = text(path)?;
    // SAFETY: a C string that lives until the call returns.
    done(unsafe { libc::lchown(path.as_ptr(), user, u32::MAX) })
}

pub fn set_times(path: &Path, seconds: i64) -> Answer {
    let path = text(path)?;
    let time = libc::timespec {
        tv_sec: seconds,
        tv_nsec: 7,
    };
    let times = [time, time];
    // SAFETY: a C string and two times that live until the call returns.
    done(unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), 0) })
}

pub fn set_xattr(path: &Path) -> Answer {
    let path = text(path)?;
    // SAFETY: C strings that live until the call returns, and one byte.
    done(unsafe {
        libc::setxattr(
            path.as_ptr(),
            c"user.x".as_ptr(),
            [1u8].as_ptr().cast(),
            1,
            0,
        )
    })
}

pub fn truncate(path: &Path, size: u64) -> Answer {
    let path = text(path)?;
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    // SAFETY: a C string that lives until the call returns.
    done(unsafe { libc::truncate(path.as_ptr(), size) })
}

/// How many ways there are to use a descriptor.
pub const USES: u32 = 14;

pub fn use_held(held: &OwnedFd, other: &OwnedFd, what: u32, size: u64, bytes: &[u8]) -> Answer {
    let fd = held.as_raw_fd();
    let offset = i64::try_from(size).unwrap_or(i64::MAX);
    match what {
        0..3 => write(held, size, bytes),
        3 => write(held, 0, bytes),
        4 => read(held, size).map(drop),
        // SAFETY: of here on all calls take descriptors and numbers only, but for those with a note.
        5 => done(unsafe { libc::ftruncate(fd, offset) }),
        6 => done(unsafe { libc::fsync(fd) }),
        7 => done(unsafe { libc::fchmod(fd, 0o6777) }),
        8 => done(unsafe { libc::fallocate(fd, libc::FALLOC_FL_KEEP_SIZE, 0, PIECE as i64) }),
        9 => done(unsafe { libc::flock(fd, libc::LOCK_EX | libc::LOCK_NB) }),
        10 => lock_range(fd),
        11 => map(held, bytes),
        12 => {
            let (input, here, there) = (other.as_raw_fd(), null_mut(), null_mut());
            // SAFETY: without places the calls read no memory.
            done(unsafe { libc::copy_file_range(input, here, fd, there, PIECE, 0) } as i64)
        }
        // SAFETY: two times of now, named by null.
        _ => done(unsafe { libc::futimens(fd, null()) }),
    }
}

fn lock_range(fd: i32) -> Answer {
    // SAFETY: plain numbers, of which zero is a valid value of each.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as i16;
    lock.l_len = 100;
    // SAFETY: a lock that lives until the call returns.
    done(unsafe { libc::fcntl(fd, libc::F_OFD_SETLK, &lock) })
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
    let copied = done(copied as i64);
    // SAFETY: the mapping from above, of which no reference was made.
    unsafe { libc::munmap(at, len) };
    copied
}

fn of_descriptor(held: &OwnedFd) -> io::Result<CString> {
    Ok(CString::new(format!("/proc/self/fd/{}", held.as_raw_fd()))?)
}

pub fn link_held(held: &OwnedFd, to: &Path) -> Answer {
    let (from, to, here) = (of_descriptor(held)?, text(to)?, libc::AT_FDCWD);
    // SAFETY: C strings that live until the call returns.
    done(unsafe {
        libc::linkat(
            here,
            from.as_ptr(),
            here,
            to.as_ptr(),
            libc::AT_SYMLINK_FOLLOW,
        )
    })
}

pub fn reopen(held: &OwnedFd) -> io::Result<OwnedFd> {
    let path = of_descriptor(held)?;
    // SAFETY: a C string that lives until the call returns.
    opened(unsafe { libc::open(path.as_ptr(), libc::O_RDWR | ALWAYS) })
}

/// In a directory that is held, wherever that is by now.
pub fn create_at(held: &OwnedFd, name_in: &OsStr) -> io::Result<OwnedFd> {
    let (name, flags) = (name(name_in)?, libc::O_RDWR | libc::O_CREAT | ALWAYS);
    // SAFETY: a C string that lives until the call returns.
    opened(unsafe { libc::openat(held.as_raw_fd(), name.as_ptr(), flags, 0o666) })
}

pub fn rename_at(held: &OwnedFd, name_in: &OsStr, to: &Path) -> Answer {
    let (from, to) = (name(name_in)?, text(to)?);
    // SAFETY: C strings that live until the call returns.
    done(unsafe { libc::renameat(held.as_raw_fd(), from.as_ptr(), libc::AT_FDCWD, to.as_ptr()) })
}

pub fn copy(from: &Path, to: &Path) -> Answer {
    let bytes = read(&open_with(from, libc::O_RDONLY, 0)?, 0)?;
    write(&create(to, 0o644)?, 0, &bytes)
}

/// As ls(1), cat(1) and find(1) do.
pub fn look(path: &Path) -> Answer {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_dir() {
        let names = fs::read_dir(path)?.take(1000).flatten();
        names.for_each(|entry| drop(entry.metadata()));
        return Ok(());
    }
    read(&open_with(path, libc::O_RDONLY, 0)?, 0).map(drop)
}

pub fn from_within(dir: &Path, name_in: &OsStr) -> Answer {
    let dir = text(dir)?;
    // SAFETY: a C string that lives until the call returns.
    done(unsafe { libc::chdir(dir.as_ptr()) })?;
    let up = Path::new("..").join(name_in);
    let made = create(Path::new(name_in), 0o644);
    let moved = rename(Path::new(name_in), &up, 0);
    // SAFETY: as above.
    done(unsafe { libc::chdir(c"/".as_ptr()) })?;
    made.map(drop).and(moved)
}

/// For a bounded time.
pub fn git(repository: &Path, command: &str) -> Answer {
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
