//! Certificates are good for a year, and daemons run for longer: each is made anew in its second half, kept in the
//! data directory, and shown to whoever connects from then on.

use super::ServiceError;
use super::io_runtime::IoRuntime;
use crate::data_dir::{DataDir, RENEWED_BEFORE};
use gitmoor_replicator::net::Identity;
use gitmoor_replicator::{Client, MembershipError, Node};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

/// Between two looks at the clock, which cost nothing; it may have been set.
const LOOK: Duration = Duration::from_secs(10);
/// After one that failed. There is half a year.
const AFTER_FAILURE: Duration = Duration::from_secs(3600);

/// Who has a certificate of a cluster.
pub(super) trait Certified: Send + Sync + 'static {
    /// The one that is shown.
    fn identity(&self) -> Result<Arc<Identity>, ServiceError>;

    /// Has another made, keeps and shows it.
    fn renew(&self, dir: &DataDir) -> Result<(), ServiceError>;
}

impl Certified for Node {
    fn identity(&self) -> Result<Arc<Identity>, ServiceError> {
        Ok(self.identity()?)
    }

    fn renew(&self, dir: &DataDir) -> Result<(), ServiceError> {
        let renewed = self.renewed()?;
        dir.cluster().write_node_certificate(&renewed)?;
        Ok(self.present(renewed)?)
    }
}

impl Certified for Client {
    fn identity(&self) -> Result<Arc<Identity>, ServiceError> {
        Ok(self.identity())
    }

    fn renew(&self, dir: &DataDir) -> Result<(), ServiceError> {
        let renewed = self.renewed().map_err(ServiceError::NoCluster)?;
        dir.cluster().write_client_certificate(&renewed)?;
        let presented = self.present(renewed).map_err(MembershipError::Own);
        Ok(presented?)
    }
}

/// Renews the certificate if it expires before long; whether it did.
pub(super) fn renew_if_old(holder: &impl Certified, dir: &DataDir) -> Result<bool, ServiceError> {
    let is_old = holder.identity()?.expires <= SystemTime::now() + RENEWED_BEFORE;
    if is_old {
        holder.renew(dir)?;
    }
    Ok(is_old)
}

/// Does so from now on, for as long as the holder is there.
pub(super) fn keep(holder: &Arc<impl Certified>, dir: &DataDir, runtime: &IoRuntime) {
    let (holder, dir) = (Arc::downgrade(holder), dir.clone());
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            let (holder, dir) = (Weak::clone(&holder), dir.clone());
            // It may ask the cluster, and blocks meanwhile.
            let looked = tokio::task::spawn_blocking(move || look(&holder, &dir)).await;
            match looked {
                Ok(Some(true)) => {}
                Ok(Some(false)) => tokio::time::sleep(AFTER_FAILURE).await,
                Ok(None) | Err(_) => return,
            }
        }
    });
}

/// Whether all is well; `None` when there is nobody any more.
fn look(holder: &Weak<impl Certified>, dir: &DataDir) -> Option<bool> {
    match renew_if_old(&*holder.upgrade()?, dir) {
        Ok(true) => tracing::info!("this machine has a new certificate of its cluster"),
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(%error, "this machine's certificate expires before long, and could not be renewed; that is tried again in an hour");
            return Some(false);
        }
    }
    Some(true)
}
