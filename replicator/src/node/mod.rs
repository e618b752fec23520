//! The embedded node: raft on a thread of its own, behind [`Replica`].
//!
//! Reads go to RocksDB from the caller's thread. Proposals go through a bounded
//! channel to the loop, which takes all that wait there into one raft `Ready`
//! (group commit) and answers each when its effects can be read. What happens to them
//! is [`crate::peer`]'s matter. Today there is one voter and no port.

mod config;
mod inbox;
mod run;
mod status;

pub use config::NodeConfig;
pub use status::{Role, Status};

use crate::engine::Life;
use crate::metrics;
use crate::model::{
    Actor, BlockDigest, Command, Envelope, FileEntry, NamePath, Outcome, RefEntry, Repo, RepoId,
    RepoPath, SessionId, Timestamp, Version,
};
use crate::peer::{Answer, Ask, Peer, Request};
use crate::state::{CondemnedKey, TrashedFile, TrashedRepo, read};
use crate::storage::{Beginning, Database, OpenError};
use crate::{AuditSink, Custody, Listing, NameEntry, PackedSink, ProposeError, ReadError, Replica};
use crossbeam_channel::{RecvTimeoutError, SendTimeoutError, Sender};
use inbox::{Caller, Input};
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The id of the only voter.
const NODE_ID: u64 = 1;

/// How long [`Node::open`] waits until the node leads and has applied its log.
/// Applying what a crash left unapplied takes the most of it.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// A node of one voter. Dropping it stops its thread.
pub struct Node {
    database: Arc<Database>,
    inbox: Sender<Input>,
    status: Arc<RwLock<Status>>,
    config: NodeConfig,
    session: SessionId,
    /// The last sequence number given out.
    sequence: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    /// Opens the data directory, creating it if need be, and returns when the
    /// node is ready to propose and reads reflect everything acknowledged
    /// before.
    pub fn open(config: NodeConfig) -> Result<Self, OpenError> {
        let database = Arc::new(Database::open(&config.dir)?);
        database.prepare(Beginning::Found(NODE_ID))?;
        let life = Life {
            node: NODE_ID,
            nonce: rand::random(),
        };
        let peer = Peer::open(
            life,
            Arc::clone(&database),
            config.limits(),
            config.compaction(),
        )?;
        let status = Arc::new(RwLock::new(Status::default()));
        let (inbox, received) = crossbeam_channel::bounded(inbox::CAPACITY);
        let (ready, is_ready) = crossbeam_channel::bounded(1);
        let looped = run::Loop::new(peer, received, Arc::clone(&status), &config, ready);
        let thread = std::thread::Builder::new()
            .name("replicator".into())
            .spawn(|| looped.run())?;
        let node = Self {
            database,
            inbox,
            status,
            config,
            session: SessionId::random(),
            sequence: AtomicU64::new(0),
            thread: Some(thread),
        };
        is_ready
            .recv_timeout(READY_TIMEOUT)
            .map_err(|_| OpenError::NotReady(READY_TIMEOUT))?;
        Ok(node)
    }

    /// Where the node stands.
    pub fn status(&self) -> Status {
        self.status.read().clone()
    }

    /// Stops the loop; proposals under way end with [`ProposeError::Stopped`].
    pub fn shutdown(self) {
        drop(self);
    }

    /// Returns when reads from now on see everything that was acknowledged anywhere
    /// before. With a single voter they always do.
    pub fn catch_up(&self) -> Result<(), ProposeError> {
        self.ask(Ask::Read).map(drop)
    }

