//! The idle publisher: what is finished and not stored by a ref change soon is
//! stored anyway.
//!
//! One thread looks what is due, others publish it, each a repository: what takes long in one, or fails there, holds
//! up no other.
#![expect(
    clippy::disallowed_methods,
    reason = "the data directory is the daemon's own"
)]

use super::{FileSystem, OpenError, start_thread};
use crate::repository::Repository;
use gitmoor_model::RepoId;
use gitmoor_replicator::read;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often it looks.
const TICK: Duration = Duration::from_millis(250);

/// Repositories that are published at the same time.
pub(super) const AT_ONCE: usize = 8;

/// The longest pause after failures: the store may be back any time.
const PAUSE: Duration = Duration::from_secs(30);

/// The same while writers wait for room, or soon will.
const SHORT_PAUSE: Duration = Duration::from_secs(1);

/// How the publications of repositories that are due stand.
#[derive(Default)]
pub(super) struct Publications(Mutex<HashMap<RepoId, Publication>>);

enum Publication {
    UnderWay,
    /// Tried again after a pause.
    Failed {
        reason: String,
        since: Instant,
        pause: Duration,
    },
}

impl Publications {
    /// Whether to begin one now; with the pause that follows when it fails.
    fn begin(&self, id: RepoId, longest: Duration) -> Option<Duration> {
        let mut known = self.0.lock();
        let under_way = |known: &Publication| matches!(known, Publication::UnderWay);
        if known.values().filter(|known| under_way(known)).count() >= AT_ONCE {
            return None;
        }
        let next = match known.get(&id) {
            None => TICK,
            Some(Publication::UnderWay) => return None,
            Some(Publication::Failed { since, pause, .. }) => {
                if since.elapsed() < (*pause).min(longest) {
                    return None;
                }
                (*pause * 2).min(PAUSE)
            }
        };
        known.insert(id, Publication::UnderWay);
        Some(next)
    }

    fn ended(&self, id: RepoId, failed: Option<(String, Duration)>) {
        let mut known = self.0.lock();
        match failed {
            None => drop(known.remove(&id)),
            Some((reason, pause)) => {
                let since = Instant::now();
                let failed = Publication::Failed {
                    reason,
                    since,
                    pause,
                };
                known.insert(id, failed);
            }
        }
    }

    /// Nothing of it is due any more: a ref change has published it, or it is deleted.
    fn forget(&self, is_due: impl Fn(RepoId) -> bool) {
        let stays = |id: &RepoId, known: &mut Publication| {
            matches!(known, Publication::UnderWay) || is_due(*id)
        };
        self.0.lock().retain(stays);
    }

    /// Why something is not published, if that is so.
    fn failure(&self) -> Option<String> {
        let known = self.0.lock();
        let mut failures: Vec<_> = known
            .iter()
            .filter_map(|(id, known)| match known {
                Publication::Failed { reason, .. } => Some((id, reason)),
                Publication::UnderWay => None,
            })
            .collect();
        failures.sort();
        let (id, reason) = failures.first()?;
        Some(format!("{id}: {reason}"))
    }
}

pub(super) fn start(fs: &Arc<FileSystem>) -> Result<(), OpenError> {
    let fs = Arc::downgrade(fs);
    let run = move || {
        replay(&fs);
        while let Some(there) = fs.upgrade() {
            close_deleted(&there);
            publish_due(&there);
            sweep_quarantines(&there);
            if there.shared.staging.staged().bytes > 0 {
                there.shared.cache.keep_floor();
            }
            drop(there);
            std::thread::sleep(TICK);
        }
    };
    start_thread("publisher", "starting the publisher", run)
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
        if matches!(read::repo(fs.shared.replica.view(), id), Ok(Some(_)))
            && let Err(error) = fs.repositories.get(id)
        {
            tracing::error!(repo = %id, %error, "cannot be opened");
        }
    }
}

/// What others deleted is published no more. Its files stay: it may be restored.
fn close_deleted(fs: &FileSystem) {
    if !fs.shared.remote_changes.take_deleted() {
        return;
    }
    for repository in fs.repositories.all() {
        if let Ok(None) = read::repo(fs.shared.replica.view(), repository.id) {
            fs.repositories.close(repository.id);
        }
    }
}

/// Publishes what has been quiet for a while, or all when much is staged.
fn publish_due(fs: &FileSystem) {
    let (quiet, longest) = match fs.shared.staging.is_filling() {
        true => (Duration::ZERO, SHORT_PAUSE),
        false => (fs.shared.config.idle_publish, PAUSE),
    };
    let mut due = fs.repositories.all();
    due.retain(|repository| repository.is_due(quiet));
    fs.publications
        .forget(|id| due.iter().any(|repository| repository.id == id));
    for repository in due {
        if let Some(pause) = fs.publications.begin(repository.id, longest) {
            publish_aside(fs, repository, pause);
        }
    }
    let failure = fs.publications.failure();
    let mut known = fs.publish_failure.lock();
    if failure != *known {
        match &failure {
            Some(reason) => {
                tracing::warn!(%reason, "not everything could be published; trying on")
            }
            None => tracing::info!("publishing works again"),
        }
    }
    *known = failure;
}

fn publish_aside(fs: &FileSystem, repository: Arc<Repository>, pause: Duration) {
    let (id, publications) = (repository.id, fs.publications.clone());
    let publish = move || {
        // A defect is tried again, too: else nothing of this repository would be published any more.
        let published = catch_unwind(AssertUnwindSafe(|| repository.publish()));
        let failed = match published {
            Ok(published) => published.err().map(|error| error.to_string()),
            Err(_) => Some("its thread panicked, see the log".to_owned()),
        };
        publications.ended(id, failed.map(|reason| (reason, pause)));
    };
    if let Err(error) = start_thread("publication", "starting a publication", publish) {
        fs.publications.ended(id, Some((error.to_string(), pause)));
    }
}

/// While one is there, no other is.
struct Sweeping(Arc<AtomicBool>);

impl Sweeping {
    fn begin(sweeping: &Arc<AtomicBool>) -> Option<Self> {
        let is_free = !sweeping.swap(true, Ordering::Acquire);
        is_free.then(|| Self(Arc::clone(sweeping)))
    }
}

impl Drop for Sweeping {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Removes what pushes have left that were killed. One thread at a time does, aside: there may be much in it.
fn sweep_quarantines(fs: &FileSystem) {
    let Some(sweeping) = Sweeping::begin(&fs.sweeping) else {
        return;
    };
    let ended = fs.shared.quarantines.take_ended();
    let open = |(id, dir)| Some((fs.repositories.if_open(id)?, dir));
    let ended: Vec<_> = ended.into_iter().filter_map(open).collect();
    if ended.is_empty() {
        return;
    }
    let sweep = move || {
        for (repository, dir) in ended {
            let removed = repository.remove_quarantine(&dir);
            if let Err(error) = removed {
                let repo = repository.id;
                tracing::warn!(%repo, %dir, %error, "what a push left is not removed before the next start");
            }
        }
        drop(sweeping);
    };
    if let Err(error) = start_thread("quarantines", "removing what pushes left", sweep) {
        tracing::warn!(%error, "what pushes left is not removed before the next start");
    }
}
