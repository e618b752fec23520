//! A fork becomes independent: it gets copies of the object files that it has on loan.
//!
//! It is served all the while, and whatever was copied stays when the rest is interrupted. What the copies took the
//! place of goes to the trash, and the loans end when it expires, like all that maintenance replaces: until
//! then a backup may name it, and a process may have it open.

use crate::runner::{Job, JobError, ProgressReporter, ProgressSink, Runner};
use gitmoor_fs::{Dissociation, FileSystem, FsError, FsResult};
use gitmoor_model::{FileEntry, Refusal, RepoId, RepoPath};
use gitmoor_replicator::read;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Files that one command names at most …
const BATCH: usize = 500;

/// … and bytes, of more than one: what is interrupted before its command looks at its files again.
const BATCH_BYTES: u64 = 1 << 30;

/// How often it looks again because the repository has changed meanwhile.
const LOOKS: usize = 20;

/// What a fork got for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Copied {
    /// How many object files were copied.
    pub files: u64,
    /// How many bytes were copied.
    pub bytes: u64,
}

/// Why a repository still borrows. It is whole nevertheless, and the same command goes on.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// One thing at a time.
    #[error(
        "maintenance or a copy of this repository is under way {0}: repeat the command when that has ended"
    )]
    UnderWay(&'static str),
    /// The repository is gone.
    #[error("it was deleted meanwhile")]
    Deleted,
    /// Anything else that stopped the copy.
    #[error("not all of its files are copied: {0}; it is whole, and the same command goes on")]
    Fs(FsError),
}

impl<E: Into<FsError>> From<E> for CopyError {
    fn from(error: E) -> Self {
        Self::Fs(error.into())
    }
}

/// Copies the files that a fork borrows.
pub struct Forks {
    fs: Arc<FileSystem>,
    runner: Arc<Runner>,
}

impl Forks {
    /// Of this file system.
    pub(crate) fn new(fs: Arc<FileSystem>, runner: Arc<Runner>) -> Self {
        Self { fs, runner }
    }

    /// Copies, within the store, all object files that a repository has on loan.
    pub fn dissociate(&self, id: RepoId, sink: &dyn ProgressSink) -> Result<Copied, CopyError> {
        self.fs.sync_reads()?;
        let repo = read::repo(self.fs.replica().view(), id)?.ok_or(CopyError::Deleted)?;
        let begun = self.runner.begin(Job {
            kind: "copy",
            id,
            repository: repo.path.to_string(),
        });
        let running = begun.map_err(|error| match error {
            JobError::UnderWay(whereabouts) => CopyError::UnderWay(whereabouts),
            JobError::Interrupted | JobError::Git { .. } => FsError::Interrupted.into(),
        })?;
        let repository = self.fs.repository(id)?;
        let copying = Copying {
            fs: &self.fs,
            objects: repository.dissociation(),
            reporter: ProgressReporter::new(&running, sink),
        };
        match copying.run() {
            Err(FsError::Refused(Refusal::NoRepo(_))) => Err(CopyError::Deleted),
            copied => Ok(copied?),
        }
    }
}

struct Copying<'a> {
    fs: &'a FileSystem,
    objects: Dissociation<'a>,
    reporter: ProgressReporter<'a>,
}

impl Copying<'_> {
    fn run(&self) -> FsResult<Copied> {
        let mut copied = Copied::default();
        for _ in 0..LOOKS {
            let borrowed = self.objects.borrowed()?;
            if borrowed.is_empty() {
                return Ok(copied);
            }
            match self.copy(&borrowed, &mut copied) {
                // Repacked, or removed by git.
                Err(FsError::Refused(Refusal::Changed { .. })) => self.fs.sync_reads()?,
                ended => ended?,
            }
        }
        match self.objects.borrowed()?.first() {
            None => Ok(copied),
            Some((path, _)) => Err(Refusal::Changed { path: path.clone() }.into()),
        }
    }

    fn copy(&self, files: &[(RepoPath, FileEntry)], copied: &mut Copied) -> FsResult<()> {
        let (done, total) = (AtomicU64::new(0), bytes(files));
        let reported = |bytes| {
            let done = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            let reported = self.reporter.report("Copying", done, Some(total.max(done)));
            reported.map_err(|_| FsError::Interrupted)
        };
        for batch in batches(files) {
            self.objects.own(batch, &reported)?;
            copied.files += batch.len() as u64;
            copied.bytes += bytes(batch);
        }
        Ok(())
    }
}

fn batches(files: &[(RepoPath, FileEntry)]) -> impl Iterator<Item = &[(RepoPath, FileEntry)]> {
    let mut left = files;
    std::iter::from_fn(move || {
        let fits = |end: &usize| bytes(&left[..*end]) <= BATCH_BYTES;
        let most = left.len().min(BATCH);
        let end = (2..=most).take_while(fits).last().unwrap_or(most.min(1));
        let (batch, rest) = left.split_at(end);
        left = rest;
        (!batch.is_empty()).then_some(batch)
    })
}

fn bytes(files: &[(RepoPath, FileEntry)]) -> u64 {
    files.iter().map(|(_, entry)| entry.size).sum()
}
