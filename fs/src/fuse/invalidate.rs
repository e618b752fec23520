//! Names that change behind the kernel's back: told to it from a thread of its
//! own, since a notification from within a request can deadlock.

use crate::filesystem::{Change, Changed, FileSystem};
use crate::tree::Tree;
use fuser::{INodeNo, Notifier};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

pub(super) fn start(fs: &FileSystem, tree: Arc<Tree>, notifier: Notifier) -> io::Result<()> {
    let changes = fs.changes();
    let run = move || {
        for Change { of, told } in changes {
            let mounted = tell(&tree, &notifier, &of);
            // Lets the admin command that waits for this go on.
            drop(told);
            if !mounted {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("invalidate".into())
        .spawn(run)
        .map(drop)
}

/// Returns whether the mount is still there.
fn tell(tree: &Tree, notifier: &Notifier, change: &Changed) -> bool {
    let name = match change {
        Changed::InRepo(repo, path) => {
            tree.forget_name(*repo, path);
            tree.kernel_name(*repo, path)
        }
        Changed::Name(path) => tree.kernel_name_of(path),
    };
    let Some((parent, name)) = name else {
        return true;
    };
    match notifier.inval_entry(INodeNo(parent), OsStr::from_bytes(&name)) {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => false,
        Err(error) => {
            tracing::debug!(%error, "the kernel did not take an invalidation");
            true
        }
        Ok(()) => true,
    }
}
