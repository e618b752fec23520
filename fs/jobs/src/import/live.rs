//! A repository that is served while it is imported.
//!
//! It is *taken over*: the old one is fenced ([`super::fence`]) and lends the objects that it has ([`super::lent`]); then
//! refs and name are here, in one step, and of objects nothing but `objects/info/alternates`, by which git finds what
//! is lent. From then on what is pushed comes here. A second, hidden import copies what is lent meanwhile, and proves that all
//! objects are there, as of any source; at its end the repository takes its files, and borrows no more, in one command.
//!
//! Whether a repository is on this way says that file alone, which names the source in its first line: so it goes
//! on after any interruption.
#![expect(
    clippy::disallowed_methods,
    reason = "the private directory of an import is the daemon's own"
)]

use super::fence::Fence;
use super::lent::Loan;
use super::source::Disk;
use super::{ImportError, Imports, Run, Source};
use crate::failpoint;
use crate::runner::ProgressSink;
use gitmoor_fs::{FsError, catalog};
use gitmoor_model::{
    Digest, FileAdd, FileEntry, Format, ImportStep, NamePath, Place, RefStorage, RepoId, RepoPath,
};
use gitmoor_replicator::{NameEntry, read};
use gitmoor_store::block_cache;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const ALTERNATES: &str = "objects/info/alternates";

fn alternates() -> RepoPath {
    RepoPath::new(ALTERNATES).expect("a valid path")
}

/// git passes over a line that begins so.
const MARK: &str = "# taken over from ";

fn mark(source: &Source) -> String {
    format!("{MARK}{source}\n")
}

/// Of a small file.
fn begins(entry: &FileEntry, with: &str) -> bool {
    match &entry.place {
        Place::Inline(bytes) => bytes.starts_with(with.as_bytes()),
        Place::Stored { .. } => false,
    }
}

/// Who borrows, and the digest of what says so.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Borrower {
    pub(super) id: RepoId,
    pub(super) alternates: Digest,
}

impl Imports {
    /// The repository at a path, if it was taken over from this source and has not all of its objects yet.
    pub(super) fn borrower(
        &self,
        path: &NamePath,
        source: &Source,
    ) -> Result<Option<Borrower>, FsError> {
        let replica = self.fs.replica();
        let Some(NameEntry::Repo(id)) = read::name(replica.view(), path)? else {
            return Ok(None);
        };
        let Some(entry) = read::file(replica.view(), id, &alternates())? else {
            return Ok(None);
        };
        let alternates = entry.digest;
        Ok(begins(&entry, &mark(source)).then_some(Borrower { id, alternates }))
    }

    /// Whether a repository borrows objects until its import has ended.
    pub fn is_taken_over(&self, id: RepoId) -> Result<bool, FsError> {
        let entry = read::file(self.fs.replica().view(), id, &alternates())?;
        Ok(entry.is_some_and(|entry| begins(&entry, MARK)))
    }

    /// Serves a repository from now on, unless something of that name is there. [`Imports::import`] goes on from there.
    pub fn take_over(
        &self,
        path: &NamePath,
        source: &Source,
        sink: &dyn ProgressSink,
    ) -> Result<(), ImportError> {
        if read::name(self.fs.replica().view(), path)?.is_some() {
            return Ok(());
        }
        let import = self.begun(path, source, None)?;
        let running = self.begin_import(&import, sink)?;
        if read::name(self.fs.replica().view(), path)?.is_some() {
            return Ok(());
        }
        let run = self.run_of(import, &running, sink, source)?;
        run.take_over().inspect_err(|error| run.give_up(error))
    }
}

