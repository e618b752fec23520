//! Where the loop's messages go, and where the others are.

use super::inbox::Input;
use crate::net::{self, NetError, Network, Source};
use crate::peer::{Message, carried};
use crate::state::{ReadError, read};
use crate::storage::{Database, Frozen, snapshot};
use crossbeam_channel::Sender;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Snapshots that are on their way at once. Others wait, and cost nothing but what RocksDB keeps for them.
pub(super) const SENDING: usize = 2;

/// The way out to the other nodes.
pub(super) struct Outbox {
    pub(super) network: Arc<Network>,
    pub(super) runtime: Handle,
    /// Tells the loop what became of a snapshot.
    pub(super) back: Sender<Input>,
    /// Where the others are, as of the last look.
    pub(super) others: BTreeMap<u64, String>,
    /// Up to where the state was applied then.
    pub(super) seen: u64,
    /// Snapshots on their way, at most one to a member, since raft waits for what becomes of it.
    pub(super) sending: Mutex<JoinSet<()>>,
    pub(super) turns: Arc<Semaphore>,
}

impl Outbox {
    pub(super) fn send(&self, message: Message) {
        // One that is dropped is sent again; that its node is unreachable the link tells.
        self.network.send(message.to, message.encode());
    }

    /// Off this thread, which must not wait for a disk or a node.
    pub(super) fn send_snapshot(&self, message: Message, state: Frozen) {
        let (network, back, turns) = (self.network.clone(), self.back.clone(), self.turns.clone());
        let sending = async move {
            let to = message.to;
            let sent = match turns.acquire().await {
                Ok(_turn) => send(&network, message, state).await,
                Err(_) => return,
            };
            if let Err(error) = &sent {
                tracing::warn!(node = to, %error, "a snapshot did not arrive");
            }
            let arrived = sent.is_ok();
            // Raft sends this node nothing until it knows. The loop may be gone.
            let told = move || back.send(Input::SnapshotSent { to, arrived });
            let _ = tokio::task::spawn_blocking(told).await;
        };
        let mut all = self.sending.lock();
        while all.try_join_next().is_some() {}
        all.spawn_on(sending, &self.runtime);
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

impl Drop for Outbox {
    /// What is being sent must not keep the database from being opened again.
    fn drop(&mut self) {
        let mut all = std::mem::take(self.sending.get_mut());
        self.runtime.block_on(all.shutdown());
    }
}

async fn send(network: &Network, message: Message, state: Frozen) -> Result<(), NetError> {
    let to = message.to;
    tracing::info!(node = to, "sending a snapshot");
    let rows = net::size(&SnapshotRows(&state)).await?;
    let head = carried::head(&message, rows).expect("a snapshot is what this is called with");
    network.send_snapshot(to, &Carried { head, state }).await
}

/// The rows of a state.
struct SnapshotRows<'s>(&'s Frozen);

impl Source for SnapshotRows<'_> {
    fn pieces(&self) -> Box<dyn Iterator<Item = Result<Vec<u8>, ReadError>> + Send + '_> {
        Box::new(rows(self.0))
    }
}

fn rows(state: &Frozen) -> impl Iterator<Item = Result<Vec<u8>, ReadError>> + Send + '_ {
    let mut encoder = snapshot::Encoder::default();
    std::iter::from_fn(move || encoder.next_piece(state.view()).transpose())
}

/// Raft's message, and the rows.
struct Carried {
    head: Vec<u8>,
    state: Frozen,
}

impl Source for Carried {
    fn pieces(&self) -> Box<dyn Iterator<Item = Result<Vec<u8>, ReadError>> + Send + '_> {
        let head = std::iter::once(Ok(self.head.clone()));
        Box::new(head.chain(rows(&self.state)))
    }
}
