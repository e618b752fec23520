//! gc by itself: the trash every period, leftovers once per grace period, since
//! younger ones are left alone and a listing of a large store is not for free.

use super::Gc;
use super::collect::Sweep;
use gitmoor_fs::{FsError, OpenError, start_periodic};
use std::sync::Arc;
use std::time::Instant;

pub(crate) fn start(gc: &Arc<Gc>) -> Result<(), OpenError> {
    let (period, grace) = (gc.fs.config().gc_period, gc.fs.config().gc_grace);
    let mut last_swept: Option<Instant> = None;
    start_periodic(gc, "gc", period, move |gc| {
        let due = last_swept.is_none_or(|swept| swept.elapsed() >= grace);
        let sweep = if due { Sweep::Store } else { Sweep::Trash };
        if collect_quietly(gc, sweep) && due {
            last_swept = Some(Instant::now());
        }
    })
}

fn collect_quietly(gc: &Gc, sweep: Sweep) -> bool {
    match gc.collect(None, sweep, false) {
        Ok(done) if done.is_nothing() => {}
        Ok(done) => tracing::info!(?done, "gc"),
        Err(error) => return failed(&error),
    }
    true
}

fn failed(error: &FsError) -> bool {
    tracing::warn!(%error, "gc did not come to its end; it goes on at the next period");
    false
}
