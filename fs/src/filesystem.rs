//! The file system as the daemon holds it: opened once, mounted, asked for its
//! status, published before it leaves.

mod access;
mod hooks;
mod idle;
mod metrics;
mod names;
mod ownership;
mod refusals;
mod sizes;
mod status;
mod traffic;

pub use hooks::{HooksOfMount, HooksStatus, MachineHooksStatus, PushHooks};
pub use names::Names;
pub use status::{RepoInfo, Status};
pub use traffic::Traffic;

use crate::beneath::Dir;
use crate::consistency::{Freshness, RemoteChanges};
use crate::error::FsError;
use crate::git_config;
use crate::hooks::{Hooks, HooksError};
use crate::namespace::repositories;
use crate::owner::{Owned, Ownership};
use crate::process::Origins;
use crate::repository::Quarantines;
use crate::repository::context::{Config, Context};
use crate::repository::objects::{Seals, Staging};
use crate::repository::refs::Large;
use crate::repository::transaction::ReadVersions;
use crate::tree::Repositories;
use gitmoor_model::{Actor, NamePath, Repo, RepoId, RepoPath};
use gitmoor_replicator::{Replica, read};
use gitmoor_store::block_cache::{BlockCache, CacheConfig, CacheError};
use gitmoor_store::object_store::{
    self, ObjectStore, ProbeError, Probed, StoreError, StoreOpenError, StoreTimes, check_reach,
};
use gitmoor_store::wait::Waits;
use parking_lot::Mutex;
use refusals::Refusals;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The file system cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk of this machine failed.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, with the path.
        context: String,
        /// What the system call returned.
        source: std::io::Error,
    },
    /// The block cache cannot be opened.
    #[error("opening the block cache: {0}")]
    Cache(#[from] CacheError),
    /// Whose the object store is cannot be found out.
    #[error("finding out who owns the store: {0}")]
    Owner(FsError),
    /// The setting `hooks` names a directory that cannot be used.
    #[error(transparent)]
    Hooks(#[from] HooksError),
}

/// Not everything could be published.
#[derive(Debug, thiserror::Error)]
#[error(
    "{files} finished files could not be stored yet ({reason}); they are kept in {kept} and go up at the next mount"
)]
pub struct PublishError {
    /// How many files are not stored.
    pub files: u64,
    /// Why the last of them was not stored.
    pub reason: String,
    /// The directory that keeps the files.
    pub kept: PathBufDisplay,
}

/// A path for messages.
#[derive(Debug)]
pub struct PathBufDisplay(pub PathBuf);

impl std::fmt::Display for PathBufDisplay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.display().fmt(f)
    }
}

/// Something changed without the kernel's doing.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) of: Changed,
    /// Dropped when the kernel has been told, for those who wait for that.
    pub(crate) told: Option<crossbeam_channel::Sender<()>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Changed {
    /// A name in a repository.
    InRepo(RepoId, RepoPath),
    /// The same of one that has a new inode already.
    Renewed(RepoId, RepoPath),
    /// A name in the namespace.
    Name(NamePath),
    /// The top directory of a repository has other attributes: what has none of its own follows them.
    Top(RepoId),
}

/// Those who pass changes on to a kernel.
type Listeners = Arc<Mutex<Vec<crossbeam_channel::Sender<Change>>>>;

/// How long an admin command waits for the kernel to drop a name.
const KERNEL_TIMEOUT: Duration = Duration::from_secs(5);

/// All repositories of a mount, and what they share.
pub struct FileSystem {
    pub(crate) shared: Arc<Context>,
    pub(crate) repositories: Arc<Repositories>,
    listeners: Listeners,
    publications: Arc<idle::Publications>,
    publish_failure: Mutex<Option<String>>,
    /// Held while quarantines are removed.
    sweeping: Arc<AtomicBool>,
    pub(crate) refusals: Refusals,
}

