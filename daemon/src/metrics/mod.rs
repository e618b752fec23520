//! What the daemon tells whoever watches it, over HTTP: `/metrics` in Prometheus' text format
//! (whatever the crates registered at the default registry), `/healthz` and `/readyz`.
//!
//! The port answers before the daemon serves, so that a start that waits says what for.

mod readiness;
mod samples;

pub(crate) use readiness::Facts;
pub use samples::Metric;
pub(crate) use samples::samples;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use parking_lot::{Mutex, RwLock};
use prometheus::{Encoder, IntGauge, IntGaugeVec, Opts, TextEncoder, register_int_gauge};
use readiness::ReadinessChecks;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_blocking;

/// Connections at a time.
const CONNECTIONS: usize = 64;
/// A question is here after this.
const HEADERS: Duration = Duration::from_secs(10);

static WAITS: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Operations that wait for the store, the cluster or room";
    register_int_gauge!("gitmoor_waiting_operations", help)
        .expect("each name is registered once, here")
});

/// So many operations wait, or are long work: what `gitmoor status` lists.
pub(crate) fn set_waits(waits: usize) {
    WAITS.set(waits as i64);
}

pub(crate) trait Watched: Send + Sync {
    /// Sets the gauges that are not kept all the time.
    fn measure(&self);

    /// What its readiness depends on.
    fn facts(&self) -> Facts;
}

/// The answering side of the port.
#[derive(Default)]
pub(crate) struct Telling {
    /// `None` until it serves. Weak: whoever asks must not keep a database open.
    watched: RwLock<Option<Weak<dyn Watched>>>,
    readiness: ReadinessChecks,
    /// Held while gauges are set and read: one that is emptied and filled again is whole.
    gathering: Mutex<()>,
}

impl Telling {
    /// It serves from now on.
    pub(crate) fn watch(&self, watched: Weak<dyn Watched>) {
        *self.watched.write() = Some(watched);
    }

    fn watched(&self) -> Option<Arc<dyn Watched>> {
        self.watched.read().as_ref()?.upgrade()
    }

    /// Whether it serves; if not, why, a sentence a line.
    pub(crate) async fn check(self: &Arc<Self>) -> Result<(), String> {
        let asked = Arc::clone(self);
        // Whoever happens to be the last to let go of a daemon closes it, which blocks.
        let facts = spawn_blocking(move || asked.watched().map(|watched| watched.facts()));
        self.readiness.check(facts.await.ok().flatten()).await
    }

    fn gather(&self) -> Response<Full<Bytes>> {
        let _turn = self.gathering.lock();
        if let Some(watched) = self.watched() {
            watched.measure();
        }
        gathered()
    }
}

/// Listens at the address and serves for the life of the runtime.
pub(crate) async fn serve(address: SocketAddr, telling: Arc<Telling>) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tokio::spawn(accept(listener, telling));
    Ok(())
}

/// Registers the gauge that tells which build runs; its value is always 1.
pub(crate) fn register_build_info() {
    let options = Opts::new("gitmoor_build_info", "Which gitmoor this is; always 1.");
    let gauge =
        IntGaugeVec::new(options, &["version"]).expect("the metric's name and label are valid");
    gauge.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    // Registered twice only if one process starts two daemons, as a test may.
    let _ = prometheus::register(Box::new(gauge));
}

/// The latest connections go on: whoever holds many open keeps nobody out.
async fn accept(listener: TcpListener, telling: Arc<Telling>) {
    let mut open = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let served = tokio::spawn(converse(stream, Arc::clone(&telling)));
                open.push_back(served.abort_handle());
                if open.len() > CONNECTIONS
                    && let Some(oldest) = open.pop_front()
                {
                    oldest.abort();
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a metrics connection was not accepted");
                // Out of descriptors: without a pause this loop would spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, telling: Arc<Telling>) {
    let service = service_fn(|request| answer(request, Arc::clone(&telling)));
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS);
    let served = server.serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a metrics connection ended early");
    }
}

async fn answer(
    request: Request<Incoming>,
    telling: Arc<Telling>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => metrics(telling).await,
        (&Method::GET, "/healthz") => plain(StatusCode::OK, "alive\n"),
        (&Method::GET, "/readyz") => ready(telling).await,
        _ => plain(
            StatusCode::NOT_FOUND,
            "there are only GET /metrics, /healthz and /readyz\n",
        ),
    })
}

/// Counting catalogs reads the database.
async fn metrics(telling: Arc<Telling>) -> Response<Full<Bytes>> {
    match spawn_blocking(move || telling.gather()).await {
        Ok(response) => response,
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    }
}

async fn ready(telling: Arc<Telling>) -> Response<Full<Bytes>> {
    match telling.check().await {
        Ok(()) => plain(StatusCode::OK, "ready\n"),
        Err(reasons) => plain(StatusCode::SERVICE_UNAVAILABLE, &reasons),
    }
}

fn gathered() -> Response<Full<Bytes>> {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&prometheus::gather(), &mut text) {
        Ok(()) => {
            let content_type = encoder
                .format_type()
                .parse()
                .expect("a constant media type");
            let mut response = Response::new(Full::from(text));
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            response
        }
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text.to_owned()));
    *response.status_mut() = status;
    response
}
