//! One request and its answer.
//!
//! The order is the promise: route, who, may; then the first bytes of the body, as far as they tell a clone; then a
//! place among those that run; then git. hyper says `100 Continue` when a body is first read, so that nobody sends one
//! that is refused by its headers.

use super::line::{DOOR, Line};
use super::out::Out;
use super::refused::Refused;
use super::{Shared, Stage};
use crate::admission::Ticket;
use crate::body::{BodyError, Reader};
use crate::git::{Git, Job};
use crate::may::{Allowed, may};
use crate::metrics::Running;
use crate::request::{Work, fetched};
use crate::route::{Method, Route, Service, route};
use crate::who::{Caller, shown, who};
use bytes::{Bytes, BytesMut};
use gitmoor_model::{NamePath, Timestamp};
use gitmoor_replicator::state::NameEntry;
use gitmoor_replicator::{Replica, read};
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, EXPIRES, HeaderMap, HeaderValue,
    PRAGMA,
};
use hyper::{Request, Response};
use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

/// Bytes of a request that are looked at before git gets any.
const LOOKED_AT: usize = 64 << 10;
/// Bytes that a request to upload-pack may have, unpacked: a million names of commits have less.
const MOST_OF_FETCH: u64 = 64 << 20;
/// Bytes of git's output that are passed on at a time.
const PIECE: usize = 64 << 10;
/// Pieces that a client has not taken yet.
const PIECES: usize = 4;
/// How long the cluster may take to say what holds now.
const CURRENT: Duration = Duration::from_secs(3);
/// Bytes of what a client says of the protocol.
const PROTOCOL: usize = 128;

/// See the module.
pub(super) struct Exchange {
    shared: Arc<Shared>,
    line: Line,
}

/// What was asked, by whom, and that it may be.
struct Granted {
    caller: Caller,
    allowed: Allowed,
    path: PathBuf,
    service: Service,
    advertise: bool,
    protocol: Option<String>,
}

impl Exchange {
    pub(super) fn new(shared: Arc<Shared>, address: IpAddr) -> Self {
        let line = Line::new(address);
        Self { shared, line }
    }

    pub(super) async fn answer(mut self, request: Request<Incoming>) -> Response<Out> {
        let refused = match self.asked(&request) {
            Ok(Route::Healthz) => return self.say("alive\n"),
            Ok(Route::Readyz) => return self.ready().await,
            Ok(Route::Advertise(path, service)) => {
                self.line.verb = "advertise";
                self.grant(request.headers(), (path, service), true).await
            }
            Ok(Route::Serve(path, service)) => {
                self.line.verb = service.name();
                let granted = self.grant(request.headers(), (path, service), false);
                granted.await
            }
            Err(error) => Err(error),
        };
        let served = match refused {
            Ok(granted) => self.serve(granted, request).await,
            Err(refused) => Err((self, refused)),
        };
        match served {
            Ok(response) => response,
            Err((mut exchange, refused)) => {
                exchange.line.status = refused.status().as_u16();
                exchange.line.problem = Some(refused.problem());
                refused.response()
            }
        }
    }

    fn asked(&self, request: &Request<Incoming>) -> Result<Route, Refused> {
        let method = match *request.method() {
            hyper::Method::GET | hyper::Method::HEAD => Method::Get,
            hyper::Method::POST => Method::Post,
            _ => Method::Other,
        };
        Ok(route(method, request.uri().path(), request.uri().query())?)
    }

    fn say(mut self, text: &'static str) -> Response<Out> {
        self.line.verb = "health";
        self.line.status = 200;
        Response::new(Out::text(text))
    }

    async fn ready(mut self) -> Response<Out> {
        let is_serving = *self.shared.stage.borrow() == Stage::Serving;
        let problem = match is_serving {
            true => self.shared.health.ready().await.err(),
            false => Some("the door is closing\n".to_owned()),
        };
        let Some(problem) = problem else {
            return self.say("ready\n");
        };
        (self.line.verb, self.line.status) = ("health", 503);
        let mut response = Response::new(Out::text(problem));
        *response.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
        response
    }

