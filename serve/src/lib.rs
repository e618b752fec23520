//! The doors: git over HTTP through any node, by stock git on the mount.
//!
//! ```text
//! http       listener → bounds → one request at a time on a stream
//!   route    path and query → repository and service; nothing leaves the namespace
//!   forwarded for whom a proxy asks
//!   rate     how often an address, a token, a repository is
//!   who      the Authorization header → a user, a deploy token, or nobody
//!   may      who, repository, service → a role, or a refusal
//!   request  the first lines of a request: whether it is a clone
//!   admission how many run, how many wait, how long
//!   guard    the refs that a push must not name
//!   git      a git child: as whom, with which settings, within which bounds
//!   body     the request's bytes as git reads them: unpacked, bounded, one piece at a time
//!   pace     how slow a client may be that sends or takes
//! tls        certificates, read again when they change
//! ```
//!
//! Each layer may refuse, and none reads a byte of the body before all of the layers above have let the request in. Only
//! `git` starts programs, and what it starts goes through [`gitmoor_fs::program`].

mod admission;
mod body;
mod forwarded;
mod git;
mod guard;
mod http;
mod may;
mod metrics;
mod pace;
mod rate;
mod request;
mod route;
mod share;
mod tls;
mod who;

pub use admission::Limits;
pub use http::{ACCESS, Door, Machine, OpenError};
pub use pace::Least;
pub use rate::Rates;
pub use tls::{TlsError, TlsFiles};

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What a door obeys.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the namespace is mounted.
    pub mountpoint: PathBuf,
    /// As whom git runs: `None` for this process's user.
    pub user: Option<u32>,
    /// The umask of git.
    pub umask: u32,
    /// HTTPS; `None` for HTTP.
    pub tls: Option<TlsFiles>,
    /// Who is believed to say for whom it asks.
    pub proxy: Option<IpAddr>,
    /// How many requests at a time.
    pub limits: Limits,
    /// How often somebody may ask.
    pub rates: Rates,
    /// A client that sends and takes hardly anything for so long has gone.
    pub idle: Duration,
    /// A client that sends or takes less than that is ended.
    pub least: Least,
}

/// What the parsers of this crate make of bytes from the network, for fuzzing and tests.
#[doc(hidden)]
pub mod parsers {
    pub use crate::body::{Inflate, InflateError};
    pub use crate::forwarded::forwarded;
    pub use crate::request::{Work, fetched};
    pub use crate::route::{Method, Route, RouteError, Service, route};
    pub use crate::who::{Shown, shown};
}
