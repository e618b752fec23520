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
use std::future::Future;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

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
        let listener = TcpListener::bind(address);
        let listener = listener.map_err(|error| ServiceError::Door {
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
        };
        let machine = Arc::new(Behind {
            telling: Arc::clone(&parts.telling),
            fs: Arc::downgrade(&parts.fs),
            lenient: parts.fs.config().lenient_hooks,
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
}

impl Machine for Behind {
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
