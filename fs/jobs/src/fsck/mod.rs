//! The catalog against the store, and the store against the digests.
//!
//! Every catalogued file is read from the store past the cache, block by block, so that
//! memory stays bounded, and every block is named that does not match its digest. A
//! repair never touches the damaged object: a key is never overwritten with other bytes
//! (INV-11), and a reader may be in the middle of it. The right bytes get a key of
//! their own, and one commit lets the catalog name it; the damaged object goes to
//! the trash, where gc finds it. The right bytes are, in this order: good blocks of the
//! store together with copies in the cache of this machine; the copy in staging; for
//! an index or a reverse index the pack it belongs to. A damaged loose object
//! whose object is in a sound pack too is simply removed from the catalog.

mod check;
mod lost;
mod metrics;
mod rescue;

pub use lost::{objects_in, without_packed};
pub(crate) use metrics::register as register_metrics;

use gitmoor_fs::{FileSystem, FsError, Repository, catalog};
use gitmoor_model::name;
use gitmoor_model::{FileEntry, RepoId, RepoPath};
use gitmoor_replicator::read;
use parking_lot::Mutex;
use rescue::Rescue;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

/// What `gitmoor fsck` found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Checked {
    /// The repository's path in the namespace.
    pub repository: String,
    /// Catalogued files that were read.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Those that are not as the catalog says.
    pub damaged: Vec<Damage>,
    /// Finished files that are not stored yet and are damaged: path and reason.
    pub damaged_staging: Vec<String>,
    /// Files that were damaged before they could be stored, where they were moved aside: for a
    /// person to look at and remove. Their names in the repository are free again.
    pub moved_aside: Vec<PathBuf>,
    /// Damaged copies in the cache of this machine, which were dropped (`--deep`).
    pub dropped_copies: Vec<String>,
}

impl Checked {
    /// Adds what was found in a repository inside this one; to nothing, what was found in this one.
    pub fn add(&mut self, inner: Self) {
        if self.repository.is_empty() {
            *self = inner;
            return;
        }
        let within = inner.repository.strip_prefix(&self.repository);
        let within = within.unwrap_or(&inner.repository).trim_start_matches('/');
        let named = |path: String| format!("{within}/{path}");
        self.files += inner.files;
        self.bytes += inner.bytes;
        self.damaged
            .extend(inner.damaged.into_iter().map(|damage| Damage {
                path: named(damage.path),
                ..damage
            }));
        let staged = inner.damaged_staging.into_iter().map(named);
        self.damaged_staging.extend(staged);
        self.moved_aside.extend(inner.moved_aside);
        let dropped = inner.dropped_copies.into_iter().map(named);
        self.dropped_copies.extend(dropped);
    }

    /// Whether nothing is damaged any more.
    pub fn is_sound(&self) -> bool {
        self.damaged_staging.is_empty() && self.damaged.iter().all(|d| d.repaired.is_some())
    }
}

/// A file that is damaged, and what became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Damage {
    /// Its path in the repository.
    pub path: String,
    /// Its key in the store; `None` for one in the catalog itself.
    pub key: Option<String>,
    /// Everything that is wrong with the file.
    pub faults: Vec<Fault>,
    /// How it was repaired, if it was.
    pub repaired: Option<String>,
    /// Objects that are in the damaged parts and nowhere else in the repository, and
    /// with them what is stored as a difference from one of them.
    pub lost_objects: Vec<String>,
}

/// What is wrong with a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum Fault {
    /// The store has no such object.
    Missing,
    /// It has another size.
    Size {
        /// Bytes that the catalog states.
        expected: u64,
        /// Bytes that the store has.
        actual: u64,
    },
    /// A block does not match its digest.
    Block {
        /// Number of the block, from 0.
        block: u64,
        /// Its first byte …
        start: u64,
        /// … and the one after its last.
        end: u64,
    },
    /// The blocks are right and the whole is not, or the object is not the one of its name.
    Content {
        /// What does not match, in words.
        reason: String,
    },
}

/// How thorough a check is, and whether it repairs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FsckOptions {
    /// Repair what can be.
    pub repair: bool,
    /// Also the copies in the cache, and loose objects against their names.
    pub deep: bool,
}

