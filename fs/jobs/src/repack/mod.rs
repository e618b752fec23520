//! Maintenance: stock git repacks a repository, and the catalog takes what it made.
//!
//! git works in a *private view* (`view.rs`): a bare repository of this machine in which every loose object
//! and pack is a symbolic link to itself on the mount, so that git reads what it needs, lazily, through the
//! cache, and all else are copies. Its configuration is made anew from the replicated settings, and git runs in it as the repository's
//! owner where it can ([`gitmoor_fs::program`]). What git makes stands there as real files, what it deletes are links: nothing
//! of the repository changes while it works, and when it is killed nothing has to be undone.
//!
//! Afterwards the view is compared with what it was. Real files are to be added; links that are gone, to be
//! removed. Before that is proposed, the names of all objects in removed files are looked up in the indexes of what was
//! added and of the packs that stay (`proof.rs`): git is not taken at its word. What it stands on is the *proof*,
//! and the proposal is refused unless all of that is still in the catalog. Because no object is lost, refs may
//! move meanwhile, through any mount; the argument is in the replicator's `state/repack.rs`.
//!
//! Only what had expired, in a full maintenance, is lost, and that holds only while no ref moves: git puts
//! it into a pack of its own, outside of the view, and when refs have moved that pack is published with the rest.
//!
//! One node at a time has the maintenance lock of a repository. Losing it costs work and nothing else.

mod error;
mod handover;
mod proof;
mod publication;
mod schedule;
mod steps;
mod view;

pub use error::MaintenanceError;
pub(crate) use schedule::start;
pub(crate) use view::clear;

use crate::failpoint;
use crate::fsck::Fsck;
use crate::runner::{Job, ProgressReporter, ProgressSink, Runner};
use gitmoor_fs::{FileSystem, FsError, Made, Published, catalog, is_over_quota};
use gitmoor_model::name;
use gitmoor_model::{FileEntry, NamePath, Repo, RepoId, RepoPath};
use gitmoor_replicator::read;
use publication::Publication;
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use view::View;

/// How much is packed, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RepackOptions {
    /// All into one pack, and what nothing reaches into another; without it only small packs and loose
    /// objects are packed together.
    pub full: bool,
    /// With `full`: blobs into a pack of their own.
    pub split_blobs: bool,
    /// Only say what there is.
    pub dry_run: bool,
}

/// Where a daemon has mounted what.
#[derive(Clone, Debug)]
pub struct Mounted {
    /// Path of the mount point.
    pub at: PathBuf,
    /// The one repository that is mounted there; the whole namespace without it.
    pub repo: Option<NamePath>,
}

impl Mounted {
    /// Where a repository is seen; `None` when this is a mount of another.
    pub fn place_of(&self, repo: &Repo) -> Option<PathBuf> {
        match &self.repo {
            None => Some(self.at.join(repo.path.to_string())),
            Some(only) if *only == repo.path => Some(self.at.clone()),
            // Perhaps inside that one.
            Some(only) => {
                let path = repo.path.to_string();
                let rest = path
                    .strip_prefix(&only.to_string())?
                    .strip_prefix('/')?
                    .to_owned();
                Some(self.at.join(rest))
            }
        }
    }
}

/// What a repository has that maintenance is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Inventory {
    /// How many packs there are.
    pub packs: u64,
    /// How many loose objects there are.
    pub loose: u64,
    /// Bytes of all object files.
    pub bytes: u64,
}

/// What a repack changed in a repository.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Repacked {
    /// The repository's path in the namespace.
    pub repository: String,
    /// Why nothing was changed; `None` when something was.
    pub unchanged: Option<String>,
    /// Packs and loose objects before.
    pub before: Inventory,
    /// Packs and loose objects afterwards.
    pub after: Inventory,
    /// Object files that came.
    pub added: u64,
    /// Their bytes, all of which were stored.
    pub added_bytes: u64,
    /// Object files that went to the trash.
    pub removed: u64,
    /// Bytes of the removed object files.
    pub removed_bytes: u64,
    /// Objects that nothing reached for long enough, which are only in the trash now.
    pub expired_objects: u64,
    /// How long it took.
    pub seconds: f64,
}

type Files = Vec<(RepoPath, FileEntry)>;

/// Repacks repositories, on request and by themselves.
pub struct Repacks {
    fs: Arc<FileSystem>,
    runner: Arc<Runner>,
    fsck: Arc<Fsck>,
}

impl Repacks {
    /// Of this file system; what git could not read is looked for with `fsck`.
    pub(crate) fn new(fs: Arc<FileSystem>, runner: Arc<Runner>, fsck: Arc<Fsck>) -> Self {
        Self { fs, runner, fsck }
    }

    /// Maintains a repository that is seen at `mounted` on a mount of this daemon's.
    pub fn maintain(
        &self,
        id: RepoId,
        mounted: &Path,
        options: RepackOptions,
        sink: &dyn ProgressSink,
    ) -> Result<Repacked, MaintenanceError> {
        let began = Instant::now();
        let repo = read::repo(self.fs.replica().view(), id)?;
        let repo = repo.ok_or(MaintenanceError::Deleted)?;
        if !options.dry_run {
            self.fs.check_owner("maintenance")?;
        }
        let running = self.runner.begin(Job {
            kind: "maintenance",
            id,
            repository: repo.path.to_string(),
        })?;
        let reporter = ProgressReporter::new(&running, sink);
        let maintenance = Maintenance {
            fs: &self.fs,
            fsck: &self.fsck,
            repo,
            mounted,
            options,
            reporter,
        };
        let mut done = maintenance.run()?;
        done.seconds = began.elapsed().as_secs_f64();
        if done.unchanged.is_none() && !options.dry_run {
            tracing::info!(?done, "repacked");
        }
        Ok(done)
    }

