//! The refs room: `HEAD`, `refs/**`, `packed-refs`, `reftable/**`, `shallow`.
//!
//! Values live in the replicator, and are shown from there alone. What git prepares (lock files,
//! `packed-refs.new`, temporary reftables) are real files of the repository's directory, as are
//! directories that git made. What is written in place is a draft (`repository/draft.rs`).
//!
//! Creating `X.lock` notes the version of X; renaming it to X proposes a
//! compare-and-swap on that version. Safety is the compare-and-swap, the lock
//! only makes a conflict show where git handles it ([`locked`]).

mod gathered;
mod large;
mod locked;
pub mod packed;
mod pieces;
mod rendered;
mod tables;
mod values;

pub(crate) use gathered::Gathered;
pub(crate) use large::{Large, OpenValues, Value};
pub(crate) use rendered::Rendered;

use crate::error::{FsError, FsResult};
use crate::failpoint;
use crate::repository::context::Context;
use crate::repository::host_files::mode_of_value;
use crate::repository::local::{Files, read_at_most};
use crate::repository::objects::Named;
use crate::repository::transaction::{Author, Transactions};
use gathered::{Answer, Step};
use gitmoor_model::host_file;
use gitmoor_model::room::{Room, Type, is_ref_scratch, may_be_link, room};
use gitmoor_model::{
    Change, Expect, PACKED_REFS, PackedEdit, RefEdit, RefEntry, RepoChange, RepoId, RepoPath,
    Version,
};
use gitmoor_replicator::Child;
use large::Taken;
use locked::Locks;
use pieces::PackedRefs;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use tables::Tables;
use values::Values;

/// Edits of one raft entry stay below about this many bytes.
const CHUNK: usize = 2 << 20;

/// Bytes of a value, at most: it must fit into a raft entry.
const MOST: u64 = 4 << 20;

/// The same of `packed-refs`, which goes in pieces. It is in memory while it is committed: some
/// seven million refs.
const MOST_IN_PIECES: u64 = 512 << 20;

/// The same of a reftable. It goes in pieces too, but each is added to a row that holds all that came before.
const MOST_OF_TABLE: u64 = 128 << 20;

/// Bytes that a value may have.
pub(crate) fn most(path: &RepoPath) -> u64 {
    if host_file::may_be_one(path) {
        host_file::MOST
    } else if path.as_bytes() == PACKED_REFS {
        MOST_IN_PIECES
    } else if tables::is_table_file(path) {
        MOST_OF_TABLE
    } else {
        MOST
    }
}

/// The refs room of one repository.
pub(crate) struct Refs {
    values: Arc<Values>,
    files: Arc<Files>,
    locks: Arc<Locks>,
    gathered: Arc<Gathered>,
    packed: PackedRefs,
    tables: Tables,
    opened: OpenValues<RepoPath>,
}

/// A replicated name of the refs room.
pub(crate) enum Found {
    Entry(RefEntry),
    /// The packed table, as a file.
    Packed(Arc<Rendered>),
    /// A directory that exists because refs lie beneath it.
    Directory,
}

impl Refs {
    /// The room; `rendered` is a directory for rendered `packed-refs`, and large values that are open.
    pub(crate) fn new(
        repo: RepoId,
        shared: Arc<Context>,
        files: Arc<Files>,
        transactions: Arc<Transactions>,
        rendered: std::path::PathBuf,
    ) -> Self {
        let values = Arc::new(Values::new(repo, shared, transactions));
        let locks = Arc::new(Locks::new(values.clone()));
        let gathered = Gathered::new(values.clone(), locks.clone(), files.clone());
        Self {
            gathered: Arc::new(gathered),
            files,
            opened: OpenValues::new(rendered.clone()),
            packed: PackedRefs::new(values.clone(), locks.clone(), rendered),
            tables: Tables::new(values.clone(), locks.clone()),
            locks,
            values,
        }
    }

    /// What is replicated under a name.
    pub(crate) fn find(&self, path: &RepoPath) -> FsResult<Option<Found>> {
        if is_ref_scratch(path) {
            return Ok(None);
        }
        if let Some(entry) = self.values.get(path)? {
            return Ok(Some(Found::Entry(entry)));
        }
        if path.as_bytes() == PACKED_REFS {
            return Ok(self.packed.rendered()?.map(Found::Packed));
        }
        let beneath = path.as_bytes().starts_with(b"refs") || path.as_bytes() == b"reftable";
        let any = beneath && self.values.any_in(path)?;
        Ok(any.then_some(Found::Directory))
    }

