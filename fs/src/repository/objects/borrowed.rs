//! Object files of other repositories that are this one's as well, and not catalogued yet.
//!
//! link(2) of a file from another repository, its *lender*, costs no byte: the file is shown as the lender has it, and
//! read under the lender's key. The next publication catalogues all that is borrowed ([`gitmoor_model::Borrowing`]).
//! Until then the names are in memory only, and so they are gone after a crash, as links on a disk are that nobody has
//! synced.
//!
//! Nothing keeps the lender from losing a file before that. What it has lost is copied instead, from under its key,
//! which its trash still names. When the bytes are gone as well, publications fail until somebody deletes the name: no
//! ref moves without its objects.

use super::{Found, Objects};
use crate::error::{FsError, FsResult};
use gitmoor_model::name;
use gitmoor_model::{BlockDigest, FileAdd, FileEntry, Relied, RepoId, RepoPath};
use gitmoor_replicator::read;
use gitmoor_store::block_cache::CacheReadError;
use gitmoor_store::object_store::StoreError;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::FileTimes;
use std::ops::Bound;
use std::time::Instant;

/// A file of another repository.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Borrowed {
    /// The lender.
    from: RepoId,
    /// As the lender had it.
    file: FileAdd,
    /// Since when.
    pub(super) since: Instant,
    /// The replicator says that the lender has it no more.
    is_lost: bool,
}

/// Those of one repository that are not catalogued yet, by their paths.
#[derive(Default)]
pub(super) struct AllBorrowed {
    files: BTreeMap<RepoPath, Borrowed>,
    /// Of all of them.
    bytes: u64,
}

impl AllBorrowed {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn oldest(&self) -> Option<Instant> {
        self.files.values().map(|borrowed| borrowed.since).min()
    }

    pub(super) fn entry(&self, path: &RepoPath) -> Option<&FileEntry> {
        self.files.get(path).map(|borrowed| &borrowed.file.entry)
    }

    /// The block digests of a file, if it is still read under this key.
    pub(super) fn blocks(&self, path: &RepoPath, key: &str) -> Option<Vec<BlockDigest>> {
        let file = &self.files.get(path)?.file;
        (file.entry.key() == Some(key)).then(|| file.blocks.clone())
    }

    /// The names in a directory; whether each is a directory.
    pub(super) fn children(&self, dir: &RepoPath) -> BTreeSet<(Vec<u8>, bool)> {
        let after = (Bound::Excluded(dir), Bound::Unbounded);
        let beneath = self.files.range::<RepoPath, _>(after);
        let beneath = beneath.map(|(path, _)| path.as_bytes());
        let beneath = beneath.take_while(|path| path.starts_with(dir.as_bytes()));
        let name = |path: &[u8]| {
            let rest = match dir.is_root() {
                true => path,
                false => path[dir.as_bytes().len()..].strip_prefix(b"/")?,
            };
            let end = rest.iter().position(|&byte| byte == b'/');
            Some((rest[..end.unwrap_or(rest.len())].to_vec(), end.is_some()))
        };
        beneath.filter_map(name).collect()
    }

    fn insert(&mut self, borrowed: Borrowed) {
        self.remove(&borrowed.file.path);
        self.bytes = self.bytes.saturating_add(borrowed.file.entry.size);
        self.files.insert(borrowed.file.path.clone(), borrowed);
    }

    pub(super) fn remove(&mut self, path: &RepoPath) {
        if let Some(old) = self.files.remove(path) {
            self.bytes = self.bytes.saturating_sub(old.file.entry.size);
        }
    }
}

impl Borrowed {
    /// Bytes.
    pub(crate) fn size(&self) -> u64 {
        self.file.entry.size
    }

    /// Where it is, in both.
    pub(super) fn path(&self) -> &RepoPath {
        &self.file.path
    }

    /// Who lends it, and which file.
    pub(super) fn loan(&self) -> (RepoId, Relied) {
        let (path, digest) = (self.file.path.clone(), self.file.entry.digest);
        (self.from, Relied { path, digest })
    }
}

