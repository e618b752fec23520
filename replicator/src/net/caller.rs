//! A client's way to the nodes: it asks one for as long as that answers, then another.

use super::dial::{self, Target, speak_as_client};
use super::presented::Presented;
use super::services::clients_client::ClientsClient;
use super::{Identity, MAX_MESSAGE, NetError, tls, wire};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::rustls::ClientConfig;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Between two rounds of asking every node.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks any node that answers.
pub struct Caller {
    own: Arc<Presented>,
    tls: Arc<ClientConfig>,
    route: Mutex<Route>,
}

struct Route {
    /// Where the nodes are, host:port. The first is asked first.
    addresses: Vec<String>,
    /// To the first, from the last request.
    channel: Option<Channel>,
}

impl Caller {
    /// For nodes at these addresses, host:port, of which there is one at least.
    pub fn new(identity: Identity, addresses: Vec<String>) -> Result<Self, NetError> {
        assert!(!addresses.is_empty(), "somebody can be asked");
        let own = Presented::new(identity)?;
        let tls = Arc::new(tls::client(&own)?);
        let channel = None;
        let route = Mutex::new(Route { addresses, channel });
        Ok(Self { own, tls, route })
    }

    /// Whose requests these are.
    pub fn identity(&self) -> Arc<Identity> {
        self.own.identity()
    }

    /// Shows another certificate of this client from now on.
    pub fn present(&self, renewed: Identity) -> Result<(), NetError> {
        self.own.present(renewed)
    }

    /// Addresses of the nodes, host:port.
    pub fn addresses(&self) -> Vec<String> {
        self.route.lock().addresses.clone()
    }

    /// Whom the next request goes to.
    pub fn address(&self) -> String {
        self.route.lock().addresses[0].clone()
    }

    /// There are nodes here too.
    pub fn learn(&self, addresses: impl IntoIterator<Item = String>) {
        let mut route = self.route.lock();
        for address in addresses {
            if !route.addresses.contains(&address) {
                route.addresses.push(address);
            }
        }
    }

    /// Asks one node after the other, each for `attempt` at most, until one answers or `deadline`
    /// is over. Nodes may get the request twice. Ends at once when this client was removed. Where `deadline` cuts an
    /// answer off, the error is what a node said before: it tells more.
    pub async fn ask(
        &self,
        request: &[u8],
        attempt: Duration,
        deadline: Instant,
    ) -> Result<Vec<u8>, NetError> {
        let mut tried = 0;
        let mut said = None;
        loop {
            let (address, channel, nodes) = {
                let route = self.route.lock();
                let first = route.addresses[0].clone();
                (first, route.channel.clone(), route.addresses.len())
            };
            // One that is kept may have been lost since; that is no attempt.
            let was_kept = channel.is_some();
            let until = deadline.min(Instant::now() + attempt);
            let asked = timeout_at(until, self.ask_one(&address, channel, request)).await;
            let is_cut_off = asked.is_err() && until == deadline;
            let error = match asked {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(error @ NetError::Removed { .. })) => return Err(error),
                Ok(Err(error)) => error,
                Err(_) => NetError::unreachable(&address, "no answer in time"),
            };
            let retry = was_kept && matches!(error, NetError::Unreachable { .. });
            self.give_up_on(&address, retry);
            tried += usize::from(!retry);
            let next = match tried % nodes == 0 && !retry {
                true => Instant::now() + PAUSE,
                false => Instant::now(),
            };
            if next >= deadline {
                return Err(said.filter(|_| is_cut_off).unwrap_or(error));
            }
            tracing::debug!(%error, "asking another node");
            said = Some(error);
            tokio::time::sleep_until(next).await;
        }
    }

    /// Hangs up; another node is asked next, or this one once more.
    fn give_up_on(&self, address: &str, retry: bool) {
        let mut route = self.route.lock();
        // Others who ask may have come to another one meanwhile.
        if route.addresses[0] == address {
            route.channel = None;
            if !retry {
                route.addresses.rotate_left(1);
            }
        }
    }

    async fn ask_one(
        &self,
        address: &str,
        channel: Option<Channel>,
        request: &[u8],
    ) -> Result<Vec<u8>, NetError> {
        let channel = match channel {
            Some(channel) => channel,
            None => self.connect(address).await?,
        };
        let request = wire::AskRequest {
            request: request.to_vec(),
        };
        let reply = ClientsClient::with_interceptor(channel, speak_as_client)
            .max_encoding_message_size(MAX_MESSAGE)
            .max_decoding_message_size(MAX_MESSAGE)
            .ask(request)
            .await;
        match reply {
            Ok(reply) => Ok(reply.into_inner().response),
            // Every node says so.
            Err(status) if is_removal(&status) => Err(NetError::Removed {
                address: address.to_owned(),
                why: status.message().to_owned(),
            }),
            Err(status) => Err(dial::refused(address, &status)),
        }
    }

    async fn connect(&self, address: &str) -> Result<Channel, NetError> {
        let target = Target {
            address: address.to_owned(),
            name: tls::any_node_name(self.identity().cluster),
            tls: self.tls.clone(),
        };
        let channel = dial::connect(&target).await?;
        let mut route = self.route.lock();
        if route.addresses[0] == address {
            route.channel = Some(channel.clone());
        }
        Ok(channel)
    }
}

fn is_removal(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::PermissionDenied | Code::Unauthenticated
    )
}
