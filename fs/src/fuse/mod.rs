//! FUSE: decode → one call → reply. The only code that knows fuser.

mod asked;
mod calls;
mod commands;
mod convert;
mod dir_cache;
mod dispatch;
mod elsewhere;
mod handler;
mod invalidate;
mod listings;
mod metrics;
mod open_files;
mod reply;
mod waiting;

use crate::consistency::RemoteChanges;
use crate::error::FsResult;
use crate::filesystem::{FileSystem, Names};
use crate::tree::{Place, Tree};
use fuser::{BackgroundSession, MountOption, SessionACL};
use gitmoor_model::{Actor, NamePath, RepoPath};
use handler::Handler;
use parking_lot::Mutex;
use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Threads that read requests from the kernel, at most. What may block leaves them
/// for others, see [`dispatch`]. More than there are cores only take turns, each with cold caches:
/// on two cores four make a warm `git cat-file` 4 % slower than two.
const THREADS: usize = 4;

/// What is mounted, and how the kernel treats the mount.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// Mount this repository alone, its top at the mount point, instead of the
    /// namespace. It is created when it does not exist, unless the file system is read-only.
    pub repo: Option<NamePath>,
    /// Let other users in.
    pub allow_other: bool,
    /// No program on it can be run.
    pub noexec: bool,
    /// What mount tables show as its source.
    pub source: String,
}

/// A live mount. Dropping it unmounts.
pub struct Mount {
    at: PathBuf,
    remote: Arc<RemoteChanges>,
    session: Mutex<Option<BackgroundSession>>,
    ended: crossbeam_channel::Receiver<()>,
}

impl Mount {
    /// Mounts; the mount answers when this returns.
    pub fn new(fs: Arc<FileSystem>, at: &Path, options: MountOptions) -> io::Result<Self> {
        let root = root(&fs, options.repo.as_ref()).map_err(io::Error::other)?;
        let tree = Tree::new(fs.shared(), fs.repositories(), root);
        let tree = Arc::new(tree.map_err(io::Error::other)?);
        let (sender, ended) = crossbeam_channel::bounded(1);
        let handler = Handler::new(fs.clone(), tree.clone(), sender)?;
        let remote = fs.shared().remote_changes.clone();
        remote.mounted();
        let mount = Self {
            at: at.to_owned(),
            remote,
            session: Mutex::new(None),
            ended,
        };
        let session = fuser::spawn_mount(handler, at, &config(&options, fs.is_read_only()))?;
        elsewhere::start(&fs.shared(), &tree, session.notifier())?;
        tree.mounted(at)?;
        invalidate::start(&fs, tree, session.notifier())?;
        *mount.session.lock() = Some(session);
        Ok(mount)
    }

    /// Waits until somebody unmounts (umount(8), fusermount3 -u).
    pub fn wait(&self) {
        // An error means that the sender is gone: the session ended.
        let _ = self.ended.recv();
    }

    /// Unmounts; with `lazy` even while files are open (they go on until closed).
    pub fn unmount(&self, lazy: bool) -> io::Result<()> {
        unmount(&self.at, lazy)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.remote.unmounted();
        // Joining ends the session's threads; an unmounted one ends at once.
        drop(self.session.lock().take());
    }
}

fn unmount(at: &Path, lazy: bool) -> io::Result<()> {
    let flags = if lazy {
        nix::mount::MntFlags::MNT_DETACH
    } else {
        nix::mount::MntFlags::empty()
    };
    match nix::mount::umount2(at, flags) {
        Err(nix::errno::Errno::EPERM) => fusermount(at, lazy),
        other => other.map_err(io::Error::from),
    }
}

fn fusermount(at: &Path, lazy: bool) -> io::Result<()> {
    let how = if lazy { "-uz" } else { "-u" };
    let output = crate::program::of_the_system("fusermount3")
        .arg(how)
        .arg(at)
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    ))
}

fn config(options: &MountOptions, read_only: bool) -> fuser::Config {
    let mut config = fuser::Config::default();
    config.mount_options = vec![
        MountOption::FSName(fs_name(&options.source)),
        // fuser keeps the subtype that it knows of from the kernel, which takes it since Linux 5.4.
        MountOption::CUSTOM("subtype=gitmoor".into()),
        MountOption::DefaultPermissions,
        MountOption::NoDev,
        MountOption::NoSuid,
    ];
    let flags = [
        (read_only, MountOption::RO),
        (options.noexec, MountOption::NoExec),
    ];
    let given = flags.into_iter().filter(|(is_given, _)| *is_given);
    config.mount_options.extend(given.map(|(_, flag)| flag));
    config.acl = if options.allow_other {
        SessionACL::All
    } else {
        SessionACL::Owner
    };
    config.n_threads = Some(reading_threads());
    config.clone_fd = true;
    config
}

/// Two at least: while one does what may take long the other reads on.
fn reading_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    cores.clamp(2, THREADS)
}

/// fusermount3, which mounts for users other than root, takes its options between commas.
fn fs_name(source: &str) -> String {
    match rustix::process::geteuid().is_root() {
        true => source.to_owned(),
        false => source.replace('\\', "\\\\").replace(',', "\\,"),
    }
}

fn root(fs: &FileSystem, repo: Option<&NamePath>) -> FsResult<Place> {
    let Some(path) = repo else {
        return Ok(Place::Name(NamePath::root()));
    };
    let id = Names::of(fs, Actor::default()).find_or_create(path)?;
    Ok(Place::Repo(fs.repositories().get(id)?, RepoPath::root()))
}
