//! Where a scenario's repositories live.

use crate::mount::Settings;
use crate::s3::{FakeS3, Garage};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tempfile::TempDir;

/// The kinds of place, from the oracle to the real thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A directory of this machine, without Gitmoor: proves the test.
    Plain,
    /// A mount over a directory store.
    Dir,
    /// A mount over the S3 server inside this process, which counts and fails on demand.
    S3s,
    /// A mount over Garage, a real S3 server.
    Garage,
}

/// An object store, kept alive while a mount uses it.
#[derive(Clone)]
pub enum Store {
    /// A directory beside the data directory.
    Dir,
    /// Its own server, so that counts are this test's.
    S3s(Arc<FakeS3>),
    /// A server shared by the tests of this process, each under its own prefix.
    Garage(Arc<GarageInDir>),
}

impl Store {
    /// Starts it; `None` for [`Kind::Plain`], which stores nothing.
    pub fn start(kind: Kind) -> Option<Store> {
        match kind {
            Kind::Plain => None,
            Kind::Dir => Some(Store::Dir),
            Kind::S3s => Some(Store::S3s(Arc::new(FakeS3::start()))),
            Kind::Garage => Some(Store::Garage(shared_garage())),
        }
    }

    /// Settings of a mount whose data, mount point and `dir:` store are in `dir`.
    pub fn settings(&self, dir: &Path) -> Settings {
        let env = self.env();
        Settings {
            data: dir.join("data"),
            at: dir.join("mnt"),
            toml: String::new(),
            log: dir.join("daemon.log"),
            store: self.url(dir, &env),
            repo: None,
            netns: None,
            open_files: None,
            socket: None,
            env,
        }
    }

    fn env(&self) -> Vec<(String, String)> {
        match self {
            Store::Dir => Vec::new(),
            Store::S3s(server) => server.env(),
            Store::Garage(garage) => garage.server.env(),
        }
    }

    fn url(&self, dir: &Path, env: &[(String, String)]) -> String {
        let bucket = env.iter().find(|(key, _)| key == "S3_BUCKET");
        match bucket {
            None => format!("dir:{}", dir.join("store").display()),
            Some((_, bucket)) => format!("s3://{bucket}/{}", fresh_prefix()),
        }
    }
}

fn fresh_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A server with its files. The server is dropped first.
pub struct GarageInDir {
    server: Garage,
    _dir: TempDir,
}

impl GarageInDir {
    fn start() -> GarageInDir {
        let dir = tempfile::Builder::new().prefix("gitmoor-garage-").tempdir();
        let dir = dir.expect("temporary directory");
        let server = Garage::start(dir.path()).unwrap_or_else(|error| panic!("{error:#}"));
        GarageInDir { server, _dir: dir }
    }
}

/// One Garage for all tests that run at the moment; the last one stops it. (A
/// static would never be dropped and the server would outlive the tests.)
fn shared_garage() -> Arc<GarageInDir> {
    static RUNNING: Mutex<Weak<GarageInDir>> = Mutex::new(Weak::new());
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.upgrade().unwrap_or_else(|| {
        let garage = Arc::new(GarageInDir::start());
        *running = Arc::downgrade(&garage);
        garage
    })
}
