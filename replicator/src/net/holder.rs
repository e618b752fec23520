//! Who a certificate is for, as a DNS name in it: `3.node.CLUSTER.gitmoor.internal`.
//!
//! The name does not lead anywhere. It is a DNS name because that is what TLS libraries compare.

use crate::model::ClusterId;
use std::fmt;

/// Whom a certificate of a cluster names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Holder {
    /// A node with a copy of the state: a voter or a learner.
    Node(u64),
    /// A mount that asks the nodes and has no copy of its own.
    Client(u64),
}

const DOMAIN: &str = "gitmoor.internal";

/// The name that every node of a cluster has besides its own: for who wants any of them.
pub(super) fn any_node(cluster: ClusterId) -> String {
    format!("node.{cluster}.{DOMAIN}")
}

impl Holder {
    /// No two holders of a cluster have the same.
    pub fn id(self) -> u64 {
        match self {
            Self::Node(id) | Self::Client(id) => id,
        }
    }

    /// The name that stands in the certificate.
    pub(super) fn name(self, cluster: ClusterId) -> String {
        match self {
            Self::Node(id) => format!("{id}.node.{cluster}.{DOMAIN}"),
            Self::Client(id) => format!("{id}.client.{cluster}.{DOMAIN}"),
        }
    }

    /// Reads a [`Holder::name`].
    pub(super) fn parse(name: &str) -> Option<(Self, ClusterId)> {
        let (id, rest) = name.split_once('.')?;
        let (kind, rest) = rest.split_once('.')?;
        let cluster = rest.strip_suffix(DOMAIN)?.strip_suffix('.')?.parse().ok()?;
        let id = id.parse().ok()?;
        match kind {
            "node" => Some((Self::Node(id), cluster)),
            "client" => Some((Self::Client(id), cluster)),
            _ => None,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => write!(f, "node {id}"),
            Self::Client(id) => write!(f, "client {id}"),
        }
    }
}
