//! The daemon: opens everything in order, mounts, waits for a reason to leave, and
//! leaves in the reverse order, publishing what is pending first.

mod background;
mod daemon;
mod doors;
mod fallback;
mod git;
mod io_runtime;
mod leave;
mod member;
mod node;
mod notify;
mod open;
mod open_files;
pub(crate) mod preflight;
mod renewal;
mod replica_handle;
mod run;
mod signals;

pub(crate) use background::BackgroundError;
pub(crate) use background::{Readiness, start_in_background};
pub(crate) use node::run as run_node;
pub(crate) use run::run;

use crate::data_dir::DataDirError;
use crate::metrics::{self, Telling};
use crate::mount_point::MountPointError;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// The daemon could not start, or could not leave in order.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Nothing can be mounted there.
    #[error(transparent)]
    MountPoint(#[from] MountPointError),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The machine is not ready for FUSE mounts.
    #[error("{0}")]
    NotReady(String),
    /// The runtime, a thread or the admin socket.
    #[error("starting {part}: {source}")]
    Start {
        part: &'static str,
        source: std::io::Error,
    },
    /// The recorded URL of the store is damaged.
    #[error("store.url in the data directory: {0}")]
    RecordedStore(String),
    /// The object store is not the cluster's.
    #[error("--store: {0}; mount with that one")]
    OtherStore(gitmoor_model::Refusal),
    /// The object store cannot be used.
    #[error("--store: {0}")]
    Store(#[from] gitmoor_store::object_store::StoreOpenError),
    /// The replicator's database cannot be used.
    #[error("replicator: {0}")]
    Replica(#[from] gitmoor_replicator::OpenError),
    /// The node cannot take part in its cluster.
    #[error("{0}")]
    Cluster(#[from] gitmoor_replicator::ClusterError),
    /// A mount in a cluster needs its others.
    #[error(
        "no majority of the cluster answers: {0}; start its other nodes, or see `gitmoor cluster status` on one of them"
    )]
    NoCluster(gitmoor_replicator::ProposeError),
    /// Neither a read-only mount nor a client decides that.
    #[error("the cluster has no object store yet: mount it once on a node, without --read-only")]
    NoClusterStore,
    /// A client that the nodes refuse.
    #[error("{0}; join anew, with a new data directory: see `gitmoor cluster token --client`")]
    Dismissed(gitmoor_replicator::ProposeError),
    /// A backup cannot be used.
    #[error("{key}: {source}; gitmoor restore --list prints the others")]
    Restore {
        key: String,
        source: gitmoor_replicator::RestoreError,
    },
    /// What was restored cannot be compared with the store.
    #[error("restored, but what the store has beyond it cannot be said: {0}")]
    Compare(gitmoor_fs::FsError),
    /// The store goes on being another's.
    #[error(
        "restored, but the store is not taken over: {0}; mount it, and give the command gitmoor take-over"
    )]
    TakeOver(gitmoor_fs::FsError),
    /// The cluster is not as it was asked to be.
    #[error("{0}")]
    Membership(#[from] gitmoor_replicator::MembershipError),
    /// The local rooms cannot be used.
    #[error("file system: {0}")]
    FileSystem(#[from] gitmoor_fs::OpenError),
    /// The metrics address is taken or not ours.
    #[error("--metrics {address}: {source}")]
    Metrics {
        /// As given.
        address: SocketAddr,
        source: std::io::Error,
    },
    /// A door cannot be opened.
    #[error("--http {address}: {source}")]
    Door {
        /// As given.
        address: SocketAddr,
        source: gitmoor_serve::OpenError,
    },
    /// Clients know nothing of users.
    #[error(
        "only a node of a cluster has doors, and this machine is a client: leave --http out, or join as a node"
    )]
    NoDoorOfClient,
    /// The kernel refuses the mount.
    #[error("mounting {}: {source}", at.display())]
    Mount { at: PathBuf, source: std::io::Error },
    /// Objects stay behind on this machine.
    #[error("{0}")]
    Publish(#[from] gitmoor_fs::PublishError),
    /// The command or service manager that asked for the mount is gone.
    #[error("whoever started this daemon is gone: {0}")]
    Abandoned(std::io::Error),
}

impl ServiceError {
    /// Whether another argument would help.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            // Whoever starts a mount can say another store, endpoint or key.
            Self::Store(_) | Self::OtherStore(_) | Self::NoDoorOfClient => true,
            Self::MountPoint(error) => error.is_usage(),
            Self::DataDir(error) => error.is_usage(),
            Self::NotReady(_)
            | Self::Start { .. }
            | Self::RecordedStore(_)
            | Self::Replica(_)
            | Self::Cluster(_)
            | Self::NoCluster(_)
            | Self::NoClusterStore
            | Self::Dismissed(_)
            | Self::Compare(_)
            | Self::Restore { .. }
            | Self::TakeOver(_)
            | Self::Membership(_)
            | Self::FileSystem(_)
            | Self::Metrics { .. }
            | Self::Mount { .. }
            | Self::Door { .. }
            | Self::Publish(_)
            | Self::Abandoned(_) => false,
        }
    }
}

/// A runtime for a command that asks other machines.
pub(crate) fn runtime() -> Result<impl Deref<Target = Runtime>, ServiceError> {
    io_runtime::IoRuntime::start().map_err(starting("the I/O runtime"))
}

pub(crate) fn unreadable(error: gitmoor_replicator::ReadError) -> ServiceError {
    ServiceError::Replica(error.into())
}

fn serve_metrics(
    address: Option<SocketAddr>,
    runtime: &Runtime,
) -> Result<Arc<Telling>, ServiceError> {
    metrics::register_build_info();
    let telling = Arc::new(Telling::default());
    if let Some(address) = address {
        runtime
            .block_on(metrics::serve(address, Arc::clone(&telling)))
            .map_err(|source| ServiceError::Metrics { address, source })?;
    }
    Ok(telling)
}

fn starting(part: &'static str) -> impl FnOnce(std::io::Error) -> ServiceError {
    move |source| ServiceError::Start { part, source }
}

impl From<gitmoor_replicator::net::NetError> for ServiceError {
    fn from(error: gitmoor_replicator::net::NetError) -> Self {
        Self::Cluster(error.into())
    }
}
