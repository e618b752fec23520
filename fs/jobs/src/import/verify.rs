//! What was stored is read back, from the store itself and past the cache, and compared with the digests that were taken of what was
//! sent. On demand git also hashes every object of every pack that comes back.
#![expect(
    clippy::disallowed_methods,
    reason = "the private directory of an import is the daemon's own"
)]

use super::outage::outlast;
use super::{ImportError, Run, Verify};
use crate::runner::git;
use gitmoor_fs::program::Program;
use gitmoor_fs::{FsError, catalog};
use gitmoor_model::{FileEntry, ImportStep, ObjectFormat, Place, RepoPath};
use gitmoor_replicator::read;
use gitmoor_store::block_cache::Digester;
use gitmoor_store::object_store::StoreError;
use gitmoor_store::wait;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// About so much is asked for at a time.
const PIECE: u64 = 8 << 20;

/// The files of one pack, by the name that they share.
type Group = Vec<(RepoPath, FileEntry)>;

/// What is read back of one import.
pub(super) struct Verification<'a> {
    run: &'a Run<'a>,
    format: ObjectFormat,
}

impl<'a> Verification<'a> {
    pub(super) fn new(run: &'a Run<'a>, format: ObjectFormat) -> Self {
        Self { run, format }
    }

    pub(super) fn run(&self) -> Result<(), ImportError> {
        let wait = self.run.begin_wait();
        let _waiting = wait.enter();
        let full = self.run.verify == Verify::Full;
        let verified = read::verified(self.run.fs.replica().view(), self.run.import.id)?;
        let verified: HashMap<_, _> = verified.into_iter().collect();
        let is_done = |path| {
            verified
                .get(path)
                .is_some_and(|was_full| *was_full || !full)
        };
        let groups = self.groups()?;
        let bytes = |group: &Group| group.iter().map(|(_, entry)| entry.size).sum::<u64>();
        let total = groups.values().map(bytes).sum();
        let mut progress = Progress {
            run: self.run,
            done: 0,
            total,
        };
        for group in groups.values() {
            match group.iter().all(|(path, _)| is_done(path)) {
                true => progress.add(bytes(group))?,
                false => self.verify_group(group, &mut progress)?,
            }
        }
        Ok(())
    }

    fn groups(&self) -> Result<BTreeMap<Vec<u8>, Group>, ImportError> {
        let mut groups = BTreeMap::new();
        for (path, entry) in catalog::files(self.run.fs.replica(), self.run.import.id)? {
            let stem = path.as_bytes().rsplitn(2, |&byte| byte == b'.').last();
            let group = groups.entry(stem.unwrap_or_default().to_vec());
            group.or_insert_with(Group::new).push((path, entry));
        }
        Ok(groups)
    }

    fn verify_group(&self, group: &Group, progress: &mut Progress<'_>) -> Result<(), ImportError> {
        let dir = match self.run.verify {
            Verify::Checksums => None,
            Verify::Full => Some(self.run.private.fresh("verify")?),
        };
        let checked = self.check_group(group, dir.as_deref(), progress);
        let paths = group.iter().map(|(path, _)| path.clone()).collect();
        if let Err(ImportError::Spoiled { .. }) = &checked {
            self.run.step(ImportStep::Drop(paths))?;
            return checked;
        }
        checked?;
        let full = self.run.verify == Verify::Full;
        self.run.step(ImportStep::Verify { paths, full })
    }

    fn check_group(
        &self,
        group: &Group,
        dir: Option<&Path>,
        progress: &mut Progress<'_>,
    ) -> Result<(), ImportError> {
        let mut pack = None;
        for (path, entry) in group {
            let at = dir.map(|dir| dir.join(file_name(path)));
            self.read_back(path, entry, at.as_deref(), progress)?;
            if path.as_bytes().ends_with(b".pack") {
                pack = at.map(|at| (path, at));
            }
        }
        match pack {
            Some((path, at)) => self.hash_objects(path, &at),
            None => Ok(()),
        }
    }

    /// Against the digests of what was sent.
    fn read_back(
        &self,
        path: &RepoPath,
        entry: &FileEntry,
        at: Option<&Path>,
        progress: &mut Progress<'_>,
    ) -> Result<(), ImportError> {
        let Place::Stored { key } = &entry.place else {
            return progress.add(entry.size);
        };
        let mut copy = match at {
            Some(at) => Some((at, File::create(at).map_err(ImportError::local(at))?)),
            None => None,
        };
        // Hashing what came before is not waiting for the store.
        wait::touch();
        let mut digester = Digester::new(entry.block_size);
        let block = u64::from(entry.block_size);
        let step = block * (PIECE / block).max(1);
        let mut from = 0;
        while from < entry.size {
            let to = entry.size.min(from + step);
            let bytes = outlast(&self.run.reporter, || {
                self.run.fs.store().get(key, from..to)
            });
            let bytes = bytes.map_err(|error| spoiled_if_gone(path, error))?;
            digester.add(&bytes);
            if let Some((at, copy)) = &mut copy {
                copy.write_all(&bytes).map_err(ImportError::local(at))?;
            }
            progress.add(to - from)?;
            from = to;
        }
        let (digest, blocks) = digester.finish();
        let expected = read::blocks(self.run.fs.replica().view(), self.run.import.id, path)?;
        match digest == entry.digest && blocks == expected {
            true => Ok(()),
            false => Err(spoiled(path, "its digest is another")),
        }
    }

    fn hash_objects(&self, path: &RepoPath, at: &Path) -> Result<(), ImportError> {
        let pack = at.to_string_lossy();
        let format = format!("--object-format={}", self.format.name());
        let step = ["index-pack", "--verify", "-v", &format, &pack];
        let dir = at.parent().unwrap_or(Path::new("/"));
        // No repository is needed for it.
        let index_pack = Program::git(&step).within(dir).writes(dir);
        match git::run(index_pack, &self.run.reporter) {
            Err(crate::runner::JobError::Git { said, .. }) => Err(ImportError::Damaged {
                path: PathBuf::from(path.to_string()),
                reason: format!("an object is not what its name says: {said}"),
            }),
            done => Ok(done?),
        }
    }
}

fn file_name(path: &RepoPath) -> String {
    String::from_utf8_lossy(path.file_name()).into_owned()
}

fn spoiled(path: &RepoPath, reason: &str) -> ImportError {
    ImportError::Spoiled {
        path: path.to_string(),
        reason: reason.to_owned(),
    }
}

/// What is shorter than it was is refused by a store, in whatever words.
fn spoiled_if_gone(path: &RepoPath, error: FsError) -> ImportError {
    match error {
        FsError::Store(StoreError::NotFound { .. }) => spoiled(path, "it is not there"),
        other => other.into(),
    }
}

/// How much was read back.
struct Progress<'a> {
    run: &'a Run<'a>,
    done: u64,
    total: u64,
}

impl Progress<'_> {
    fn add(&mut self, bytes: u64) -> Result<(), ImportError> {
        self.done += bytes;
        Ok(self
            .run
            .reporter
            .report("Verifying", self.done, Some(self.total))?)
    }
}
