//! Opens the parts of a daemon, each before the one that needs it.

use super::io_runtime::IoRuntime;
use super::member::Member;
use super::replica_handle::ReplicaHandle;
use super::{ServiceError, open_files, preflight, renewal, serve_metrics, starting, unreadable};
use crate::config::Settings;
use crate::data_dir::{ClientIdentity, DataDir, DataDirError, Lock};
use crate::metrics::Telling;
use crate::mount_point;
use gitmoor_fs::{Config, FileSystem, RemoteChanges};
use gitmoor_jobs::Jobs;
use gitmoor_model::{Actor, Command, Refusal, StoreRecord};
use gitmoor_replicator::{Client, ClientConfig, Node, NodeConfig, ProposeError, Replica};
use gitmoor_store::object_store::{self, ObjectStore, Offline, StoreUrl};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a mount waits for a majority of its cluster.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(300);

/// Everything below the mount. Fields are dropped in this order: jobs before the file
/// system, that before what it stands on, the lock last.
pub(super) struct Parts {
    pub(super) jobs: Arc<Jobs>,
    pub(super) fs: Arc<FileSystem>,
    pub(super) replica_handle: ReplicaHandle,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) runtime: IoRuntime,
    /// Where metrics are served, told when there is something to watch.
    pub(super) telling: Arc<Telling>,
    pub(super) mountpoint: PathBuf,
    pub(super) dir: DataDir,
    _lock: Lock,
}

/// Checks and opens, cheap and likely mistakes first.
pub(super) fn open(settings: &Settings) -> Result<Parts, ServiceError> {
    preflight::check(&settings.mount)?;
    open_files::raise_limit();
    let mountpoint = mount_point::check(&settings.mount.mountpoint, &settings.data)?;
    let dir = DataDir::new(settings.data.clone());
    let lock = dir.own(Some(&mountpoint))?;
    let runtime = IoRuntime::start().map_err(starting("the I/O runtime"))?;
    let telling = serve_metrics(settings.metrics, &runtime)?;
    let remote_changes = Arc::new(RemoteChanges::default());
    let (replica_handle, store) = match (dir.cluster().is_member(), dir.cluster().is_client()) {
        (true, _) => open_member(settings, &dir, &runtime, remote_changes.clone())?,
        (false, true) => open_client(settings, &dir, &runtime, remote_changes.clone())?,
        (false, false) => open_alone(settings, &dir, &runtime)?,
    };
    let read_only =
        settings.mount.read_only || replica_handle.may_only_read().map_err(unreadable)?;
    let config = Config {
        read_only,
        is_copy: !read_only && may_be_copy(settings, &dir)?,
        ..settings.fs.clone()
    };
    let fs = FileSystem::open(
        config,
        replica_handle.replica(),
        Arc::clone(&store),
        remote_changes,
    )?;
    let jobs = Jobs::start(&fs).map_err(ServiceError::from)?;
    Ok(Parts {
        jobs: Arc::new(jobs),
        fs,
        replica_handle,
        store,
        runtime,
        telling,
        mountpoint,
        dir,
        _lock: lock,
    })
}

/// A client has nothing that a copy could name, and a store in the data directory is copied with it.
fn may_be_copy(settings: &Settings, dir: &DataDir) -> Result<bool, DataDirError> {
    if settings.store.offline || settings.mount.read_only || dir.cluster().is_client() {
        return Ok(false);
    }
    Ok(!dir.store().is_own()? && dir.birth().is_copy()?)
}

type ReplicaAndStore = (ReplicaHandle, Arc<dyn ObjectStore>);

fn open_alone(
    settings: &Settings,
    dir: &DataDir,
    runtime: &IoRuntime,
) -> Result<ReplicaAndStore, ServiceError> {
    if settings.cluster.is_some() {
        return Err(DataDirError::NotClient(settings.data.clone()).into());
    }
    let url = dir.store().url(given(settings).as_deref())?;
    let store = open_store(settings, &url, runtime, settings.mount.read_only)?;
    if !settings.store.offline {
        dir.store().write(&url)?;
    }
    let node = Node::open(NodeConfig::new(dir.replica()))?;
    Ok((ReplicaHandle::Alone(Arc::new(node)), store))
}

/// The node first: the cluster knows where its store is.
fn open_member(
    settings: &Settings,
    dir: &DataDir,
    runtime: &IoRuntime,
    remote_changes: Arc<RemoteChanges>,
) -> Result<ReplicaAndStore, ServiceError> {
    if settings.cluster.is_some() {
        return Err(DataDirError::NotClient(settings.data.clone()).into());
    }
    let (member, node) = Member::open(dir, runtime, Some(remote_changes))?;
    wait_for_cluster(&node)?;
    let known = node.store().map_err(unreadable)?;
    let store = open_clusters_store(settings, dir, runtime, known, &node)?;
    let node = Arc::new(node);
    renewal::keep(&node, dir, runtime);
    Ok((ReplicaHandle::Member(Arc::new(member), node), store))
}

