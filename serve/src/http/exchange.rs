//! One request and its answer.
//!
//! The order is the promise: route, who, may; then the first bytes of the body, as far as they tell a clone; then a
//! place among those that run; then git. hyper says `100 Continue` when a body is first read, so that nobody sends one
//! that is refused by its headers.

use super::activity::Working;
use super::answer::{Answering, Feeding};
use super::line::{DOOR, Line};
use super::out::Out;
use super::refused::Refused;
use super::{Shared, Stage, headers};
use crate::admission::{Ticket, Whom};
use crate::body::{BodyError, Reader};
use crate::forwarded::forwarded;
use crate::git::{Git, Job};
use crate::guard;
use crate::may::{Allowed, may};
use crate::metrics::Running;
use crate::pace::Pace;
use crate::rate::Often;
use crate::request::{Work, fetched};
use crate::route::{Method, Route, Service, route};
use crate::who::{Caller, shown, who};
use bytes::{Bytes, BytesMut};
use gitmoor_fs::PushHooks;
use gitmoor_model::{NamePath, Role, Timestamp};
use gitmoor_replicator::net::neighbourhood;
use gitmoor_replicator::state::NameEntry;
use gitmoor_replicator::{Replica, read};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use hyper::{Request, Response};
use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;

/// Bytes of a request that are looked at before git gets any.
const LOOKED_AT: usize = 64 << 10;
/// Bytes that a request to upload-pack may have, unpacked: a million names of commits have less.
const MOST_OF_FETCH: u64 = 64 << 20;
/// How long the cluster may take to say what holds now.
const CURRENT: Duration = Duration::from_secs(3);

/// In which a proxy says for whom it asks.
const FORWARDED: &str = "x-forwarded-for";

/// See the module.
pub(super) struct Exchange {
    pub(super) shared: Arc<Shared>,
    pub(super) line: Line,
    /// While git works for it.
    _working: Working,
}

/// What was asked, by whom, and that it may be.
struct Granted {
    caller: Caller,
    allowed: Allowed,
    runs_hooks: bool,
    path: PathBuf,
    service: Service,
    advertise: bool,
    protocol: Option<String>,
}

impl Exchange {
    pub(super) fn new(shared: Arc<Shared>, address: IpAddr, working: Working) -> Self {
        Self {
            shared,
            line: Line::new(address),
            _working: working,
        }
    }

    /// Whoever has the proxy's address may say another.
    fn is_for(&mut self, headers: &HeaderMap) {
        if self.shared.config.proxy == Some(self.line.address) {
            let told = headers.get_all(FORWARDED).into_iter().next_back();
            let client = forwarded(told.map(HeaderValue::as_bytes));
            self.line.address = client.unwrap_or(self.line.address);
        }
    }

    pub(super) async fn answer(mut self, request: Request<Incoming>) -> Response<Out> {
        self.is_for(request.headers());
        let refused = match self.asked(&request) {
            Ok(Route::Healthz) => return self.health(false).await,
            Ok(Route::Readyz) => return self.health(true).await,
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
            Err((exchange, refused)) => exchange.refuse(&refused),
        }
    }

    fn refuse(mut self, refused: &Refused) -> Response<Out> {
        self.line.status = refused.status().as_u16();
        self.line.problem = Some(refused.problem());
        refused.response()
    }

    fn asked(&self, request: &Request<Incoming>) -> Result<Route, Refused> {
        let method = match *request.method() {
            hyper::Method::GET | hyper::Method::HEAD => Method::Get,
            hyper::Method::POST => Method::Post,
            _ => Method::Other,
        };
        Ok(route(method, request.uri().path(), request.uri().query())?)
    }

    /// Whether the process lives, or whether it is ready as well. Whoever asks is told whether, and the log why not.
    async fn health(mut self, ready: bool) -> Response<Out> {
        self.line.verb = "health";
        if let Err(often) = self.check_address() {
            return self.refuse(&often.into());
        }
        if !ready {
            return self.say("alive\n");
        }
        self.line.problem = match *self.shared.stage.borrow() {
            Stage::Serving => None,
            Stage::Draining | Stage::Over => Some("the door is closing".to_owned()),
        };
        if self.line.problem.is_none() {
            self.line.problem = self.shared.health.ask(&*self.shared.machine).await.err();
        }
        if self.line.problem.is_none() {
            return self.say("ready\n");
        }
        self.line.status = 503;
        let mut response = Response::new(Out::text("not ready\n"));
        *response.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
        response
    }

    fn say(mut self, text: &'static str) -> Response<Out> {
        self.line.status = 200;
        Response::new(Out::text(text))
    }

