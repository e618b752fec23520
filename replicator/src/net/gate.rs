//! The gate in front of all services: who calls what is decided here, by the headers of a call
//! and the certificate of its connection, before its body is received.
//!
//! What is let in is bounded for each holder of a certificate, and for all clients and all
//! strangers together: calls under way, and bytes of theirs that are not answered yet. Calls
//! beyond the number wait, unreceived, in their own holder's line.

use super::connection::{RemoteEnd, neighbourhood};
use super::handler::Handler;
use super::method::{Method, Who};
use super::{Holder, PROTOCOL_HEADER};
use bytes::Bytes;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full, Limited};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Calls of one holder that are under way.
const CALLS: usize = 64;
/// Bytes that these have said, or are saying.
const BYTES: usize = 64 << 20;
/// Calls of all clients that are under way. Each has a thread that blocks, and these must not
/// become all that there are.
const CLIENT_CALLS: usize = 256;
/// Strangers that are being admitted.
const ADMISSIONS: usize = 16;
/// A stranger has said what it wants after this.
const HEARING: Duration = Duration::from_secs(5);
/// How often one address may ask to be admitted: so many at once, and one more each second.
const TRIES: NonZeroU32 = NonZeroU32::new(32).expect("more than none");
/// Addresses that are remembered for that.
const ADDRESSES: usize = 4096;
/// What precedes a message of gRPC.
const PREFIX: usize = 5;

/// Who said something, as the gate found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speaker {
    pub(super) address: SocketAddr,
    /// `None` is a stranger.
    pub(super) holder: Option<Holder>,
}

#[derive(Clone)]
pub(super) struct Gate(Arc<Shared>);

struct Shared {
    handler: Arc<dyn Handler>,
    shares: Mutex<HashMap<Holder, Weak<Share>>>,
    clients: Arc<Semaphore>,
    admissions: Arc<Semaphore>,
    tries: DefaultKeyedRateLimiter<IpAddr>,
}

/// What one holder may have under way.
struct Share {
    calls: Arc<Semaphore>,
    bytes: AtomicUsize,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            calls: Arc::new(Semaphore::new(CALLS)),
            bytes: AtomicUsize::new(0),
        }
    }
}

impl Gate {
    pub(super) fn new(handler: Arc<dyn Handler>) -> Self {
        Self(Arc::new(Shared {
            handler,
            shares: Mutex::default(),
            clients: Arc::new(Semaphore::new(CLIENT_CALLS)),
            admissions: Arc::new(Semaphore::new(ADMISSIONS)),
            tries: RateLimiter::hashmap(Quota::per_second(NonZeroU32::MIN).allow_burst(TRIES)),
        }))
    }
}

impl Shared {
    /// Whether this peer may call at this path. Who is refused is logged: it is an attack or a
    /// mistake.
    fn check(&self, path: &str, headers: &HeaderMap, peer: &RemoteEnd) -> Result<Method, Status> {
        let address = peer.address;
        let Some(method) = Method::at(path) else {
            tracing::warn!(%address, "refused: there is no such call");
            return Err(Status::unimplemented("this node has no such call"));
        };
        check_protocol(method.protocol(), headers, address)?;
        match (method.who(), peer.holder) {
            (Who::Stranger, _) => self.check_tries(address).map(|()| method),
            (Who::Client | Who::Node, None) => {
                tracing::warn!(%address, "refused: no certificate");
                let why = "this needs a certificate of the cluster: see gitmoor cluster join";
                Err(Status::unauthenticated(why))
            }
            (Who::Client | Who::Node, Some(holder)) if !self.handler.welcomes(holder.id()) => {
                tracing::warn!(%address, %holder, "refused: it was removed");
                let why = format!("{holder} was removed from this cluster");
                Err(Status::permission_denied(why))
            }
            (Who::Client, Some(Holder::Client(_))) | (Who::Node, Some(Holder::Node(_))) => {
                Ok(method)
            }
            (Who::Client, Some(other)) => Err(misplaced(address, other, "a client")),
            (Who::Node, Some(other)) => Err(misplaced(address, other, "a node")),
        }
    }

    fn check_tries(&self, address: SocketAddr) -> Result<(), Status> {
        if self.tries.len() > ADDRESSES {
            self.tries.retain_recent();
        }
        let may = self.tries.check_key(&neighbourhood(address.ip()));
        may.map_err(|_| {
            tracing::warn!(%address, "refused: it asks too often to be admitted");
            Status::resource_exhausted("too many attempts to join; try again in a minute")
        })
    }

    fn share(&self, holder: Holder) -> Arc<Share> {
        let mut shares = self.shares.lock();
        if let Some(share) = shares.get(&holder).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::default();
        shares.insert(holder, Arc::downgrade(&share));
        share
    }

