//! A value in the making: what somebody writes in place of a ref, `HEAD`, `packed-refs` or a list of
//! tables, without a lock.
//!
//! A draft is a private copy of the value in an unnamed file. Descriptors share it that have the
//! name open for writing at the same time; everybody else is shown the replicated value. A close
//! commits what was written, if the value is still the one that the draft began with. The draft
//! goes with its last descriptor, whether anything was written, committed or refused, and nothing
//! of it is left for a restart. So no real file ever stands before a replicated value.

use super::{Closing, Opened};
use crate::error::{FsError, FsResult};
use crate::process::{Device, has_open, of_thread};
use crate::repository::refs::{self, Refs};
use crate::repository::transaction::Author;
use gitmoor_model::{Expect, RepoPath, Timestamp, Version};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::hash::Hash;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

/// Who uses an open file of a draft: the processes that opened it or wrote to it.
///
/// A descriptor that was duplicated (a shell's redirection, a child that is about to execute a
/// program) is closed while others of the same open file go on writing. The kernel tells of each
/// such close, and not whether it is the last: only the last one commits.
pub(crate) struct Users {
    /// Who opened it, for the audit trail. Whoever closes it may be about to become another program, and
    /// cannot be asked.
    opener: Author,
    threads: Mutex<BTreeSet<u32>>,
    /// Whether the draft was changed through it since that was last committed.
    changed: AtomicBool,
    /// Whether bytes were written: what is only made or cut short may be at the beginning of that.
    written: AtomicBool,
}

impl Users {
    pub(crate) fn new(opener: Author) -> Self {
        Self {
            opener,
            threads: Mutex::default(),
            changed: AtomicBool::new(false),
            written: AtomicBool::new(false),
        }
    }

    /// Who opened it.
    pub(crate) fn opener(&self) -> &Author {
        &self.opener
    }

    /// A thread that uses it.
    pub(crate) fn add(&self, tid: u32) {
        self.threads.lock().insert(tid);
    }

    pub(super) fn wrote(&self, tid: u32) {
        self.add(tid);
        self.written.store(true, Ordering::Release);
        self.change();
    }

    pub(crate) fn change(&self) {
        self.changed.store(true, Ordering::Release);
    }

    /// Whether a close that may not be the last one should commit it all the same.
    pub(crate) fn is_written(&self) -> bool {
        self.written.load(Ordering::Acquire)
    }

    /// Whether any of them, or the one that closes a descriptor now, has another one; `inode` is its
    /// file system and number, which no other open file has. `None` when that cannot be told.
    pub(crate) fn hold(&self, inode: (Option<Device>, u64), closing: u32) -> Option<bool> {
        let mut threads = self.threads.lock().clone();
        threads.insert(closing);
        let processes: BTreeSet<u32> = threads.into_iter().map(of_thread).collect();
        let mut all_told = true;
        for process in processes {
            match has_open(process, inode) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => all_told = false,
            }
        }
        all_told.then_some(false)
    }
}

/// A value that is being written.
pub(crate) struct Draft {
    file: File,
    /// Bytes that it may have.
    most: u64,
    state: Mutex<State>,
    /// Held while it is committed, so that two closes at once come one after the other.
    turn: Mutex<()>,
}

struct State {
    /// `st_mode`.
    mode: u32,
    /// What the value is, as far as this draft knows; `None` once its name is gone: what is
    /// written then is nobody's, as in an unlinked file.
    base: Option<Expect>,
    /// When its bytes changed.
    time: Timestamp,
    /// Whether they were changed by nobody who has it open.
    cut: bool,
}

/// How open(2) makes what is not there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Creation {
    /// O_EXCL.
    pub exclusive: bool,
    /// O_TRUNC, of what somebody else is making.
    pub truncate: bool,
}

/// What a draft begins with.
pub(crate) struct Beginning<R> {
    /// `st_mode`.
    pub(crate) mode: u32,
    /// The replicated value.
    pub(crate) base: Expect,
    pub(crate) bytes: R,
    /// Bytes that a value of this name may have.
    pub(crate) most: u64,
}

/// What a close commits.
pub(crate) struct Written {
    /// `st_mode`.
    pub(crate) mode: u32,
    /// Only while this holds.
    pub(crate) base: Expect,
    pub(crate) value: Vec<u8>,
}

impl Draft {
    fn begin(mut file: File, mut beginning: Beginning<impl Read>) -> FsResult<Self> {
        std::io::copy(&mut beginning.bytes, &mut file)?;
        Ok(Self {
            file,
            most: beginning.most,
            state: Mutex::new(State {
                mode: beginning.mode,
                base: Some(beginning.base),
                time: Timestamp::now(),
                cut: false,
            }),
            turn: Mutex::default(),
        })
    }

    /// The file of its bytes.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// `st_mode`, and when its bytes changed last.
    pub(crate) fn shown(&self) -> (u32, Timestamp) {
        let state = self.state.lock();
        (state.mode, state.time)
    }

    /// pwrite(2); at the end, for a descriptor that appends: the kernel does not know how long the
    /// draft has become through others.
    pub(super) fn write(&self, offset: u64, data: &[u8], append: bool) -> FsResult<()> {
        let mut state = self.state.lock();
        let offset = match append {
            true => self.file.metadata()?.len(),
            false => offset,
        };
        self.check_size(offset.saturating_add(data.len() as u64))?;
        state.time = Timestamp::now();
        Ok(self.file.write_all_at(data, offset)?)
    }

    /// ftruncate(2).
    pub(super) fn truncate(&self, size: u64) -> FsResult<()> {
        let mut state = self.state.lock();
        self.check_size(size)?;
        state.time = Timestamp::now();
        Ok(self.file.set_len(size)?)
    }