impl FileSystem {
    /// Opens the rooms and starts the idle publisher, which also publishes what
    /// an earlier life left pending. The replica tells `remote_changes` what other nodes change.
    pub fn open(
        config: Config,
        replica: Arc<dyn Replica>,
        store: Arc<dyn ObjectStore>,
        remote_changes: Arc<RemoteChanges>,
    ) -> Result<Arc<Self>, OpenError> {
        crate::metrics::register();
        let hooks = Hooks::open(config.hooks.as_deref(), config.lenient_hooks)?;
        let homes = Arc::new(open_homes(&config.data.join("repos"))?);
        let ownership = ownership(&config, &replica, &store).map_err(OpenError::Owner)?;
        let store = match &ownership {
            Some(ownership) => Arc::new(Owned::new(store, ownership.clone())),
            None => store,
        };
        let cache = BlockCache::open(
            CacheConfig {
                dir: config.data.join("cache"),
                max_bytes: config.cache_bytes,
                free_floor_bytes: config.cache_free_floor,
                read_timeout: config.read_timeout,
            },
            store.clone(),
        )?;
        let listeners = Listeners::default();
        let told = listeners.clone();
        let changed = move |repo, path: &RepoPath| {
            let of = Changed::InRepo(repo, path.clone());
            tell(&told, &Change { of, told: None });
        };
        let told = listeners.clone();
        let renewed = move |repo, path: &RepoPath| {
            let of = Changed::Renewed(repo, path.clone());
            tell(&told, &Change { of, told: None });
        };
        let told = listeners.clone();
        let top_changed = move |repo| {
            let of = Changed::Top(repo);
            tell(&told, &Change { of, told: None });
        };
        let staging = Arc::new(Staging::new(config.staging_bytes, homes.clone()));
        let freshness = Freshness::new(replica.clone(), remote_changes.clone(), config.stale_reads);
        let shared = Arc::new(Context {
            replica,
            store,
            ownership,
            cache,
            homes,
            config,
            hooks,
            staging,
            waits: Waits::default(),
            freshness,
            remote_changes,
            origins: Origins::new(),
            quarantines: Quarantines::default(),
            read_versions: ReadVersions::new(),
            large: Large::new(),
            seals: Seals::default(),
            changed: Box::new(changed),
            renewed: Box::new(renewed),
            top_changed: Box::new(top_changed),
        });
        let repositories = Arc::new(Repositories::new(shared.clone()));
        let fs = Arc::new(Self {
            shared,
            repositories,
            listeners,
            publications: Arc::default(),
            publish_failure: Mutex::default(),
            sweeping: Arc::default(),
            refusals: Refusals::default(),
        });
        hooks::start(&fs)?;
        if fs.is_read_only() {
            return Ok(fs);
        }
        idle::start(&fs)?;
        if !fs.is_offline() {
            ownership::start(&fs)?;
        }
        Ok(fs)
    }

    pub(crate) fn shared(&self) -> Arc<Context> {
        self.shared.clone()
    }

    pub(crate) fn repositories(&self) -> Arc<Repositories> {
        self.repositories.clone()
    }

    /// Every change from now on.
    pub(crate) fn changes(&self) -> crossbeam_channel::Receiver<Change> {
        let (sender, receiver) = crossbeam_channel::unbounded();
        self.listeners.lock().push(sender);
        receiver
    }

    /// A process that has something changed otherwise than through the mount.
    pub fn actor(&self, uid: u32, pid: u32) -> Actor {
        self.shared.origins.actor(uid, pid)
    }

    /// Whether the store is not asked.
    pub fn is_offline(&self) -> bool {
        self.shared.store.offline().is_some()
    }

    /// Whether every change is refused.
    pub fn is_read_only(&self) -> bool {
        self.shared.config.read_only
    }

    /// Tries the store out; not one that is not asked, or not written to.
    pub fn probe_store(&self) -> Result<Option<Probed>, ProbeError> {
        match self.is_offline() || self.is_read_only() {
            true => Ok(None),
            false => object_store::probe(&*self.shared.store).map(Some),
        }
    }

    /// How quick its store is; `None` when that is not to be asked.
    pub fn time_store(&self) -> Result<Option<StoreTimes>, StoreError> {
        match self.is_offline() || self.is_read_only() {
            true => Ok(None),
            false => object_store::time(&*self.shared.store).map(Some),
        }
    }

    /// Publishes everything that is finished. Answers how many files stay behind: none, unless
    /// the mount is offline or read-only, where that is as it should be.
    pub fn publish_all(&self) -> Result<u64, PublishError> {
        if self.is_read_only() {
            return Ok(self.pending().0);
        }
        let reason = self.publish_each();
        let kept = PathBufDisplay(self.shared.config.data.join("repos"));
        match reason {
            None => Ok(self.pending().0),
            Some(reason) => Err(PublishError {
                files: self.pending().0,
                reason,
                kept,
            }),
        }
    }

