//! Whose the store is, for a mount: its claim is kept young. See [`crate::owner`].

use super::{FileSystem, OpenError, start_periodic};
use std::sync::Arc;
use std::time::Duration;

/// How often the age of our claim is looked at, which asks nobody.
const LOOK: Duration = Duration::from_secs(15);

/// Starts the thread that keeps the claim of the state young.
pub(super) fn start(fs: &Arc<FileSystem>) -> Result<(), OpenError> {
    match &fs.shared.ownership {
        None => Ok(()),
        Some(_) => start_periodic(fs, "store owner", LOOK, renew_claim),
    }
}

fn renew_claim(fs: &FileSystem) {
    let Some(ownership) = &fs.shared.ownership else {
        return;
    };
    let was_ours = ownership.owner().is_this;
    if let Err(error) = ownership.renew() {
        tracing::warn!(%error, "who owns the store cannot be found out; trying again later");
    }
    if let (true, Some(problem)) = (was_ours, ownership.owner().problem) {
        tracing::error!("nothing is stored or deleted from now on: {problem}");
    }
}