    /// Who, and may: by the state as the whole cluster has it now.
    async fn grant(
        &mut self,
        headers: &HeaderMap,
        (path, service): (NamePath, Service),
        advertise: bool,
    ) -> Result<Granted, Refused> {
        self.line.repo = Some(path.clone());
        if *self.shared.stage.borrow() != Stage::Serving {
            return Err(Refused::Draining);
        }
        if !advertise {
            check_media(headers, service)?;
        }
        let shown = shown(headers.get(AUTHORIZATION).map(HeaderValue::as_bytes));
        let replica = Arc::clone(&self.shared.replica);
        let name = path.clone();
        let decided = spawn_blocking(move || {
            current(&*replica)?;
            let caller = who(replica.view(), shown, Timestamp::now())?;
            let allowed = may(replica.view(), &caller, &name, service);
            Ok::<_, Refused>((caller, allowed))
        });
        let (caller, allowed) = decided
            .await
            .map_err(|error| Refused::Git(error.to_string()))??;
        self.line.is_by(&caller);
        Ok(Granted {
            caller,
            allowed: allowed?,
            path: self
                .shared
                .config
                .mountpoint
                .join(OsStr::from_bytes(path.as_bytes())),
            service,
            advertise,
            protocol: protocol(headers),
        })
    }

    async fn serve(
        mut self,
        granted: Granted,
        request: Request<Incoming>,
    ) -> Result<Response<Out>, (Self, Refused)> {
        let begun = self.begin(granted, request).await;
        match begun {
            Ok(answering) => Ok(answering.respond(self)),
            Err(refused) => Err((self, refused)),
        }
    }

    /// To the first bytes of git's answer.
    async fn begin(
        &mut self,
        granted: Granted,
        request: Request<Incoming>,
    ) -> Result<Answering, Refused> {
        let is_packed = is_packed(request.headers())?;
        let most = match granted.service {
            Service::UploadPack => MOST_OF_FETCH,
            Service::ReceivePack => u64::MAX,
        };
        let idle = self.shared.config.idle;
        let mut reader = Reader::new(request.into_body(), is_packed, idle, most);
        let (work, looked_at) = match (granted.advertise, granted.service) {
            (true, _) => (Work::Small, Bytes::new()),
            (false, Service::ReceivePack) => (Work::Push, Bytes::new()),
            (false, Service::UploadPack) => look(&mut reader).await?,
        };
        let asked = Instant::now();
        let ticket = self.admit(work, &granted).await;
        self.line.queued = asked.elapsed();
        let ticket = ticket?;
        let mut git = self.start(&granted, work).await?;
        let feeding = git
            .stdin
            .take()
            .filter(|_| !granted.advertise)
            .map(|stdin| Feeding(tokio::spawn(feed(reader, looked_at, stdin))));
        let mut answering = Answering {
            head: head(&granted),
            media: media(&granted),
            first: Bytes::new(),
            git: Some(git),
            feeding,
            received: 0,
            _ticket: ticket,
            idle,
        };
        answering.first().await?;
        Ok(answering)
    }

    async fn admit(&self, work: Work, granted: &Granted) -> Result<Ticket, Refused> {
        let admission = &self.shared.admission;
        let ticket = match work {
            Work::Clone => {
                let user = granted.caller.name();
                admission.clone_of(granted.allowed.repo.id, user).await
            }
            Work::Small | Work::Fetch | Work::Push => admission.small().await,
        };
        Ok(ticket?)
    }

    async fn start(&self, granted: &Granted, work: Work) -> Result<Git, Refused> {
        let config = &self.shared.config;
        let served = self.served(&granted.caller);
        let job = Job {
            service: granted.service,
            advertise: granted.advertise,
            repo: &granted.allowed.repo,
            role: granted.allowed.role,
            path: &granted.path,
            user: self.shared.user.clone(),
            umask: config.umask,
            protocol: granted.protocol.as_deref(),
            served: &served,
        };
        let alive = self.shared.alive.clone();
        let git = Git::start(job.program(), Running::new(work.name()), alive).await;
        let git = git.map_err(|error| Refused::Git(format!("git was not started: {error}")))?;
        self.still_there(granted).await?;
        Ok(git)
    }

    /// git is in the directory that was at the path when it was started: was that the repository that was asked for?
    async fn still_there(&self, granted: &Granted) -> Result<(), Refused> {
        let replica = Arc::clone(&self.shared.replica);
        let repo = granted.allowed.repo.clone();
        let found = spawn_blocking(move || read::name(replica.view(), &repo.path));
        match found.await {
            Ok(Ok(Some(NameEntry::Repo(id)))) if id == granted.allowed.repo.id => Ok(()),
            Ok(Ok(_)) => Err(Refused::Renamed),
            Ok(Err(error)) => Err(Refused::Git(error.to_string())),
            Err(error) => Err(Refused::Git(error.to_string())),
        }
    }

