//! The server: a loopback port, s3s for the protocol, and between the two what
//! counts and what fails.

use super::faults::{Faults, error, truncated, wrong};
use super::memory::{Bucket, MemoryS3, Sealed};
use super::{BUCKET, Counts, Fault, Kind, environment};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

const KEY: &str = "AKIDFAKE";
const SECRET: &str = "fake/secret";

/// An S3 server in this process, with one empty bucket. It stops when dropped.
pub struct FakeS3 {
    address: SocketAddr,
    state: Arc<State>,
    memory: MemoryS3,
    runtime: Option<Runtime>,
}

struct State {
    service: S3Service,
    counts: Mutex<Counts>,
    faults: Mutex<Faults>,
    /// Moves when held requests may go on.
    released: watch::Sender<()>,
}

impl FakeS3 {
    /// Starts a server on a free port.
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime starts");
        let memory = MemoryS3::default();
        memory
            .buckets
            .lock()
            .insert(BUCKET.to_string(), Bucket::default());
        let mut builder = S3ServiceBuilder::new(memory.clone());
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let state = Arc::new(State {
            service: builder.build(),
            counts: Mutex::default(),
            faults: Mutex::default(),
            released: watch::Sender::default(),
        });
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        runtime.spawn(accept(listener, state.clone()));
        Self {
            address,
            state,
            memory,
            runtime: Some(runtime),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:…`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The settings of a client.
    pub fn env(&self) -> Vec<(String, String)> {
        environment(&self.endpoint(), "us-east-1", KEY, SECRET)
    }

    /// Requests since the start or the last [`FakeS3::reset`].
    pub fn counts(&self) -> Counts {
        *self.state.counts.lock()
    }

    /// Counts from zero again.
    pub fn reset(&self) {
        *self.state.counts.lock() = Counts::default();
    }

    /// The next so many requests of a kind fail so.
    pub fn fail(&self, kind: Kind, fault: Fault, times: usize) {
        self.state.faults.lock().queue(kind, fault, times);
    }

    /// Lets the requests go on that are held.
    pub fn release(&self) {
        self.state.released.send_replace(());
    }

    /// Forgets the failures that are still to come.
    pub fn heal(&self) {
        *self.state.faults.lock() = Faults::default();
    }

    /// While down, every request ends with a closed connection.
    pub fn set_down(&self, down: bool) {
        self.state.faults.lock().down = down;
    }

    /// Servers differ: this one then no longer honours `If-None-Match: *`.
    pub fn ignore_conditions(&self) {
        self.bucket(|bucket| bucket.ignore_conditions = true);
    }

    /// Servers differ: this one then knows nothing of encryption.
    pub fn ignore_encryption(&self) {
        self.bucket(|bucket| bucket.ignore_encryption = true);
    }

    /// How each object was to be encrypted.
    pub fn sealed(&self) -> BTreeMap<String, Sealed> {
        self.bucket(|bucket| bucket.sealed.clone())
    }

    /// What the bucket holds.
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        self.bucket(|bucket| bucket.objects.clone())
    }

    /// Puts an object behind everybody's back, replacing what is there.
    pub fn plant(&self, key: &str, bytes: impl Into<Bytes>) {
        self.bucket(|bucket| bucket.objects.insert(key.to_string(), bytes.into()));
    }

    /// Takes an object away behind everybody's back.
    pub fn lose(&self, key: &str) {
        self.bucket(|bucket| bucket.objects.remove(key));
    }

    /// The next so many deletions of an object fail with this code, alone or among others.
    pub fn keep(&self, key: &str, code: &'static str, times: usize) {
        self.bucket(|bucket| bucket.kept.insert(key.to_string(), (code, times)));
    }

    /// Lets every object of now look as if it was stored that long ago.
    pub fn age(&self, by: Duration) {
        self.bucket(|bucket| {
            let then = SystemTime::now() - by;
            let keys = bucket.objects.keys().cloned();
            bucket.aged = keys.map(|key| (key, then)).collect();
        });
    }

    /// Puts its clock ahead.
    pub fn skew(&self, by: Duration) {
        self.bucket(|bucket| bucket.ahead = by);
    }

    /// Multipart uploads that were begun and neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.bucket(|bucket| bucket.open_uploads())
    }

    fn bucket<T>(&self, f: impl FnOnce(&mut Bucket) -> T) -> T {
        f(self
            .memory
            .buckets
            .lock()
            .get_mut(BUCKET)
            .expect("made at the start"))
    }
}

impl Drop for FakeS3 {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(serve(socket, state.clone()));
    }
}

async fn serve(socket: TcpStream, state: Arc<State>) {
    let service = service_fn(move |request| answer(request, state.clone()));
    let server = auto::Builder::new(TokioExecutor::new());
    // An error is a client that left, or a fault on demand.
    let _ = server.serve_connection(TokioIo::new(socket), service).await;
}

impl State {
    async fn until_released(&self) {
        let changed = self.released.subscribe().changed().await.is_ok();
        debug_assert!(changed, "the sender lives as long as this");
    }
}

/// An error closes the connection.
async fn answer(request: Request<Incoming>, state: Arc<State>) -> io::Result<Response<s3s::Body>> {
    let kind = Kind::of(request.method(), request.uri(), request.headers());
    let fault = {
        state.counts.lock().add(kind);
        let mut faults = state.faults.lock();
        // Faults are those of what a test is about: claims come and go at any time beside it.
        match request.uri().path().contains("gitmoor-owner") {
            true => faults.outage(),
            false => faults.next(kind),
        }
    };
    if matches!(fault, Some(Fault::Reset)) {
        return Err(io::Error::other("reset on demand"));
    }
    let request = receive(request, &state).await?;
    match fault {
        Some(Fault::SlowDown) => return Ok(error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown")),
        Some(Fault::InternalError) => {
            return Ok(error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"));
        }
        Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
        Some(Fault::Hold) => state.until_released().await,
        _ => {}
    }
    let (parts, body) = carry_out(request, &state).await?.into_parts();
    let body = match fault {
        Some(Fault::LostAnswer) => return Err(io::Error::other("lost on demand")),
        Some(Fault::Truncate) => truncated(&body),
        Some(Fault::WrongBytes) => wrong(&body),
        _ => s3s::Body::from(body),
    };
    Ok(Response::from_parts(parts, body))
}

/// Reads the request to its end, so that a client sees the answer whatever it is.
async fn receive(request: Request<Incoming>, state: &State) -> io::Result<Request<s3s::Body>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    state.counts.lock().bytes_in += body.len() as u64;
    Ok(Request::from_parts(parts, s3s::Body::from(body)))
}

async fn carry_out(request: Request<s3s::Body>, state: &State) -> io::Result<Response<Bytes>> {
    let failed = |e| io::Error::other(format!("{e:?}"));
    let (parts, body) = state
        .service
        .call(request)
        .await
        .map_err(failed)?
        .into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    state.counts.lock().bytes_out += body.len() as u64;
    Ok(Response::from_parts(parts, body))
}
