//! Opening a data directory: only ours, only a version we know, only once.

use super::{Batch, Database, Log, Position, Stage};
use crate::state::{KeyRange, ReadError, Step, Table, View};
use raft::eraftpb::ConfState;
use std::path::PathBuf;
use std::time::Duration;

/// The version of the layout of the data directory: tables, keys, and the
/// postcard shape of every value.
///
/// 5 has audit trails with everything that changes a repository, limits and imports. Of another format not everything
/// reads the same, so it is refused.
pub(super) const FORMAT: u32 = 5;
/// That of a directory whose state has changed sides: the same, but for where the state is.
pub(super) const SIDED: u32 = 6;

pub(super) const FORMAT_KEY: &[u8] = b"format";
const NODE_KEY: &[u8] = b"node";

/// How a data directory begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bootstrap {
    /// As the only voter of a new cluster, with this id.
    Create(u64),
    /// As a node that has joined a cluster, and waits for a leader's snapshot.
    Join,
    /// It has begun before: a new directory is a lost one. A node that forgot what it promised
    /// could vote twice.
    Resume,
}

/// Where the log of a new cluster begins. Not 0: a node that joins with an
/// empty log must find the beginning compacted, so that it gets a snapshot
/// (and with it the membership).
const FOUNDED: Position = Position { index: 1, term: 1 };
/// Where the log of a node begins that has not joined yet.
const EMPTY: Position = Position { index: 0, term: 0 };

impl Bootstrap {
    /// The first rows of raft.
    pub fn stage(self, batch: &mut dyn Stage) {
        let (position, voters) = match self {
            Self::Create(id) => (FOUNDED, vec![id]),
            Self::Join | Self::Resume => (EMPTY, Vec::new()),
        };
        let members = ConfState {
            voters,
            ..ConfState::default()
        };
        Log::stage_beginning(batch, position, &members);
    }
}

/// A data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process (or this one) has it open.
    #[error("{} is in use by another gitmoor", .0.display())]
    InUse(PathBuf),
    /// It was written by another version of Gitmoor.
    #[error("{} has data format {found}, this gitmoor knows only {known}", .dir.display())]
    UnknownFormat {
        /// Path of the data directory.
        dir: PathBuf,
        /// The format it has.
        found: u32,
        /// The newest that this build knows.
        known: u32,
    },
    /// It is another node's.
    #[error("{} is the data of node {found}, not of node {expected}: each node has its own", .dir.display())]
    OtherNode {
        /// Path of the data directory.
        dir: PathBuf,
        /// Id of the node that the data belongs to.
        found: u64,
        /// Id of the node that opens it.
        expected: u64,
    },
    /// It has begun already.
    #[error("{} has data already: a backup is restored into a new data directory", .0.display())]
    NotEmpty(PathBuf),
    /// The node has begun, and its data is gone.
    #[error("{} is empty, but this node had data there and made promises: put it back, or remove the node from the cluster and join anew with a new data directory", .0.display())]
    Lost(PathBuf),
    /// What is in it cannot have been left by us.
    #[error("{} is damaged: {what}", .dir.display())]
    Damaged {
        /// Path of the data directory.
        dir: PathBuf,
        /// What does not fit, in words.
        what: String,
    },
    /// RocksDB cannot open the database.
    #[error("opening the database in {}: {source}", .dir.display())]
    Database {
        /// Path of the data directory.
        dir: PathBuf,
        /// What RocksDB says of it.
        source: rocksdb::Error,
    },
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Raft does not accept the state it finds, or the configuration.
    #[error("starting raft: {0}")]
    Raft(#[from] raft::Error),
    /// The directory or the thread could not be created.
    #[error("starting the replicator: {0}")]
    Io(#[from] std::io::Error),
    /// The node did not become ready to propose in time.
    #[error("the replicator was not ready within {0:?}")]
    NotReady(Duration),
}

impl Database {
    /// Checks the version of the data directory, and lets a new one begin.
    pub fn prepare(&self, bootstrap: Bootstrap) -> Result<(), OpenError> {
        match self.get(Table::RaftState, FORMAT_KEY)? {
            Some(version) => {
                self.check_format(&version)?;
                self.clear_rubbish()
            }
            None if bootstrap == Bootstrap::Resume => Err(OpenError::Lost(self.dir().to_owned())),
            None => self.begin(bootstrap),
        }
    }

    /// Whose the directory is, from the first time on.
    pub fn claim(&self, node: u64) -> Result<(), OpenError> {
        let Some(holder) = self.get(Table::RaftState, NODE_KEY)? else {
            let mut batch = Batch::new(self);
            batch.put(Table::RaftState, NODE_KEY, &node.to_be_bytes());
            return self.write_durably(batch);
        };
        let found = holder.try_into().map(u64::from_be_bytes);
        let found = found.map_err(|_| self.damaged("its node's id is not eight bytes".into()))?;
        match found == node {
            true => Ok(()),
            false => Err(OpenError::OtherNode {
                dir: self.dir().to_owned(),
                found,
                expected: node,
            }),
        }
    }

    fn check_format(&self, version: &[u8]) -> Result<(), OpenError> {
        let version: [u8; 4] = version
            .try_into()
            .map_err(|_| self.damaged("its format marker is not four bytes".into()))?;
        match u32::from_be_bytes(version) {
            FORMAT | SIDED => Ok(()),
            found => Err(OpenError::UnknownFormat {
                dir: self.dir().to_owned(),
                found,
                known: SIDED,
            }),
        }
    }

    /// Whoever laid a snapshot beside the state has died before it took the state's place.
    fn clear_rubbish(&self) -> Result<(), OpenError> {
        if !self.has_rubbish()? {
            return Ok(());
        }
        let mut batch = Batch::new(self);
        batch.clear_beside();
        self.write_durably(batch)
    }

    pub(super) fn stage_format(&self, batch: &mut Batch<'_>) {
        batch.put(Table::RaftState, FORMAT_KEY, &FORMAT.to_be_bytes());
    }

    pub(super) fn write_durably(&self, batch: Batch<'_>) -> Result<(), OpenError> {
        self.write(batch, true)
            .map_err(|source| OpenError::Database {
                dir: self.dir().to_owned(),
                source,
            })
    }

    fn begin(&self, bootstrap: Bootstrap) -> Result<(), OpenError> {
        self.check_empty()?;
        let mut batch = Batch::new(self);
        self.stage_format(&mut batch);
        bootstrap.stage(&mut batch);
        self.write_durably(batch)
    }

    /// A directory without a format marker must be new. One that has rows lost
    /// its marker, and to begin anew would be to hide that.
    pub(super) fn check_empty(&self) -> Result<(), OpenError> {
        for table in Table::ALL {
            let mut empty = true;
            self.scan(table, &KeyRange::all(), &mut |_, _| {
                empty = false;
                Ok(Step::Stop)
            })?;
            if !empty {
                return Err(self.damaged(format!(
                    "{} has rows but there is no format marker",
                    table.name()
                )));
            }
        }
        Ok(())
    }

    fn damaged(&self, what: String) -> OpenError {
        OpenError::Damaged {
            dir: self.dir().to_owned(),
            what,
        }
    }
}
