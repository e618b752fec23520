//! A daemon's life: open, mount, announce, wait, leave.

use super::leave::Leaving;
use super::open::{Parts, open};
use super::{Readiness, ServiceError, signals};
use crate::Failure;
use crate::admin::protocol::MountStatus;
use crate::admin::{Answering, Daemon, Event, Server};
use crate::config::Settings;
use gitmoor_fs::fuse::{Mount, MountOptions};
use std::cell::Cell;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use std::time::Instant;

/// Runs the daemon in this process until it is unmounted or told to leave.
pub(crate) fn run(settings: &Settings, readiness: &Readiness) -> Result<(), Failure> {
    let parts = open(settings)?;
    let (events, inbox) = mpsc::channel();
    {
        let _context = parts.runtime.enter();
        signals::listen(events.clone(), parts.mountpoint.clone()).map_err(|source| {
            ServiceError::Start {
                part: "signal handling",
                source,
            }
        })?;
    }
    let mount = Arc::new(mount(settings, &parts)?);
    watch(Arc::clone(&mount), events.clone())?;
    let daemon = Arc::new(daemon(settings, &parts, events));
    let server = Server::start(parts.dir.path(), Arc::downgrade(&daemon)).map_err(|source| {
        ServiceError::Start {
            part: "the admin socket",
            source,
        }
    })?;
    // From here on every command finds the daemon; a parent that is gone wants none.
    let leaving = Leaving {
        mount,
        daemon,
        inbox,
        detached: Cell::new(false),
    };
    let announced = readiness.announce().map_err(ServiceError::Abandoned);
    tracing::info!(
        mountpoint = %parts.mountpoint.display(), data = %parts.dir.path().display(),
        store = %parts.store.describe(), version = env!("CARGO_PKG_VERSION"), "mounted"
    );
    let left = match announced {
        Ok(()) => leaving.when_asked(),
        Err(abandoned) => leaving.now().and(Err(abandoned)),
    };
    drop(server);
    Ok(left?)
}

/// The kernel's refusal gets the reason it most often has.
fn mount(settings: &Settings, parts: &Parts) -> Result<Mount, ServiceError> {
    let options = MountOptions {
        repo: settings.mount.repo.clone(),
        allow_other: settings.mount.allow_other,
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
        .map_err(|source| ServiceError::Start {
            part: "a thread",
            source,
        })
}

fn daemon(settings: &Settings, parts: &Parts, events: mpsc::Sender<Event>) -> Daemon {
    Daemon {
        fs: Arc::clone(&parts.fs),
        node: Arc::clone(&parts.node),
        store: parts.store.describe(),
        data: parts.dir.path().to_owned(),
        mount: MountStatus {
            mountpoint: parts.mountpoint.clone(),
            repo: settings.mount.repo.as_ref().map(ToString::to_string),
        },
        since: Instant::now(),
        leaving: AtomicBool::new(false),
        events,
        answering: Answering::default(),
    }
}
