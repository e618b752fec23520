//! Import: a repository is brought in from elsewhere, whole or not at all.
//!
//! The source (`import/source`) is a repository on this machine; what is elsewhere is fetched by stock git first. Its packs go up as they are,
//! loose objects in packs (`import/copy.rs`); a walk from all refs proves meanwhile that every object that they
//! reach is in what was copied (`import/walk.rs`). Then everything is read back from the store (`import/verify.rs`), and only then
//! does the repository get its refs and its name (`import/finish.rs`).
//!
//! How far it is stands in the replicator (`state/import.rs`), file by file, so that after any interruption the
//! same import, on any machine that has the source, goes on where it was. Large files go on within themselves
//! ([`gitmoor_store::object_store::ObjectStore::put_resuming`]).
//!
//! A repository may also be served from the beginning (`live`).
//!
//! The source may be in use. Its refs are read first and its objects afterwards; what a repack of it takes away
//! meanwhile is noticed, and the source looked at anew.

mod contents;
mod copy;
mod error;
mod fence;
mod finish;
mod host_files;
mod lent;
mod live;
mod loose;
mod outage;
mod private;
mod refs;
mod source;
mod status;
mod verify;
mod walk;

pub use error::ImportError;
pub use source::postgres::{Database, ObjectColumns, RefColumns};
pub use source::{BadSource, Source, Tree, Url};
pub use status::{FileStatus, ImportStatus};

use crate::failpoint;
use crate::runner::{Job, JobError, JobGuard, ProgressReporter, ProgressSink, Runner};
use contents::Contents;
use copy::Copied;
use gitmoor_fs::{FileSystem, Repository};
use gitmoor_model::{
    Command, Import, ImportPlan, ImportStage, ImportStep, Importing, NamePath, RepoId,
};
use gitmoor_replicator::{NameEntry, read};
use gitmoor_store::wait::Wait;
use live::Borrower;
use private::Private;
use serde::{Deserialize, Serialize};
use source::Disk;
use std::sync::Arc;
use std::time::{Duration, Instant};
use verify::Verification;

/// How often a source is looked at that changes while it is read.
const PASSES: u32 = 5;

/// How long an import waits for one of the same repository whose command has just ended.
const HANDOVER: Duration = Duration::from_secs(30);

/// What is read back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// Every byte, against the digest of what was sent, of which the checksum of the pack was checked.
    #[default]
    Checksums,
    /// Also every object against its name.
    Full,
}

/// How a repository is brought in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct How {
    /// What is read back.
    pub verify: Verify,
    /// It is served from the beginning, and its source takes no more pushes.
    pub live: bool,
}

/// What an import did.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Imported {
    /// The repository's path in the namespace.
    pub repository: String,
    /// The repository's permanent name.
    pub id: String,
    /// Where it came from, without secrets.
    pub source: String,
    /// It had been imported before; nothing was done.
    pub already: bool,
    /// Refs that it got.
    pub refs: u64,
    /// Objects of the source; one that is in two files counts twice.
    pub objects: u64,
    /// Object files that it has.
    pub files: u64,
    /// Bytes of these object files.
    pub bytes: u64,
    /// Of these, what was stored this time; the rest was there.
    pub stored_bytes: u64,
    /// How long it took this time.
    pub seconds: f64,
}

/// Brings repositories in from elsewhere.
pub struct Imports {
    fs: Arc<FileSystem>,
    runner: Arc<Runner>,
}

impl Imports {
    /// Into this file system.
    pub(crate) fn new(fs: Arc<FileSystem>, runner: Arc<Runner>) -> Self {
        Self { fs, runner }
    }

    /// Brings a repository in, or goes on with that.
    pub fn import(
        &self,
        path: &NamePath,
        source: &Source,
        how: How,
        sink: &dyn ProgressSink,
    ) -> Result<Imported, ImportError> {
        let began = Instant::now();
        self.fs.check_owner("an import")?;
        self.fs.sync_reads()?;
        if how.live {
            self.take_over(path, source, sink)?;
        }
        if let Some(done) = self.imported_before(path, source)? {
            return Ok(done);
        }
        let borrower = self.borrower(path, source)?;
        let import = self.begun(path, source, borrower)?;
        let running = self.begin_import(&import, sink)?;
        // Another may just have brought it to its end.
        if let Some(done) = self.imported_before(path, source)? {
            return Ok(done);
        }
        let run = Run {
            verify: how.verify,
            borrower,
            ..self.run_of(import, &running, sink, source)?
        };
        let mut done = run.run().inspect_err(|error| run.note_failure(error))?;
        done.seconds = began.elapsed().as_secs_f64();
        tracing::info!(?done, "imported");
        Ok(done)
    }

