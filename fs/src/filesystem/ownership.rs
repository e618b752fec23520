//! Whose the store is, for a mount: kept young, told, taken over. See [`crate::owner`].

use super::{FileSystem, OpenError, start_periodic};
use crate::error::FsResult;
use crate::owner::StoreOwner;
use std::sync::Arc;
use std::time::Duration;

/// How often the age of our claim is looked at, which asks nobody.
const LOOK: Duration = Duration::from_secs(15);

/// Starts the thread that keeps the claim of the state young.
pub(super) fn start(fs: &Arc<FileSystem>) -> Result<(), OpenError> {
    match &fs.shared.ownership {
        None => Ok(()),
        Some(_) => start_periodic(fs, "store owner", LOOK, FileSystem::renew_claim),
    }
}

impl FileSystem {
    fn renew_claim(&self) {
        let Some(ownership) = &self.shared.ownership else {
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

    /// Whose the store is; `None` of a mount that does not write there.
    pub fn store_owner(&self) -> Option<StoreOwner> {
        Some(self.shared.ownership.as_ref()?.owner())
    }

    /// Makes this mount's state the owner of the store, whoever was it. `None` of a mount that does not write
    /// there.
    pub fn take_over_store(&self) -> FsResult<Option<StoreOwner>> {
        let Some(ownership) = &self.shared.ownership else {
            return Ok(None);
        };
        ownership.take_over()?;
        Ok(Some(ownership.owner()))
    }
}
