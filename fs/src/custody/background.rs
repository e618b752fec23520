//! gc by itself: the trash every period, leftovers once per grace period, since
//! younger ones are left alone and a listing of a large store is not for free.

use super::collect::Sweep;
use crate::filesystem::{OpenError, start_periodic};
use crate::{FileSystem, FsError};
use std::sync::Arc;
use std::time::Instant;

/// Starts the thread.
pub(crate) fn start(fs: &Arc<FileSystem>) -> Result<(), OpenError> {
    let (period, grace) = (fs.shared.config.gc_period, fs.shared.config.gc_grace);
    let mut last_swept: Option<Instant> = None;
    start_periodic(fs, "gc", period, move |fs| {
        let due = last_swept.is_none_or(|swept| swept.elapsed() >= grace);
        let sweep = if due { Sweep::Store } else { Sweep::Trash };
        if fs.collect_quietly(sweep) && due {
            last_swept = Some(Instant::now());
        }
    })
}

impl FileSystem {
    fn collect_quietly(&self, sweep: Sweep) -> bool {
        match self.collect(None, sweep, false) {
            Ok(done) if done.is_nothing() => {}
            Ok(done) => tracing::info!(?done, "gc"),
            Err(error) => return failed(&error),
        }
        true
    }
}

fn failed(error: &FsError) -> bool {
    tracing::warn!(%error, "gc did not come to its end; it goes on at the next period");
    false
}
