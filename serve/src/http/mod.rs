//! The HTTP door: connections, and what is bounded of each.
//!
//! A connection has a time for its TLS handshake, a time and a size for the headers of a request, and an end when its
//! client neither sends nor takes anything. There are at most [`CONNECTIONS`], half of them for one address; one more is
//! closed at once.

mod activity;
mod answer;
mod exchange;
mod headers;
mod health;
mod line;
mod out;
mod refused;

pub use line::ACCESS;

use crate::admission::Admission;
use crate::rate::Rate;
use crate::share::Shares;
use crate::{Config, TlsError, tls};
use activity::Activity;
use exchange::Exchange;
use gitmoor_fs::program::User;
use gitmoor_fs::{FsError, PushHooks};
use gitmoor_model::{RepoId, TokenId};
use gitmoor_replicator::Replica;
use gitmoor_replicator::net::neighbourhood;
use health::Health;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Connections at a time.
const CONNECTIONS: usize = 1024;
/// For a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For the headers of a request, from its first byte or the end of the one before.
const HEADERS: Duration = Duration::from_secs(15);
/// Bytes of the headers of a request …
const HEADER_BYTES: usize = 16 << 10;
/// … and how many there may be.
const HEADER_COUNT: usize = 64;
/// Requests at a time on one connection of HTTP/2: git makes one.
const STREAMS: u32 = 4;
/// How many times the time in which a client has gone it may take for the end of an answer, when nobody works for it any
/// more: what waits on this side of the socket is less than a megabyte.
const LAST_BYTES: u32 = 8;
/// A peer of HTTP/2 that does not even say that it is alive has gone.
const ALIVE: Duration = Duration::from_secs(20);
/// After a connection could not be accepted; without it the loop would spin.
const PAUSE: Duration = Duration::from_millis(100);
/// How long children may take to end once they are not wanted.
const LAST: Duration = Duration::from_secs(5);

/// The machine behind the door.
pub trait Machine: Send + Sync {
    /// Whether it serves; if not, what is wrong, a sentence a line.
    fn ready(&self) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>>;

    /// Which hooks a push to a repository runs into here; `Own` where such a push is to be refused.
    fn hooks(&self, repo: RepoId) -> Result<PushHooks, FsError>;

    /// What nonces of signed pushes to a repository are made from: a secret, the same at each node.
    fn nonce_seed(&self, repo: RepoId) -> String;
}

/// How far a door is from its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Serving,
    /// Nobody new is let in.
    Draining,
    /// What still runs ends.
    Over,
}

/// A door that is open.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    stage: watch::Sender<Stage>,
    /// Gives nothing until everybody who works at the door has gone.
    gone: parking_lot::Mutex<mpsc::Receiver<()>>,
    runtime: Handle,
}

/// What everybody who works at the door uses.
struct Shared {
    config: Config,
    user: Option<User>,
    replica: Arc<dyn Replica>,
    machine: Arc<dyn Machine>,
    admission: Admission,
    health: Health,
    of_address: Rate<IpAddr>,
    of_token: Rate<TokenId>,
    of_repository: Rate<RepoId>,
    stage: watch::Receiver<Stage>,
    alive: mpsc::Sender<()>,
}