    /// Whom git serves, for reflogs, hooks and the audit trail.
    fn served(&self, caller: &Caller) -> [(&'static str, String); 5] {
        let (name, address) = (caller.name(), self.line.address);
        let token = caller.token().map(|id| format!(" token {id}"));
        [
            ("REMOTE_ADDR", address.to_string()),
            ("REMOTE_USER", name.to_owned()),
            ("GIT_COMMITTER_NAME", name.to_owned()),
            ("GIT_COMMITTER_EMAIL", format!("{name}@http.{address}")),
            (
                gitmoor_fs::SERVED,
                format!("{DOOR} {name}{}", token.unwrap_or_default()),
            ),
        ]
    }
}

/// Reads from now on see what was acknowledged anywhere before: also that a token was revoked.
fn current(replica: &dyn Replica) -> Result<(), Refused> {
    let began = Instant::now();
    let caught_up = replica.read_barrier(&|| began.elapsed() > CURRENT);
    caught_up.map_err(|error| Refused::Unavailable(error.to_string()))
}

fn check_media(headers: &HeaderMap, service: Service) -> Result<(), Refused> {
    let expected = format!("application/x-git-{}-request", service.name());
    let given = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    match given == Some(expected.as_bytes()) {
        true => Ok(()),
        false => Err(Refused::MediaType(expected)),
    }
}

fn is_packed(headers: &HeaderMap) -> Result<bool, Refused> {
    match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(false),
        Some(b"gzip" | b"x-gzip") => Ok(true),
        Some(_) => Err(Refused::Encoding),
    }
}

/// What the client says of the protocol, if it could be that.
fn protocol(headers: &HeaderMap) -> Option<String> {
    let said = headers.get("git-protocol")?.to_str().ok()?;
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() || b"=:.-_".contains(&byte);
    let is_sound = said.len() <= PROTOCOL && said.bytes().all(is_one);
    is_sound.then(|| said.to_owned())
}

fn media(granted: &Granted) -> String {
    let kind = match granted.advertise {
        true => "advertisement",
        false => "result",
    };
    format!("application/x-git-{}-{kind}", granted.service.name())
}

/// As gitprotocol-http(5) has it, an advertisement of versions 0 and 1 begins with the name of the service.
fn head(granted: &Granted) -> Bytes {
    let mut keys = granted.protocol.as_deref().unwrap_or("").split(':');
    if !granted.advertise || keys.any(|key| key == "version=2") {
        return Bytes::new();
    }
    let line = format!("# service=git-{}\n", granted.service.name());
    Bytes::from(format!("{:04x}{line}0000", line.len() + 4))
}

/// Reads of a request until it says what work it is.
async fn look(reader: &mut Reader) -> Result<(Work, Bytes), BodyError> {
    let mut seen = BytesMut::new();
    loop {
        let piece = reader.next().await?;
        let is_all = piece.is_none();
        seen.extend_from_slice(&piece.unwrap_or_default());
        match fetched(&seen, is_all) {
            Some(work) => return Ok((work, seen.freeze())),
            None if seen.len() > LOOKED_AT => return Ok((Work::Clone, seen.freeze())),
            None => {}
        }
    }
}

/// Hands a request to git, piece by piece. How many bytes it had.
async fn feed(
    mut reader: Reader,
    looked_at: Bytes,
    mut stdin: pipe::Sender,
) -> Result<u64, BodyError> {
    let mut piece = Some(looked_at);
    while let Some(bytes) = piece {
        // git may have had enough before the end; it says why.
        if stdin.write_all(&bytes).await.is_err() {
            break;
        }
        piece = reader.next().await?;
    }
    Ok(reader.read)
}

/// Ends with what it feeds.
struct Feeding(JoinHandle<Result<u64, BodyError>>);