    /// The replicated names in a directory; whether each is a directory.
    pub(crate) fn children(&self, dir: &RepoPath) -> FsResult<Vec<(Vec<u8>, Type)>> {
        let children = self.values.in_dir(dir)?;
        let kind = |child| match child {
            Child::Directory => Type::Directory,
            Child::File(mode) if mode & libc::S_IFMT == libc::S_IFLNK => Type::Symlink,
            Child::File(_) => Type::File,
        };
        let children = children.into_iter();
        let mut names: Vec<_> = children.map(|(name, child)| (name, kind(child))).collect();
        let has_packed = names.iter().any(|(name, _)| name == PACKED_REFS);
        if dir.is_root() && !has_packed && self.packed.rendered()?.is_some() {
            names.push((PACKED_REFS.to_vec(), Type::File));
        }
        Ok(names)
    }

    /// Whether anything replicated lies in a directory.
    pub(crate) fn has_children(&self, dir: &RepoPath) -> FsResult<bool> {
        let packed = dir.is_root() && self.packed.rendered()?.is_some();
        Ok(packed || self.values.any_in(dir)?)
    }

    /// Makes a scratch file. If it is a lock, that is asked for before the file is there:
    /// refused, it leaves nothing.
    pub(crate) fn claimed<T>(
        &self,
        path: &RepoPath,
        make: impl FnOnce() -> FsResult<T>,
    ) -> FsResult<T> {
        if let Some(target) = lock_target(path) {
            self.gathered.settle(&target)?;
            if self.gathered.waits(&target) {
                return Err(FsError::Exists);
            }
            self.locks.take(&target)?;
        }
        make().inspect_err(|_| self.removed(path))
    }

    /// The same for a process, whose steps under the lock may wait.
    pub(crate) fn created<T>(
        &self,
        path: &RepoPath,
        pid: u32,
        make: impl FnOnce() -> FsResult<T>,
    ) -> FsResult<T> {
        let Some(target) = lock_target(path) else {
            return self.claimed(path, make);
        };
        self.gathered.begins(pid)?;
        let made = self.claimed(path, make)?;
        let took = self.gathered.took(&target, pid);
        took.inspect_err(|_| {
            self.clean_up(path);
            self.removed(path);
        })?;
        Ok(made)
    }

    /// A process is about to remove a scratch file, or to give it another name.
    pub(crate) fn gives_up(&self, path: &RepoPath, pid: u32) -> FsResult<()> {
        match lock_target(path) {
            Some(target) => self.gathered.gives_up(&target, pid),
            None => Ok(()),
        }
    }

    /// The steps of transactions that wait.
    pub(crate) fn gathered(&self) -> &Arc<Gathered> {
        &self.gathered
    }

    /// Whether a path is the lock file of one of several refs that a git has locked.
    pub(crate) fn is_one_of_locks(&self, path: &RepoPath) -> bool {
        lock_target(path).is_some_and(|target| self.gathered.is_beside(&target))
    }

    /// git removed a scratch file.
    pub(crate) fn removed(&self, path: &RepoPath) {
        if let Some(target) = lock_target(path) {
            self.locks.release(&target);
        }
    }

    /// What a value is now, as a change of it may expect.
    pub(crate) fn current(&self, name: &RepoPath) -> FsResult<Expect> {
        self.values.current(name)
    }

    /// The bytes of a value, for an open file.
    pub(crate) fn open_value(&self, path: &RepoPath, entry: RefEntry) -> FsResult<Value> {
        self.opened.open(path, entry.version, entry.value)
    }

