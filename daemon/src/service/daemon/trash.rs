//! The trash, inside the daemon: looked into, restored from, emptied; maintenance, fsck and backups.

use super::check_online;
use super::repos::Repos;
use crate::admin::{Asker, Rejection};
use crate::command::fsck::FsckRequest;
use crate::command::gc::{GcRequest, MaintainRequest};
use crate::command::repo::restore::{RestoreRequest, Restored};
use crate::config::RepoName;
use crate::service::run::mounted;
use gitmoor_jobs::backup::BackupInfo;
use gitmoor_jobs::fsck::{Checked, FsckOptions};
use gitmoor_jobs::gc::{Collected, Sweep};
use gitmoor_jobs::repack::{MaintenanceError, RepackOptions, Repacked};
use gitmoor_jobs::trash::{self, TrashedRepo};
use gitmoor_model::{NamePath, RepoId};

impl Repos<'_> {
    /// What has something in the trash.
    pub(super) fn trash(&self) -> Result<Vec<TrashedRepo>, Rejection> {
        self.jobs.trash.list().map_err(Rejection::failed)
    }

    /// Takes a deleted repository, by id or former name, out of the trash.
    pub(super) fn restore(&self, request: &RestoreRequest) -> Result<Restored, Rejection> {
        let RestoreRequest { repo, to } = request;
        let trashed = self.deleted(repo)?;
        let name = match to {
            Some(name) => name.clone(),
            None => trashed.name.parse().map_err(|error: String| {
                Rejection::usage(format!("{error}; give it another name with --as"))
            })?,
        };
        if self.find(&name)?.is_some() {
            return Err(Rejection::failed(format!(
                "{name} exists already; restore the deleted one beside it with --as NAME"
            )));
        }
        let id: RepoId = trashed.id.parse().map_err(|_| not_in_trash(repo))?;
        let restored = self.names().restore(id, &name.path());
        restored.map_err(Rejection::failed)?;
        Ok(Restored {
            pieces: self.pieces(&name, &trashed.name)?,
            name: name.to_string(),
            id: trashed.id,
        })
    }

    /// What comes back one by one of a restored repository, and of all inside it. Of one that was emptied by `rm -rf`,
    /// what was inside was removed before by itself.
    fn pieces(&self, name: &RepoName, old: &str) -> Result<trash::Restored, Rejection> {
        let trash = &self.jobs.trash;
        let restored = |id| {
            let restored = trash.repo_restored(id, &self.actor);
            restored.map_err(Rejection::failed)
        };
        let repo = self.existing(name)?;
        let mut pieces = restored(repo.id)?;
        if pieces != trash::Restored::default() {
            let removed = trash.removed_inside(old).map_err(Rejection::failed)?;
            for (id, rest) in removed {
                let path = NamePath::new(format!("{name}{rest}"));
                let back = path.map(|path| self.names().restore(id, &path));
                if let Some(Err(error)) = back {
                    pieces.lost.push(format!("{name}{rest}: {error}"));
                }
            }
        }
        let all = self.names().with_inner(&repo).map_err(Rejection::failed)?;
        for inner in all.iter().skip(1) {
            pieces.add(&inner.path.to_string(), restored(inner.id)?);
        }
        Ok(pieces)
    }

    /// The repository deleted last of those that are meant.
    pub(super) fn deleted(&self, repo: &str) -> Result<TrashedRepo, Rejection> {
        let meant = |trashed: &TrashedRepo| {
            trashed.deleted.is_some() && (trashed.id == repo || trashed.name == repo)
        };
        let found = self.trash()?.into_iter().find(meant);
        found.ok_or_else(|| not_in_trash(repo))
    }

    /// Gives the deleted objects of a repository back that is there.
    pub(super) fn restore_objects(&self, name: &RepoName) -> Result<Restored, Rejection> {
        let repo = self.existing(name)?;
        let files = self.jobs.trash.restore_objects(repo.id, &self.actor);
        Ok(Restored {
            name: name.to_string(),
            id: repo.id.to_string(),
            pieces: trash::Restored {
                files: files.map_err(Rejection::failed)?,
                ..trash::Restored::default()
            },
        })
    }

    /// Catalog against store against digests.
    pub(super) fn fsck(&self, request: &FsckRequest) -> Result<Checked, Rejection> {
        let name = &request.name;
        let options = FsckOptions {
            repair: request.repair,
            deep: request.deep,
        };
        check_online(self.fs, "fsck")?;
        let repo = self.existing(name)?;
        let mut all = Checked::default();
        for repo in self.names().with_inner(&repo).map_err(Rejection::failed)? {
            let checked = self.jobs.fsck.check(repo.id, options).map_err(|error| {
                Rejection::failed(format!("the check did not come to its end: {error}"))
            })?;
            match checked {
                Some(checked) => all.add(checked),
                None => {
                    let deleted = format!("{} was deleted meanwhile", repo.path);
                    return Err(Rejection::failed(deleted));
                }
            }
        }
        Ok(all)
    }

    /// Writes down what the replicator holds.
    pub(super) fn back_up(&self) -> Result<BackupInfo, Rejection> {
        check_online(self.fs, "a backup")?;
        self.jobs.backups.back_up().map_err(Rejection::failed)
    }

    /// What was written down.
    pub(super) fn backups(&self) -> Result<Vec<BackupInfo>, Rejection> {
        check_online(self.fs, "a list of backups")?;
        self.jobs.backups.list().map_err(Rejection::failed)
    }

    pub(super) fn maintain(
        &self,
        request: &MaintainRequest,
        asker: &Asker<'_>,
    ) -> Result<Repacked, Rejection> {
        let name = &request.name;
        let options = RepackOptions {
            full: request.full,
            split_blobs: request.split_blobs,
            dry_run: request.dry_run,
        };
        check_online(self.fs, "gc")?;
        let repo = self.existing(name)?;
        let unchanged = |reason: String| Repacked {
            repository: name.to_string(),
            unchanged: Some(reason),
            ..Repacked::default()
        };
        let Some(place) = mounted(self.mount).place_of(&repo) else {
            return Ok(unchanged(
                "this daemon mounts another repository alone; ask one that mounts it".to_owned(),
            ));
        };
        match self.jobs.repacks.maintain(repo.id, &place, options, asker) {
            Err(error @ MaintenanceError::UnderWay(_)) => Ok(unchanged(error.to_string())),
            done => done.map_err(|error| Rejection::failed(format!("{name}: {error}"))),
        }
    }

    /// Removes for good what was deleted long enough ago, and what nobody owns.
    pub(super) fn collect(&self, request: &GcRequest) -> Result<Collected, Rejection> {
        check_online(self.fs, "gc")?;
        let only = request
            .name
            .as_ref()
            .map(|name| self.existing(name))
            .transpose()?;
        let only = only.map(|repo| self.names().with_inner(&repo)).transpose();
        let only = only.map_err(Rejection::failed)?;
        let only = only.map(|repos| repos.iter().map(|repo| repo.id).collect());
        self.jobs
            .gc
            .collect(only, Sweep::Store, request.dry_run)
            .map_err(Rejection::failed)
    }
}

fn not_in_trash(repo: &str) -> Rejection {
    Rejection::failed(format!(
        "no repository {repo} is in the trash (gitmoor repo trash shows what is; for deleted \
         objects of one that is there: gitmoor repo restore NAME --objects)"
    ))
}
