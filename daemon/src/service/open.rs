//! Opens the parts of a daemon, each before the one that needs it.

use super::io_runtime::IoRuntime;
use super::{ServiceError, open_files, preflight, serve_metrics, starting};
use crate::Failure;
use crate::config::Settings;
use crate::data_dir::{DataDir, DataDirError, Lock};
use crate::mount_point;
use gitmoor_fs::store::{self, ObjectStore, Offline, StoreUrl};
use gitmoor_fs::{Config, FileSystem};
use gitmoor_replicator::{Node, NodeConfig};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// Everything below the mount. Fields are dropped in this order: the file system
/// before what it stands on, the lock last.
pub(super) struct Parts {
    pub(super) fs: Arc<FileSystem>,
    pub(super) node: Arc<Node>,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) runtime: IoRuntime,
    pub(super) mountpoint: PathBuf,
    pub(super) dir: DataDir,
    _lock: Lock,
}

/// Checks and opens, cheap and likely mistakes first.
pub(super) fn open(settings: &Settings) -> Result<Parts, Failure> {
    preflight::check(&settings.mount)?;
    open_files::raise_limit();
    let mountpoint = mount_point::check(&settings.mount.mountpoint, &settings.data)?;
    let dir = DataDir::new(settings.data.clone());
    if dir.is_member() {
        return Err(DataDirError::NoMountsYet(settings.data.clone()).into());
    }
    let lock = dir.own(Some(&mountpoint))?;
    let runtime = IoRuntime::start().map_err(starting("the I/O runtime"))?;
    serve_metrics(settings.metrics, &runtime)?;
    let store = open_store(settings, &dir, &runtime)?;
    let node = Node::open(NodeConfig::new(dir.replica())).map_err(ServiceError::from)?;
    let node = Arc::new(node);
    let fs = FileSystem::open(
        fs_config(settings),
        Arc::<Node>::clone(&node),
        Arc::clone(&store),
    )
    .map_err(ServiceError::from)?;
    Ok(Parts {
        fs,
        node,
        store,
        runtime,
        mountpoint,
        dir,
        _lock: lock,
    })
}

fn open_store(
    settings: &Settings,
    dir: &DataDir,
    runtime: &IoRuntime,
) -> Result<Arc<dyn ObjectStore>, Failure> {
    let given = settings.store.url.as_ref().map(StoreUrl::to_string);
    let text = dir.store_url(given.as_deref())?;
    let damaged =
        |error: <StoreUrl as FromStr>::Err| ServiceError::RecordedStore(error.to_string());
    let url = StoreUrl::from_str(&text).map_err(damaged)?;
    if settings.store.offline {
        return Ok(Arc::new(Offline::new(&url)));
    }
    let (s3, runtime) = (settings.store.s3.clone(), runtime.handle().clone());
    let store = store::open(&url, s3, runtime).map_err(ServiceError::from)?;
    dir.record_store(&text)?;
    Ok(store)
}

fn fs_config(settings: &Settings) -> Config {
    Config {
        data: settings.data.clone(),
        cache_bytes: settings.cache_bytes,
        cache_free_floor: settings.cache_free_floor,
        staging_bytes: settings.staging_bytes,
        bundle_over: settings.bundle_over,
        read_timeout: settings.read_timeout,
        publish_timeout: settings.publish_timeout,
        idle_publish: settings.idle_publish,
        slow_operation: settings.slow_operation,
        trash_keep: settings.trash_keep,
        gc_grace: settings.gc_grace,
        gc_period: settings.gc_period,
    }
}