    /// Commits a command and waits for its outcome.
    fn commit(&self, actor: Actor, command: Command) -> Result<Outcome, ProposeError> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let ask = Ask::Propose {
            session: self.session,
            sequence,
            data: self.encode(actor, sequence, command)?,
        };
        match self.ask(ask)? {
            Answer::Outcome { outcome, .. } => Ok(outcome),
            other => unreachable!("a command has an outcome, not {other:?}"),
        }
    }

    /// Hands a request to the loop and waits for its answer.
    fn ask(&self, ask: Ask) -> Result<Answer, ProposeError> {
        let timeout = self.config.propose_timeout;
        let deadline = Instant::now() + timeout;
        let (answer, answered) = crossbeam_channel::bounded(1);
        let span = tracing::Span::current();
        let request = Request {
            ask,
            deadline,
            caller: Caller { answer, span },
        };
        match self.inbox.send_deadline(Input::Ask(request), deadline) {
            Ok(()) => {}
            Err(SendTimeoutError::Timeout(_)) => return Err(ProposeError::Timeout(timeout)),
            Err(SendTimeoutError::Disconnected(_)) => return Err(ProposeError::Stopped),
        }
        answered
            .recv_deadline(deadline)
            .map_err(|error| match error {
                // The loop lets go of what has expired, perhaps before we wake up.
                RecvTimeoutError::Disconnected if Instant::now() < deadline => {
                    ProposeError::Stopped
                }
                RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout => {
                    ProposeError::Timeout(timeout)
                }
            })
    }

    fn encode(
        &self,
        actor: Actor,
        sequence: u64,
        command: Command,
    ) -> Result<Vec<u8>, ProposeError> {
        let time = Timestamp::now();
        let envelope = Envelope {
            session: self.session,
            sequence,
            time,
            actor,
            command,
        };
        let data = postcard::to_stdvec(&envelope).expect("plain data encodes");
        let limit = self.config.max_entry_bytes;
        if data.len() > limit {
            return Err(ProposeError::TooLarge {
                size: data.len(),
                limit,
            });
        }
        Ok(data)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The loop may have ended already; then nobody receives this.
        let _ = self.inbox.send(Input::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic of the loop ends the process by itself.
            let _ = thread.join();
        }
    }
}

impl Custody for Node {
    fn trashed_repos(&self) -> Result<Vec<TrashedRepo>, ReadError> {
        read::trashed_repos(&*self.database)
    }

    fn trashed_files(&self, repo: RepoId, after: Version) -> Result<Vec<TrashedFile>, ReadError> {
        read::trashed_files(&*self.database, repo, after)
    }

    fn condemned_repos(&self) -> Result<Vec<TrashedRepo>, ReadError> {
        read::condemned_repos(&*self.database)
    }

    fn condemned(&self, repo: RepoId) -> Result<Vec<CondemnedKey>, ReadError> {
        read::condemned(&*self.database, repo)
    }

    fn is_condemned(&self, repo: RepoId, key: &str) -> Result<bool, ReadError> {
        read::is_condemned(&*self.database, repo, key)
    }

    fn forgotten(&self, repo: RepoId) -> Result<Version, ReadError> {
        read::forgotten(&*self.database, repo)
    }

    fn audit(
        &self,
        repo: RepoId,
        since: Version,
        sink: &mut AuditSink<'_>,
    ) -> Result<(), ReadError> {
        read::audit(&*self.database, repo, since, sink)
    }
}

impl Replica for Node {
    fn propose(&self, actor: Actor, command: Command) -> Result<Outcome, ProposeError> {
        let kind = command.kind();
        let began = Instant::now();
        let result = self.commit(actor, command);
        metrics::proposed(kind, &result, began.elapsed());
        result
    }

    fn name(&self, path: &NamePath) -> Result<Option<NameEntry>, ReadError> {
        read::name(&*self.database, path)
    }

    fn names_in(&self, dir: &NamePath) -> Result<Vec<(Vec<u8>, NameEntry)>, ReadError> {
        read::names_in(&*self.database, dir)
    }

    fn repo(&self, id: RepoId) -> Result<Option<Repo>, ReadError> {
        read::repo(&*self.database, id)
    }

    fn reference(&self, repo: RepoId, name: &RepoPath) -> Result<Option<RefEntry>, ReadError> {
        read::reference(&*self.database, repo, name)
    }

    fn references_in(&self, repo: RepoId, dir: &RepoPath) -> Result<Listing<RefEntry>, ReadError> {
        read::references_in(&*self.database, repo, dir)
    }

    fn packed(&self, repo: RepoId, sink: &mut PackedSink<'_>) -> Result<(), ReadError> {
        read::packed(&*self.database, repo, sink)
    }

    fn file(&self, repo: RepoId, path: &RepoPath) -> Result<Option<FileEntry>, ReadError> {
        read::file(&*self.database, repo, path)
    }

    fn files_in(&self, repo: RepoId, dir: &RepoPath) -> Result<Listing<FileEntry>, ReadError> {
        read::files_in(&*self.database, repo, dir)
    }

    fn blocks(&self, repo: RepoId, path: &RepoPath) -> Result<Vec<BlockDigest>, ReadError> {
        read::blocks(&*self.database, repo, path)
    }
}
