//! The jobs of a daemon, and which of them begin by themselves.

use crate::backup::{self, Backups};
use crate::fork::Forks;
use crate::fsck::{self, Fsck};
use crate::gc::{self, Gc};
use crate::import::Imports;
use crate::repack::{self, Mounted, Repacks};
use crate::runner::Runner;
use crate::trash::Trash;
use gitmoor_fs::{FileSystem, OpenError};
use std::sync::Arc;

/// One of each kind, on the same file system.
pub struct Jobs {
    /// Which of the long ones run.
    pub runner: Arc<Runner>,
    /// Lists and restores what was deleted.
    pub trash: Trash,
    /// Removes from the store what was deleted for long enough.
    pub gc: Arc<Gc>,
    /// Give a fork files of its own.
    pub forks: Forks,
    /// Pack objects together, and drop those that nothing reaches.
    pub repacks: Arc<Repacks>,
    /// Bring repositories in from elsewhere.
    pub imports: Imports,
    /// Checks repositories, and repairs them.
    pub fsck: Arc<Fsck>,
    /// Of the replicator's state.
    pub backups: Arc<Backups>,
}

impl Jobs {
    /// Starts gc and backups, unless nothing may be written to the store.
    pub fn start(fs: &Arc<FileSystem>) -> Result<Self, OpenError> {
        gc::register_metrics();
        fsck::register_metrics();
        let runner = Arc::new(Runner::new(fs.clone()));
        let fsck = Arc::new(Fsck::new(fs.clone()));
        let jobs = Self {
            trash: Trash::new(fs.clone()),
            gc: Arc::new(Gc::new(fs.clone())),
            forks: Forks::new(fs.clone(), runner.clone()),
            repacks: Arc::new(Repacks::new(fs.clone(), runner.clone(), fsck.clone())),
            imports: Imports::new(fs.clone(), runner.clone()),
            backups: Arc::new(Backups::new(fs.clone())),
            runner,
            fsck,
        };
        if fs.is_read_only() {
            return Ok(jobs);
        }
        repack::clear(&fs.config().data);
        if !fs.is_offline() {
            gc::start(&jobs.gc)?;
            backup::start(&jobs.backups)?;
        }
        Ok(jobs)
    }

    /// Starts maintenance, which needs the mount; not where nothing may be written to the store.
    pub fn start_maintenance(&self, mounted: Mounted) -> Result<(), OpenError> {
        repack::start(&self.repacks, mounted)
    }

    /// How far those are that run, as sentences, for `gitmoor status`.
    pub fn sentences(&self) -> Vec<String> {
        let checking = self.fsck.sentence().into_iter();
        checking.chain(self.runner.sentences()).collect()
    }
}
