//! `gitmoor umount`.

use super::{Failure, Reply, Request, data_dir, output, unexpected};
use crate::admin::{AdminError, Client};
use crate::config::Place;
use crate::data_dir::{DataDir, Lock, Owner};
use crate::mount_point::{self, Cleared, MountPointError};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `gitmoor umount`.
#[derive(Args, Debug)]
pub struct UmountArgs {
    /// Detach even while files are open; they go on until they are closed
    #[arg(long)]
    pub lazy: bool,
    /// Where it is mounted
    pub mountpoint: PathBuf,
}

/// Which mount goes, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UmountRequest {
    /// As the kernel names it.
    pub mountpoint: PathBuf,
    /// Detach even while files are open.
    pub lazy: bool,
}

/// The daemon has unmounted and answered; closing its database takes a moment.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(30);

/// Asks the daemon to leave; without a daemon, clears what it left.
pub(super) fn run(place: &Place, args: &UmountArgs) -> Result<(), Failure> {
    let dir = data_dir(place)?;
    let freed = free(&dir)?;
    match Client::connect(&dir) {
        Ok(client) => ask_to_leave(place, &dir, client, args),
        Err(AdminError::NotRunning { .. }) => match clear(&dir, &args.mountpoint) {
            Err(Failure::MountPoint(MountPointError::NotMounted(_))) if freed => Ok(()),
            cleared => cleared,
        },
        Err(error) => Err(error.into()),
    }
}

/// Frees the directory from a daemon that was killed and is not gone, see [`mount_point::abort`]:
/// its lock and its socket are still there. Answers whether there was one.
fn free(dir: &DataDir) -> Result<bool, Failure> {
    let Some(owner) = Lock::last_owner(dir).filter(Owner::is_killed) else {
        return Ok(false);
    };
    if Lock::wait_until_free(dir, Duration::ZERO)? {
        return Ok(false);
    }
    let Some(mountpoint) = owner.mountpoint else {
        return Ok(false);
    };
    mount_point::abort(&mountpoint)?;
    Lock::wait_until_free(dir, LEAVE_TIMEOUT)?;
    output::line(format_args!(
        "ended the mount at {}: its daemon (pid {}) was killed while a client held it",
        mountpoint.display(),
        owner.pid
    ))?;
    Ok(true)
}

fn ask_to_leave(
    place: &Place,
    dir: &DataDir,
    mut client: Client,
    args: &UmountArgs,
) -> Result<(), Failure> {
    let mountpoint = mount_point::name_in_mount_table(&args.mountpoint)?;
    let lazy = args.lazy;
    let request = Request::Umount(UmountRequest { mountpoint, lazy });
    match client.ask(&request)?? {
        Reply::Done => wait_until_gone(dir),
        Reply::Kept { files } => {
            output::line(format_args!(
                "{files} finished files are not stored, since the mount was offline or read-only; they are \
                 kept in {} and go up at the next mount without --offline or --read-only",
                dir.path().join("repos").display()
            ))?;
            wait_until_gone(dir)
        }
        Reply::Detached => Ok(output::line(
            "detached; files are still open there, and the daemon ends when the last is closed",
        )?),
        other => Err(unexpected(place, &other)),
    }
}

/// So that `gitmoor umount && gitmoor mount` finds the data directory free.
fn wait_until_gone(dir: &DataDir) -> Result<(), Failure> {
    if !Lock::wait_until_free(dir, LEAVE_TIMEOUT)? {
        output::line("unmounted; the daemon is still closing its database")?;
    }
    Ok(())
}

fn clear(dir: &DataDir, mountpoint: &Path) -> Result<(), Failure> {
    match mount_point::clear(mountpoint)? {
        Cleared::DeadMount => Ok(output::line(format_args!(
            "cleared a dead mount at {} (its daemon was gone already)",
            mountpoint.display()
        ))?),
        Cleared::Alive => Err(Failure::MountPoint(MountPointError::OtherDaemon {
            path: mountpoint.display().to_string(),
            data: dir.path().display().to_string(),
        })),
    }
}
