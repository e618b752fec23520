//! The end: refs, and then the name. Until then nobody sees anything of it.

use super::copy::Copied;
use super::refs::Refs;
use super::source::Disk;
use super::{ImportError, Imported, Run, host_files};
use crate::failpoint;
use gitmoor_fs::{Names, catalog};
use gitmoor_model::name;
use gitmoor_model::{Actor, Format, ImportPlan, ImportStep, RefEdit, RefStorage, RepoPath};
use std::collections::HashSet;
use std::sync::atomic::Ordering;

/// Lines of `packed-refs`, and symbolic refs, in one command.
const REFS: usize = 10_000;

impl Run<'_> {
    /// A pack whose index is not there is of no use: the source was repacked between the two.
    pub(super) fn drop_partial(&self) -> Result<(), ImportError> {
        let files = catalog::files(self.fs.replica(), self.import.id)?;
        let paths: HashSet<_> = files.iter().map(|(path, _)| path).collect();
        let is_partial = |path: &&RepoPath| {
            let stem = path.as_bytes().rsplitn(2, |&byte| byte == b'.').last();
            let index = RepoPath::new([stem.unwrap_or_default(), b".idx"].concat());
            name::lfs_oid(path).is_none() && index.is_some_and(|index| !paths.contains(&index))
        };
        let partial: Vec<_> = paths.iter().copied().filter(is_partial).cloned().collect();
        match partial.is_empty() {
            true => Ok(()),
            false => self.step(ImportStep::Drop(partial)),
        }
    }

    pub(super) fn finish(
        &self,
        source: &Disk,
        refs: &Refs,
        copied: &Copied,
        plan: ImportPlan,
    ) -> Result<Imported, ImportError> {
        let files = catalog::files(self.fs.replica(), self.import.id)?;
        match self.borrower {
            Some(borrower) => self.give_to(borrower, source)?,
            None => {
                self.note_values(refs, source)?;
                failpoint::IMPORT_REFS.hit();
                self.name_it(Format {
                    bare: true,
                    objects: source.format,
                    refs: RefStorage::Files,
                })?;
            }
        }
        failpoint::IMPORT_FINISHED.hit();
        if let Err(error) = self.private.remove() {
            tracing::warn!(import = %self.import.path, %error, "is not needed any more, and cannot be removed");
        }
        Ok(Imported {
            repository: self.import.path.to_string(),
            id: self
                .borrower
                .map_or(self.import.id, |borrower| borrower.id)
                .to_string(),
            source: self.source.to_string(),
            already: false,
            refs: refs.count(),
            objects: plan.objects,
            files: files.len() as u64,
            bytes: files.iter().map(|(_, entry)| entry.size).sum(),
            stored_bytes: copied.stored.load(Ordering::Relaxed),
            seconds: 0.0,
        })
    }

    /// From now on it is a repository like any other.
    pub(super) fn name_it(&self, format: Format) -> Result<(), ImportError> {
        Names::of(self.fs, Actor::default()).create_parents(&self.import.path)?;
        self.step(ImportStep::Finish { format })?;
        // As one that was made elsewhere: the next access makes its local files.
        self.fs.close_repository(self.import.id);
        self.fs.name_changed(&self.import.path);
        Ok(())
    }

    /// Refs, and files of hosts.
    pub(super) fn note_values(&self, refs: &Refs, source: &Disk) -> Result<(), ImportError> {
        self.step(ImportStep::Refs {
            first: true,
            loose: Vec::new(),
            packed: Vec::new(),
        })?;
        for packed in refs.packed().chunks(REFS) {
            self.step(ImportStep::Refs {
                first: false,
                loose: Vec::new(),
                packed: packed.to_vec(),
            })?;
        }
        self.note_loose(&refs.loose())?;
        self.note_loose(&host_files::of(source)?)
    }

    fn note_loose(&self, values: &[RefEdit]) -> Result<(), ImportError> {
        for loose in values.chunks(REFS) {
            self.step(ImportStep::Refs {
                first: false,
                loose: loose.to_vec(),
                packed: Vec::new(),
            })?;
        }
        Ok(())
    }
}
