//! Runs the real binary in directories of its own, and leaves nothing mounted.

// Each test binary uses its part of this.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs gitmoor on a data directory, without any setting of the caller's environment.
pub(crate) fn gitmoor(data: &Path, args: &[&str]) -> Output {
    gitmoor_with(data, args, &[])
}

/// The same with further variables.
pub(crate) fn gitmoor_with(data: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = command(data);
    command.args(args).envs(env.iter().copied());
    command.output().expect("the binary runs")
}

/// The command itself.
pub(crate) fn command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gitmoor"));
    for (key, _) in std::env::vars() {
        let settings = ["GITMOOR_", "S3_", "AWS_", "RUST_LOG"];
        if settings.iter().any(|ours| key.starts_with(ours)) {
            command.env_remove(key);
        }
    }
    command.env("GITMOOR_DATA", data);
    command
}

/// Asserts the exit code, and parts of what was said on standard error.
#[track_caller]
pub(crate) fn expect(output: &Output, code: i32, says: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for part in says {
        assert!(stderr.contains(part), "expected {part:?} in: {stderr}");
    }
}

/// A data directory and a mount point beside each other. Dropping it takes away
/// whatever is mounted, which ends its daemon.
pub(crate) struct Place {
    pub dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(dir.path().join("mnt")).expect("a mount point");
        Self { dir }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn at(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    pub(crate) fn mnt(&self) -> String {
        self.at().display().to_string()
    }

    /// `gitmoor mount` with options.
    pub(crate) fn mount(&self, args: &[&str]) -> Output {
        gitmoor(&self.data(), &[&["mount"], args, &[&self.mnt()]].concat())
    }

    /// A command that must succeed; its standard output.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = gitmoor(&self.data(), args);
        expect(&output, 0, &[]);
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// `gitmoor umount`.
    pub(crate) fn umount(&self, args: &[&str]) -> Output {
        gitmoor(&self.data(), &[&["umount"], args, &[&self.mnt()]].concat())
    }

    /// `gitmoor status --json`.
    #[track_caller]
    pub(crate) fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.ok(&["status", "--json"])).expect("JSON")
    }

    /// The daemon's process.
    #[track_caller]
    pub(crate) fn pid(&self) -> nix::unistd::Pid {
        let pid = self.status()["pid"].as_i64().expect("a number");
        nix::unistd::Pid::from_raw(pid.try_into().expect("a pid"))
    }

    /// Whether something is mounted at the mount point.
    pub(crate) fn is_mounted(&self) -> bool {
        let mounts = gitmoor::mount_point::mounts_at(&self.at());
        !mounts.expect("a mount table").is_empty()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_mounted() {
            let detached = nix::mount::umount2(&self.at(), nix::mount::MntFlags::MNT_DETACH);
            if detached.is_err() {
                let _ = Command::new("fusermount3")
                    .arg("-uz")
                    .arg(self.at())
                    .output();
            }
        }
    }
}
