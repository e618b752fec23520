//! Which open files a process has, by proc_pid_fdinfo(5).
//!
//! Nothing here asks a file system: a file of this mount would have the daemon wait for itself.

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use std::fs;
use std::io::{Error, ErrorKind};
use std::path::Path;

/// A process with more descriptors is not asked about all of them.
const MOST: usize = 4096;

/// A file system, by its device number. Inode numbers are unique within one only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Device {
    major: u32,
    minor: u32,
}

impl Device {
    /// The file system that a file is on. The kernel knows it without a question to the file system.
    pub(crate) fn of(file: &Path) -> Result<Self, Error> {
        let found = statx(CWD, file, AtFlags::STATX_DONT_SYNC, StatxFlags::empty())?;
        Ok(Self {
            major: found.stx_dev_major,
            minor: found.stx_dev_minor,
        })
    }
}

/// Whether a process has a descriptor of the file with an inode number on a file system. `None` when that cannot be
/// told, as when the file system is unknown. A descriptor that is just being closed does not count.
pub(crate) fn has_open(pid: u32, (device, ino): (Option<Device>, u64)) -> Option<bool> {
    if pid == 0 {
        return None;
    }
    let descriptors = match fs::read_dir(format!("/proc/{pid}/fdinfo")) {
        Ok(descriptors) => descriptors,
        Err(error) => return is_gone(&error).then_some(false),
    };
    for (n, descriptor) in descriptors.enumerate() {
        let told = descriptor.and_then(|it| Ok((fs::read_to_string(it.path())?, it.file_name())));
        let (text, number) = match told {
            Ok(told) if n < MOST => told,
            Err(error) if is_gone(&error) => continue,
            Ok(_) | Err(_) => return None,
        };
        let file = text.lines().find_map(|line| line.strip_prefix("ino:"));
        if file.is_none_or(|file| file.trim().parse() != Ok(ino)) {
            continue;
        }
        let open = Path::new("/proc").join(pid.to_string()).join("fd");
        match Device::of(&open.join(number)) {
            Ok(found) if found == device? => return Some(true),
            Ok(_) => {}
            Err(error) if is_gone(&error) => {}
            Err(_) => return None,
        }
    }
    Some(false)
}

/// The process, or the descriptor.
fn is_gone(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_process_has_what_it_has_not_closed() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = tempfile::tempfile_in(&dir).expect("a file");
        let ino = file.metadata().expect("fstat").ino();
        let device = Device::of(dir.path()).expect("statx");
        let other = file.try_clone().expect("dup");
        let me = std::process::id();
        assert_eq!(has_open(me, (Some(device), ino)), Some(true));
        assert_eq!(has_open(me, (None, ino)), None);
        drop(file);
        assert_eq!(has_open(me, (Some(device), ino)), Some(true));
        drop(other);
        assert_eq!(has_open(me, (Some(device), ino)), Some(false));
        assert_eq!(has_open(0, (Some(device), ino)), None);
    }

    #[test]
    fn a_file_of_another_file_system_is_another_file() {
        let file = tempfile::tempfile().expect("a file");
        let ino = file.metadata().expect("fstat").ino();
        let elsewhere = Device::of(Path::new("/proc")).expect("statx");
        let open = has_open(std::process::id(), (Some(elsewhere), ino));
        assert_eq!(open, Some(false));
    }
}
