//! Whether a process may be shown what this node knows, or the node syncs with the cluster first
//! (a ReadIndex; INV-4).
//!
//! The first time, a process is shown the state of that moment: a ReadIndex that began later was
//! answered. Afterwards an answer to any process serves for [`REUSE_WINDOW`], so that a process that
//! stays for days on a node that lost the cluster is not shown the past for days.

use super::RemoteChanges;
use crate::error::{FsError, FsResult};
use crate::process::Processes;
use gitmoor_model::RepoId;
use gitmoor_replicator::{ProposeError, Replica};
use gitmoor_store::wait::{Over, Waits, profile};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How old an answer may be for a process that has had one of its own.
pub(crate) const REUSE_WINDOW: Duration = Duration::from_millis(250);

/// How long the cluster may take to answer: many elections.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The same of a question that no process asks.
const PATIENCE: Duration = Duration::from_secs(2);

/// When the cluster was asked.
pub(crate) struct Freshness {
    replica: Arc<dyn Replica>,
    remote: Arc<RemoteChanges>,
    /// How old an answer may be for anybody.
    stale_reads: Duration,
    /// The beginning of the last question that was answered.
    confirmed: Mutex<Option<Instant>>,
    /// Who has been shown anything.
    shown: Processes<()>,
    waits: Waits,
}

impl Freshness {
    pub(crate) fn new(
        replica: Arc<dyn Replica>,
        remote: Arc<RemoteChanges>,
        stale_reads: Duration,
    ) -> Self {
        Self {
            replica,
            remote,
            stale_reads,
            confirmed: Mutex::new(None),
            shown: Processes::new(),
            waits: Waits::default(),
        }
    }

    /// Whether nobody else can change anything.
    pub(crate) fn is_alone(&self) -> bool {
        self.replica.is_alone()
    }

    /// Whether a thread may be shown what is known here.
    pub(crate) fn is_fresh_for(&self, tid: u32) -> bool {
        if self.is_alone() {
            return true;
        }
        let known = self
            .shown
            .get(tid)
            .map_or(Duration::ZERO, |()| REUSE_WINDOW);
        let allowed = known.max(self.stale_reads);
        self.age().is_some_and(|age| age < allowed)
    }

    /// Returns when it may.
    pub(crate) fn sync_reads_for(&self, tid: u32) -> FsResult<()> {
        if self.is_fresh_for(tid) {
            return Ok(());
        }
        self.sync_reads()?;
        // 0 is everybody in other pid namespaces.
        if tid != 0 {
            self.shown.insert(tid, ());
        }
        Ok(())
    }

    /// Asks now: returns when everything that was acknowledged anywhere before can be read here, and the kernel
    /// remembers nothing older.
    pub(crate) fn sync_reads(&self) -> FsResult<()> {
        // Each lock of a ref comes here.
        if self.is_alone() {
            return Ok(());
        }
        let began = Instant::now();
        self.wait(|give_up| {
            self.replica.read_barrier(give_up)?;
            match self.remote.wait_told(TIMEOUT, give_up) {
                true => Ok(()),
                false => Err(ProposeError::GivenUp),
            }
        })?;
        let mut confirmed = self.confirmed.lock();
        *confirmed = (*confirmed).max(Some(began));
        Ok(())
    }

    /// Whether this machine hears of what others change without asking.
    pub(crate) fn hears(&self) -> bool {
        self.replica.hears()
    }

    /// Asks on behalf of no process, so that the kernel is told of what others changed. Whether there was an answer.
    pub(crate) fn keep_up(&self) -> bool {
        let began = Instant::now();
        let give_up = || began.elapsed() > PATIENCE;
        self.replica.read_barrier(&give_up).is_ok()
    }

    /// Returns when reads of a repository are answered at once.
    pub(crate) fn load_repo(&self, repo: RepoId) -> FsResult<()> {
        self.wait(|give_up| self.replica.load_repo(repo, give_up))
    }

    fn wait(
        &self,
        ask: impl FnOnce(&dyn Fn() -> bool) -> Result<(), ProposeError>,
    ) -> FsResult<()> {
        let wait = self.waits.begin("a look", TIMEOUT);
        let ask = || ask(&|| wait.over().is_some());
        match profile::timed(|| "the cluster's answer".to_owned(), ask) {
            Ok(()) => Ok(()),
            Err(ProposeError::GivenUp) if wait.over() == Some(Over::Interrupted) => {
                Err(FsError::Interrupted)
            }
            Err(ProposeError::GivenUp | ProposeError::Timeout(_)) => {
                Err(FsError::NotCurrent { within: TIMEOUT })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// How old what is known here is at most; `None` when nobody has asked yet.
    pub(crate) fn age(&self) -> Option<Duration> {
        (*self.confirmed.lock()).map(|at| at.elapsed())
    }

    /// Who waits for the cluster.
    pub(crate) fn waits(&self) -> Vec<String> {
        self.waits.sentences("the cluster")
    }
}