    fn run_of<'a>(
        &'a self,
        import: Import,
        running: &'a JobGuard<'a>,
        sink: &'a dyn ProgressSink,
        source: &'a Source,
    ) -> Result<Run<'a>, ImportError> {
        Ok(Run {
            fs: &self.fs,
            imports: self,
            repository: self.fs.repository(import.id)?,
            private: Private::open(&self.fs, import.id)?,
            reporter: ProgressReporter::new(running, sink),
            source,
            verify: Verify::default(),
            borrower: None,
            import,
        })
    }

    /// What is left of an import that is not to come to its end goes to gc.
    pub fn abandon(&self, path: &NamePath) -> Result<(), ImportError> {
        self.fs.sync_reads()?;
        let import = self.unfinished(path)?;
        let import = import.ok_or_else(|| ImportError::NotBegun(path.to_string()))?;
        let _running = self.runner.begin(job(&import))?;
        self.step(import.id, ImportStep::Abandon)?;
        self.fs.close_repository(import.id);
        Ok(Private::open(&self.fs, import.id)?.remove()?)
    }

    /// If the repository is there, whole, because it was imported from this source; an error if it is another.
    fn imported_before(
        &self,
        path: &NamePath,
        source: &Source,
    ) -> Result<Option<Imported>, ImportError> {
        let id = match read::name(self.fs.replica().view(), path)? {
            None => return Ok(None),
            Some(NameEntry::Directory | NameEntry::Link(_) | NameEntry::File(_)) => {
                return Err(ImportError::Exists(path.to_string()));
            }
            Some(NameEntry::Repo(id)) => id,
        };
        if self.borrower(path, source)?.is_some() {
            return Ok(None);
        }
        let source = source.to_string();
        let imports = read::imports(self.fs.replica().view())?;
        let is_it = |import: &&Import| import.id == id && import.source == source;
        match imports.iter().find(is_it) {
            None => Err(ImportError::Exists(path.to_string())),
            Some(_) => Ok(Some(Imported {
                repository: path.to_string(),
                id: id.to_string(),
                source,
                already: true,
                ..Imported::default()
            })),
        }
    }

    fn unfinished(&self, path: &NamePath) -> Result<Option<Import>, ImportError> {
        let mut imports = read::imports(self.fs.replica().view())?.into_iter();
        Ok(imports.find(|import| import.path == *path && import.stage != ImportStage::Done))
    }

    fn begun(
        &self,
        path: &NamePath,
        source: &Source,
        borrower: Option<Borrower>,
    ) -> Result<Import, ImportError> {
        let source = source.to_string();
        if self.unfinished(path)?.is_none() {
            let begin = ImportStep::Begin {
                path: path.clone(),
                source: source.clone(),
                borrower: borrower.map(|borrower| borrower.id),
            };
            self.step(RepoId::random(), begin)?;
            failpoint::IMPORT_BEGUN.hit();
        }
        match self.unfinished(path)? {
            Some(import) if import.source == source => Ok(import),
            Some(import) => Err(ImportError::OtherSource {
                repository: path.to_string(),
                origin: import.source,
            }),
            None => Err(ImportError::NotBegun(path.to_string())),
        }
    }

    /// The daemon may not have noticed yet that an earlier command is gone: it is waited for.
    fn begin_import(
        &self,
        import: &Import,
        sink: &dyn ProgressSink,
    ) -> Result<JobGuard<'_>, ImportError> {
        let until = Instant::now() + HANDOVER;
        loop {
            match self.runner.begin(job(import)) {
                Err(JobError::UnderWay(_)) if Instant::now() < until && !sink.is_cancelled() => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                begun => return Ok(begun?),
            }
        }
    }

    fn step(&self, id: RepoId, step: ImportStep) -> Result<(), ImportError> {
        self.fs
            .propose(Command::Import(Box::new(Importing { id, step })))?;
        Ok(())
    }
}

