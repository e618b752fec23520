//! Which open files a process has, by proc_pid_fdinfo(5).

use std::fs;
use std::io::{Error, ErrorKind};

/// A process with more descriptors is not asked about all of them.
const MOST: usize = 4096;

/// Whether a process has a descriptor of the file with an inode number, of this mount or another.
/// `None` when that cannot be told. A descriptor that is just being closed does not count.
pub(crate) fn has_open(pid: u32, ino: u64) -> Option<bool> {
    if pid == 0 {
        return None;
    }
    let descriptors = match fs::read_dir(format!("/proc/{pid}/fdinfo")) {
        Ok(descriptors) => descriptors,
        Err(error) => return is_gone(&error).then_some(false),
    };
    for (n, descriptor) in descriptors.enumerate() {
        let text = match descriptor.and_then(|it| fs::read_to_string(it.path())) {
            Ok(text) if n < MOST => text,
            Err(error) if is_gone(&error) => continue,
            Ok(_) | Err(_) => return None,
        };
        let number = text.lines().find_map(|line| line.strip_prefix("ino:"));
        if number.is_some_and(|number| number.trim().parse() == Ok(ino)) {
            return Some(true);
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
        let file = tempfile::tempfile().expect("a file");
        let ino = file.metadata().expect("fstat").ino();
        let other = file.try_clone().expect("dup");
        let me = std::process::id();
        assert_eq!(has_open(me, ino), Some(true));
        drop(file);
        assert_eq!(has_open(me, ino), Some(true));
        drop(other);
        assert_eq!(has_open(me, ino), Some(false));
        assert_eq!(has_open(0, ino), None);
    }
}