    fn check_address(&self) -> Result<(), Often> {
        self.shared
            .of_address
            .check(&neighbourhood(self.line.address))
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
            headers::check_media(headers, service)?;
        }
        self.check_address()?;
        let _turn = self.shared.admission.decide().await?;
        let shown = shown(headers.get(AUTHORIZATION).map(HeaderValue::as_bytes));
        let (shared, name) = (Arc::clone(&self.shared), path.clone());
        let decided = spawn_blocking(move || {
            current(&*shared.replica)?;
            let view = shared.replica.view();
            let caller = who(view, shown, Timestamp::now())?;
            let allowed = may(view, &caller, &name, service).map_err(Refused::from);
            let granted =
                allowed.and_then(|allowed| Ok((hooks(&shared, service, &allowed)?, allowed)));
            Ok::<_, Refused>((caller, granted))
        });
        let (caller, granted) = decided
            .await
            .map_err(|error| Refused::Git(error.to_string()))??;
        self.line.is_by(&caller);
        let (runs_hooks, allowed) = granted?;
        if let Some(token) = caller.token() {
            self.shared.of_token.check(&token)?;
        }
        self.shared.of_repository.check(&allowed.repo.id)?;
        Ok(Granted {
            caller,
            allowed,
            runs_hooks,
            path: self
                .shared
                .config
                .mountpoint
                .join(OsStr::from_bytes(path.as_bytes())),
            service,
            advertise,
            protocol: headers::protocol(headers),
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
        let is_packed = headers::is_packed(request.headers())?;
        let most = match granted.service {
            Service::UploadPack => MOST_OF_FETCH,
            Service::ReceivePack => u64::MAX,
        };
        let idle = self.shared.config.idle;
        let pace = Pace::new(idle, self.shared.config.least);
        let mut reader = Reader::new(request.into_body(), is_packed, pace.clone(), most);
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
            .map(|stdin| Feeding::start(reader, looked_at, stdin));
        let (service, advertise) = (granted.service, granted.advertise);
        let mut answering = Answering {
            headers: headers::of_answer(service, advertise),
            head: headers::head(service, advertise, granted.protocol.as_deref()),
            first: Bytes::new(),
            git: Some(git),
            feeding,
            received: 0,
            _ticket: ticket,
            idle,
            pace,
        };
        answering.first().await?;
        Ok(answering)
    }

    async fn admit(&self, work: Work, granted: &Granted) -> Result<Ticket, Refused> {
        let whom = Whom::of(&granted.caller, self.line.address);
        let admission = &self.shared.admission;
        let repo = granted.allowed.repo.id;
        Ok(admission.admit(work, repo, &whom).await?)
    }

    async fn start(&self, granted: &Granted, work: Work) -> Result<Git, Refused> {
        let config = &self.shared.config;
        let served = self.served(&granted.caller);
        let machine = &self.shared.machine;
        let nonce_seed = granted
            .runs_hooks
            .then(|| machine.nonce_seed(granted.allowed.repo.id));
        let hidden = self.hidden(granted).await?;
        let job = Job {
            service: granted.service,
            work,
            advertise: granted.advertise,
            repo: &granted.allowed.repo,
            role: granted.allowed.role,
            hidden: &hidden,
            runs_hooks: granted.runs_hooks,
            nonce_seed: nonce_seed.as_deref(),
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

    /// Which refs a push must not name.
    async fn hidden(&self, granted: &Granted) -> Result<Vec<String>, Refused> {
        let is_push = granted.service == Service::ReceivePack && !granted.advertise;
        if !is_push || granted.allowed.role >= Role::Force {
            return Ok(Vec::new());
        }
        let (replica, user) = (Arc::clone(&self.shared.replica), self.shared.user.clone());
        let (repo, path) = (granted.allowed.repo.clone(), granted.path.clone());
        let hidden = spawn_blocking(move || guard::hidden(replica.view(), &repo, &path, user));
        let hidden = hidden
            .await
            .map_err(|error| Refused::Git(error.to_string()))?;
        hidden.map_err(|error| Refused::Git(error.to_string()))
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
            ("REMOTE_USER", name.to_string()),
            ("GIT_COMMITTER_NAME", name.to_string()),
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

/// Whether hooks are run for a request: of a push, and those of the machine. What a repository has itself was written by
/// somebody for a host, which would have run it.
fn hooks(shared: &Shared, service: Service, allowed: &Allowed) -> Result<bool, Refused> {
    if service == Service::UploadPack {
        return Ok(false);
    }
    let found = shared.machine.hooks(allowed.repo.id);
    match found.map_err(|error| Refused::Git(error.to_string()))? {
        PushHooks::None => Ok(false),
        PushHooks::OfMachine => Ok(true),
        PushHooks::Own(hook) => Err(Refused::OwnHooks(hook)),
    }
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
