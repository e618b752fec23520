//! The doors of a daemon, and how they close: before anything is unmounted.

use super::ServiceError;
use super::daemon::Daemon;
use super::open::Parts;
use super::replica_handle::ReplicaHandle;
use crate::config::{ServeSettings, Settings};
use crate::metrics::Telling;
use gitmoor_fs::{FileSystem, FsError, HooksOfMount, PushHooks};
use gitmoor_model::RepoId;
use gitmoor_serve::{Config, Door, Machine};
use rustix::net::getsockname;
use rustix::net::sockopt::socket_acceptconn;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The purpose of the secret behind nonces of signed pushes. Never changes: all nodes must derive the same.
const NONCES: &str = "gitmoor 2026-12-01 receive.certNonceSeed of repositories";

/// A listener for each door that is asked for: whether its address is free is known before anything is mounted.
pub(super) struct Listening(Option<(ServeSettings, TcpListener)>);

impl Listening {
    pub(super) fn bind(settings: &Settings, parts: &Parts) -> Result<Self, ServiceError> {
        let Some(serve) = settings.serve.clone() else {
            return Ok(Self(None));
        };
        if let ReplicaHandle::Client(_) = parts.replica_handle {
            return Err(ServiceError::NoDoorOfClient);
        }
        let address = serve.http;
        let listener = listener(address).map_err(|error| ServiceError::Door {
            address,
            source: error.into(),
        })?;
        Ok(Self(Some((serve, listener))))
    }

    /// Lets clients in.
    pub(super) fn open(self, parts: &Parts, daemon: &Daemon) -> Result<Doors, ServiceError> {
        let Some((serve, listener)) = self.0 else {
            return Ok(Doors(None));
        };
        let config = Config {
            mountpoint: parts.mountpoint.clone(),
            user: serve.user,
            umask: daemon.umask.bits(),
            tls: serve.tls,
            proxy: serve.proxy,
            limits: serve.limits,
            rates: serve.rates,
            idle: serve.idle,
            least: serve.least,
        };
        let machine = Arc::new(Behind {
            telling: Arc::clone(&parts.telling),
            fs: Arc::downgrade(&parts.fs),
            lenient: parts.fs.config().lenient_hooks,
            nonces: parts.replica_handle.secret(NONCES)?,
        });
        let replica = parts.replica_handle.replica();
        let runtime = parts.runtime.handle().clone();
        let door = Door::open(listener, config, replica, machine, runtime);
        let address = serve.http;
        let door = door.map_err(|source| ServiceError::Door { address, source })?;
        tracing::info!(address = %door.address(), "serving git over HTTP");
        Ok(Doors(Some((door, serve.drain))))
    }
}

/// The socket of this address: one that the service manager holds and has passed, or else a new one.
fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let passed: Vec<_> = sd_notify::listen_fds()?.map(passed).collect();
    if passed.is_empty() {
        return TcpListener::bind(address);
    }
    let mut others = Vec::new();
    for socket in passed {
        let at = match socket_acceptconn(&socket) {
            Ok(true) => SocketAddr::try_from(getsockname(&socket)?).ok(),
            Ok(false) | Err(_) => None,
        };
        match at {
            Some(at) if at == address => return Ok(socket.into()),
            Some(at) => others.push(at.to_string()),
            None => others.push("something else than a listening TCP socket".to_owned()),
        }
    }
    Err(io::Error::other(format!(
        "the service manager passed other sockets ({}): name the same address in ListenStream= and in --http",
        others.join(", ")
    )))
}

/// A descriptor that this process was started with.
fn passed(number: RawFd) -> OwnedFd {
    // SAFETY: sd_listen_fds(3) hands these descriptors to this process alone: nothing else here opened or owns one.
    // They are asked for once, when the only door is bound.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// All that are open.
pub(super) struct Doors(Option<(Door, Duration)>);

impl Doors {
    /// Lets nobody in any more; nothing of the mount is in use by a door afterwards.
    pub(super) fn close(&self) {
        if let Some((door, within)) = &self.0 {
            door.drain(*within);
        }
    }

    /// Whether there is any.
    pub(super) fn are_any(&self) -> bool {
        self.0.is_some()
    }
}

/// What the doors ask of this daemon. A door that is closed keeps no file system open.
struct Behind {
    telling: Arc<Telling>,
    fs: Weak<FileSystem>,
    /// Takes pushes to repositories whose hooks do not run.
    lenient: bool,
    /// What seeds of nonces are made from.
    nonces: [u8; 32],
}

impl Machine for Behind {
    fn nonce_seed(&self, repo: RepoId) -> String {
        let seed = blake3::keyed_hash(&self.nonces, repo.as_bytes());
        seed.to_hex().to_string()
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(self.telling.check())
    }

    fn hooks(&self, repo: RepoId) -> Result<PushHooks, FsError> {
        let Some(fs) = self.fs.upgrade() else {
            return Err(FsError::NotHere("the daemon ends"));
        };
        match HooksOfMount(&fs).of_push(repo)? {
            PushHooks::Own(hook) if self.lenient => {
                tracing::warn!(%repo, %hook, "a push through a door runs no hook of the repository's own");
                Ok(PushHooks::None)
            }
            found => Ok(found),
        }
    }
}
