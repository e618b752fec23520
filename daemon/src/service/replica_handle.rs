//! The replicator of a mount: a node of its own, a node of a cluster, or a client that asks the nodes.

use super::daemon::{cluster_status, other_hooks};
use super::member::Member;
use crate::admin::Rejection;
use crate::command::Reply;
use crate::command::cluster::ClusterRequest;
use gitmoor_replicator::{Client, MembershipError, Node, ReadError, Replica, Status};
use std::sync::Arc;

/// What stands behind [`Replica`].
#[derive(Clone)]
pub(crate) enum ReplicaHandle {
    /// A node that is alone.
    Alone(Arc<Node>),
    /// A node of a cluster.
    Member(Arc<Member>, Arc<Node>),
    /// The nodes of a cluster, none of which is here.
    Client(Arc<Client>),
}

impl ReplicaHandle {
    /// For the file system.
    pub(crate) fn replica(&self) -> Arc<dyn Replica> {
        match self {
            Self::Alone(node) | Self::Member(_, node) => Arc::<Node>::clone(node),
            Self::Client(client) => Arc::<Client>::clone(client),
        }
    }

    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Alone(node) | Self::Member(_, node) => node.status(),
            Self::Client(client) => client.status(),
        }
    }

    /// Whether the cluster lets this machine change nothing.
    pub(crate) fn may_only_read(&self) -> Result<bool, ReadError> {
        match self {
            Self::Alone(_) | Self::Member(..) => Ok(false),
            Self::Client(client) => Ok(client.scope()?.read_only),
        }
    }

    /// A secret for this purpose that all nodes have, and nobody else. A node alone has another each time it starts.
    pub(crate) fn secret(&self, purpose: &str) -> Result<[u8; 32], MembershipError> {
        match self {
            Self::Member(_, node) => node.secret(purpose),
            Self::Alone(_) | Self::Client(_) => Ok(rand::random()),
        }
    }

    /// Sets the gauges that are not kept all the time; those of raft are the nodes'.
    pub(crate) fn measure(&self) {
        match self {
            Self::Alone(node) | Self::Member(_, node) => node.measure(),
            Self::Client(_) => {}
        }
    }

    /// The node that a client asks, host:port.
    pub(crate) fn asks(&self) -> Option<String> {
        match self {
            Self::Alone(_) | Self::Member(..) => None,
            Self::Client(client) => Some(client.asks()),
        }
    }

    /// Answers about the cluster.
    pub(crate) fn answer(&self, request: ClusterRequest) -> Result<Reply, Rejection> {
        match (self, request) {
            (Self::Alone(_), _) => Err(Rejection::usage(MembershipError::Alone)),
            (Self::Member(member, node), request) => member.answer(node, request),
            (Self::Client(client), ClusterRequest::Status) => {
                let members = client.member_states().map_err(Rejection::failed)?;
                let clients = client.clients().map_err(Rejection::failed)?;
                let identity = client.identity();
                let (cluster, this) = (identity.cluster, identity.holder);
                let hooks = other_hooks(&**client)?;
                let here = client.status();
                let status = cluster_status(cluster, this, &here, members, clients, hooks);
                Ok(Reply::Cluster(Box::new(status)))
            }
            (Self::Client(client), _) => Err(Rejection::usage(format!(
                "this machine is a client of the cluster: only its nodes change it, such as the one at {}",
                client.asks()
            ))),
        }
    }
}
