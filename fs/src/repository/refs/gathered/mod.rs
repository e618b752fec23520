//! Steps of git's transactions that are answered before they are durable
//! (docs/design/0025-durable-once-per-transaction.md).
//!
//! A *step* is the rename of a lock file to its ref, or the removal of a ref under its lock. git makes all steps of a
//! transaction, gives up the locks that are left, and only then tells anybody of success. So a step may *wait* while
//! another call of the same git must follow: it is kept here, and committed with the steps after it, in git's order, as
//! one entry.
//!
//! What holds:
//!
//! - Nothing that waits is shown. Who looks at a ref whose step waits has it committed first ([`Gathered::settle`]), and
//!   the kernel keeps nothing of the ref while a step waits.
//! - A step waits only for a git that has made an earlier step which is committed, and that holds a lock, taken later, of
//!   which a step follows ([`Gathered::follows`]).
//! - The lock of a step that waits stays taken, from others on this mount and in the cluster.
//! - A commit that came to nothing is told to the next step of the same git. A git that makes none, and gives up its
//!   locks instead, does not look at the error there, and is ended ([`Gathered::gives_up`]).
//!
//! Lock order: the state of a transaction before the table.

mod transaction;

pub(super) use transaction::{Answer, Step};

use super::CHUNK;
use super::locked::Locks;
use super::values::Values;
use crate::error::{FsError, FsResult};
use crate::failpoint;
use crate::process::Handle;
use crate::repository::local::Files;
use crate::repository::transaction::Author;
use crossbeam_channel::RecvTimeoutError;
use gitmoor_model::{Change, Expect, RefEdit, RepoChange, RepoPath};
use gitmoor_store::wait::{self, Over};
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use transaction::{Progress, Transaction};

/// How long a step waits for the next one, and who looks for its commit.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many of the last locks are asked whether a step of theirs follows. The last one has one, but for locks that only
/// verify a value.
const ASKED: usize = 16;

/// The transactions of git in one repository.
pub(crate) struct Gathered {
    values: Arc<Values>,
    locks: Arc<Locks>,
    files: Arc<Files>,
    table: Mutex<Table>,
    /// How many steps wait. While none does, a look costs nothing.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Table {
    /// By process.
    of: HashMap<u32, Arc<Transaction>>,
    /// By refs that are locked, or of which a step waits.
    names: HashMap<RepoPath, Name>,
}

struct Name {
    of: Arc<Transaction>,
    /// The place of its lock in the order in which the process took its locks.
    order: u64,
    /// The process held another lock when it took this one: the kernel keeps no name of the lock file.
    beside: bool,
    /// Its step waits.
    waits: bool,
}

