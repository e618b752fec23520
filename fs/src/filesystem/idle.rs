//! The idle publisher: what is finished and not stored by a ref change soon is
//! stored anyway.
#![expect(
    clippy::disallowed_methods,
    reason = "the data directory is the daemon's own"
)]

use super::{FileSystem, OpenError, start_thread};
use gitmoor_replicator::model::RepoId;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often it looks.
const TICK: Duration = Duration::from_millis(250);

/// The longest pause after failures: the store may be back any time.
const PAUSE: Duration = Duration::from_secs(30);

/// The same while writers wait for room, or soon will.
const SHORT_PAUSE: Duration = Duration::from_secs(1);

pub(super) fn start(fs: &Arc<FileSystem>) -> Result<(), OpenError> {
    let fs = Arc::downgrade(fs);
    let run = move || {
        replay(&fs);
        let mut pause = TICK;
        while let Some(there) = fs.upgrade() {
            there.close_deleted();
            pause = if there.publish_due() {
                TICK
            } else {
                (pause * 2).min(PAUSE)
            };
            drop(there);
            rest(&fs, pause);
        }
    };
    start_thread("publisher", "starting the publisher", run)
}

/// Sleeps, and looks meanwhile how much is staged: then the cache gives way, and a
/// pause after failures ends early.
fn rest(fs: &Weak<FileSystem>, pause: Duration) {
    let begin = Instant::now();
    loop {
        std::thread::sleep(TICK);
        let Some(fs) = fs.upgrade() else { return };
        let staging = &fs.shared.staging;
        if staging.staged().bytes > 0 {
            fs.shared.cache.keep_floor();
        }
        let rested = begin.elapsed();
        if rested >= pause || rested >= SHORT_PAUSE && staging.is_filling() {
            return;
        }
    }
}

/// Opening a repository makes what an earlier life left finished pending again.
fn replay(fs: &Weak<FileSystem>) {
    let Some(fs) = fs.upgrade() else { return };
    let Ok(entries) = std::fs::read_dir(fs.shared.config.data.join("repos")) else {
        return;
    };
    for entry in entries.flatten() {
        let id = entry.file_name().to_string_lossy().parse::<RepoId>();
        let Ok(id) = id else { continue };
        if matches!(fs.shared.replica.repo(id), Ok(Some(_)))
            && let Err(error) = fs.repositories.get(id)
        {
            tracing::error!(repo = %id, %error, "cannot be opened");
        }
    }
}

impl FileSystem {
    /// What others deleted is published no more. Its files stay: it may be restored.
    fn close_deleted(&self) {
        if !self.shared.elsewhere.take_deleted() {
            return;
        }
        for repository in self.repositories.all() {
            if let Ok(None) = self.shared.replica.repo(repository.id) {
                self.repositories.close(repository.id);
            }
        }
    }

    /// Publishes what has been quiet for a while, or all when much is staged; whether that
    /// went well.
    fn publish_due(&self) -> bool {
        let quiet = match self.shared.staging.is_filling() {
            true => Duration::ZERO,
            false => self.shared.config.idle_publish,
        };
        let mut failure = None;
        for repository in self.repositories.all() {
            if !repository.objects().is_due(quiet) {
                continue;
            }
            if let Err(error) = repository.objects().publish() {
                failure.get_or_insert(format!("{}: {error}", repository.id));
            }
        }
        let mut known = self.publish_failure.lock();
        if failure != *known {
            match &failure {
                Some(reason) => {
                    tracing::warn!(%reason, "not everything could be published; trying on")
                }
                None => tracing::info!("publishing works again"),
            }
        }
        *known = failure;
        known.is_none()
    }
}
