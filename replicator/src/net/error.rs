//! What goes wrong between nodes.

use std::net::SocketAddr;

/// Something on the network, or in what it needs, is not as it must be.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The port is taken, or not ours.
    #[error("listening on {address}: {source}")]
    Listen {
        /// The address to listen on.
        address: SocketAddr,
        /// What the system call returned.
        source: std::io::Error,
    },
    /// A key or certificate is not what it must be.
    #[error("{what}: {why}")]
    Credential {
        /// Which key or certificate it is.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing answers at the address.
    #[error("{address}: {why}")]
    Unreachable {
        /// Address of the other side, host:port.
        address: String,
        /// Why the connection failed.
        why: String,
    },
    /// The cluster does not know us, or not any more.
    #[error("{address} refuses: {why}")]
    Removed {
        /// Address of the other side, host:port.
        address: String,
        /// What the other side answered.
        why: String,
    },
    /// This node cannot read what is to be sent.
    #[error("reading what is to be sent: {0}")]
    Unreadable(String),
    /// The other side said no.
    #[error("{address} refuses: {why}")]
    Refused {
        /// Address of the other side, host:port.
        address: String,
        /// What the other side answered.
        why: String,
    },
}

impl NetError {
    pub(super) fn credential(what: &'static str, why: impl ToString) -> Self {
        let why = why.to_string();
        Self::Credential { what, why }
    }

    pub(super) fn unreadable(why: &impl ToString) -> Self {
        Self::Unreadable(why.to_string())
    }

    pub(super) fn unreachable(address: &str, why: impl ToString) -> Self {
        Self::Unreachable {
            address: address.to_owned(),
            why: why.to_string(),
        }
    }
}