    /// chmod(2).
    pub(crate) fn set_mode(&self, mode: u32) {
        let mut state = self.state.lock();
        state.mode = state.mode & libc::S_IFMT | mode & 0o7777;
    }

    /// It was changed by somebody who does not have it open: whichever close comes next commits it.
    pub(crate) fn cut(&self) {
        self.state.lock().cut = true;
    }

    pub(crate) fn is_of(&self, base: Expect) -> bool {
        self.state.lock().base == Some(base)
    }

    /// Has what was written through an open file committed, if anything was; `space` takes the memory for so many
    /// bytes.
    pub(crate) fn commit<S>(
        &self,
        users: &Users,
        space: impl FnOnce(u64) -> FsResult<S>,
        by: impl FnOnce(Written) -> FsResult<Version>,
    ) -> FsResult<()> {
        let _turn = self.turn.lock();
        let _space = space(self.file.metadata()?.len())?;
        let Some(written) = self.take_written(users)? else {
            return Ok(());
        };
        let version = by(written)?;
        if let Some(base) = &mut self.state.lock().base {
            *base = Expect::Is(version);
        }
        Ok(())
    }

    fn take_written(&self, users: &Users) -> FsResult<Option<Written>> {
        let mut state = self.state.lock();
        let changed = users.changed.swap(false, Ordering::AcqRel);
        let changed = changed || std::mem::take(&mut state.cut);
        let Some(base) = state.base.filter(|_| changed) else {
            return Ok(None);
        };
        // Not more than may be written, or than was replicated already.
        let mut value = vec![0; self.file.metadata()?.len() as usize];
        self.file.read_exact_at(&mut value, 0)?;
        Ok(Some(Written {
            mode: state.mode,
            base,
            value,
        }))
    }

    fn check_size(&self, size: u64) -> FsResult<()> {
        match size <= self.most {
            true => Ok(()),
            false => Err(FsError::TooLarge { most: self.most }),
        }
    }
}

/// The drafts of a repository that are open.
pub(super) struct Drafts {
    refs: Arc<Refs>,
    open: OpenDrafts<RepoPath>,
}

impl Drafts {
    pub(super) fn new(dir: PathBuf, refs: Arc<Refs>) -> Self {
        let open = OpenDrafts::new(dir);
        Self { refs, open }
    }

    /// The draft that is open of this name.
    pub(super) fn get(&self, path: &RepoPath) -> Option<Arc<Draft>> {
        self.open.get(path)
    }

    /// Opens a draft that begins with these bytes, if none is open of this value.
    pub(super) fn open(
        &self,
        path: &RepoPath,
        (mode, base): (u32, Expect),
        bytes: impl Read,
        opener: Author,
    ) -> FsResult<Opened> {
        let beginning = Beginning {
            mode,
            base,
            bytes,
            most: refs::most(path),
        };
        let draft = self.open.share(path, beginning)?;
        let closing = Closing::Commit(path.clone());
        Ok(Opened::of_draft(draft, Users::new(opener), closing))
    }

    /// What was written is the value from now on, if it still is the one that was opened.
    pub(super) fn commit(&self, opened: &Opened, path: &RepoPath) -> FsResult<()> {
        let (Some(draft), Some(users)) = (opened.draft(), opened.users()) else {
            return Ok(());
        };
        let space = |bytes| self.refs.space_for(bytes, &users.opener);
        draft.commit(users, space, |Written { mode, base, value }| {
            self.refs.write(path, mode, value, base, &users.opener)
        })
    }

    /// The name is gone.
    pub(super) fn unlinked(&self, path: &RepoPath) {
        self.open.unlinked(path);
    }
}

/// Drafts that are open, by their paths.
pub(crate) struct OpenDrafts<P> {
    /// Where their unnamed files are.
    dir: PathBuf,
    open: Mutex<HashMap<P, Weak<Draft>>>,
}

impl<P: Clone + Eq + Hash> OpenDrafts<P> {
    pub(crate) fn new(dir: PathBuf) -> Self {
        let open = Mutex::default();
        Self { dir, open }
    }

    /// The draft that is open of this name.
    pub(crate) fn get(&self, path: &P) -> Option<Arc<Draft>> {
        self.open.lock().get(path).and_then(Weak::upgrade)
    }

    /// Whether a draft is open of any name of these.
    pub(crate) fn any(&self, is_meant: impl Fn(&P) -> bool) -> bool {
        let open = self.open.lock();
        let mut open = open.iter();
        open.any(|(path, draft)| draft.strong_count() > 0 && is_meant(path))
    }

    /// The draft that is open of this value, or else a new one.
    pub(crate) fn share(&self, path: &P, beginning: Beginning<impl Read>) -> FsResult<Arc<Draft>> {
        let mut open = self.open.lock();
        let shared = open.get(path).and_then(Weak::upgrade);
        if let Some(draft) = shared.filter(|draft| draft.is_of(beginning.base)) {
            return Ok(draft);
        }
        open.retain(|_, draft| draft.strong_count() > 0);
        let file = tempfile::tempfile_in(&self.dir)?;
        let draft = Arc::new(Draft::begin(file, beginning)?);
        open.insert(path.clone(), Arc::downgrade(&draft));
        Ok(draft)
    }

    /// The name is gone.
    pub(crate) fn unlinked(&self, path: &P) {
        if let Some(draft) = self.open.lock().remove(path).and_then(|it| it.upgrade()) {
            draft.state.lock().base = None;
        }
    }
}