impl Drop for Feeding {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// When the door ends what still runs.
async fn over(stage: &mut watch::Receiver<Stage>) {
    // The door is gone: that is its end as well.
    let _ = stage.wait_for(|stage| *stage == Stage::Over).await;
}

/// A git whose answer goes to the client.
struct Answering {
    head: Bytes,
    media: String,
    first: Bytes,
    /// `None` when it has ended, and said nothing.
    git: Option<Git>,
    feeding: Option<Feeding>,
    received: u64,
    _ticket: Ticket,
    idle: Duration,
}

impl Answering {
    /// The first bytes of the answer. A request that cannot be read, and a git that says nothing, are refused with a
    /// status of their own.
    async fn first(&mut self) -> Result<(), Refused> {
        let mut buffer = BytesMut::with_capacity(PIECE);
        let Some(git) = &mut self.git else {
            return Ok(());
        };
        let fed = async {
            match &mut self.feeding {
                Some(feeding) => (&mut feeding.0).await,
                None => std::future::pending().await,
            }
        };
        let read = tokio::select! {
            // What is wrong with a request is told before git complains that it ended.
            biased;
            fed = fed => {
                match fed {
                    Ok(Ok(received)) => self.received = received,
                    Ok(Err(error)) => return Err(error.into()),
                    Err(error) => return Err(Refused::Git(error.to_string())),
                }
                self.feeding = None;
                git.stdout.read_buf(&mut buffer).await
            }
            read = git.stdout.read_buf(&mut buffer) => read,
        };
        read.map_err(|error| Refused::Git(error.to_string()))?;
        self.first = buffer.freeze();
        if self.first.is_empty()
            && let Some(git) = self.git.take()
            && let Some(problem) = git.end().await
        {
            return Err(Refused::Git(problem));
        }
        Ok(())
    }

    fn respond(self, mut exchange: Exchange) -> Response<Out> {
        let (pieces, out) = mpsc::channel(PIECES);
        let mut response = Response::new(Out::Piped(out));
        let headers = response.headers_mut();
        let media = HeaderValue::from_str(&self.media).expect("made of plain text");
        headers.insert(CONTENT_TYPE, media);
        headers.insert(
            EXPIRES,
            HeaderValue::from_static("Fri, 01 Jan 1980 00:00:00 GMT"),
        );
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        headers.insert(
            CACHE_CONTROL,
            HeaderValue::from_static("no-cache, max-age=0, must-revalidate"),
        );
        exchange.line.status = 200;
        tokio::spawn(self.pass_on(exchange, pieces));
        response
    }

    async fn pass_on(mut self, mut exchange: Exchange, pieces: mpsc::Sender<Bytes>) {
        let mut stage = exchange.shared.stage.clone();
        let passed = tokio::select! {
            passed = self.all(&mut exchange.line, &pieces) => passed,
            () = over(&mut stage) => Err("the server ends".to_owned()),
        };
        drop(pieces);
        if let Some(feeding) = &mut self.feeding
            && let Ok(Ok(Ok(received))) = timeout(Duration::ZERO, &mut feeding.0).await
        {
            self.received = received;
        }
        exchange.line.received = self.received;
        exchange.line.problem = match (passed, self.git.take()) {
            (Ok(()), Some(git)) => git.end().await,
            (Ok(()), None) => None,
            (Err(problem), _) => Some(problem),
        };
    }

    async fn all(&mut self, line: &mut Line, pieces: &mpsc::Sender<Bytes>) -> Result<(), String> {
        for piece in [&mut self.head, &mut self.first].map(std::mem::take) {
            self.pass(line, pieces, piece).await?;
        }
        loop {
            let Some(git) = &mut self.git else {
                return Ok(());
            };
            let mut buffer = BytesMut::with_capacity(PIECE);
            match git.stdout.read_buf(&mut buffer).await {
                Ok(0) => return Ok(()),
                Ok(_) => self.pass(line, pieces, buffer.freeze()).await?,
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    async fn pass(
        &self,
        line: &mut Line,
        pieces: &mpsc::Sender<Bytes>,
        piece: Bytes,
    ) -> Result<(), String> {
        if piece.is_empty() {
            return Ok(());
        }
        let length = piece.len() as u64;
        match timeout(self.idle, pieces.send(piece)).await {
            Ok(Ok(())) => line.sent += length,
            Ok(Err(_)) => return Err("the client went away".to_owned()),
            Err(_) => return Err(format!("the client took nothing for {:?}", self.idle)),
        }
        Ok(())
    }
}
