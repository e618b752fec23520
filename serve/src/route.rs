//! From the path and the query of a request to what it asks for. Pure: whether it is there, and whether it may be asked
//! for, is decided elsewhere.
//!
//! The path is decoded once. A slash that was encoded, a NUL, and a component that is empty, `.` or `..` are refused
//! before anything is looked up, so that what is left is a [`NamePath`], and git never sees any of it: git is started in
//! the repository and told `.`.

use gitmoor_model::NamePath;
use percent_encoding::percent_decode_str;

/// The longest path of a request, bytes.
const LONGEST: usize = 4096;

/// A service of git's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    /// Fetch and clone.
    UploadPack,
    /// Push.
    ReceivePack,
}

impl Service {
    /// As the protocol has it, behind `git-`.
    pub fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "upload-pack",
            Self::ReceivePack => "receive-pack",
        }
    }

    fn of(name: &str) -> Option<Self> {
        let name = name.strip_prefix("git-")?;
        let all = [Self::UploadPack, Self::ReceivePack];
        all.into_iter().find(|service| service.name() == name)
    }
}

/// What a request is allowed to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// GET or HEAD.
    Get,
    /// POST.
    Post,
    /// Anything else.
    Other,
}

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Route {
    /// Whether the process lives.
    Healthz,
    /// Whether requests are served.
    Readyz,
    /// Refs and capabilities of a repository, for a service.
    Advertise(NamePath, Service),
    /// A service itself.
    Serve(NamePath, Service),
}

/// Nothing is asked for that is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RouteError {
    /// The path is none that a repository could have.
    #[error("this path names no repository")]
    BadPath,
    /// The path says nothing of git's protocol.
    #[error("there is nothing here: git asks for REPOSITORY/info/refs?service=…")]
    NotFound,
    /// A client of the dumb protocol, which would read a file after the other.
    #[error("this server speaks git's smart HTTP protocol only: use git 1.6.6 or newer")]
    Dumb,
    /// Of a service, which there is not.
    #[error("this service is not offered here: expected git-upload-pack or git-receive-pack")]
    NoService,
    /// The method does not fit the path.
    #[error("method not allowed; allowed: {0}")]
    Method(&'static str),
}

/// What a request asks for.
pub fn route(method: Method, path: &str, query: Option<&str>) -> Result<Route, RouteError> {
    match (path, method) {
        ("/healthz", Method::Get) => return Ok(Route::Healthz),
        ("/readyz", Method::Get) => return Ok(Route::Readyz),
        _ => {}
    }
    if let Some(repo) = path.strip_suffix("/info/refs") {
        let repo = repository(repo)?;
        expect(method, Method::Get, "GET, HEAD")?;
        let asked = query.and_then(service).ok_or(RouteError::Dumb)?;
        let service = Service::of(asked).ok_or(RouteError::NoService)?;
        return Ok(Route::Advertise(repo, service));
    }
    for service in [Service::UploadPack, Service::ReceivePack] {
        let repo = path.strip_suffix(service.name());
        if let Some(repo) = repo.and_then(|repo| repo.strip_suffix("/git-")) {
            let repo = repository(repo)?;
            expect(method, Method::Post, "POST")?;
            return Ok(Route::Serve(repo, service));
        }
    }
    let is_dumb = path.ends_with("/HEAD") || path.contains("/objects/");
    Err(match is_dumb {
        true => RouteError::Dumb,
        false => RouteError::NotFound,
    })
}

fn expect(method: Method, wanted: Method, allowed: &'static str) -> Result<(), RouteError> {
    match method == wanted {
        true => Ok(()),
        false => Err(RouteError::Method(allowed)),
    }
}

/// The value of `service` in a query; what else stands there is nothing to us.
fn service(query: &str) -> Option<&str> {
    let mut pairs = query.split('&');
    pairs.find_map(|pair| pair.strip_prefix("service="))
}

fn repository(path: &str) -> Result<NamePath, RouteError> {
    let raw = path.strip_prefix('/').ok_or(RouteError::BadPath)?;
    let has_slash = raw.as_bytes().windows(3).any(|it| {
        let [percent, two, f] = it else { return false };
        (*percent, *two) == (b'%', b'2') && f.eq_ignore_ascii_case(&b'f')
    });
    if raw.is_empty() || raw.len() > LONGEST || has_slash {
        return Err(RouteError::BadPath);
    }
    let decoded: Vec<u8> = percent_decode_str(raw).collect();
    NamePath::new(decoded).ok_or(RouteError::BadPath)
}
