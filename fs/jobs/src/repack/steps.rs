//! What git is asked to do, in order.
//!
//! Without `full` packs are merged so that each has twice the objects of the next smaller one (`--geometric`);
//! the large ones stay as they are, and every loose object is packed, reachable or not. With it everything that is
//! reachable becomes one pack and the rest a cruft pack. Then one multi-pack-index with bitmaps over all packs,
//! and a commit-graph.

use super::{Files, Maintenance, MaintenanceError};
use crate::fsck::FsckOptions;
use crate::repack::view::View;
use crate::runner::git;
use gitmoor_model::RepoPath;
use std::time::{SystemTime, UNIX_EPOCH};

const MIDX: &str = "objects/pack/multi-pack-index";
const COMMIT_GRAPH: &str = "objects/info/commit-graph";

const REPACK: [&str; 3] = ["repack", "-d", "-n"];

/// More packs than the geometric sequence of any repository has.
const MANY: usize = 40;

/// Whether the index over all packs and the commit-graph are there and not older than any pack, of which there
/// are few.
pub(super) fn is_current(files: &Files) -> bool {
    let made = |wanted: &str| {
        let mut files = files.iter();
        files.find(|(path, _)| path.as_bytes() == wanted.as_bytes())
    };
    let packs = files.iter().filter(|(path, _)| is_pack(path));
    if packs.clone().count() > MANY {
        return false;
    }
    let Some(newest) = packs.map(|(_, entry)| entry.mtime).max() else {
        return true;
    };
    [MIDX, COMMIT_GRAPH]
        .iter()
        .all(|name| made(name).is_some_and(|(_, entry)| entry.mtime >= newest))
}

fn is_pack(path: &RepoPath) -> bool {
    path.as_bytes().ends_with(b".pack")
}

impl Maintenance<'_> {
    pub(super) fn run_git(&self, view: &View, files: &Files) -> Result<(), MaintenanceError> {
        self.repack(view)?;
        if view.packs_changed()? || !is_current(files) {
            self.index(view)?;
        }
        Ok(())
    }

    fn repack(&self, view: &View) -> Result<(), MaintenanceError> {
        let expire_to = format!("--expire-to={}", View::EXPIRED);
        if !self.options.full {
            return self.git(view, &[&REPACK, &["--geometric=2"][..]].concat());
        }
        let expiration = self.expiration();
        let cruft = format!("--cruft-expiration={expiration}");
        let step = ["--cruft", &cruft, &expire_to];
        self.git(view, &[&REPACK, &step[..]].concat())?;
        // Loose objects that are older are left where they are by that.
        self.git(view, &["prune", "--progress", "--expire", &expiration])?;
        match self.options.split_blobs {
            true => self.split(view),
            false => Ok(()),
        }
    }

    /// In a repack of its own: beside a filter git would take all that is filtered for cruft.
    fn split(&self, view: &View) -> Result<(), MaintenanceError> {
        let cruft = view.cruft_packs()?;
        let kept = cruft.iter().map(|pack| format!("--keep-pack={pack}"));
        let kept: Vec<_> = kept.collect();
        let mut step = [&REPACK, &["-a", "--filter=blob:none"][..]].concat();
        step.extend(kept.iter().map(String::as_str));
        self.git(view, &step)
    }

    /// As git wants to be told: a point in time.
    fn expiration(&self) -> String {
        let age = self.fs.config().cruft_expiration;
        let at = SystemTime::now().checked_sub(age).unwrap_or(UNIX_EPOCH);
        match age.is_zero() {
            true => "now".to_owned(),
            false => humantime::format_rfc3339_seconds(at).to_string(),
        }
    }

    fn index(&self, view: &View) -> Result<(), MaintenanceError> {
        if let Some(largest) = view.largest_pack()? {
            let preferred = format!("--preferred-pack={largest}");
            let step = [
                "multi-pack-index",
                "write",
                "--progress",
                "--bitmap",
                &preferred,
            ];
            self.git(view, &step)?;
        }
        let step = [
            "commit-graph",
            "write",
            "--progress",
            "--reachable",
            "--changed-paths",
        ];
        self.git(view, &step)
    }

    fn git(&self, view: &View, step: &[&str]) -> Result<(), MaintenanceError> {
        self.reporter.report("git", 0, None)?;
        Ok(git::run(view.git(step), &self.reporter)?)
    }

    /// If it was a damaged file that git could not read, then which.
    pub(super) fn explained(&self, error: MaintenanceError) -> MaintenanceError {
        let MaintenanceError::Git { .. } = error else {
            return error;
        };
        let (repair, deep) = (false, false);
        let checked = self.fsck.check(self.repo.id, FsckOptions { repair, deep });
        let Ok(Some(checked)) = checked else {
            return error;
        };
        let named = |damage: &crate::fsck::Damage| format!("{} ({:?})", damage.path, damage.faults);
        let files: Vec<_> = checked.damaged.iter().map(named).collect();
        match files.is_empty() {
            true => error,
            false => MaintenanceError::Damaged { files },
        }
    }
}
