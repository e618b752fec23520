//! `gitmoor serve`: a mount with doors. Without a mount point it has one of its own.

use super::{Failure, environment, mount};
use crate::config::{ConfigError, MountArgs, Place, ServeArgs, Settings, locate};
use crate::mount_point::MountPointError;
use nix::unistd::geteuid;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Mounts, and opens the doors. It stays in the foreground: a service manager starts it, or a shell.
pub(super) fn run(place: &Place, args: ServeArgs) -> Result<(), Failure> {
    let mountpoint = match args.mountpoint {
        Some(mountpoint) => mountpoint,
        None => own(&locate(place, &environment)?.data)?,
    };
    let args = MountArgs {
        mountpoint,
        foreground: true,
        source: args.source,
        settings: args.settings,
        ..MountArgs::default()
    };
    let settings = Settings::resolve(place, &args, &environment)?;
    if settings.serve.is_none() {
        return Err(ConfigError::NoDoor.into());
    }
    mount::run_in_foreground(&settings)
}

/// A directory of this daemon's, the same each time, that git's user can pass.
fn own(data: &Path) -> Result<PathBuf, Failure> {
    let of_user = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let above = match geteuid().is_root() {
        true => PathBuf::from("/run"),
        false => of_user.unwrap_or_else(std::env::temp_dir),
    };
    let data = std::path::absolute(data)?;
    let digest = gitmoor_model::SecretDigest::of(data.as_os_str().as_encoded_bytes());
    let name = format!("gitmoor-serve-{}", gitmoor_model::hex(&digest.0[..8]));
    let path = above.join(name);
    match DirBuilder::new().mode(0o755).create(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => {
            let path = path.display().to_string();
            return Err(MountPointError::Io { path, source }.into());
        }
    }
    // A dead mount there is told by what looks at every mount point.
    let is_foreign = fs::symlink_metadata(&path)
        .is_ok_and(|found| !found.is_dir() || found.uid() != geteuid().as_raw());
    match is_foreign {
        true => Err(MountPointError::NotDirectory(path.display().to_string()).into()),
        false => Ok(path),
    }
}
