//! Leaving in order: publish, unmount, publish what was written in between, answer
//! whoever asked.
//!
//! A busy mount is a reason to stay only for `gitmoor umount`, whose caller can
//! decide. A signal means that the machine goes down or somebody insists: after
//! [`BUSY_TIMEOUT`] the mount is detached, so that no dead one stays behind.

use super::daemon::{Daemon, Event};
use super::doors::Doors;
use super::{ServiceError, notify};
use crate::admin::Rejection;
use crate::command::Reply;
use gitmoor_fs::PublishError;
use gitmoor_fs::fuse::Mount;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

/// How long a signal waits for open files to be closed.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const BUSY_POLL: Duration = Duration::from_millis(200);
/// A lazy unmount without open files ends the mount within this.
const LAZY_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a last answer may take to be written: its reader may have stopped reading.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// What it takes to leave.
pub(super) struct Leaving {
    pub(super) mount: Arc<Mount>,
    pub(super) doors: Doors,
    pub(super) daemon: Arc<Daemon>,
    pub(super) inbox: Receiver<Event>,
    /// Whether the mount is out of the tree already and only open files keep it.
    pub(super) detached: Cell<bool>,
}

type ReplySender = Sender<Result<Reply, Rejection>>;

/// What became of a request to unmount.
enum Unmounted {
    /// It is unmounted, and nothing of it is in use.
    Fully,
    /// It is out of the tree, but files are open.
    Detached,
    /// It is in use.
    Refused(std::io::Error),
}

impl Leaving {
    /// What a service manager shows of us while nothing ends.
    pub(super) fn serving(&self) -> String {
        let at = self.daemon.mount.mountpoint.display();
        format!("{at} serves {}", self.daemon.store)
    }

    /// Waits for a reason to leave, then does.
    pub(super) fn when_asked(&self) -> Result<(), ServiceError> {
        while let Ok(event) = self.inbox.recv() {
            match event {
                Event::Signal(signal) => {
                    tracing::info!(signal, "leaving");
                    return self.now();
                }
                Event::Unmounted => {
                    tracing::info!("unmounted; leaving");
                    return self.finish(self.begin()).map(drop);
                }
                Event::Umount { lazy, asker } => {
                    if let Some(left) = self.on_request(lazy, &asker) {
                        return left;
                    }
                }
            }
        }
        self.now()
    }

    /// Leaves, whether or not the mount is in use.
    pub(super) fn now(&self) -> Result<(), ServiceError> {
        notify::stopping("leaving");
        let begun = self.begin();
        if self.detached.get() {
            return self.finish(begun).map(drop);
        }
        let deadline = Instant::now() + BUSY_TIMEOUT;
        while let Err(error) = self.mount.unmount(false) {
            if Instant::now() >= deadline {
                tracing::warn!(%error, "still in use; detaching the mount");
                self.detach();
                break;
            }
            std::thread::sleep(BUSY_POLL);
        }
        self.finish(begun).map(drop)
    }

    /// Answers the asker; `None` means that the daemon stays.
    fn on_request(&self, lazy: bool, asker: &ReplySender) -> Option<Result<(), ServiceError>> {
        tracing::info!(lazy, "asked to unmount");
        if self.detached.get() {
            answer(asker, Ok(Reply::Detached));
            return None;
        }
        let begun = self.begin();
        match self.unmount(lazy) {
            Unmounted::Fully => {
                let left = self.finish(begun);
                let told = match &left {
                    Ok(0) => Ok(Reply::Done),
                    Ok(files) => Ok(Reply::Kept { files: *files }),
                    Err(error) => Err(Rejection::failed(error)),
                };
                answer(asker, told);
                self.daemon.answering.wait_until_none(ANSWER_TIMEOUT);
                Some(left.map(drop))
            }
            Unmounted::Detached => {
                self.detached.set(true);
                answer(asker, Ok(Reply::Detached));
                None
            }
            Unmounted::Refused(error) => {
                if self.doors.are_any() {
                    tracing::warn!(
                        "the mount is in use and stays, and its doors are closed: start the daemon anew to open them"
                    );
                }
                self.daemon.leaving.store(false, Ordering::Relaxed);
                notify::status(&self.serving());
                self.daemon.jobs.runner.allow();
                answer(asker, Err(busy(self, &error)));
                None
            }
        }
    }

    fn unmount(&self, lazy: bool) -> Unmounted {
        match self.mount.unmount(lazy) {
            Err(error) => Unmounted::Refused(error),
            Ok(()) if !lazy => Unmounted::Fully,
            Ok(()) => match self.inbox.recv_timeout(LAZY_TIMEOUT) {
                // A signal does not wait for open files once the mount is out of the way.
                Ok(Event::Unmounted | Event::Signal(_)) => Unmounted::Fully,
                // A second request in this half second is dropped, and told so.
                Ok(Event::Umount { .. }) | Err(_) => Unmounted::Detached,
            },
        }
    }

    /// Says so in `status`, and publishes the bulk while the mount still answers.
    fn begin(&self) -> Result<u64, PublishError> {
        self.daemon.leaving.store(true, Ordering::Relaxed);
        if self.doors.are_any() {
            notify::status("waiting for requests at the doors");
            self.doors.close();
        }
        notify::status("publishing what is pending");
        self.daemon.jobs.runner.end_all();
        self.daemon.fs.publish_all()
    }

    fn detach(&self) {
        if let Err(error) = self.mount.unmount(true) {
            tracing::error!(%error, "the mount could not be detached");
        }
    }

    /// Publishes what was written between the first time and the unmount. A store that
    /// just failed for as long as publishing may take is not waited for once more.
    /// Answers how many files stay behind because the mount is offline or read-only.
    fn finish(&self, begun: Result<u64, PublishError>) -> Result<u64, ServiceError> {
        notify::stopping("publishing what was written last");
        let kept = begun.and_then(|_| self.daemon.fs.publish_all())?;
        if kept > 0 {
            tracing::info!(
                files = kept,
                "finished and not stored, kept: they go up at the next mount that is neither offline nor read-only"
            );
        }
        Ok(kept)
    }
}

fn busy(leaving: &Leaving, error: &std::io::Error) -> Rejection {
    Rejection::failed(format!(
        "unmounting {}: {error}; close what is open there (fuser -m shows it), or use --lazy",
        leaving.daemon.mount.mountpoint.display()
    ))
}

fn answer(asker: &ReplySender, outcome: Result<Reply, Rejection>) {
    // An asker who went away is no reason to change course.
    let _ = asker.send(outcome);
}
