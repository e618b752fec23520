//! Whether the store answers: it is asked only when nobody has asked it lately.

use super::marker;
use super::{ObjectStore, StoreError, StoreOpenError};
use parking_lot::Mutex;
use prometheus::{IntGauge, register_int_gauge};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What is as good as now.
const LATELY: Duration = Duration::from_secs(10);

/// When a request was last answered. A process has one store.
static ANSWERED: Mutex<Option<Instant>> = Mutex::new(None);

static ANSWERED_AT: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "When the object store last answered a request, in seconds since 1970";
    register_int_gauge!("gitmoor_s3_last_answer_timestamp_seconds", help)
        .expect("each name is registered once, here")
});

/// A request was answered.
pub(super) fn answered() {
    *ANSWERED.lock() = Some(Instant::now());
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    ANSWERED_AT.set(since.unwrap_or_default().as_secs() as i64);
}

/// Fails if the store answers nothing, or refuses us. Asks with one small GET, unless a request was
/// answered within the last seconds or the store is not to be asked. Blocks.
pub fn check(store: &dyn ObjectStore) -> Result<(), StoreOpenError> {
    let lately = ANSWERED.lock().is_some_and(|at| at.elapsed() < LATELY);
    if lately || store.offline().is_some() {
        return Ok(());
    }
    marker::id(store).map(drop)
}

/// Whether a request that ended so was answered.
pub(super) fn is_answer<T>(result: &Result<T, StoreError>) -> bool {
    match result {
        Ok(_) | Err(StoreError::NotFound { .. }) => true,
        Err(
            StoreError::Refused { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::NotOwner { .. }
            | StoreError::Unavailable { .. }
            | StoreError::Offline { .. }
            | StoreError::Interrupted { .. }
            | StoreError::Local { .. },
        ) => false,
    }
}
