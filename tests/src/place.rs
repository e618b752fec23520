//! What a scenario gets: a directory for repositories, a scratch directory on the
//! disk for work trees and clones, and a git.

use crate::backend::{Kind, Store};
use crate::git::{Git, Installed, Repo};
use crate::mount::{Mounted, Settings};
use crate::s3::{FakeS3, Garage};
use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// A backend with one git.
pub struct Place {
    /// Which git runs.
    pub git: Git,
    /// Repositories may be created here.
    pub root: PathBuf,
    /// Plain disk.
    pub scratch: PathBuf,
    // Before the directory and the store, so that it is dropped first.
    mount: Option<Mutex<Mounted>>,
    store: Option<Store>,
    // Last, so that the mount is gone when it is removed.
    _dir: TempDir,
}

impl Place {
    /// Sets everything up.
    #[track_caller]
    pub fn new(kind: Kind, git: &Installed) -> Place {
        Self::with(kind, git, |settings| settings)
    }

    /// The same with the newest git, and a configuration file.
    #[track_caller]
    pub fn set(kind: Kind, toml: &str) -> Place {
        let toml = toml.to_owned();
        Self::with(kind, &Installed::newest(), |settings| Settings {
            toml,
            ..settings
        })
    }

    /// The same with other settings of the mount.
    #[track_caller]
    pub fn with(kind: Kind, git: &Installed, change: impl FnOnce(Settings) -> Settings) -> Place {
        Self::within(&std::env::temp_dir(), kind, git, change)
    }

    /// The same with all of its files below a directory.
    #[track_caller]
    pub fn within(
        above: &Path,
        kind: Kind,
        git: &Installed,
        change: impl FnOnce(Settings) -> Settings,
    ) -> Place {
        let dir = tempfile::Builder::new()
            .prefix("gitmoor-test-")
            .tempdir_in(above);
        let dir = dir.expect("temporary directory");
        let store = Store::start(kind);
        let settings = store
            .as_ref()
            .map(|store| change(store.settings(dir.path())));
        let mount = settings.map(Mounted::start);
        let root = match &mount {
            Some(mount) => mount.path().to_owned(),
            None => dir.path().join("repositories"),
        };
        let scratch = dir.path().join("scratch");
        fs::create_dir_all(&root).expect("directory for repositories");
        fs::create_dir_all(&scratch).expect("scratch directory");
        Place {
            git: git.with_home(&dir.path().join("home")),
            root,
            scratch,
            mount: mount.map(Mutex::new),
            store,
            _dir: dir,
        }
    }

    /// Runs a scenario once with every git of this machine.
    #[track_caller]
    pub fn run(kind: Kind, scenario: fn(&Place)) {
        if kind == Kind::Garage && Garage::binary().is_none() {
            return;
        }
        for git in Installed::all() {
            println!("-- {git}");
            scenario(&Place::new(kind, &git));
        }
    }

    /// A new bare repository in the root, by `git init --bare`.
    #[track_caller]
    pub fn bare(&self, name: &str) -> Repo {
        self.init(name, "")
    }

    /// The same with options of `git init`.
    #[track_caller]
    pub fn init(&self, name: &str, options: &str) -> Repo {
        let path = self.root.join(name);
        let at = self.git.at(&self.scratch);
        at.ok(format!("init --quiet --bare {options} {}", path.display()));
        self.git.at(path)
    }

    /// A repository in the root that exists already.
    pub fn repo(&self, name: &str) -> Repo {
        self.git.at(self.root.join(name))
    }

    /// A new repository with a work tree on the plain disk.
    #[track_caller]
    pub fn work(&self, name: &str) -> Repo {
        let path = self.scratch.join(name);
        let at = self.git.at(&self.scratch);
        at.ok(format!("init --quiet {}", path.display()));
        self.git.at(path)
    }

    /// A clone on the plain disk, through git's transport; further options before the URL.
    #[track_caller]
    pub fn clone(&self, options: &str, from: &Repo, name: &str) -> Repo {
        let path = self.scratch.join(name);
        let at = self.git.at(&self.scratch);
        let url = from.url();
        at.ok(format!("clone --quiet {options} {url} {}", path.display()));
        self.git.at(path)
    }

    /// A bare repository in the root that holds `commits` commits on `main`, pushed from
    /// the returned work tree with remote `origin`.
    #[track_caller]
    pub fn pushed(&self, name: &str, commits: usize) -> (Repo, Repo) {
        let bare = self.bare(name);
        let work = self.work(&format!("{}-work", name.replace('/', "-")));
        work.import(&crate::history::commits(commits));
        work.ok("reset --quiet --hard main");
        work.ok(format!("remote add origin {}", bare.url()));
        work.ok("push --quiet -u origin main");
        (bare, work)
    }

    /// The daemon, on a mount.
    pub fn mount(&self) -> Option<MutexGuard<'_, Mounted>> {
        let mount = self.mount.as_ref()?;
        Some(mount.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The daemon; only for scenarios that run on mounts alone.
    #[track_caller]
    pub fn daemon(&self) -> MutexGuard<'_, Mounted> {
        self.mount().expect("a scenario for mounts alone")
    }

    /// The server inside this process; only for scenarios on it alone.
    #[track_caller]
    pub fn server(&self) -> &FakeS3 {
        match &self.store {
            Some(Store::S3s(server)) => server,
            _ => panic!("a scenario for s3s alone"),
        }
    }

    /// Unmounts and mounts again; nothing on a plain directory.
    #[track_caller]
    pub fn restart(&self) {
        if let Some(mut mount) = self.mount() {
            mount.umount();
            mount.launch();
        }
    }

    /// Kills the daemon with SIGKILL and mounts again; nothing on a plain directory.
    #[track_caller]
    pub fn crash(&self) {
        if let Some(mut mount) = self.mount() {
            mount.kill9();
            mount.launch();
        }
    }

    /// Mounts again with an empty block cache.
    #[track_caller]
    pub fn cool(&self) {
        if let Some(mut mount) = self.mount() {
            mount.umount();
            mount.drop_cache();
            mount.launch();
        }
    }

    /// A path of the scratch directory.
    pub fn scratch(&self, name: impl AsRef<Path>) -> PathBuf {
        self.scratch.join(name)
    }
}

/// Lets other users come to what lies in the directory of temporary files, which may be this run's own
/// and its user's alone.
pub fn let_others_through() {
    let all = std::env::temp_dir();
    let mode = std::fs::metadata(&all)
        .expect("it is there")
        .permissions()
        .mode();
    let mode = Permissions::from_mode(mode | 0o011);
    std::fs::set_permissions(&all, mode).expect("it is this user's, or open");
}
