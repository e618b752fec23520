//! A view passes from the daemon to the user whom git runs as, and back.
//!
//! On the way there nobody else has been in it. On the way back it is another's directory: links are not followed, nothing is waited
//! for, and each directory is the daemon's before it is looked into, so that what was found there stays.
#![expect(
    clippy::disallowed_methods,
    reason = "the view before git runs is the daemon's own; what git leaves is opened without following links, relative to descriptors"
)]

use gitmoor_fs::program::User;
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

/// Of all local parts of a repository: reflogs, indexes.
pub(super) const LOCAL_BYTES: u64 = 4 << 30;

/// Whatever is below a directory can be read by everybody, which the data directory keeps from doing so.
pub(super) fn show(dir: &Path) -> io::Result<()> {
    each(dir, &|path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode))
    })
}

/// Whatever is below a directory belongs to a user.
pub(super) fn give(dir: &Path, user: &User) -> io::Result<()> {
    each(dir, &|path, _| lchown(path, Some(user.uid()), None))
}

/// Directories and files with the modes that they are to have; links lead elsewhere.
fn each(at: &Path, act: &dyn Fn(&Path, u32) -> io::Result<()>) -> io::Result<()> {
    act(at, 0o755)?;
    for entry in fs::read_dir(at)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            each(&entry.path(), act)?;
        } else if kind.is_file() {
            act(&entry.path(), 0o644)?;
        }
    }
    Ok(())
}

/// Whatever is below a directory belongs to this process again; of what git had in the making, and what it never makes, nothing is left.
pub(super) fn take_back(dir: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    take(&rustix::fs::open(dir, flags, Mode::empty())?)
}

fn take(dir: &OwnedFd) -> io::Result<()> {
    own(dir.as_fd())?;
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match entry.file_type() {
            // Made by this process: a link to a file of the mount.
            FileType::Symlink => {}
            FileType::Directory => take(&rustix::fs::openat(dir, name, flags, Mode::empty())?)?,
            FileType::RegularFile => {
                let file = File::from(rustix::fs::openat(dir, name, flags, Mode::empty())?);
                match file.metadata()?.is_file() && file.metadata()?.nlink() == 1 {
                    true => own(file.as_fd())?,
                    false => rustix::fs::unlinkat(dir, name, AtFlags::empty())?,
                }
            }
            _ => rustix::fs::unlinkat(dir, name, AtFlags::empty())?,
        }
    }
    Ok(())
}

fn own(file: BorrowedFd<'_>) -> io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let (uid, gid) = (Uid::from_raw(uid.as_raw()), Gid::from_raw(gid.as_raw()));
    Ok(rustix::fs::fchown(file, Some(uid), Some(gid))?)
}

/// Copies a part of a repository's own directory, which its users write to: regular files and directories, if they are
/// there, and none of their links.
pub(super) fn copy_local(from: &Path, part: &str, to: &Path, left: &mut u64) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut dir = rustix::fs::open(from, flags, Mode::empty())?;
    let mut names = part.split('/').peekable();
    while let Some(name) = names.next() {
        match (open_at(&dir, name.as_ref())?, names.peek()) {
            (None, _) => return Ok(()),
            (Some(found), Some(_)) => dir = found,
            (Some(found), None) => return copy(found, &to.join(part), left),
        }
    }
    Ok(())
}

/// `None` for what is not there, and for what is neither a file nor a directory.
fn open_at(dir: &OwnedFd, name: &std::ffi::OsStr) -> io::Result<Option<OwnedFd>> {
    use rustix::io::Errno;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    match rustix::fs::openat(dir, name, flags | OFlags::CLOEXEC, Mode::empty()) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::NODEV) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn copy(found: OwnedFd, to: &Path, left: &mut u64) -> io::Result<()> {
    let file = File::from(found);
    let meta = file.metadata()?;
    if meta.is_dir() {
        return copy_dir(file.into(), to, left);
    }
    if !meta.is_file() {
        return Ok(());
    }
    let too_large = || {
        let text = format!(
            "{}: reflogs and indexes have more than {LOCAL_BYTES} bytes",
            to.display()
        );
        io::Error::new(io::ErrorKind::FileTooLarge, text)
    };
    *left = left.checked_sub(meta.len()).ok_or_else(too_large)?;
    io::copy(
        &mut io::Read::take(file, meta.len()),
        &mut File::create_new(to)?,
    )?;
    Ok(())
}

fn copy_dir(dir: OwnedFd, to: &Path, left: &mut u64) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    fs::DirBuilder::new().recursive(true).create(to)?;
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        let name = std::ffi::OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        if let Some(found) = open_at(&dir, name)? {
            copy(found, &to.join(name), left)?;
        }
    }
    Ok(())
}
