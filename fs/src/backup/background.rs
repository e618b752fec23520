//! Backups by themselves.

use crate::FileSystem;
use crate::filesystem::{OpenError, start_thread};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How soon the thread notices that the file system is gone.
const TICK: Duration = Duration::from_millis(500);

/// How often it looks how old the newest is, at most.
const LOOK: Duration = Duration::from_secs(3600);

/// Starts the thread, if there are to be any; it ends when the file system is dropped.
pub(crate) fn start(fs: &Arc<FileSystem>) -> Result<(), OpenError> {
    let Some(period) = fs.shared.config.backup_period else {
        return Ok(());
    };
    let (fs, pause) = (Arc::downgrade(fs), LOOK.min(period));
    let run = move || {
        let mut last = Instant::now();
        while let Some(fs) = fs.upgrade() {
            if last.elapsed() >= pause {
                fs.back_up_if_due(period);
                last = Instant::now();
            }
            drop(fs);
            std::thread::sleep(TICK.min(pause));
        }
    };
    start_thread("backup", "starting backups", run)
}

impl FileSystem {
    fn back_up_if_due(&self, period: Duration) {
        let made = self.backups().and_then(|all| match all.last() {
            Some(newest) if is_younger(newest.stored, period) => Ok(()),
            Some(_) | None => self.back_up().map(drop),
        });
        if let Err(error) = made {
            tracing::warn!(%error, "no backup could be made; trying again later");
        }
    }
}

fn is_younger(stored: i64, period: Duration) -> bool {
    let since = Duration::from_secs(u64::try_from(stored).unwrap_or(0));
    let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + since);
    // One of the future is by a clock that goes ahead.
    age.map_or(true, |age| age < period)
}
