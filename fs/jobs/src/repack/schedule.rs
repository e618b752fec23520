//! Maintenance by itself: a repository with many loose objects or packs is repacked, the small ones into
//! larger ones. Each mount looks at what has changed since it looked last; the lock lets one of them do it, and the others
//! find nothing to do afterwards.

use super::{Inventory, MaintenanceError, Mounted, RepackOptions, Repacks};
use crate::runner::NoProgress;
use gitmoor_fs::{OpenError, start_periodic};
use gitmoor_model::{Repo, RepoId, Version};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A repository that could not be repacked is left alone for so long, whatever comes to it.
const PAUSE: Duration = Duration::from_secs(24 * 3600);

/// A repository that was looked at.
struct Looked {
    /// Nothing came or went since.
    catalog: Version,
    /// Until then it is not looked at.
    paused: Option<Instant>,
}

type AllLooked = HashMap<RepoId, Looked>;

/// Starts the thread, if there is to be one.
pub(crate) fn start(repacks: &Arc<Repacks>, mounted: Mounted) -> Result<(), OpenError> {
    let fs = &repacks.fs;
    match fs.config().maintenance_period {
        Some(period) if !fs.is_offline() && !fs.is_read_only() => {
            let mut looked = AllLooked::new();
            start_periodic(repacks, "maintenance", period, move |repacks| {
                repacks.maintain_due(&mounted, &mut looked)
            })
        }
        Some(_) | None => Ok(()),
    }
}

/// What became of a repository that was looked at.
enum Maintained {
    /// It is as it should be.
    Yes,
    /// It is due, and cannot be repacked.
    Impossible,
}

impl Looked {
    /// Whether to look again.
    fn is_over(&self, repo: &Repo, now: Instant) -> bool {
        repo.catalog_version != self.catalog && self.paused.is_none_or(|until| now >= until)
    }
}

impl Repacks {
    fn maintain_due(&self, mounted: &Mounted, looked: &mut AllLooked) {
        let mut repos = match self.fs.live_repos() {
            Ok(repos) => repos,
            Err(error) => {
                return tracing::warn!(%error, "no maintenance: repositories cannot be listed");
            }
        };
        looked.retain(|id, _| repos.iter().any(|repo| repo.id == *id));
        let now = Instant::now();
        repos.retain(|repo| looked.get(&repo.id).is_none_or(|it| it.is_over(repo, now)));
        for repo in repos {
            let paused = match self.maintain_if_due(&repo, mounted) {
                Ok(Maintained::Yes) => None,
                Ok(Maintained::Impossible) => Some(now + PAUSE),
                Err(MaintenanceError::UnderWay(_) | MaintenanceError::Deleted) => continue,
                Err(MaintenanceError::Interrupted) => return,
                Err(error) => {
                    tracing::warn!(repo = %repo.path, %error, "maintenance failed");
                    Some(now + PAUSE)
                }
            };
            let catalog = repo.catalog_version;
            looked.insert(repo.id, Looked { catalog, paused });
        }
    }

    fn maintain_if_due(
        &self,
        repo: &Repo,
        mounted: &Mounted,
    ) -> Result<Maintained, MaintenanceError> {
        let Some(place) = mounted.place_of(repo) else {
            return Ok(Maintained::Yes);
        };
        if !self.is_due(self.inventory(repo.id)?) {
            return Ok(Maintained::Yes);
        }
        let repacked = self.maintain(repo.id, &place, RepackOptions::default(), &NoProgress)?;
        Ok(match repacked.unchanged {
            None => Maintained::Yes,
            Some(_) => Maintained::Impossible,
        })
    }

    fn is_due(&self, inventory: Inventory) -> bool {
        let config = self.fs.config();
        inventory.loose >= config.maintenance_loose as u64
            || inventory.packs >= config.maintenance_packs as u64
    }
}
