//! Machines whose clocks are wrong, by libfaketime: what a daemon takes for the time of day. Its monotonic
//! clock is left alone, as no mistaken setting of a machine's clock touches that.

use crate::requirement::{Requirement, demand};
use std::fs;
use std::path::{Path, PathBuf};

/// Of the machines of one cluster.
pub struct Clocks {
    dir: PathBuf,
}

impl Clocks {
    /// All are right; their settings are kept in this directory.
    pub fn right(dir: &Path) -> Clocks {
        fs::create_dir_all(dir).expect("a directory");
        let dir = dir.to_owned();
        Clocks { dir }
    }

    /// From now on a clock is off by this: `+50m`, `-3d`.
    pub fn set(&self, machine: usize, offset: &str) {
        let (next, file) = (self.dir.join("next"), self.file(machine));
        fs::write(&next, offset).expect("its setting");
        fs::rename(next, file).expect("at once");
    }

    /// What makes a daemon look at it.
    pub fn env(&self, machine: usize) -> Vec<(String, String)> {
        let file = self.file(machine);
        if !file.exists() {
            self.set(machine, "+0");
        }
        let text = |path: PathBuf| path.into_os_string().into_string().expect("text");
        [
            ("LD_PRELOAD", text(library())),
            ("FAKETIME_TIMESTAMP_FILE", text(file)),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    fn file(&self, machine: usize) -> PathBuf {
        self.dir.join(machine.to_string())
    }
}

/// Debian puts it under the name of the architecture.
fn library() -> PathBuf {
    let named = fs::read_dir("/usr/lib").expect("a directory").flatten();
    let mut found = named.map(|dir| dir.path().join("faketime/libfaketimeMT.so.1"));
    let found = found.find(|path| path.exists());
    demand(
        Requirement::Clock,
        found.ok_or("libfaketime is not installed"),
    )
}