fn open_client(
    settings: &Settings,
    dir: &DataDir,
    runtime: &IoRuntime,
    remote_changes: Arc<RemoteChanges>,
) -> Result<ReplicaAndStore, ServiceError> {
    let ClientIdentity {
        identity,
        addresses,
    } = dir.cluster().client_identity()?;
    let given = settings
        .cluster
        .as_ref()
        .map(|addresses| addresses.0.clone());
    let config = ClientConfig {
        identity,
        addresses: given.unwrap_or(addresses),
        observer: Some(remote_changes),
        runtime: runtime.handle().clone(),
    };
    let client = Client::new(config)?;
    wait_for_cluster(&client)?;
    renewal::renew_if_old(&client, dir)?;
    dir.cluster().write_nodes(&client.nodes())?;
    let known = client.store().map_err(unreadable)?;
    // A client takes the store that the cluster has, and gives it none.
    let known = known.ok_or(ServiceError::NoClusterStore)?;
    let read_only = settings.mount.read_only || client.scope().map_err(unreadable)?.read_only;
    let (store, url, id) =
        open_store_in(settings, dir, runtime, Some(known.url.clone()), read_only)?;
    if let Some(id) = id {
        if id != known.id {
            let url = known.url;
            return Err(ServiceError::OtherStore(Refusal::OtherStore { url }));
        }
        dir.store().write(&url)?;
    }
    let client = Arc::new(client);
    renewal::keep(&client, dir, runtime);
    Ok((ReplicaHandle::Client(client), store))
}

/// The first mount of a cluster settles which it is.
fn open_clusters_store(
    settings: &Settings,
    dir: &DataDir,
    runtime: &IoRuntime,
    known: Option<StoreRecord>,
    replica: &dyn Replica,
) -> Result<Arc<dyn ObjectStore>, ServiceError> {
    let (known_id, known_url) = known.map(|store| (store.id, store.url)).unzip();
    let read_only = settings.mount.read_only;
    let (store, url, id) = open_store_in(settings, dir, runtime, known_url, read_only)?;
    if let Some(id) = id {
        match known_id {
            Some(known) if known == id => {}
            // It takes the store that the cluster has, and gives it none.
            None if read_only => return Err(ServiceError::NoClusterStore),
            Some(_) | None => {
                let url = url.clone();
                settle(replica, StoreRecord { id, url })?;
            }
        }
        // Not before: another store must not stick.
        dir.store().write(&url)?;
    }
    Ok(store)
}

/// A store, where it is, and which; the last is not asked of one that is not reached.
type StoreIn = (Arc<dyn ObjectStore>, String, Option<String>);

fn open_store_in(
    settings: &Settings,
    dir: &DataDir,
    runtime: &IoRuntime,
    known_url: Option<String>,
    read_only: bool,
) -> Result<StoreIn, ServiceError> {
    let url = dir
        .store()
        .url_in_cluster(given(settings).as_deref(), known_url)?;
    let store = open_store(settings, &url, runtime, read_only)?;
    let id = match settings.store.offline {
        true => None,
        false => Some(object_store::id(&*store)?),
    };
    Ok((store, url, id))
}

fn settle(replica: &dyn Replica, store: StoreRecord) -> Result<(), ServiceError> {
    let settled = replica.propose(Actor::default(), Command::SettleStore(store));
    match settled.map_err(ServiceError::NoCluster)?.done() {
        Ok(_) => Ok(()),
        Err(other) => Err(ServiceError::OtherStore(other)),
    }
}

/// The nodes of a cluster may be started one after the other.
fn wait_for_cluster(replica: &dyn Replica) -> Result<(), ServiceError> {
    let began = Instant::now();
    let give_up = || began.elapsed() >= CLUSTER_TIMEOUT;
    loop {
        match replica.read_barrier(&give_up) {
            Ok(()) => return Ok(()),
            Err(
                error @ (ProposeError::Timeout(_)
                | ProposeError::NoNode(_)
                | ProposeError::Senseless),
            ) if !give_up() => {
                tracing::warn!(%error, "no majority of the cluster answers; are its nodes running?");
            }
            Err(error @ ProposeError::Removed(_)) => return Err(ServiceError::Dismissed(error)),
            Err(error) => return Err(ServiceError::NoCluster(error)),
        }
    }
}

fn given(settings: &Settings) -> Option<String> {
    settings.store.url.as_ref().map(StoreUrl::to_string)
}

fn open_store(
    settings: &Settings,
    url: &str,
    runtime: &IoRuntime,
    read_only: bool,
) -> Result<Arc<dyn ObjectStore>, ServiceError> {
    let damaged =
        |error: <StoreUrl as FromStr>::Err| ServiceError::RecordedStore(error.to_string());
    let parsed = StoreUrl::from_str(url).map_err(damaged)?;
    if settings.store.offline {
        return Ok(Arc::new(Offline::new(&parsed)));
    }
    let (s3, runtime) = (settings.store.s3.clone(), runtime.handle().clone());
    let opened = match read_only {
        true => object_store::open_read_only(&parsed, s3, runtime),
        false => object_store::open(&parsed, s3, runtime),
    };
    Ok(opened?)
}
