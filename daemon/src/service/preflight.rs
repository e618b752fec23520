//! What a machine lacks for FUSE mounts, in words, before the kernel says it with
//! an errno.

use super::ServiceError;
use crate::config::MountSettings;
use std::fs::File;
use std::path::Path;

const DEVICE: &str = "/dev/fuse";

/// Fails if a mount cannot work here.
pub(super) fn check(mount: &MountSettings) -> Result<(), ServiceError> {
    match lacking(mount).into_iter().next() {
        None => Ok(()),
        Some((what, mend)) => Err(ServiceError::NotReady(format!("{what}: {mend}"))),
    }
}

/// Why a mount cannot work here, and what would help, the first reason first.
pub(crate) fn lacking(mount: &MountSettings) -> Vec<(String, String)> {
    let privileged = nix::unistd::geteuid().is_root();
    let mut lacking = Vec::new();
    let mut lacks = |what: String, mend: &str| lacking.push((what, mend.to_owned()));
    if !Path::new(DEVICE).exists() {
        lacks(
            "this machine has no /dev/fuse".to_owned(),
            "load the module with modprobe fuse; in a container give it --device /dev/fuse and \
             --cap-add SYS_ADMIN",
        );
    } else if let Err(error) = File::options().read(true).write(true).open(DEVICE) {
        lacks(
            format!("{DEVICE} cannot be opened ({error})"),
            "expected mode 0666 (chmod 666 /dev/fuse), or run as root; in a container also \
             --cap-add SYS_ADMIN",
        );
    }
    if !privileged && !in_path("fusermount3") {
        lacks(
            "fusermount3 is not installed".to_owned(),
            "it comes with the package fuse3",
        );
    }
    if mount.allow_other && !privileged && !others_allowed() {
        lacks(
            "--allow-other".to_owned(),
            "expected the line user_allow_other in /etc/fuse.conf, without which only root may let \
             others in",
        );
    }
    lacking
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn others_allowed() -> bool {
    std::fs::read_to_string("/etc/fuse.conf")
        .is_ok_and(|text| text.lines().any(|line| line.trim() == "user_allow_other"))
}