fn job(import: &Import) -> Job {
    Job {
        kind: "import",
        id: import.id,
        repository: import.path.to_string(),
    }
}

struct Run<'a> {
    fs: &'a FileSystem,
    imports: &'a Imports,
    import: Import,
    /// Which nobody sees yet.
    repository: Arc<Repository>,
    private: Private,
    source: &'a Source,
    verify: Verify,
    /// Which is served already, and has this source's refs.
    borrower: Option<Borrower>,
    reporter: ProgressReporter<'a>,
}

impl Run<'_> {
    fn begin_wait(&self) -> Wait {
        let path = self.import.path.to_string();
        self.fs.begin_wait("an import", &path)
    }

    fn run(&self) -> Result<Imported, ImportError> {
        let mut source = self.source.open(&self.private, &self.reporter)?;
        if self.borrower.is_some() {
            source.take_what_is_lent()?;
        }
        for _ in 1..PASSES {
            match self.pass(&source) {
                Err(ImportError::Moved(what)) => {
                    tracing::info!(import = %self.import.path, what, "the source changed meanwhile, looking at it anew");
                }
                done => return done,
            }
        }
        self.pass(&source)
    }

    fn pass(&self, source: &Disk) -> Result<Imported, ImportError> {
        self.reporter.report("Looking", 0, None)?;
        let refs = source.refs(&self.reporter)?;
        // After the refs: by then all is there that they reach.
        let inventory = source.inventory(&self.reporter)?;
        let contents = Contents::of(self, source, &inventory)?;
        let plan = contents.plan(&inventory);
        self.reach(ImportStage::Copying, plan)?;
        let copied = self.copy_and_walk(source, &refs, &inventory, &contents, plan)?;
        failpoint::IMPORT_COPIED.hit();
        self.drop_partial()?;
        self.reach(ImportStage::Verifying, plan)?;
        Verification::new(self, source.format).run()?;
        failpoint::IMPORT_VERIFIED.hit();
        self.finish(source, &refs, &copied, plan)
    }

    /// The walk needs the source, copying the network.
    fn copy_and_walk(
        &self,
        source: &Disk,
        refs: &refs::Refs,
        inventory: &source::Inventory,
        contents: &Contents,
        plan: ImportPlan,
    ) -> Result<Copied, ImportError> {
        let walk = walk::Walk::new(contents);
        std::thread::scope(|scope| {
            let walking = scope.spawn(|| walk.run(source, &refs.tips()));
            let copied = copy::copy(self, source, inventory, contents, plan);
            if copied.is_err() {
                walk.stop();
            }
            while !walking.is_finished() {
                let reported = self
                    .reporter
                    .report("Checking", walk.seen(), Some(plan.objects));
                if reported.is_err() {
                    walk.stop();
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            let walked = walking
                .join()
                .expect("a panic is a defect, and logged as one");
            let copied = copied?;
            self.reporter
                .report("Checking", walk.seen(), Some(plan.objects))?;
            walked.map(|()| copied)
        })
    }

    fn step(&self, step: ImportStep) -> Result<(), ImportError> {
        self.imports.step(self.import.id, step)
    }

    fn reach(&self, stage: ImportStage, plan: ImportPlan) -> Result<(), ImportError> {
        self.step(ImportStep::Reach { stage, plan })
    }

    /// Best effort: whoever asked is told anyway. What was merely interrupted has not failed.
    fn note_failure(&self, error: &ImportError) {
        if matches!(error, ImportError::Interrupted) {
            return;
        }
        let reason = self.source.without_secrets(&error.to_string());
        let import = self.imports.unfinished(&self.import.path);
        let plan = import
            .ok()
            .flatten()
            .map_or(self.import.plan, |import| import.plan);
        if let Err(error) = self.reach(ImportStage::Failed { reason }, plan) {
            tracing::warn!(import = %self.import.path, %error, "has failed, and this could not be noted");
        }
    }
}
