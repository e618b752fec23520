//! Object files go into the store, those first that are taken as they are. Each is noted when it is there, so that it is not sent again.

use super::contents::Contents;
use super::outage::outlast;
use super::source::{Disk, Inventory, SourceFile};
use super::{ImportError, Run};
use crate::failpoint;
use crate::runner::Count;
use gitmoor_fs::bundle;
use gitmoor_model::name::{self, Kind};
use gitmoor_model::{FileAdd, ImportPlan, ImportStep};
use gitmoor_replicator::read;
use gitmoor_store::block_cache;
use gitmoor_store::wait;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};

/// What git gives finished object files.
const MODE: u32 = 0o100_444;

/// How much was copied.
#[derive(Default)]
pub(super) struct Copied {
    /// Bytes of files that are through, old and new.
    bytes: AtomicU64,
    objects: AtomicU64,
    /// Bytes that were stored in this run.
    pub(super) stored: AtomicU64,
}

/// Copies, and says how far it is.
pub(super) struct Copying<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) source: &'a Disk,
    plan: ImportPlan,
    copied: Copied,
}

/// All object files of a source.
pub(super) fn copy(
    run: &Run<'_>,
    source: &Disk,
    inventory: &Inventory,
    contents: &Contents,
    plan: ImportPlan,
) -> Result<Copied, ImportError> {
    let wait = run.begin_wait();
    let _waiting = wait.enter();
    let copying = Copying {
        run,
        source,
        plan,
        copied: Copied::default(),
    };
    for pack in &inventory.packs {
        for file in &pack.files {
            copying.copy(file)?;
        }
        copying.through(0, contents.objects_of(pack))?;
    }
    for file in &inventory.lfs {
        copying.copy(file)?;
    }
    copying.copy_loose(inventory, contents)?;
    Ok(copying.copied)
}

impl Copying<'_> {
    /// So much more is there.
    pub(super) fn through(&self, bytes: u64, objects: u64) -> Result<(), ImportError> {
        self.copied.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.copied.objects.fetch_add(objects, Ordering::Relaxed);
        self.report(0)
    }

    /// With so many bytes of a file that is under way.
    fn report(&self, of_file: u64) -> Result<(), ImportError> {
        let objects = Count {
            done: self.copied.objects.load(Ordering::Relaxed),
            total: self.plan.objects,
        };
        let bytes = self.copied.bytes.load(Ordering::Relaxed) + of_file;
        let total = Some(self.plan.bytes.max(bytes));
        let reporter = &self.run.reporter;
        Ok(reporter.report_objects("Copying", bytes, total, Some(objects))?)
    }

    fn copy(&self, file: &SourceFile) -> Result<(), ImportError> {
        if !self.is_stored(file)? {
            self.store(file, &self.source.open(&file.at)?)?;
        }
        self.through(file.size, 0)
    }

    /// As rsync judges it: a file with that name, size and time is the same.
    fn is_stored(&self, file: &SourceFile) -> Result<bool, ImportError> {
        let replica = self.run.fs.replica();
        let there = read::file(replica.view(), self.run.import.id, &file.path)?;
        Ok(there.is_some_and(|there| there.size == file.size && there.mtime == file.mtime))
    }

    /// Checks a file, stores it, and notes that.
    pub(super) fn store(&self, file: &SourceFile, open: &File) -> Result<(), ImportError> {
        self.check(file, open)?;
        let block_size = block_cache::block_size_for(file.size);
        let digests = block_cache::digest_file(open, file.size, block_size);
        let digests = digests.map_err(ImportError::reading(&file.at))?;
        let replica = self.run.fs.replica();
        let there = read::file(replica.view(), self.run.import.id, &file.path)?;
        if there.is_some_and(|there| there.digest == digests.0) {
            return Ok(());
        }
        // Checking it took as long as it took, and is no reason to give up on the store.
        wait::touch();
        let uploader = self.run.repository.objects().uploader();
        let mut add = outlast(&self.run.reporter, || {
            let sent = AtomicU64::new(0);
            let watch = |bytes| {
                wait::touch();
                self.report(sent.fetch_add(bytes, Ordering::Relaxed) + bytes)
                    .is_ok()
            };
            uploader.store_resuming(&file.path, open, digests.clone(), &watch)
        })?;
        add.entry.mode = MODE;
        self.copied.stored.fetch_add(file.size, Ordering::Relaxed);
        failpoint::IMPORT_SENT.hit();
        self.note(add)
    }

    fn note(&self, add: FileAdd) -> Result<(), ImportError> {
        self.run.step(ImportStep::Store(vec![add]))?;
        failpoint::IMPORT_NOTED.hit();
        Ok(())
    }

    /// What says by itself whether it is whole is asked.
    fn check(&self, file: &SourceFile, open: &File) -> Result<(), ImportError> {
        let path = &file.path;
        let is_pack = path.as_bytes().ends_with(b".pack") || path.as_bytes().ends_with(b".idx");
        let checked = match (name::kind(path), name::lfs_oid(path)) {
            (_, Some(oid)) => bundle::check_lfs(oid, open),
            (Some(Kind::Pack), None) => bundle::check_pack_trailer(open, self.source.format),
            (_, None) if is_pack => bundle::check_pack_trailer(open, self.source.format),
            (_, None) => Ok(()),
        };
        checked.map_err(|error| match error {
            bundle::BundleError::Local { source, .. } => ImportError::reading(&file.at)(source),
            other => ImportError::Damaged {
                path: file.at.clone(),
                reason: other.to_string(),
            },
        })
    }
}
