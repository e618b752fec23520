//! A daemon's life: open, mount, announce, wait, leave.

use super::daemon::{Daemon, Event};
use super::doors::Listening;
use super::git::InheritedUmask;
use super::leave::Leaving;
use super::open::{Parts, open};
use super::{Readiness, ServiceError, fallback, signals, starting};
use crate::admin::{Answering, Server};
use crate::command::status::MountStatus;
use crate::config::Settings;
use crate::metrics::Watched;
use gitmoor_fs::fuse::{Mount, MountOptions};
use gitmoor_jobs::repack::Mounted;
use gitmoor_model::NamePath;
use std::cell::Cell;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use std::time::Instant;

/// Runs the daemon in this process until it is unmounted or told to leave.
pub(crate) fn run(settings: &Settings, readiness: &Readiness) -> Result<(), ServiceError> {
    let umask = InheritedUmask::replace();
    let parts = open(settings)?;
    let server = Server::bind(parts.dir.path()).map_err(starting("the admin socket"))?;
    let leaving = mount_and_serve(settings, &parts, &server, umask)?;
    tracing::info!(
        mountpoint = %parts.mountpoint.display(),
        data = %parts.dir.path().display(),
        store = %parts.store.describe(),
        version = env!("CARGO_PKG_VERSION"),
        "mounted"
    );
    match readiness.announce(&leaving.serving()) {
        Ok(()) => leaving.when_asked(),
        // Interrupted while it waited: then nobody wants the mount.
        Err(gone) => leaving.now().and(Err(ServiceError::Abandoned(gone))),
    }
}

/// From the moment the mount can be seen, every command finds the daemon.
fn mount_and_serve(
    settings: &Settings,
    parts: &Parts,
    server: &Server,
    umask: InheritedUmask,
) -> Result<Leaving, ServiceError> {
    let listening = Listening::bind(settings, parts)?;
    let (events, inbox) = mpsc::channel();
    parts
        .runtime
        .block_on(async { signals::listen(events.clone(), Some(parts.mountpoint.clone())) })
        .map_err(starting("signal handling"))?;
    let mount = Arc::new(mount(settings, parts)?);
    watch(Arc::clone(&mount), events.clone())?;
    let daemon = Arc::new(daemon(settings, parts, events, umask));
    let watched: Arc<dyn Watched> = daemon.clone();
    parts.telling.watch(Arc::downgrade(&watched));
    server
        .start(Arc::downgrade(&daemon))
        .map_err(starting("the admin socket"))?;
    parts.jobs.start_maintenance(mounted(&daemon.mount))?;
    if let Some(dir) = &settings.mount.fallback {
        fallback::start(&parts.jobs, dir)?;
    }
    let doors = listening.open(parts, &daemon)?;
    Ok(Leaving {
        mount,
        doors,
        daemon,
        inbox,
        detached: Cell::new(false),
    })
}

fn mount(settings: &Settings, parts: &Parts) -> Result<Mount, ServiceError> {
    let options = MountOptions {
        repo: settings.mount.repo.clone(),
        allow_other: settings.mount.allow_other,
        noexec: settings.mount.noexec,
        source: settings.mount.source.clone(),
    };
    Mount::new(Arc::clone(&parts.fs), &parts.mountpoint, options).map_err(|source| {
        ServiceError::Mount {
            at: parts.mountpoint.clone(),
            source,
        }
    })
}

/// Tells the main thread when the mount ends by itself.
fn watch(mount: Arc<Mount>, events: mpsc::Sender<Event>) -> Result<(), ServiceError> {
    let wait = move || {
        mount.wait();
        // The receiver is gone only when the process is about to be.
        let _ = events.send(Event::Unmounted);
    };
    std::thread::Builder::new()
        .name("mount-watch".to_owned())
        .spawn(wait)
        .map(drop)
        .map_err(starting("a thread"))
}

/// What a daemon has mounted, as maintenance needs to know it.
pub(crate) fn mounted(mount: &MountStatus) -> Mounted {
    Mounted {
        at: mount.mountpoint.clone(),
        repo: mount.repo.as_deref().and_then(NamePath::new),
    }
}

fn daemon(
    settings: &Settings,
    parts: &Parts,
    events: mpsc::Sender<Event>,
    umask: InheritedUmask,
) -> Daemon {
    Daemon {
        fs: Arc::clone(&parts.fs),
        jobs: Arc::clone(&parts.jobs),
        replica_handle: parts.replica_handle.clone(),
        replica: parts.replica_handle.replica(),
        store: parts.store.describe(),
        data: parts.dir.path().to_owned(),
        mount: MountStatus {
            mountpoint: parts.mountpoint.clone(),
            repo: settings.mount.repo.as_ref().map(ToString::to_string),
        },
        doors: settings.serve.iter().map(ToString::to_string).collect(),
        umask,
        since: Instant::now(),
        leaving: AtomicBool::new(false),
        events,
        answering: Answering::default(),
    }
}
