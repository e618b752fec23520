//! Where a scenario's repositories live.

use crate::mount::Settings;
use std::path::Path;

/// The kinds of place, from the oracle to the real thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A directory of this machine, without Gitmoor: proves the test.
    Plain,
    /// A mount over a directory store.
    Dir,
}

/// An object store, kept alive while a mount uses it.
#[derive(Clone)]
pub enum Store {
    /// A directory beside the data directory.
    Dir,
}

impl Store {
    /// Starts it; `None` for [`Kind::Plain`], which stores nothing.
    pub fn start(kind: Kind) -> Option<Store> {
        match kind {
            Kind::Plain => None,
            Kind::Dir => Some(Store::Dir),
        }
    }

    /// Settings of a mount whose data, mount point and `dir:` store are in `dir`.
    pub fn settings(&self, dir: &Path) -> Settings {
        Settings {
            data: dir.join("data"),
            at: dir.join("mnt"),
            toml: String::new(),
            log: dir.join("daemon.log"),
            store: format!("dir:{}", dir.join("store").display()),
            repo: None,
            env: Vec::new(),
        }
    }
}
