//! From the settings of doors to what opens them, and what they make of the mount.

use super::ConfigError;
use super::arguments::MountArgs;
use super::layer::{Layer, ServeLayer};
use super::owner::{Umask, UserId};
use super::place::absolute;
use gitmoor_serve::{Least, Limits, Rates, TlsFiles};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Permission bits that files do not have unless the administrator lets others into the mount: only git's user comes in.
const OWN_UMASK: u32 = 0o077;

/// What the doors were told.
#[derive(Clone, Debug)]
pub struct ServeSettings {
    /// Where HTTP is served.
    pub http: SocketAddr,
    /// Its certificate and key; `None` for HTTP in the clear.
    pub tls: Option<TlsFiles>,
    /// A proxy before the door.
    pub proxy: Option<IpAddr>,
    /// As whom git runs: `None` for the daemon's user.
    pub user: Option<u32>,
    /// How many requests run at a time.
    pub limits: Limits,
    /// How often somebody may ask.
    pub rates: Rates,
    /// A client that does nothing for so long has gone.
    pub idle: Duration,
    /// A client that sends or takes less is ended.
    pub least: Least,
    /// How long requests may go on at the end.
    pub drain: Duration,
}

/// As `gitmoor status` tells it.
impl fmt::Display for ServeSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.tls {
            Some(_) => "https",
            None => "http",
        };
        write!(f, "{scheme} {}", self.http)
    }
}

/// `None` without a door.
pub(super) fn resolve(
    layer: &Layer,
    args: &MountArgs,
) -> Result<Option<ServeSettings>, ConfigError> {
    let Some(http) = layer.serve.http else {
        return Ok(None);
    };
    let refused = [
        (layer.offline(), "that is offline"),
        (args.repo.is_some(), "of one repository (--repo)"),
    ];
    if let Some((_, what)) = refused.iter().find(|(is_so, _)| *is_so) {
        return Err(ConfigError::NoDoorsOf(what));
    }
    let serve = &layer.serve;
    let tls = tls(serve)?;
    if tls.is_none() && !http.ip().is_loopback() && !serve.http_allow_plain() {
        return Err(ConfigError::PlainHttp(http));
    }
    Ok(Some(ServeSettings {
        http,
        tls,
        proxy: serve.proxy,
        user: user(layer)?,
        limits: Limits {
            requests: serve.requests().get(),
            clones: serve.clones().get(),
        },
        rates: Rates {
            address: serve.address_rate(),
            token: serve.token_rate(),
            repository: serve.repository_rate(),
        },
        idle: serve.idle_timeout().0,
        least: Least {
            bytes: serve.least_bytes().0,
            within: serve.least_time().0,
        },
        drain: serve.drain().0,
    }))
}

/// git must own the repositories that it serves: a mount of root's shows them as that user's.
pub(super) fn show(layer: &mut Layer, serve: Option<&ServeSettings>) {
    let Some(user) = serve.and_then(|serve| serve.user) else {
        return;
    };
    layer.uid.get_or_insert(UserId(user));
    if !layer.allow_other() {
        layer.umask.get_or_insert(Umask(OWN_UMASK));
        layer.allow_other = Some(true);
    }
}

fn tls(serve: &ServeLayer) -> Result<Option<TlsFiles>, ConfigError> {
    match (&serve.tls_certificate, &serve.tls_key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles {
            certificate: absolute("--tls-certificate", certificate)?,
            key: absolute("--tls-key", key)?,
        })),
        (Some(_), None) | (None, Some(_)) => Err(ConfigError::HalfOfTls),
    }
}

fn user(layer: &Layer) -> Result<Option<u32>, ConfigError> {
    let own = nix::unistd::geteuid();
    let user = layer.serve.user.map(|user| user.0);
    match user {
        None | Some(0) if own.is_root() => Err(ConfigError::ServesAsRoot),
        Some(user) if !own.is_root() && user != own.as_raw() => Err(ConfigError::ServesAsOther),
        Some(user) if layer.uid.is_some_and(|uid| uid.0 != user) => Err(ConfigError::ShownAsOther),
        user => Ok(user.filter(|_| own.is_root())),
    }
}