    /// What a repository has.
    pub(crate) fn inventory(&self, id: RepoId) -> Result<Inventory, MaintenanceError> {
        inventory_of(&self.fs, id)
    }
}

struct Maintenance<'a> {
    fs: &'a FileSystem,
    fsck: &'a Fsck,
    repo: Repo,
    mounted: &'a Path,
    options: RepackOptions,
    reporter: ProgressReporter<'a>,
}

impl Maintenance<'_> {
    /// What is beyond the quota waits for what this may free.
    fn publish_finished(&self, id: RepoId) -> Result<(), FsError> {
        match self.fs.repository(id)?.publish() {
            Err(error) if is_over_quota(&error) => Ok(()),
            published => published,
        }
    }

    fn run(&self) -> Result<Repacked, MaintenanceError> {
        self.reporter.report("Looking", 0, None)?;
        let id = self.repo.id;
        self.fs.sync_reads()?;
        if !self.options.dry_run {
            // What is finished and not stored would otherwise be packed a day later.
            self.publish_finished(id)?;
        }
        // Before the refs are read: what moves after this may need what they do not reach.
        let moved = read::repo(self.fs.replica().view(), id)?;
        let moved = moved.ok_or(MaintenanceError::Deleted)?.refs_version;
        let files = catalog::files(self.fs.replica(), id)?;
        let before = inventory(&files);
        let mut done = Repacked {
            repository: self.repo.path.to_string(),
            before,
            after: before,
            ..Repacked::default()
        };
        if let Some(reason) = self.needless(&files)? {
            done.unchanged = Some(reason);
            return Ok(done);
        }
        if self.options.dry_run {
            return Ok(done);
        }
        let mut view = View::with_refs(self.fs, &self.repo, self.mounted, self.options.full)?;
        // After the refs: by then all is there that they reach.
        let files = catalog::files(self.fs.replica(), id)?;
        view.add(&*self.fs.repository(id)?, self.mounted, &files)?;
        view.hand_over()?;
        failpoint::REPACK_VIEW.hit();
        self.run_git(&view, &files)
            .map_err(|error| self.explained(error))?;
        view.take_back()?;
        failpoint::REPACK_MADE.hit();
        let publication = Publication::of(
            self.fs,
            id,
            &view,
            &files,
            self.options.full.then_some(moved),
        )?;
        if publication.is_nothing() {
            done.unchanged = Some("nothing to repack".to_owned());
            return Ok(done);
        }
        self.publish(&publication, &mut done)?;
        Ok(done)
    }

    fn publish(
        &self,
        publication: &Publication,
        done: &mut Repacked,
    ) -> Result<(), MaintenanceError> {
        let (stored, total) = (Cell::new(0), publication.bytes());
        let tell = |made: &Made| {
            let reported = self.reporter.report("Storing", stored.get(), Some(total));
            stored.set(stored.get() + made.bytes);
            reported.map_err(|_| FsError::Interrupted)
        };
        let repository = self.fs.repository(self.repo.id)?;
        let commit = repository.repack_commit();
        let published = commit.repack(&publication.repack, &tell)?;
        if published == Published::Whole {
            done.expired_objects = publication.expired_objects;
        }
        (done.added, done.added_bytes) = publication.added();
        (done.removed, done.removed_bytes) = publication.removed();
        done.after = inventory_of(self.fs, self.repo.id)?;
        Ok(())
    }

    /// Why there is nothing to do here.
    fn needless(&self, files: &Files) -> Result<Option<String>, MaintenanceError> {
        let has = |suffix: &[u8]| {
            let mut paths = files.iter().map(|(path, _)| path.as_bytes());
            paths.any(|path| path.ends_with(suffix))
        };
        let shallow = RepoPath::new("shallow").expect("a valid path");
        let reason = if has(b"objects/info/alternates") {
            "it borrows objects (objects/info/alternates), which maintenance would copy: run git repack -l on the mount"
        } else if has(b".promisor") {
            "it is a partial clone, of which not all objects are here"
        } else if read::reference(self.fs.replica().view(), self.repo.id, &shallow)?.is_some() {
            "it is a shallow clone, of which not all objects are here"
        } else if inventory(files).packs + inventory(files).loose == 0 {
            "it is empty"
        } else if !self.options.full && inventory(files).loose == 0 && steps::is_current(files) {
            "nothing new since the last maintenance"
        } else {
            return Ok(None);
        };
        Ok(Some(reason.to_owned()))
    }
}

fn inventory_of(fs: &FileSystem, id: RepoId) -> Result<Inventory, MaintenanceError> {
    Ok(inventory(&catalog::files(fs.replica(), id)?))
}

fn inventory(files: &Files) -> Inventory {
    let mut inventory = Inventory::default();
    for (path, entry) in files {
        inventory.bytes += entry.size;
        inventory.packs += u64::from(path.as_bytes().ends_with(b".pack"));
        inventory.loose += u64::from(name::loose_oid(path).is_some());
    }
    inventory
}
