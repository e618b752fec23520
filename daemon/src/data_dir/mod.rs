//! The data directory: its layout, and the proof that this process owns it.
//!
//! ```text
//! lock          flock(2) of the daemon, and who it is          (INV-10)
//! version       format of everything beneath
//! store.url     the object store these repositories belong to
//! birth         tells a copy of the directory from the original
//! gitmoor.toml  settings, if an administrator wrote them
//! admin.sock    where the daemon listens, mode 0600
//! log/          what a daemon in the background writes
//! replica/      refs and catalog: raft log and state
//! cluster/      of a node or client of a cluster: who it is
//! repos/        local rooms and staging of the repositories
//! cache/        blocks of stored objects
//! store/        the default object store
//! ```

mod birth;
mod client_identity;
mod lock;
mod marker;
mod membership;
mod store_record;

pub(crate) use birth::Birth;
pub(crate) use client_identity::ClientIdentity;
pub(crate) use lock::{Lock, Owner};
pub(crate) use membership::RENEWED_BEFORE;
pub(crate) use membership::{ClusterDir, Membership, Reached};
pub(crate) use store_record::StoreRecord;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("data directory: {context}: {source}{}", advice(.source))]
    Io {
        /// What was being done, with the path.
        context: String,
        source: io::Error,
    },
    /// Another daemon owns it.
    #[error(
        "data directory {} is in use by {owner}; one directory has one owner: choose another \
         with --data, or unmount that one first", path.display()
    )]
    InUse { path: PathBuf, owner: String },
    /// Written by another version.
    #[error(
        "data directory {}: its version marker says {found:?}, but this gitmoor expects {:?}; \
         use the gitmoor that wrote it, or another directory", path.display(), marker::CURRENT
    )]
    Version {
        path: PathBuf,
        /// What stands in the marker.
        found: String,
    },
    /// It is a file.
    #[error("--data {}: is not a directory; expected a directory, or a path to create one at", .0.display())]
    NotDirectory(PathBuf),
    /// Something else is in there.
    #[error(
        "--data {}: expected an empty directory or one of gitmoor's own, but it holds {stranger:?}",
        path.display()
    )]
    Foreign {
        path: PathBuf,
        /// The first entry that is not ours.
        stranger: String,
    },
    /// What says that this is a node of a cluster is damaged.
    #[error("{}: {why}; put it back from a backup, or join anew with another data directory", path.display())]
    Membership { path: PathBuf, why: String },
    /// It is of a cluster already.
    #[error("data directory {} is a node of cluster {cluster} already", path.display())]
    Member { path: PathBuf, cluster: String },
    /// It asks a cluster already.
    #[error("data directory {} is a client of a cluster already", .0.display())]
    Client(PathBuf),
    #[error(
        "--cluster: data directory {} is no client of a cluster: `gitmoor cluster join TOKEN` makes it \
         one, with a token that `gitmoor cluster token --client` prints on a node", .0.display()
    )]
    NotClient(PathBuf),
    /// It has repositories of its own.
    #[error(
        "data directory {} has been used already: a node that joins a cluster begins with a new \
         directory, since its own repositories would be out of reach", .0.display()
    )]
    HasData(PathBuf),
    /// A backup needs a new one.
    #[error(
        "data directory {} has been used already: a backup is restored into a new one", .0.display()
    )]
    NotNew(PathBuf),
    /// It is of no cluster.
    #[error(
        "data directory {} is not a node of a cluster: `gitmoor cluster init` makes it the first of \
         a new one, `gitmoor cluster join TOKEN` one more of another", .0.display()
    )]
    NotMember(PathBuf),
    /// The first mount of a cluster says where its object files are.
    #[error(
        "data directory {} is a node of a cluster whose object files have no place yet: name a store \
         that all its nodes reach with --store", .0.display()
    )]
    NoStore(PathBuf),
    /// It has nothing to serve offline.
    #[error(
        "--offline: data directory {} was never mounted: mount it once without --offline, or name \
         another with --data", .0.display()
    )]
    NeverMounted(PathBuf),
    /// Its repositories have their objects elsewhere.
    #[error(
        "--store {given}: the repositories in {} have their objects in {recorded}; mount with that \
         store, or use another data directory", path.display()
    )]
    OtherStore {
        path: PathBuf,
        /// What was asked for.
        given: String,
        /// What was recorded at the first mount.
        recorded: String,
    },
}