    /// Waits for a slot for a call, and holds it.
    async fn slot(&self, method: Method, holder: Option<Holder>) -> Slot {
        let mut slot = Slot::default();
        let Some(holder) = holder.filter(|_| method.who() != Who::Stranger) else {
            slot.take(&self.admissions).await;
            return slot;
        };
        // A stream is one for each connection, and goes on while its message is worked on.
        if method.is_stream() {
            return slot;
        }
        let share = self.share(holder);
        slot.take(&share.calls).await;
        if method.who() == Who::Client {
            slot.take(&self.clients).await;
        }
        slot.meter = Some(Arc::new(Meter {
            share,
            said: AtomicUsize::new(0),
        }));
        slot
    }
}

/// Held until a call is answered.
#[derive(Default)]
struct Slot {
    permits: Vec<OwnedSemaphorePermit>,
    meter: Option<Arc<Meter>>,
}

impl Slot {
    async fn take(&mut self, of: &Arc<Semaphore>) {
        let permit = of.clone().acquire_owned().await;
        self.permits.push(permit.expect("it is never closed"));
    }
}

/// What a call has said, as part of its holder's share.
struct Meter {
    share: Arc<Share>,
    said: AtomicUsize,
}

impl Meter {
    fn hear(&self, bytes: usize) -> Result<(), Status> {
        self.said.fetch_add(bytes, Ordering::Relaxed);
        match self.share.bytes.fetch_add(bytes, Ordering::Relaxed) {
            before if before + bytes > BYTES => {
                Err(Status::resource_exhausted("too much at a time; try again"))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let said = self.said.load(Ordering::Relaxed);
        self.share.bytes.fetch_sub(said, Ordering::Relaxed);
    }
}

/// A body that is counted while it comes.
struct Metered {
    body: Body,
    meter: Arc<Meter>,
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let frame = frame?;
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.meter.hear(bytes).map(|()| frame)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// As much of a body as its call may have.
fn bounded(method: Method, body: Body, slot: &Slot) -> Body {
    if method.is_stream() {
        // Its messages are, each by itself.
        return body;
    }
    let body = match slot.meter.clone() {
        Some(meter) => Body::new(Metered { body, meter }),
        None => body,
    };
    Body::new(Limited::new(body, method.largest() + PREFIX))
}

fn misplaced(address: SocketAddr, holder: Holder, wanted: &str) -> Status {
    tracing::warn!(%address, %holder, "refused: only {wanted} may say this");
    Status::permission_denied(format!("{holder} is not {wanted}"))
}

fn check_protocol(ours: u32, headers: &HeaderMap, address: SocketAddr) -> Result<(), Status> {
    let spoken = headers.get(PROTOCOL_HEADER);
    let spoken = spoken.and_then(|version| version.to_str().ok());
    if spoken == Some(ours.to_string().as_str()) {
        return Ok(());
    }
    let spoken: String = spoken.unwrap_or("none").chars().take(20).collect();
    tracing::warn!(%address, spoken, "refused: another version of the protocol");
    Err(Status::failed_precondition(format!(
        "this node speaks version {ours} of the protocol, the other {spoken}"
    )))
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        let gate = self.clone();
        Gated { gate, inner }
    }
}

/// Services behind the gate.
#[derive(Clone)]
pub(super) struct Gated<S> {
    gate: Gate,
    inner: S,
}

type Answered = Result<Response<Body>, Infallible>;

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answered> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let waiting = self.inner.clone();
        // The one that was asked whether it is ready.
        let inner = std::mem::replace(&mut self.inner, waiting);
        Box::pin(pass(self.gate.0.clone(), inner, request))
    }
}

async fn pass<S>(gate: Arc<Shared>, mut inner: S, request: Request<Body>) -> Answered
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let peer = request.extensions().get::<RemoteEnd>().cloned();
    let peer = peer.expect("every connection is one of ours");
    let method = match gate.check(request.uri().path(), request.headers(), &peer) {
        Ok(method) => method,
        Err(status) => return Ok(status.into_http()),
    };
    let RemoteEnd {
        address,
        holder,
        seat,
    } = peer;
    let _busy = seat.begin();
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(Speaker { address, holder });
    let (slot, body) = match method.who() {
        Who::Stranger => match heard(method, body).await {
            Ok(body) => (gate.slot(method, holder).await, body),
            Err(status) => return Ok(status.into_http()),
        },
        Who::Client | Who::Node => {
            let slot = gate.slot(method, holder).await;
            let body = bounded(method, body, &slot);
            (slot, body)
        }
    };
    let answer = inner.call(Request::from_parts(parts, body)).await?;
    // An answer that nobody takes is still this call's.
    Ok(answer.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &slot;
            frame
        }))
    }))
}

/// All that a stranger says, which is little: it gets no slot before.
async fn heard(method: Method, body: Body) -> Result<Body, Status> {
    let body = Limited::new(body, method.largest() + PREFIX);
    match tokio::time::timeout(HEARING, body.collect()).await {
        Ok(Ok(body)) => Ok(Body::new(Full::new(body.to_bytes()))),
        Ok(Err(_)) => Err(Status::out_of_range("too much for a request to join")),
        Err(_) => Err(Status::deadline_exceeded("no request to join in time")),
    }
}