/// Checks repositories, and repairs them.
pub struct Fsck {
    fs: Arc<FileSystem>,
    /// How far it has come, as a sentence.
    checking: Mutex<Option<String>>,
}

impl Fsck {
    /// Of this file system.
    pub(crate) fn new(fs: Arc<FileSystem>) -> Self {
        Self {
            fs,
            checking: Mutex::default(),
        }
    }

    /// How far it is, for `gitmoor status`.
    pub(crate) fn sentence(&self) -> Option<String> {
        self.checking.lock().clone()
    }

    /// Checks a repository; `None` when there is no such repository. An error is one
    /// of the check, such as a store that does not answer.
    pub fn check(&self, id: RepoId, options: FsckOptions) -> Result<Option<Checked>, FsError> {
        let Some(repo) = read::repo(self.fs.replica().view(), id)? else {
            return Ok(None);
        };
        let repository = self.fs.repository(id)?;
        let mut check = Check {
            fs: &self.fs,
            checking: &self.checking,
            id,
            repository,
            options,
            sizes: check::sizes(&self.fs, id)?,
            damaged: HashSet::new(),
            done: Checked {
                repository: repo.path.to_string(),
                ..Checked::default()
            },
        };
        let checked = check.run();
        *self.checking.lock() = None;
        metrics::found(&check.done);
        checked.map(|()| Some(check.done))
    }
}

struct Check<'a> {
    fs: &'a FileSystem,
    checking: &'a Mutex<Option<String>>,
    id: RepoId,
    repository: Arc<Repository>,
    options: FsckOptions,
    /// What the store has.
    sizes: HashMap<String, u64>,
    /// Paths that are not what they should be.
    damaged: HashSet<RepoPath>,
    done: Checked,
}

impl Check<'_> {
    fn run(&mut self) -> Result<(), FsError> {
        self.check_staging()?;
        let files = catalog::files(self.fs.replica(), self.id)?;
        let mut found = Vec::new();
        for (n, (path, entry)) in files.iter().enumerate() {
            self.report_progress(n, files.len());
            let faults = self.check(path, entry)?;
            self.done.files += 1;
            self.done.bytes += entry.size;
            if !faults.is_empty() {
                self.damaged.insert(path.clone());
                found.push((path, entry, faults));
            }
        }
        // Packs before their indexes, which may have to be made from them.
        found.sort_by_key(|(path, ..)| !path.as_bytes().ends_with(b".pack"));
        for (path, entry, faults) in found {
            let damage = self.treat(path, entry, faults)?;
            self.done.damaged.push(damage);
        }
        Ok(())
    }

    fn report_progress(&self, done: usize, of: usize) {
        let name = &self.done.repository;
        *self.checking.lock() = Some(format!("fsck of {name}: {done} of {of} files checked"));
    }

    fn check_staging(&mut self) -> Result<(), FsError> {
        let objects = self.repository.objects();
        for path in objects.pending_paths() {
            if let Err(error) = objects.check(&path, &path) {
                self.done.damaged_staging.push(error.to_string());
            }
        }
        self.done.moved_aside = objects.aside()?;
        Ok(())
    }

    fn treat(
        &mut self,
        path: &RepoPath,
        entry: &FileEntry,
        faults: Vec<Fault>,
    ) -> Result<Damage, FsError> {
        let repaired = match self.options.repair {
            true => Rescue(self).run(path, entry)?,
            false => None,
        };
        let mut damage = Damage {
            path: path.to_string(),
            key: entry.key().map(str::to_owned),
            faults,
            repaired: repaired.map(str::to_owned),
            lost_objects: Vec::new(),
        };
        if damage.repaired.is_none() {
            damage.lost_objects = self.lost(path, entry, &damage.faults)?;
            if self.options.repair
                && damage.lost_objects.is_empty()
                && name::loose_oid(path).is_some()
            {
                self.repository.repair().remove_damaged(path)?;
                let how = "removed: the object is in a sound pack too";
                damage.repaired = Some(how.to_owned());
            }
        }
        if damage.repaired.is_some() {
            self.damaged.remove(path);
        }
        Ok(damage)
    }
}