/// What a repository lends and borrows.
pub(crate) struct Loans<'a>(pub(super) &'a Objects);

impl Loans<'_> {
    /// What another repository may borrow: a file that is catalogued, or borrowed itself.
    pub(crate) fn lend(&self, path: &RepoPath) -> FsResult<Option<Borrowed>> {
        let Some(Found::Entry(entry)) = self.0.find(path)? else {
            return Ok(None);
        };
        let borrowed = self.0.state.lock().borrowed.files.get(path).cloned();
        let (from, blocks) = match borrowed {
            Some(borrowed) => (borrowed.from, borrowed.file.blocks),
            None => {
                let blocks = read::blocks(self.0.shared.replica.view(), self.0.repo, path)?;
                (self.0.repo, blocks)
            }
        };
        let path = path.clone();
        Ok(Some(Borrowed {
            from,
            file: FileAdd {
                path,
                entry,
                blocks,
            },
            since: Instant::now(),
            is_lost: false,
        }))
    }

    /// Has a file of another repository from now on, instead of a catalogued one of its name. One that is still to be
    /// stored stays.
    pub(crate) fn borrow(&self, borrowed: Borrowed) -> FsResult<()> {
        let (path, _naming) = (borrowed.file.path.clone(), self.0.naming.lock());
        if self.0.files.stat(&path)?.is_some() {
            return Err(FsError::CrossRoom);
        }
        self.0.prune.has_anew(&path);
        let mut state = self.0.state.lock();
        state.touched.remove(&path);
        state.borrowed.insert(borrowed);
        state.note();
        Ok(())
    }

    /// What was borrowed and is not catalogued is no more.
    pub(crate) fn give_back(&self, path: &RepoPath) {
        self.0.state.lock().borrowed.remove(path);
    }

    /// Whether a name is borrowed and not catalogued.
    pub(crate) fn has(&self, path: &RepoPath) -> bool {
        self.0.state.lock().borrowed.files.contains_key(path)
    }

    /// Whether any name in a directory is.
    pub(crate) fn any_in(&self, dir: &RepoPath) -> bool {
        !self.0.state.lock().borrowed.children(dir).is_empty()
    }

    /// What is to be catalogued of it, when everything that lenders have lost was copied: the names of that come
    /// second.
    pub(super) fn to_publish(&self) -> FsResult<(Vec<Borrowed>, Vec<RepoPath>)> {
        let all: Vec<_> = self
            .0
            .state
            .lock()
            .borrowed
            .files
            .values()
            .cloned()
            .collect();
        let (mut lent, mut copied) = (Vec::new(), Vec::new());
        for borrowed in all {
            match self.is_lent(&borrowed)? {
                true => lent.push(borrowed),
                false => {
                    self.copy_lost(&borrowed)?;
                    copied.push(borrowed.file.path);
                }
            }
        }
        Ok((lent, copied))
    }

    /// Whether its lender has it still, as far as this mount knows.
    fn is_lent(&self, borrowed: &Borrowed) -> FsResult<bool> {
        let Borrowed { from, file, .. } = borrowed;
        let view = self.0.shared.replica.view();
        if borrowed.is_lost || read::repo(view, *from)?.is_none() {
            return Ok(false);
        }
        let there = read::file(view, *from, &file.path)?;
        Ok(there.is_some_and(|there| there.digest == file.entry.digest))
    }

    /// Makes a file of this repository's own of one that its lender has lost. What was deleted here as well, and holds
    /// no objects or is nowhere any more, needs none.
    fn copy_lost(&self, borrowed: &Borrowed) -> FsResult<()> {
        let FileAdd { path, entry, .. } = &borrowed.file;
        // What is not objects can be had again from them: a deletion of that is not undone.
        if !name::holds_objects(path) && self.0.prune.hides(path) {
            self.give_back(path);
            return Ok(());
        }
        let made = self
            .0
            .files
            .make(entry.mode, self.0.files.owner()?, |file| {
                self.0.write_to(path, entry, file)?;
                let times = FileTimes::new().set_modified(entry.mtime.into());
                Ok(file.set_times(times)?)
            });
        let ready = match made.and_then(|made| self.0.ready_private(made, path)) {
            Err(error) if is_gone(&error) && self.0.prune.hides(path) => {
                self.give_back(path);
                return Ok(());
            }
            ready => ready?,
        };
        tracing::info!(repo = %self.0.repo, %path, lender = %borrowed.from, "gone from the repository that it was linked from: copied");
        self.0.finish_borrowed(path, ready)
    }

    /// The replicator refused one.
    pub(crate) fn refused(&self, path: &RepoPath) {
        if let Some(borrowed) = self.0.state.lock().borrowed.files.get_mut(path) {
            borrowed.is_lost = true;
        }
    }

    /// The catalog has them.
    pub(super) fn settle(&self, all: &[Borrowed]) -> FsResult<()> {
        for borrowed in all {
            let FileAdd { path, entry, .. } = &borrowed.file;
            let mut state = self.0.state.lock();
            if state.borrowed.files.get(path) == Some(borrowed) {
                state.borrowed.remove(path);
            }
            let is_touched = state.touched.contains_key(path) || self.0.prune.hides(path);
            drop(state);
            // The lender's new times may not have been published by then.
            let now = read::file(self.0.shared.replica.view(), self.0.repo, path)?;
            let is_as_shown = |now: &FileEntry| (now.mtime, now.mode) == (entry.mtime, entry.mode);
            if !is_touched && now.is_some_and(|now| !is_as_shown(&now)) {
                self.0.touch(path, Some(entry.mtime), Some(entry.mode))?;
            }
        }
        Ok(())
    }
}

