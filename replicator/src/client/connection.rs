//! A client's connection to the cluster: its requests, one by one.

use crate::locks::{Lock, LockService, OwnLocks, Renewal};
use crate::net::{Caller, NetError};
use crate::replica::ProposeError;
use crate::rpc::client::{ClientCall, ClientReply, ClientRequest, ClientResponse};
use crate::rpc::{Role, Status, decode, encode};
use parking_lot::RwLock;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// A node that has not answered after this is as good as cut off: an election takes two seconds.
const ATTEMPT: Duration = Duration::from_secs(3);
/// One that has to send, or to be sent, so many bytes has a second more.
const BYTES_PER_SECOND: usize = 256 << 10;
/// Room for a page of an answer.
const PAGE: usize = 4 << 20;
/// How often somebody who waits is asked whether to go on.
const POLL: Duration = Duration::from_millis(100);
/// A lock that cannot be asked for in this time is as good as taken.
const LOCK: Duration = Duration::from_secs(2);

pub(super) struct ClusterConnection {
    pub(super) caller: Caller,
    pub(super) runtime: Handle,
    /// Of the node that answered last.
    pub(super) status: RwLock<Status>,
    pub(super) own_locks: OwnLocks,
}

impl ClusterConnection {
    /// Asks until `deadline`, or until `give_up` says not to.
    pub(super) fn ask(
        &self,
        request: ClientRequest,
        deadline: Instant,
        give_up: &dyn Fn() -> bool,
    ) -> Result<ClientResponse, ProposeError> {
        self.runtime.block_on(async {
            let mut asking = std::pin::pin!(self.asked(request, deadline));
            loop {
                tokio::select! {
                    response = &mut asking => return response.map_err(failed),
                    () = tokio::time::sleep(POLL) => {}
                }
                if give_up() {
                    return Err(ProposeError::GivenUp);
                }
            }
        })
    }

    async fn asked(
        &self,
        request: ClientRequest,
        deadline: Instant,
    ) -> Result<ClientResponse, NetError> {
        let bytes = match &request {
            ClientRequest::Rows(_) | ClientRequest::Backup(_) => PAGE,
            ClientRequest::Propose { data, .. } => data.len(),
            _ => 0,
        };
        let within = ATTEMPT + Duration::from_secs((bytes / BYTES_PER_SECOND) as u64);
        let call = encode(&ClientCall { within, request });
        let reply = self.caller.ask(&call, within, deadline).await?;
        let ClientReply { status, response } = decode(&reply).map_err(|why| NetError::Refused {
            address: self.caller.address(),
            why,
        })?;
        *self.status.write() = Status {
            id: self.caller.identity().holder.id(),
            role: Role::Client,
            ..status
        };
        Ok(response)
    }

    async fn about_locks(&self, request: ClientRequest) -> Option<ClientResponse> {
        self.asked(request, Instant::now() + LOCK).await.ok()
    }
}

fn failed(error: NetError) -> ProposeError {
    match error {
        NetError::Removed { .. } => ProposeError::Removed(error.to_string()),
        other => ProposeError::NoNode(other.to_string()),
    }
}

#[tonic::async_trait]
impl LockService for ClusterConnection {
    async fn take(&self, lock: Lock) -> Option<bool> {
        match self.about_locks(ClientRequest::Lock(lock)).await {
            Some(ClientResponse::Locked(taken)) => taken,
            Some(_) | None => None,
        }
    }

    async fn release(&self, lock: Lock) {
        self.about_locks(ClientRequest::Unlock(lock)).await;
    }

    async fn renew(&self, own: Renewal) -> Option<Vec<Lock>> {
        match self.about_locks(ClientRequest::RenewLocks(own)).await {
            Some(ClientResponse::LostLocks(lost)) => lost,
            Some(_) | None => None,
        }
    }

    fn own(&self) -> &OwnLocks {
        &self.own_locks
    }
}
