//! Backups by themselves.

use super::Backups;
use crate::age::is_older;
use gitmoor_fs::{OpenError, start_periodic};
use gitmoor_model::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked how old the newest is, at least.
const LOOK: Duration = Duration::from_secs(3600);

/// Starts the thread, if there are to be any.
pub(crate) fn start(backups: &Arc<Backups>) -> Result<(), OpenError> {
    match backups.fs.config().backup_period {
        None => Ok(()),
        Some(period) => start_periodic(backups, "backups", LOOK.min(period), move |backups| {
            backups.back_up_if_due(period);
        }),
    }
}

impl Backups {
    fn back_up_if_due(&self, period: Duration) {
        let made = self.list().and_then(|all| match all.last() {
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