    /// Before a value of so many bytes is read, to be committed: waits until the user has space for it.
    pub(crate) fn space_for(&self, bytes: u64, by: &Author) -> FsResult<Option<Taken<'_>>> {
        let Values { repo, shared, .. } = &*self.values;
        let begin_wait = || shared.begin_wait(*repo, "a large value");
        shared.large.space_for(bytes, by, begin_wait)
    }

    /// rename(2) of a scratch file (or any real file) to a name that is kept.
    pub(crate) fn commit_file(
        &self,
        from: &RepoPath,
        to: &RepoPath,
        by: &Author,
    ) -> FsResult<Named> {
        if lock_target(from).as_ref() == Some(to) && self.gathered.has(to, by) {
            return self.commit_lock(from, to, by);
        }
        self.gathered.finish_of(by)?;
        let node = self.files.node(from)?;
        let meta = node.stat()?;
        if meta.is_symlink() && may_be_link(to) {
            let value = node.readlink()?.into_os_string().into_vec();
            self.write(to, meta.mode(), value, self.locks.expected(to)?, by)?;
        } else {
            let file = self.files.open_to_read(from)?.ok_or(FsError::NotFound)?;
            let meta = file.metadata()?;
            let _space = self.space_for(meta.len().min(most(to)), by)?;
            let mode = mode_of_value(to, meta.mode());
            let value = read_at_most(&file, most(to))?;
            if to.as_bytes() == PACKED_REFS {
                self.commit_packed(from, to, (&file, mode, &value), by)?;
                // libgit2, JGit and dulwich rename the lock itself. git renames another file, and keeps the lock.
                self.removed(from);
                return Ok(Named::File);
            }
            let expect = self.locks.expected(to)?;
            match to.as_bytes() == tables::LIST && lock_target(from).as_ref() == Some(to) {
                true => self.tables.replace_list(to, mode, value, expect, by)?,
                false => self.write(to, mode, value, expect, by)?,
            };
        }
        failpoint::REF_COMMITTED.hit();
        self.clean_up(from);
        self.removed(from);
        Ok(Named::File)
    }

    /// rename(2) of a lock file that git made to the ref of the lock.
    fn commit_lock(&self, from: &RepoPath, to: &RepoPath, by: &Author) -> FsResult<Named> {
        let file = self.files.open_to_read(from)?.ok_or(FsError::NotFound)?;
        let meta = file.metadata()?;
        let _space = self.space_for(meta.len().min(most(to)), by)?;
        let mode = mode_of_value(to, meta.mode());
        let value = read_at_most(&file, most(to))?;
        let expect = self.locks.expected(to)?;
        let step = Step::new(to.clone(), expect, Change::Set { mode, value });
        match self.gathered.step(step, by, || self.clean_up(from))? {
            Answer::Waits => Ok(Named::Later),
            Answer::Durable => {
                failpoint::REF_COMMITTED.hit();
                self.clean_up(from);
                self.removed(from);
                Ok(Named::File)
            }
        }
    }

    /// Writes a value, after everything it may refer to is stored.
    pub(crate) fn write(
        &self,
        name: &RepoPath,
        mode: u32,
        value: Vec<u8>,
        expect: Expect,
        by: &Author,
    ) -> FsResult<Version> {
        self.gathered.finish_of(by)?;
        if name.as_bytes() == PACKED_REFS {
            let (version, _) = self.packed.replace(&value, mode, expect, by)?;
            return Ok(version);
        }
        if name.as_bytes() == tables::LIST {
            return self.tables.write_list(name, mode, value, expect, by);
        }
        if value.len() > CHUNK && tables::is_table_file(name) {
            return self.tables.write_table(name, mode, &value, expect, by);
        }
        let mut change = RepoChange::new(self.values.repo);
        change.refs.push(RefEdit {
            name: name.clone(),
            expect,
            change: Change::Set { mode, value },
        });
        let version = match expect {
            Expect::Anything => self.values.commit(change, by)?,
            Expect::Absent | Expect::Is(_) => self.locks.commit(&change, by)?,
        };
        self.locks.wrote_past(name, Expect::Is(version));
        failpoint::REF_WRITTEN.hit();
        Ok(version)
    }

    /// Removes the real file of what is committed, or waits to be. No error of the disk takes a commit back, and a git
    /// that is told of one takes the commit for failed and clears away what it rests on.
    fn clean_up(&self, path: &RepoPath) {
        if let Err(error) = self.files.unlink_if_there(path) {
            tracing::warn!(repo = %self.values.repo, %path, %error, "a file of which nothing is read any more stays: it is removed at the next start, look at the disk of the data directory");
        }
    }

    fn commit_packed(
        &self,
        from: &RepoPath,
        to: &RepoPath,
        (file, mode, bytes): (&File, u32, &[u8]),
        by: &Author,
    ) -> FsResult<()> {
        let expect = self.locks.expected(to)?;
        let (version, usual) = self.packed.replace(bytes, mode, expect, by)?;
        failpoint::PACKED_COMMITTED.hit();
        // The file that git wrote is the rendering of this version, and of no other.
        let adopted = usual && self.adopt_rendered(from, file, version);
        if !adopted {
            self.clean_up(from);
        }
        Ok(())
    }

    fn adopt_rendered(&self, from: &RepoPath, file: &File, version: Version) -> bool {
        let adopted = self.files.take(from, file).and_then(|taken| match taken {
            Some(taken) => self.packed.adopt(&taken.path(), version),
            None => Ok(()),
        });
        if let Err(error) = &adopted {
            tracing::debug!(repo = %self.values.repo, %error, "packed-refs will be rendered anew");
        }
        adopted.is_ok()
    }

    /// unlink(2) of a replicated name.
    pub(crate) fn unlink(&self, path: &RepoPath, by: &Author) -> FsResult<()> {
        if self.gathered.has(path, by) {
            let step = Step::new(path.clone(), self.locks.expected(path)?, Change::Delete);
            return self.gathered.step(step, by, || {}).map(drop);
        }
        self.gathered.finish_of(by)?;
        let mut change = RepoChange::new(self.values.repo);
        change.refs.extend(self.tables.unless_listed(path)?);
        change.refs.extend(self.locks.packed_stays(path)?);
        let mut expect = self.locks.expected(path)?;
        if path.as_bytes() == PACKED_REFS {
            expect = self.packed.thin_out(expect, by)?;
            change.packed.push(PackedEdit::Clear);
        }
        change.refs.push(RefEdit {
            name: path.clone(),
            expect,
            change: Change::Delete,
        });
        let version = self.values.commit(change, by)?;
        self.tables.removed(path);
        // The table is only empty now.
        let now = match path.as_bytes() == PACKED_REFS {
            true => Expect::Is(version),
            false => Expect::Absent,
        };
        self.locks.wrote_past(path, now);
        Ok(())
    }

    /// rename(2) of replicated values: one, or a directory of them.
    pub(crate) fn rename(&self, from: &RepoPath, to: &RepoPath, by: &Author) -> FsResult<()> {
        self.gathered.finish_of(by)?;
        let mut change = RepoChange::new(self.values.repo);
        self.rename_edits(from, to, &mut change.refs, &mut 0)?;
        self.values.commit(change, by).map(drop)
    }

    /// All of it is one entry, whose values have `bytes` so far.
    fn rename_edits(
        &self,
        from: &RepoPath,
        to: &RepoPath,
        edits: &mut Vec<RefEdit>,
        bytes: &mut u64,
    ) -> FsResult<()> {
        if let Some(entry) = self.values.get(from)? {
            *bytes += entry.value.len() as u64;
            if *bytes > 2 * MOST {
                return Err(FsError::TooLarge { most: 2 * MOST });
            }
            let expect = Expect::Is(entry.version);
            edits.push(RefEdit {
                name: from.clone(),
                expect,
                change: Change::Delete,
            });
            let change = Change::Set {
                mode: entry.mode,
                value: entry.value,
            };
            edits.push(RefEdit {
                name: to.clone(),
                expect: Expect::Anything,
                change,
            });
            return Ok(());
        }
        for (name, _) in self.values.in_dir(from)? {
            if let (Some(from), Some(to)) = (from.join(&name), to.join(&name)) {
                self.rename_edits(&from, &to, edits, bytes)?;
            }
        }
        Ok(())
    }

    /// chmod(2) of a replicated value.
    pub(crate) fn set_mode(&self, path: &RepoPath, mode: u32, by: &Author) -> FsResult<()> {
        self.gathered.finish_of(by)?;
        let mut change = RepoChange::new(self.values.repo);
        let expect = Expect::Anything;
        change.refs.push(RefEdit {
            name: path.clone(),
            expect,
            change: Change::Chmod { mode },
        });
        self.values.commit(change, by).map(drop)
    }

    /// Removes what a dead mount left in the making (its locks are gone already), and what stands
    /// under the names of values: a version before put there what was written in place.
    pub(crate) fn clear_scratch(&self) -> FsResult<()> {
        self.clear_scratch_in(&RepoPath::root())?;
        for dir in ["refs", "reftable"] {
            self.clear_scratch_below(&RepoPath::new(dir).expect("a valid path"))?;
        }
        self.packed.clear()
    }

    fn clear_scratch_below(&self, dir: &RepoPath) -> FsResult<()> {
        for (name, kind) in self.files.list(dir)? {
            let below = dir.join(&name).filter(|path| room(path) == Room::Refs);
            if let (Some(path), true) = (below, kind.is_dir()) {
                self.clear_scratch_below(&path)?;
            }
        }
        self.clear_scratch_in(dir)
    }

    fn clear_scratch_in(&self, dir: &RepoPath) -> FsResult<()> {
        for (name, kind) in self.files.list(dir)? {
            let Some(path) = dir.join(&name).filter(|path| room(path) == Room::Refs) else {
                continue;
            };
            if !kind.is_dir() {
                tracing::info!(repo = %self.values.repo, %path, "removing what a dead mount left in the making");
                self.files.unlink_if_there(&path)?;
            }
        }
        Ok(())
    }
}

fn lock_target(path: &RepoPath) -> Option<RepoPath> {
    RepoPath::new(path.as_bytes().strip_suffix(b".lock")?).filter(|target| !target.is_root())
}