impl Gathered {
    pub(super) fn new(values: Arc<Values>, locks: Arc<Locks>, files: Arc<Files>) -> Self {
        Self {
            values,
            locks,
            files,
            table: Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Whether any step waits.
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Whether one of this ref does.
    pub(crate) fn waits(&self, name: &RepoPath) -> bool {
        self.waiting_at(name).is_some()
    }

    /// Whether the kernel is to keep no name of the lock file of this ref.
    pub(super) fn is_beside(&self, name: &RepoPath) -> bool {
        self.table
            .lock()
            .names
            .get(name)
            .is_some_and(|name| name.beside)
    }

    /// Whether a process has the lock of a ref, and its step is one of a transaction.
    pub(super) fn has(&self, name: &RepoPath, by: &Author) -> bool {
        let table = self.table.lock();
        let known = table.names.get(name).filter(|name| !name.waits);
        known.is_some_and(|name| is_of(&name.of, by))
    }

    /// A process is about to take a lock. After a step that begins another transaction.
    pub(super) fn begins(&self, pid: u32) -> FsResult<()> {
        let Some(of) = self.table.lock().of.get(&pid).cloned() else {
            return Ok(());
        };
        let mut state = self.enter(&of)?;
        if !state.begun && state.steps.is_empty() && state.failed.is_none() {
            return Ok(());
        }
        self.finish(&mut state);
        let earlier = match state.owes_an_error() {
            true => state.check(),
            false => Ok(()),
        };
        self.forget_locks(&mut state);
        (state.begun, state.failed) = (false, None);
        earlier
    }

    /// A process has taken the lock of a ref, and made its file.
    pub(super) fn took(&self, name: &RepoPath, pid: u32) -> FsResult<()> {
        if !name.as_bytes().starts_with(b"refs/") {
            return Ok(());
        }
        let Some(of) = self.transaction_of(pid) else {
            return Ok(());
        };
        let mut state = self.enter(&of)?;
        let known = Name {
            of: of.clone(),
            beside: !state.locks.is_empty(),
            order: state.take_lock(name.clone()),
            waits: false,
        };
        let mut table = self.table.lock();
        table.names.insert(name.clone(), known);
        table.of.insert(pid, of.clone());
        Ok(())
    }

    /// That of a process which is git; `None` of any other.
    fn transaction_of(&self, pid: u32) -> Option<Arc<Transaction>> {
        let known = self.table.lock().of.get(&pid).cloned();
        if let Some(known) = known.filter(|of| of.process.is_git()) {
            return Some(known);
        }
        let process = Handle::of(pid).filter(Handle::is_git)?;
        let state = Mutex::default();
        let of = Arc::new(Transaction { process, state });
        self.table.lock().of.insert(pid, of.clone());
        Some(of)
    }

    /// Commits a step, with all that waits; or keeps it, and then calls `moved`. [`Gathered::has`] was asked.
    pub(super) fn step(&self, step: Step, by: &Author, moved: impl FnOnce()) -> FsResult<Answer> {
        let (of, order, beside) = match self.table.lock().names.get(&step.name) {
            Some(known) => (known.of.clone(), known.order, known.beside),
            None => return Err(FsError::NotFound),
        };
        let mut state = self.enter(&of)?;
        state.check()?;
        let fits = state.bytes + step.bytes() <= CHUNK;
        let waits = state.begun && beside && fits && self.follows(&state, order, &step.change)?;
        if step.takes_lock_along() {
            state.locks.remove(&order);
        }
        if waits {
            self.set_waiting(&step.name, true);
        }
        state.add(step.answered(waits), by);
        if waits {
            moved();
            failpoint::REF_GATHERED.hit();
            return Ok(Answer::Waits);
        }
        let committed = self.commit(&mut state);
        if committed.is_err() {
            state.tell();
        }
        self.drop_if_over(&of, &state);
        committed.map(|()| Answer::Durable)
    }

    /// Whether git makes another step after this one, of a lock that it took later, or gives up the transaction: git
    /// renames what it has written, and then removes refs, each in the order of the locks.
    fn follows(&self, state: &Progress, order: u64, change: &Change) -> FsResult<bool> {
        let later = state.locks.range(order + 1..).rev().take(ASKED);
        for (_, name) in later {
            let follows = match change {
                Change::Set { .. } => self.is_written(name)?,
                Change::Delete => self.values.get(name)?.is_some(),
                Change::Append { .. }
                | Change::SetMode { .. }
                | Change::Chmod { .. }
                | Change::Keep => false,
            };
            if follows {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_written(&self, name: &RepoPath) -> FsResult<bool> {
        let file = self.files.stat(&lock_file(name))?;
        Ok(file.is_some_and(|file| file.len() > 0))
    }

    /// Another change of refs by a process comes after all that it did before.
    pub(super) fn finish_of(&self, by: &Author) -> FsResult<()> {
        let pid = by.read.map_or(0, |read| read.pid);
        let Some(of) = self.table.lock().of.get(&pid).cloned() else {
            return Ok(());
        };
        let mut state = self.enter(&of)?;
        self.finish(&mut state);
        state.check()
    }

    /// A process is about to remove the lock file of a ref, or to give it another name.
    pub(super) fn gives_up(&self, name: &RepoPath, pid: u32) -> FsResult<()> {
        let Some(of) = self
            .table
            .lock()
            .names
            .get(name)
            .map(|name| name.of.clone())
        else {
            return Ok(());
        };
        let mut state = self.enter(&of)?;
        self.finish(&mut state);
        if state.owes_an_error() && of.process.pid() == pid {
            self.end(&of, &mut state);
            return state.check();
        }
        if let Some(known) = self.table.lock().names.remove(name) {
            state.locks.remove(&known.order);
        }
        self.drop_if_over(&of, &state);
        Ok(())
    }

    /// git has made its last step, does not look at errors any more, and would report success.
    fn end(&self, of: &Transaction, state: &mut Progress) {
        let (repo, process) = (self.values.repo, of.process.pid());
        tracing::error!(%repo, process, "git is ended: a change of refs that it is about to report was not committed");
        of.process.end();
        for name in state.locks.values() {
            let file = lock_file(name);
            if let Err(error) = self.files.unlink_if_there(&file) {
                tracing::warn!(%repo, %name, %error, "its lock file stays");
            }
            self.locks.release(name);
            (self.values.shared.changed)(repo, &file);
        }
        self.forget_locks(state);
        self.drop_if_over(of, state);
    }

    /// Before anybody is shown a ref, or takes its lock: has the step that waits there committed. A commit that takes
    /// long, because the store or the cluster does, is not waited for: the ref is as it was until then.
    pub(crate) fn settle(self: &Arc<Self>, name: &RepoPath) -> FsResult<()> {
        match self.waiting_at(name) {
            Some(of) => self.settle_aside(of),
            None => Ok(()),
        }
    }

    /// The same of all refs.
    pub(crate) fn settle_all(self: &Arc<Self>) -> FsResult<()> {
        match self.has_waiting() {
            true => (self.all().into_iter()).try_for_each(|of| self.settle_aside(of)),
            false => Ok(()),
        }
    }

    /// On a thread of its own: who looks may be interrupted, and the commit goes on.
    fn settle_aside(self: &Arc<Self>, of: Arc<Transaction>) -> FsResult<()> {
        let (wait, until) = (self.begin_wait()?, Instant::now() + PATIENCE);
        let (this, (done, ended)) = (self.clone(), crossbeam_channel::bounded::<()>(0));
        let commit = move || {
            // Else it is being committed.
            if let Some(mut state) = of.state.try_lock_until(until) {
                this.settle_state(&of, &mut state);
            }
            drop(done);
        };
        let thread = std::thread::Builder::new().name("transaction".into());
        thread.spawn(commit)?;
        while Instant::now() < until
            && ended.recv_timeout(wait::POLL) == Err(RecvTimeoutError::Timeout)
        {
            if wait.over() == Some(Over::Interrupted) {
                return Err(FsError::Interrupted);
            }
        }
        Ok(())
    }

    fn settle_state(&self, of: &Transaction, state: &mut Progress) {
        self.finish(state);
        if of.process.has_ended() {
            self.forget_locks(state);
        }
        self.drop_if_over(of, state);
    }

    /// Whether a process has ended in a transaction, or rests in one.
    pub(crate) fn is_due(&self) -> bool {
        self.all().iter().any(|of| {
            let state = of.state.try_lock();
            state.is_some_and(|state| state.has_rested(PATIENCE) || of.process.has_ended())
        })
    }

    /// Commits all that waits, on this thread.
    pub(crate) fn finish_all(&self) {
        for of in self.all() {
            self.settle_state(&of, &mut of.state.lock());
        }
    }

    /// Commits what waits; what becomes of it is told to the next step.
    fn finish(&self, state: &mut Progress) {
        if let Err(error) = self.commit(state) {
            tracing::warn!(repo = %self.values.repo, %error, "steps of a transaction were answered, and are not committed: its next step fails");
        }
    }

    fn commit(&self, state: &mut Progress) -> FsResult<()> {
        let Some((steps, by)) = state.take() else {
            return Ok(());
        };
        let committed = self.propose(&steps, &by);
        for step in &steps {
            self.waits_no_more(step, committed.is_ok());
        }
        match &committed {
            Ok(()) => state.begun = true,
            Err(error) => state.fail(error),
        }
        committed
    }

    /// One entry.
    fn propose(&self, steps: &[Step], by: &Author) -> FsResult<()> {
        let mut change = RepoChange::new(self.values.repo);
        for step in steps {
            let expect = match self.locks.expected(&step.name)? {
                Expect::Anything => step.expect,
                expect => expect,
            };
            change.refs.push(RefEdit {
                name: step.name.clone(),
                expect,
                change: step.change.clone(),
            });
        }
        if let Some(removed) = steps.iter().find(|step| !step.takes_lock_along()) {
            change.refs.extend(self.locks.packed_stays(&removed.name)?);
        }
        self.locks.commit(&change, by)?;
        failpoint::REF_WRITTEN.hit();
        Ok(())
    }

    /// A step waits no more.
    fn waits_no_more(&self, step: &Step, committed: bool) {
        self.set_waiting(&step.name, false);
        if !step.takes_lock_along() {
            if committed {
                self.locks.wrote_past(&step.name, Expect::Absent);
            }
            return;
        }
        self.table.lock().names.remove(&step.name);
        // The file of any other is still there, and goes before its lock.
        if step.waited {
            self.locks.release(&step.name);
        }
    }

    fn set_waiting(&self, name: &RepoPath, waits: bool) {
        let mut table = self.table.lock();
        let Some(known) = table.names.get_mut(name) else {
            return;
        };
        match (std::mem::replace(&mut known.waits, waits), waits) {
            (false, true) => drop(self.waiting.fetch_add(1, Ordering::Release)),
            (true, false) => drop(self.waiting.fetch_sub(1, Ordering::Release)),
            (true, true) | (false, false) => {}
        }
    }

    fn waiting_at(&self, name: &RepoPath) -> Option<Arc<Transaction>> {
        if !self.has_waiting() {
            return None;
        }
        let table = self.table.lock();
        let known = table.names.get(name).filter(|name| name.waits);
        known.map(|name| name.of.clone())
    }

    /// Every transaction that has a lock, or steps that wait.
    fn all(&self) -> Vec<Arc<Transaction>> {
        let mut all: Vec<Arc<Transaction>> = Vec::new();
        for name in self.table.lock().names.values() {
            if !all.iter().any(|of| Arc::ptr_eq(of, &name.of)) {
                all.push(name.of.clone());
            }
        }
        all
    }

    fn forget_locks(&self, state: &mut Progress) {
        let mut table = self.table.lock();
        for name in std::mem::take(&mut state.locks).into_values() {
            table.names.remove(&name);
        }
    }

    fn drop_if_over(&self, of: &Transaction, state: &Progress) {
        let pid = of.process.pid();
        let mut table = self.table.lock();
        let is_this = |known: &Arc<Transaction>| std::ptr::eq(&**known, of);
        if state.is_over() && table.of.get(&pid).is_some_and(is_this) {
            table.of.remove(&pid);
        }
    }

    /// The state of a transaction, which may be under way to its commit.
    fn enter<'a>(&self, of: &'a Transaction) -> FsResult<MutexGuard<'a, Progress>> {
        if let Some(state) = of.state.try_lock() {
            return Ok(state);
        }
        let wait = self.begin_wait()?;
        loop {
            if let Some(state) = of.state.try_lock_for(wait::POLL) {
                return Ok(state);
            }
            if wait.over() == Some(Over::Interrupted) {
                return Err(FsError::Interrupted);
            }
        }
    }

    fn begin_wait(&self) -> FsResult<wait::Wait> {
        let Values { repo, shared, .. } = &*self.values;
        let wait = shared.begin_wait(*repo, "a transaction of refs")?;
        wait.set_reason("its earlier steps are being committed".to_owned());
        Ok(wait)
    }
}

fn is_of(of: &Transaction, by: &Author) -> bool {
    by.read.is_some_and(|read| read.pid == of.process.pid())
}

fn lock_file(name: &RepoPath) -> RepoPath {
    let path = [name.as_bytes(), b".lock"].concat();
    RepoPath::new(path).expect("the lock of a ref has a valid path: its file was made")
}