impl DataDirError {
    /// Whether another argument would help, rather than another state of the machine.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            Self::NotDirectory(_)
            | Self::Foreign { .. }
            | Self::NeverMounted(_)
            | Self::Member { .. }
            | Self::Client(_)
            | Self::NotClient(_)
            | Self::HasData(_)
            | Self::NotNew(_)
            | Self::NotMember(_)
            | Self::NoStore(_)
            | Self::OtherStore { .. } => true,
            Self::Io { .. }
            | Self::InUse { .. }
            | Self::Version { .. }
            | Self::Membership { .. } => false,
        }
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            " (choose a directory you may write with --data or GITMOOR_DATA)"
        }
        _ => "",
    }
}

/// Names things in a data directory, whether or not it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataDir {
    path: PathBuf,
}

/// What may stand at the top of a data directory that has no version marker yet:
/// the administrator's file, what comes before the marker, and what mkfs leaves.
const NEUTRAL: [&str; 5] = ["gitmoor.toml", "log", "lock", "version.new", "lost+found"];

impl DataDir {
    /// The directory at this absolute path.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a node has begun here. In doubt it has.
    pub(crate) fn has_data(&self) -> bool {
        !matches!(
            std::fs::symlink_metadata(self.replica()),
            Err(error) if error.kind() == io::ErrorKind::NotFound
        )
    }

    /// The raft node's directory.
    pub(crate) fn replica(&self) -> PathBuf {
        self.path.join("replica")
    }

    /// Where the default object store lies.
    pub(crate) fn default_store(&self) -> PathBuf {
        self.path.join("store")
    }

    /// The log of a daemon in the background.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.path.join("log/gitmoor.log")
    }

    /// Whether this is a copy of another one.
    pub(crate) fn birth(&self) -> Birth {
        Birth::of(self)
    }

    /// Which store it belongs to.
    pub(crate) fn store(&self) -> StoreRecord<'_> {
        StoreRecord(self)
    }

    /// What makes this machine a node or a client of a cluster.
    pub(crate) fn cluster(&self) -> ClusterDir<'_> {
        ClusterDir(self)
    }

    /// Creates what is missing of the directory, checks that it is ours, and opens
    /// the log for appending. Needs no ownership: the command that starts a daemon
    /// in the background does this before the daemon takes the lock.
    pub(crate) fn prepare(&self) -> Result<fs::File, DataDirError> {
        if self.path.exists() && !self.path.is_dir() {
            return Err(DataDirError::NotDirectory(self.path.clone()));
        }
        self.create_dir(&self.path)?;
        self.refuse_strangers()?;
        let log = self.log_file();
        self.create_dir(log.parent().unwrap_or(&self.path))?;
        fs::OpenOptions::new()
            .mode(0o600)
            .create(true)
            .append(true)
            .open(&log)
            .map_err(failed(|| format!("opening {}", log.display())))
    }

    /// Takes ownership for the life of the answer; without a mount point to serve no mount.
    pub(crate) fn own(&self, mountpoint: Option<&Path>) -> Result<Lock, DataDirError> {
        self.prepare()?;
        let lock = Lock::take(self, mountpoint)?;
        marker::check_or_write(self)?;
        Ok(lock)
    }

    /// Private to its user: objects of every repository lie here in the clear.
    fn create_dir(&self, path: &Path) -> Result<(), DataDirError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed(|| format!("creating {}", path.display())))
    }

    /// A mistyped `--data` must not scatter our files over somebody's home.
    fn refuse_strangers(&self) -> Result<(), DataDirError> {
        let reading = || format!("reading {}", self.path.display());
        if self.path.join(marker::FILE).exists() {
            return Ok(());
        }
        for entry in fs::read_dir(&self.path).map_err(failed(reading))? {
            let name = entry.map_err(failed(reading))?.file_name();
            if !NEUTRAL.iter().any(|neutral| name == *neutral) {
                let stranger = name.to_string_lossy().into_owned();
                return Err(DataDirError::Foreign {
                    path: self.path.clone(),
                    stranger,
                });
            }
        }
        Ok(())
    }
}

fn failed(context: impl FnOnce() -> String) -> impl FnOnce(io::Error) -> DataDirError {
    move |source| DataDirError::Io {
        context: context(),
        source,
    }
}

/// Writes a small file so that after a crash it is there whole or not at all, and
/// is there once this has returned.
fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), DataDirError> {
    write_made(path, |_| Ok(bytes.to_vec()))
}

/// The same of bytes that depend on the file.
fn write_made(
    path: &Path,
    make: impl FnOnce(&fs::File) -> io::Result<Vec<u8>>,
) -> Result<(), DataDirError> {
    let context = || format!("writing {}", path.display());
    let temporary = path.with_extension("new");
    let write = || {
        // One that a crash left is another file.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&temporary)?;
        let bytes = make(&file)?;
        io::Write::write_all(&mut file, &bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    write().map_err(failed(context))
}
