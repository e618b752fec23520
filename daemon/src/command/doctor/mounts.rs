//! Mounts of this machine, whosever they are, whose daemon is gone.

use super::{Check, Finding, Fix};
use crate::mount_point::{MountInfo, all_mounts};
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

const KIND: &str = "fuse.gitmoor";

/// A mount that answers does so from memory.
const TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

enum MountState {
    Alive,
    Dead,
    None,
}

pub(super) fn dead() -> io::Result<Check> {
    let ours = |mount: &MountInfo| mount.kind == KIND;
    let at: BTreeSet<PathBuf> = all_mounts()?
        .into_iter()
        .filter(ours)
        .map(|mount| mount.at)
        .collect();
    let note = format!("{} of gitmoor's on this machine, all answer", at.len());
    let mut findings = Vec::new();
    for at in at {
        findings.extend(judged(at)?);
    }
    Ok(Check::new("mounts", note, findings))
}

fn judged(at: PathBuf) -> io::Result<Option<Finding>> {
    let shown = at.display();
    Ok(match ask(&at)? {
        MountState::Alive => None,
        MountState::Dead => Some(
            Finding::new(
                format!("{shown} is a dead mount (transport endpoint is not connected): its daemon is gone"),
                format!("gitmoor umount {shown}; nothing is lost, mount again"),
            )
            .with(Fix::Unmount(at)),
        ),
        MountState::None => Some(Finding::new(
            format!("{shown} does not answer within {TIMEOUT:?}: its daemon hangs"),
            format!("gitmoor status says what it waits for; umount -f {shown} ends it"),
        )),
    })
}

/// From a process of its own: one that waits for a daemon that hangs may be waited for in vain, even when it
/// is killed.
fn ask(at: &Path) -> io::Result<MountState> {
    let mut stat = gitmoor_fs::program::of_the_system("stat");
    // Of the file system: attributes of its top the kernel may remember.
    stat.args(["--file-system", "--"])
        .arg(at)
        .env("LC_ALL", "C");
    let stat = stat
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = stat.spawn()?;
    let begun = Instant::now();
    while begun.elapsed() < TIMEOUT {
        if let Some(status) = child.try_wait()? {
            let mut said = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                stderr.read_to_string(&mut said)?;
            }
            let is_dead = !status.success() && said.contains("Transport endpoint is not connected");
            return Ok(if is_dead {
                MountState::Dead
            } else {
                MountState::Alive
            });
        }
        std::thread::sleep(POLL);
    }
    Ok(MountState::None)
}