    /// Several repositories at the same time: one that takes long holds up the others no longer than it must. Answers
    /// why one of them could not be published.
    fn publish_each(&self) -> Option<String> {
        let (repositories, next) = (self.repositories.all_soon(), AtomicUsize::new(0));
        let reason = Mutex::new(None);
        let publish = || {
            while let Some(it) = repositories.get(next.fetch_add(1, Ordering::Relaxed)) {
                match it.publish() {
                    Ok(()) | Err(FsError::Store(StoreError::Offline { .. })) => {}
                    Err(error) => drop(reason.lock().get_or_insert(error.to_string())),
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..repositories.len().min(idle::AT_ONCE) {
                scope.spawn(publish);
            }
        });
        reason.into_inner()
    }

    /// Fails if the store does not answer; asks it, if nobody has done so lately. Blocks.
    pub fn check_store(&self) -> Result<(), StoreOpenError> {
        check_reach(&*self.shared.store)
    }

    /// Every repository of the namespace.
    pub fn live_repos(&self) -> Result<Vec<Repo>, FsError> {
        repositories(&*self.shared.replica)
    }

    /// Tells the kernel that a namespace path changed behind its back (an admin
    /// command created, renamed or deleted it). The kernel knows when this
    /// returns; not for use within a FUSE request, which the kernel may make it wait for.
    pub fn name_changed(&self, path: &NamePath) {
        let of = match read::inside(self.shared.replica.view(), path) {
            Ok(Some(inside)) => Changed::InRepo(inside.owner, inside.module.path().clone()),
            // One that cannot be read is no name that anybody is shown.
            Ok(None) | Err(_) => Changed::Name(path.clone()),
        };
        self.tell_and_wait(of);
    }

    /// The same for the replicated settings of a repository.
    pub fn settings_changed(&self, repo: RepoId) {
        let repository = self.repositories.get(repo);
        if let Err(error) = repository.and_then(|repository| repository.follow_settings()) {
            tracing::warn!(%repo, %error, "config is not in step with the settings yet");
        }
        let path = RepoPath::new(git_config::SETTINGS).expect("a valid path");
        self.tell_and_wait(Changed::InRepo(repo, path));
    }

    fn tell_and_wait(&self, of: Changed) {
        let (told, all_told) = crossbeam_channel::bounded(0);
        let told = Some(told);
        tell(&self.listeners, &Change { of, told });
        // Ends when the last copy of the sender is gone.
        let _ = all_told.recv_timeout(KERNEL_TIMEOUT);
    }
}

/// Starts a thread that works beside those of FUSE; `context` is for the error.
pub(crate) fn start_thread(
    name: &str,
    context: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<(), OpenError> {
    let spawned = std::thread::Builder::new().name(name.into()).spawn(run);
    spawned.map(drop).map_err(|source| OpenError::Io {
        context: context.to_owned(),
        source,
    })
}

/// How soon a thread that works now and then notices that the file system is gone.
const TICK: Duration = Duration::from_millis(500);

/// Starts a thread that does something again and again for its owner, the first time after a `period`;
/// it ends when the owner is dropped.
pub fn start_periodic<T: Send + Sync + 'static>(
    owner: &Arc<T>,
    name: &str,
    period: Duration,
    mut work: impl FnMut(&T) + Send + 'static,
) -> Result<(), OpenError> {
    let owner = Arc::downgrade(owner);
    let run = move || {
        let mut last = Instant::now();
        while let Some(owner) = owner.upgrade() {
            if last.elapsed() >= period {
                work(&owner);
                last = Instant::now();
            }
            drop(owner);
            std::thread::sleep(TICK.min(period));
        }
    };
    start_thread(name, &format!("starting {name}"), run)
}

/// Of a mount that may write to its store.
fn ownership(
    config: &Config,
    replica: &Arc<dyn Replica>,
    store: &Arc<dyn ObjectStore>,
) -> Result<Option<Arc<Ownership>>, FsError> {
    if config.read_only || store.offline().is_some() {
        return Ok(None);
    }
    let (data, grace, is_copy) = (&config.data, config.gc_grace, config.is_copy);
    let settled = Ownership::settle(replica.clone(), store.clone(), data, grace, is_copy)?;
    Ok(Some(Arc::new(settled)))
}

fn tell(listeners: &Listeners, change: &Change) {
    listeners
        .lock()
        .retain(|listener| listener.send(change.clone()).is_ok());
}

fn open_homes(path: &Path) -> Result<Dir, OpenError> {
    let opened = gitmoor_store::durable::create_dir_all(path).and_then(|()| Dir::open(path));
    opened.map_err(|source| OpenError::Io {
        context: format!("creating {}", path.display()),
        source,
    })
}