impl Run<'_> {
    fn take_over(&self) -> Result<(), ImportError> {
        let name = || self.import.path.to_string();
        let files = catalog::files(self.fs.replica(), self.import.id)?;
        if files.iter().any(|(path, _)| *path != alternates()) {
            return Err(ImportError::BegunHidden(name()));
        }
        let Source::Disk(_) = self.source else {
            return Err(ImportError::NotLive(name()));
        };
        let source = self.source.open(&self.private, &self.reporter)?;
        Fence(&source).put_up(&self.import.path, &self.reporter)?;
        failpoint::IMPORT_FENCED.hit();
        self.serve(&source)
            .inspect_err(|error| release(&source, error))
    }

    fn serve(&self, source: &Disk) -> Result<(), ImportError> {
        let refs = source.refs(&self.reporter)?;
        // After the refs: by then all is there that they reach.
        Loan(source).lend(&self.reporter)?;
        self.note_values(&refs, source)?;
        self.step(ImportStep::Store(vec![self.borrowing(&source.lent())?]))?;
        self.step(ImportStep::Verify {
            paths: vec![alternates()],
            full: true,
        })?;
        self.name_it(Format {
            bare: true,
            objects: source.format,
            refs: RefStorage::Files,
        })?;
        failpoint::IMPORT_TAKEN_OVER.hit();
        tracing::info!(repository = %self.import.path, source = %self.source, "taken over, and served from now on");
        Ok(())
    }

    /// What failed as a whole is not noted as an import that is under way.
    fn give_up(&self, error: &ImportError) {
        if matches!(
            error,
            ImportError::Interrupted | ImportError::BegunHidden(_)
        ) || is_unsure(error)
        {
            return;
        }
        let abandoned = self.step(ImportStep::Abandon);
        if let Err(error) = abandoned.and_then(|()| Ok(self.private.remove()?)) {
            tracing::warn!(import = %self.import.path, %error, "was not taken over; gitmoor import --abandon clears up after it");
        }
        self.fs.close_repository(self.import.id);
    }

    /// Where objects are found that are not here yet.
    fn borrowing(&self, objects: &Path) -> Result<FileAdd, ImportError> {
        let objects = fs::canonicalize(objects).map_err(ImportError::reading(objects))?;
        let objects = objects.as_os_str().as_bytes();
        if objects.contains(&b'\n') {
            return Err(ImportError::NotLive(self.import.path.to_string()));
        }
        let text = [mark(self.source).as_bytes(), objects, b"\n"].concat();
        let at = self.private.kept("alternates")?.join("alternates");
        fs::write(&at, text).map_err(ImportError::local(&at))?;
        let file = File::open(&at).map_err(ImportError::local(&at))?;
        let size = file.metadata()?.len();
        let digests = block_cache::digest_file(&file, size, block_cache::block_size_for(size))?;
        let uploader = self.repository.objects().uploader();
        let mut add = uploader.store_resuming(&alternates(), &file, digests, &|_| true)?;
        add.entry.mode = 0o100_644;
        Ok(add)
    }

    /// The repository that was taken over gets all files of this import, and borrows no more.
    pub(super) fn give_to(&self, borrower: Borrower, source: &Disk) -> Result<(), ImportError> {
        let files = catalog::files(self.fs.replica(), self.import.id)?;
        self.step(ImportStep::GiveTo {
            repo: borrower.id,
            instead_of: borrower.alternates,
        })?;
        let given = files.iter().map(|(path, _)| path);
        for path in given.chain([&alternates()]) {
            self.fs.file_changed(borrower.id, path);
        }
        failpoint::IMPORT_GIVEN.hit();
        if let Err(error) = Loan(source).take_back() {
            tracing::warn!(source = %source.dir.display(), %error, "gitmoor-lent there is not needed any more, and cannot be removed");
        }
        Ok(())
    }
}

/// What is not served here is to be served there.
fn release(source: &Disk, error: &ImportError) {
    if is_unsure(error) {
        return tracing::warn!(source = %source.dir.display(), "it is not known whether it was taken over, so its hook reference-transaction goes on to keep its refs from changing: repeat the command");
    }
    let released = Fence(source)
        .take_down()
        .and_then(|()| Loan(source).take_back());
    if let Err(error) = released {
        tracing::error!(source = %source.dir.display(), %error, "was not taken over, and its hook reference-transaction cannot be removed: remove it, so that it takes pushes again");
    }
}

/// Whether a proposal may have come through that got no answer.
fn is_unsure(error: &ImportError) -> bool {
    matches!(error, ImportError::Fs(FsError::Propose(_)))
}
