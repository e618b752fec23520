//! This machine's part in a cluster: its node, opened as `gitmoor node` and `gitmoor mount` do.

use super::daemon::Cluster;
use super::io_runtime::IoRuntime;
use super::{ServiceError, renewal};
use crate::admin::Rejection;
use crate::command::Reply;
use crate::command::cluster::ClusterRequest;
use crate::data_dir::{DataDir, DataDirError, Membership, Reached};
use gitmoor_replicator::storage::Bootstrap;
use gitmoor_replicator::{ClusterConfig, Node, NodeConfig, Observer};
use std::sync::Arc;

/// What a node of a cluster says of itself.
pub(crate) struct Member {
    pub(super) id: u64,
    /// Where it is reached.
    pub(super) reached: Reached,
    /// The cluster's certificate, DER.
    authority: Vec<u8>,
}

impl Member {
    /// Opens the node. Whether the cluster answers, it does not wait for.
    pub(super) fn open(
        dir: &DataDir,
        runtime: &IoRuntime,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<(Self, Node), ServiceError> {
        let membership = dir.cluster().membership()?;
        let not_member = || DataDirError::NotMember(dir.path().to_owned());
        let Membership {
            identity,
            authority,
            reached,
            has_begun,
        } = membership.ok_or_else(not_member)?;
        let bootstrap = match has_begun {
            true => Bootstrap::Resume,
            false => Bootstrap::Join,
        };
        let member = Self {
            id: identity.node(),
            authority: authority.certificate().to_vec(),
            reached: reached.clone(),
        };
        let cluster = ClusterConfig {
            identity,
            authority,
            listen: reached.listen,
            others: reached.others,
            observer,
            incoming: dir.path().join("cluster/incoming"),
            runtime: runtime.handle().clone(),
        };
        let node = Node::open_in(NodeConfig::new(dir.replica()), cluster, bootstrap);
        let node = node?;
        // Nobody talks to one whose certificate has expired.
        renewal::renew_if_old(&node, dir)?;
        dir.cluster().mark_begun()?;
        Ok((member, node))
    }

    /// Answers about the cluster.
    pub(crate) fn answer(&self, node: &Node, request: ClusterRequest) -> Result<Reply, Rejection> {
        let cluster = Cluster {
            node,
            reached: &self.reached,
            authority: &self.authority,
        };
        cluster.answer(request)
    }
}
