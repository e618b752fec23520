//! Backups by themselves.

use crate::FileSystem;
use crate::custody::is_older;
use crate::filesystem::{OpenError, start_periodic};
use gitmoor_model::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked how old the newest is, at least.
const LOOK: Duration = Duration::from_secs(3600);

/// Starts the thread, if there are to be any.
pub(crate) fn start(fs: &Arc<FileSystem>) -> Result<(), OpenError> {
    match fs.shared.config.backup_period {
        None => Ok(()),
        Some(period) => start_periodic(fs, "backups", LOOK.min(period), move |fs| {
            fs.back_up_if_due(period);
        }),
    }
}

impl FileSystem {
    fn back_up_if_due(&self, period: Duration) {
        let made = self.backups().and_then(|all| match all.last() {
            Some(newest) if !is_older(at(newest.stored), period) => Ok(()),
            Some(_) | None => self.back_up().map(drop),
        });
        if let Err(error) = made {
            tracing::warn!(%error, "no backup could be made; trying again later");
        }
    }
}

fn at(secs: i64) -> Timestamp {
    Timestamp { secs, nanos: 0 }
}