impl Door {
    /// Opens a door on a listener. Everything runs on the runtime, which must not be the caller's own.
    pub fn open(
        listener: std::net::TcpListener,
        config: Config,
        replica: Arc<dyn Replica>,
        machine: Arc<dyn Machine>,
        runtime: Handle,
    ) -> Result<Self, OpenError> {
        let _entered = runtime.enter();
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let tls = config.tls.clone().map(tls::server).transpose()?;
        let (stage, of_stage) = watch::channel(Stage::Serving);
        let (alive, gone) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            user: config.user.and_then(User::numbered),
            admission: Admission::new(config.limits),
            health: Health::default(),
            of_address: Rate::new("from one address", config.rates.address),
            of_token: Rate::new("with one token", config.rates.token),
            of_repository: Rate::new("for one repository", config.rates.repository),
            config,
            replica,
            machine,
            stage: of_stage,
            alive,
        });
        tokio::spawn(accept(listener, tls.map(TlsAcceptor::from), shared));
        Ok(Self {
            address,
            stage,
            gone: parking_lot::Mutex::new(gone),
            runtime: runtime.clone(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nobody in any more, and waits for what runs, for as long as this. What still runs then is ended.
    pub fn drain(&self, within: Duration) {
        // Nobody listens: then everybody has gone.
        let _ = self.stage.send(Stage::Draining);
        let are_gone = self.are_gone(within);
        let _ = self.stage.send(Stage::Over);
        if !are_gone {
            tracing::warn!(after = ?within, "requests that still ran at the HTTP door are ended");
            // Children are killed within a moment; nothing of the mount must be in use afterwards.
            self.are_gone(LAST);
        }
    }

    /// Whether everybody has gone, within this.
    fn are_gone(&self, within: Duration) -> bool {
        let mut gone = self.gone.lock();
        let all = async { timeout(within, gone.recv()).await };
        self.runtime.block_on(all).is_ok()
    }
}

/// A door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The socket.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Its certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let shares = Shares::new(CONNECTIONS / 2);
    let mut stage = shared.stage.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stage.changed() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let place = Arc::clone(&places).try_acquire_owned().ok();
                // A proxy may need them all.
                let is_proxy = shared.config.proxy == Some(peer.ip().to_canonical());
                let share = shares.take(neighbourhood(peer.ip()));
                let Some(place) = place.filter(|_| is_proxy || share.is_some()) else {
                    tracing::debug!(%peer, "closed at once: there are too many connections");
                    continue;
                };
                let (tls, shared) = (tls.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    converse(stream, peer, tls, shared).await;
                    drop((place, share));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
) {
    // Answers are small, or large: neither waits for more.
    let _ = stream.set_nodelay(true);
    let peer = peer.ip().to_canonical();
    let Some(tls) = tls else {
        return serve(stream, peer, Version::One, shared).await;
    };
    match timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let version = match stream.get_ref().1.alpn_protocol() {
                Some(tls::HTTP2) => Version::Two,
                Some(_) | None => Version::One,
            };
            serve(stream, peer, version, shared).await;
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took more than {HANDSHAKE:?}"),
    }
}

/// Of HTTP. Without TLS it is not guessed by the first bytes: a client that sends none of them would wait for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Version {
    One,
    Two,
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: IpAddr,
    version: Version,
    shared: Arc<Shared>,
) {
    let (stage, idle) = (shared.stage.clone(), shared.config.idle);
    let activity = Activity::new();
    let working = activity.clone();
    let service = service_fn(move |request| {
        let exchange = Exchange::new(Arc::clone(&shared), peer, working.begin());
        async move { Ok::<_, Infallible>(exchange.answer(request).await) }
    });
    let stream = TokioIo::new(stream);
    let served = match version {
        Version::One => {
            let connection = pin!(http1().serve_connection(stream, service));
            drive(
                connection,
                http1::Connection::graceful_shutdown,
                stage,
                (activity, idle),
            )
            .await
        }
        Version::Two => {
            let connection = pin!(http2().serve_connection(stream, service));
            drive(
                connection,
                http2::Connection::graceful_shutdown,
                stage,
                (activity, idle),
            )
            .await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

/// To its end, or to that of the door; or until nobody works for it.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    mut connection: Pin<&mut C>,
    close: impl Fn(Pin<&mut C>),
    mut stage: watch::Receiver<Stage>,
    (activity, idle): (Activity, Duration),
) -> hyper::Result<()> {
    let mut patience = idle;
    loop {
        tokio::select! {
            served = connection.as_mut() => return served,
            changed = stage.changed() => {
                let now = *stage.borrow_and_update();
                if changed.is_err() || now == Stage::Over {
                    return Ok(());
                }
                close(connection.as_mut());
            }
            () = activity.idle(patience) => {
                if patience > idle {
                    return Ok(());
                }
                close(connection.as_mut());
                patience = idle * (1 + LAST_BYTES);
            }
        }
    }
}

fn http1() -> http1::Builder {
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_headers(HEADER_COUNT)
        .max_buf_size(HEADER_BYTES)
        .half_close(false);
    server
}

fn http2() -> http2::Builder<TokioExecutor> {
    let mut server = http2::Builder::new(TokioExecutor::new());
    server
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES as u32)
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(ALIVE)
        .keep_alive_timeout(ALIVE);
    server
}
