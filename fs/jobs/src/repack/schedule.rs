//! Maintenance by itself: a repository with many loose objects or packs is repacked, the small ones into
//! larger ones. Each mount looks; the lock lets one of them do it, and the others find nothing to do afterwards.

use super::{Inventory, MaintenanceError, Mounted, RepackOptions, Repacks};
use crate::runner::NoProgress;
use gitmoor_fs::{OpenError, start_periodic};
use gitmoor_model::Repo;
use std::sync::Arc;

/// Starts the thread, if there is to be one.
pub(crate) fn start(repacks: &Arc<Repacks>, mounted: Mounted) -> Result<(), OpenError> {
    let fs = &repacks.fs;
    match fs.config().maintenance_period {
        Some(period) if !fs.is_offline() && !fs.is_read_only() => {
            start_periodic(repacks, "maintenance", period, move |repacks| {
                repacks.maintain_due(&mounted)
            })
        }
        Some(_) | None => Ok(()),
    }
}

impl Repacks {
    fn maintain_due(&self, mounted: &Mounted) {
        let repos = match self.fs.live_repos() {
            Ok(repos) => repos,
            Err(error) => {
                return tracing::warn!(%error, "no maintenance: repositories cannot be listed");
            }
        };
        for repo in repos {
            match self.maintain_if_due(&repo, mounted) {
                Ok(()) | Err(MaintenanceError::UnderWay(_) | MaintenanceError::Deleted) => {}
                Err(MaintenanceError::Interrupted) => return,
                Err(error) => tracing::warn!(repo = %repo.path, %error, "maintenance failed"),
            }
        }
    }

    fn maintain_if_due(&self, repo: &Repo, mounted: &Mounted) -> Result<(), MaintenanceError> {
        let Some(place) = mounted.place_of(repo) else {
            return Ok(());
        };
        if !self.is_due(self.inventory(repo.id)?) {
            return Ok(());
        }
        self.maintain(repo.id, &place, RepackOptions::default(), &NoProgress)
            .map(drop)
    }

    fn is_due(&self, inventory: Inventory) -> bool {
        let config = self.fs.config();
        inventory.loose >= config.maintenance_loose as u64
            || inventory.packs >= config.maintenance_packs as u64
    }
}
