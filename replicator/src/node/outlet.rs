//! Where the loop's messages go, and where the others are.

use super::inbox::Input;
use crate::ReadError;
use crate::net::Network;
use crate::peer::{Body, Message};
use crate::state::read;
use crate::storage::Database;
use crossbeam_channel::Sender;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// The way out to the other nodes.
pub(super) struct Outlet {
    pub(super) network: Arc<Network>,
    pub(super) runtime: Handle,
    /// Tells the loop what became of a snapshot.
    pub(super) back: Sender<Input>,
    /// Where the others are, as of the last look.
    pub(super) others: BTreeMap<u64, String>,
    /// Up to where the state was applied then.
    pub(super) seen: u64,
}

impl Outlet {
    pub(super) fn send(&self, message: Message) {
        let to = message.to;
        let bytes = message.encode();
        match message.body {
            Body::Snapshot(_) => self.send_snapshot(to, bytes),
            // One that is dropped is sent again; that its node is unreachable the link tells.
            Body::Raft(_) | Body::Propose(_) => drop(self.network.send(to, bytes)),
        }
    }

    fn send_snapshot(&self, to: u64, bytes: Vec<u8>) {
        let (network, back) = (self.network.clone(), self.back.clone());
        self.runtime.spawn(async move {
            let sent = network.send_snapshot(to, bytes).await;
            if let Err(error) = &sent {
                tracing::warn!(node = to, %error, "a snapshot did not arrive");
            }
            let arrived = sent.is_ok();
            // Raft sends this node nothing until it knows. The loop may be gone.
            let told = move || back.send(Input::SnapshotSent { to, arrived });
            let _ = tokio::task::spawn_blocking(told).await;
        });
    }

    /// Links to the members that the state names, when it has moved.
    pub(super) fn follow(&mut self, applied: u64, database: &Database) -> Result<(), ReadError> {
        if self.seen == applied {
            return Ok(());
        }
        self.seen = applied;
        let me = self.network.identity().node();
        let members = read::members(database)?.into_iter();
        let others: BTreeMap<_, _> = members
            .filter(|(node, _)| *node != me)
            .map(|(node, member)| (node, member.address))
            .collect();
        // Before the first snapshot the state names nobody.
        if read::cluster(database)?.is_some() && others != self.others {
            self.network.connect(&others);
            self.others = others;
        }
        Ok(())
    }
}
