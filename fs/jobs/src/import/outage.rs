//! An import whose store is away waits for it, as long as a ref change would (`publish-timeout` without an answer), and says what
//! it waits for.

use crate::runner::ProgressReporter;
use gitmoor_fs::{FsError, FsResult};
use gitmoor_store::object_store::StoreError;
use gitmoor_store::wait::{self, Over};
use std::time::Duration;

/// Between two tries, which have retries of their own.
const PAUSE: Duration = Duration::from_millis(500);

/// Asks the store until it answers, or the wait that this thread is in is over.
pub(super) fn outlast<T, E: Into<FsError>>(
    reporter: &ProgressReporter<'_>,
    mut ask: impl FnMut() -> Result<T, E>,
) -> FsResult<T> {
    loop {
        let error = match ask().map_err(Into::into) {
            Err(FsError::Store(error @ StoreError::Unavailable { .. })) => error,
            answered => return answered,
        };
        let reported = reporter.report("Waiting for the store", 0, None);
        reported.map_err(|_| FsError::Interrupted)?;
        let Some(budget) = wait::current() else {
            return Err(error.into());
        };
        budget.set_reason(error.to_string());
        match budget.sleep(PAUSE) {
            None => {}
            Some(Over::Interrupted) => return Err(FsError::Interrupted),
            Some(Over::TimedOut) => return Err(error.into()),
        }
    }
}