fn is_gone(error: &FsError) -> bool {
    matches!(
        error,
        FsError::Cache(CacheReadError::Store(StoreError::NotFound { .. }))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use gitmoor_model::{Digest, Place, Timestamp};

    fn path(text: &str) -> RepoPath {
        RepoPath::new(text).expect("a valid path")
    }

    fn borrowed(at: &str, size: u64) -> Borrowed {
        let entry = FileEntry {
            size,
            mtime: Timestamp::default(),
            mode: 0o100_444,
            digest: Digest([7; 32]),
            block_size: 1 << 20,
            place: Place::Inline(Vec::new()),
        };
        let (path, blocks) = (path(at), Vec::new());
        Borrowed {
            from: RepoId::random(),
            file: FileAdd {
                path,
                entry,
                blocks,
            },
            since: Instant::now(),
            is_lost: false,
        }
    }

    /// Among names that sort around what lies beneath a directory.
    #[test]
    fn the_names_in_a_directory() {
        let mut all = AllBorrowed::default();
        for at in [
            "objects/00/a",
            "objects/00-b",
            "objects/00/c",
            "objects/001/d",
        ] {
            all.insert(borrowed(at, 1));
        }
        let names = |dir: &str| -> Vec<_> {
            let children = all.children(&path(dir)).into_iter();
            children
                .map(|(name, is_dir)| (String::from_utf8(name).expect("text"), is_dir))
                .collect()
        };
        let pairs = |all: &[(&str, bool)]| -> Vec<_> {
            let pair = |(name, is_dir): &(&str, bool)| ((*name).to_owned(), *is_dir);
            all.iter().map(pair).collect()
        };
        assert_eq!(names("objects/00"), pairs(&[("a", false), ("c", false)]));
        let beneath = [("00", true), ("00-b", false), ("001", true)];
        assert_eq!(names("objects"), pairs(&beneath));
        assert_eq!(names("objects/0"), []);
        assert_eq!(names(""), pairs(&[("objects", true)]));
    }

    #[test]
    fn what_has_one_name_counts_once() {
        let mut all = AllBorrowed::default();
        all.insert(borrowed("objects/00/a", 5));
        all.insert(borrowed("objects/00/a", 7));
        assert_eq!((all.len(), all.bytes()), (1, 7));
        all.remove(&path("objects/00/a"));
        assert_eq!((all.is_empty(), all.bytes()), (true, 0));
    }
}
