//! Who may call what. Every RPC has one line here, and a call is decided by its headers and the
//! certificate of its connection ([`super::gate`]), before a byte of its body is received.

use super::{CLIENT_PROTOCOL, MAX_MESSAGE, PROTOCOL};
use crate::model::MAX_ENTRY;

/// The largest request to be admitted: a secret, a certificate request, an address and a name.
const MAX_ADMISSION: usize = 16 << 10;
/// The largest request of a client: a command as large as an entry may be, and what the client
/// knows of how many repositories.
const MAX_CLIENT_REQUEST: usize = MAX_ENTRY + (2 << 20);
/// The largest name of a snapshot.
const MAX_NAME: usize = 4 << 10;

/// An RPC. `build.rs` declares them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Method {
    /// `Node.Send`.
    Send,
    /// `Node.Ask`.
    AskNode,
    /// `Node.HasSnapshot`.
    HasSnapshot,
    /// `Node.SendSnapshot`.
    SendSnapshot,
    /// `Clients.Ask`.
    AskForClient,
    /// `Admission.Join`.
    Join,
}

/// Who may call an RPC. What only the leader does is not among these: each node passes it on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Who {
    /// Anybody, in particular who has no certificate yet.
    Stranger,
    /// A client of the cluster that was not removed.
    Client,
    /// A node of the cluster that was not removed.
    Node,
}

impl Method {
    pub(super) const ALL: [Self; 6] = [
        Self::Send,
        Self::AskNode,
        Self::HasSnapshot,
        Self::SendSnapshot,
        Self::AskForClient,
        Self::Join,
    ];

    /// The one at a path of HTTP/2; what is at no path here is refused.
    pub(super) fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.path() == path)
    }

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Send => "/gitmoor.v1.Node/Send",
            Self::AskNode => "/gitmoor.v1.Node/Ask",
            Self::HasSnapshot => "/gitmoor.v1.Node/HasSnapshot",
            Self::SendSnapshot => "/gitmoor.v1.Node/SendSnapshot",
            Self::AskForClient => "/gitmoor.v1.Clients/Ask",
            Self::Join => "/gitmoor.v1.Admission/Join",
        }
    }

    pub(super) fn who(self) -> Who {
        match self {
            Self::Send | Self::AskNode | Self::HasSnapshot | Self::SendSnapshot => Who::Node,
            Self::AskForClient => Who::Client,
            Self::Join => Who::Stranger,
        }
    }

    /// The version of the protocol that it belongs to.
    pub(super) fn protocol(self) -> u32 {
        match self {
            Self::AskForClient => CLIENT_PROTOCOL,
            Self::Send | Self::AskNode | Self::HasSnapshot | Self::SendSnapshot | Self::Join => {
                PROTOCOL
            }
        }
    }

    /// Bytes of its largest message.
    pub(super) fn largest(self) -> usize {
        match self {
            Self::Send | Self::AskNode | Self::SendSnapshot => MAX_MESSAGE,
            Self::HasSnapshot => MAX_NAME,
            Self::AskForClient => MAX_CLIENT_REQUEST,
            Self::Join => MAX_ADMISSION,
        }
    }

    /// Whether it carries messages for as long as both sides live.
    pub(super) fn is_stream(self) -> bool {
        match self {
            Self::Send | Self::SendSnapshot => true,
            Self::AskNode | Self::HasSnapshot | Self::AskForClient | Self::Join => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // What build.rs declared.
    include!(concat!(env!("OUT_DIR"), "/rpcs.rs"));

    #[test]
    fn every_declared_rpc_says_who_may_call_it() {
        for path in DECLARED {
            let method = Method::at(path).unwrap_or_else(|| panic!("{path} has no line"));
            assert_eq!(method.path(), path);
        }
        assert_eq!(DECLARED.len(), Method::ALL.len());
        assert_eq!(Method::at("/gitmoor.v1.Node/Ask2"), None);
        assert_eq!(Method::at(""), None);
    }
}
