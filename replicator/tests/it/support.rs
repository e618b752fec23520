//! A state machine over a database in a temporary directory, without raft.

use gitmoor_model::{
    Actor, BlockDigest, Change, Command, Digest, Envelope, Expect, FileAdd, FileEntry, NamePath,
    Outcome, PackedEdit, PackedRef, Place, RefEdit, Repo, RepoChange, RepoId, RepoPath, SessionId,
    Timestamp, Version,
};
use gitmoor_replicator::state::{Overlay, apply, read};
use gitmoor_replicator::storage::snapshot::Unusable;
use gitmoor_replicator::storage::{
    Batch, Bootstrap, Database, Disk, Laid, Stage, WriteError, lay_in,
};

pub(crate) fn name(text: &str) -> NamePath {
    NamePath::new(text).expect("a valid path")
}

pub(crate) fn path(text: &str) -> RepoPath {
    RepoPath::new(text).expect("a valid path")
}

pub(crate) fn id(number: u8) -> RepoId {
    RepoId::from_bytes([number; 16])
}

pub(crate) fn actor() -> Actor {
    Actor {
        uid: Some(1000),
        pid: Some(42),
        node: Some(1),
        command: Some("git-receive-pack app.git".to_owned()),
        address: Some("10.0.0.7".to_owned()),
    }
}

/// The time of the entry at an index: any function of it will do.
pub(crate) fn time(index: u64) -> Timestamp {
    Timestamp {
        secs: 1_700_000_000 + index as i64,
        nanos: 5,
    }
}

pub(crate) fn envelope(
    session: SessionId,
    sequence: u64,
    index: u64,
    command: Command,
) -> Envelope {
    Envelope {
        session,
        sequence,
        time: time(index),
        actor: actor(),
        command,
        trace: None,
    }
}

/// A new data directory's database.
pub(crate) fn database(dir: &std::path::Path) -> Database {
    let database = Database::open(dir).expect("opens");
    database.prepare(Bootstrap::Create(1)).expect("is new");
    database
}

pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) session: SessionId,
    pub(crate) index: u64,
    _dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let database = database(dir.path());
        Self {
            database,
            session: SessionId::random(),
            index: 1,
            _dir: dir,
        }
    }

    /// A world with the repository `app.git`.
    pub(crate) fn with_repo(repo: RepoId) -> Self {
        let mut world = Self::new();
        world.must(Command::CreateRepo {
            id: repo,
            path: name("app.git"),
        });
        world
    }

    /// Applies one command in a batch of its own.
    pub(crate) fn run(&mut self, command: Command) -> Outcome {
        self.run_batch(vec![command]).remove(0)
    }

    /// Applies a command that must succeed.
    pub(crate) fn must(&mut self, command: Command) -> Version {
        match self.run(command.clone()) {
            Outcome::Done(version) => version,
            Outcome::Refused(refusal) => panic!("{command:?}: {refusal}"),
        }
    }

    /// Applies commands in one batch: later ones see earlier ones unwritten.
    pub(crate) fn run_batch(&mut self, commands: Vec<Command>) -> Vec<Outcome> {
        let mut envelopes = Vec::new();
        for command in commands {
            self.index += 1;
            envelopes.push(envelope(self.session, self.index, self.index, command));
        }
        let first = self.index + 1 - envelopes.len() as u64;
        let outcomes = self.apply_batch(first, &envelopes);
        outcomes
            .into_iter()
            .map(|outcome| outcome.expect("is remembered"))
            .collect()
    }

    /// Applies envelopes at consecutive indexes in one batch.
    pub(crate) fn apply_batch(
        &mut self,
        first: u64,
        envelopes: &[Envelope],
    ) -> Vec<Option<Outcome>> {
        let mut overlay = Overlay::new(&self.database);
        let mut outcomes = Vec::new();
        for (index, envelope) in (first..).zip(envelopes) {
            outcomes.push(apply(&mut overlay, Version(index), envelope).expect("applies"));
        }
        let changes = overlay.into_changes();
        let mut batch = Batch::new(&self.database);
        batch.change(&changes);
        self.database.write(batch, false).expect("writes");
        outcomes
    }

    pub(crate) fn repo(&self, id: RepoId) -> Repo {
        read::repo(&self.database, id)
            .expect("reads")
            .expect("exists")
    }
}

pub(crate) fn set(name: &str, value: &str) -> RefEdit {
    set_if(name, Expect::Anything, value)
}

pub(crate) fn set_if(name: &str, expect: Expect, value: &str) -> RefEdit {
    let change = Change::Set {
        mode: 0o100_644,
        value: value.into(),
    };
    RefEdit {
        name: path(name),
        expect,
        change,
    }
}

pub(crate) fn delete(name: &str) -> RefEdit {
    RefEdit {
        name: path(name),
        expect: Expect::Anything,
        change: Change::Delete,
    }
}

pub(crate) fn refs(repo: RepoId, refs: Vec<RefEdit>) -> Command {
    Command::Commit(RepoChange {
        refs,
        ..RepoChange::new(repo)
    })
}

pub(crate) fn packed(repo: RepoId, packed: Vec<PackedEdit>) -> Command {
    Command::Commit(RepoChange {
        packed,
        ..RepoChange::new(repo)
    })
}

pub(crate) fn line(name: &str, byte: u8) -> PackedEdit {
    PackedEdit::Set {
        name: path(name),
        line: packed_ref(byte),
    }
}

pub(crate) fn packed_ref(byte: u8) -> PackedRef {
    PackedRef {
        oid: vec![byte; 20],
        peeled: None,
    }
}

/// The loose form of the object id of [`line`].
pub(crate) fn oid(byte: u8) -> String {
    format!("{byte:02x}").repeat(20) + "\n"
}

pub(crate) fn file(name: &str, key: &str, blocks: u8) -> FileAdd {
    FileAdd {
        path: path(name),
        entry: FileEntry {
            size: u64::from(blocks) << 20,
            mtime: time(0),
            mode: 0o100_444,
            digest: Digest([7; 32]),
            block_size: 1 << 20,
            place: Place::Stored { key: key.into() },
        },
        blocks: (0..blocks).map(|block| BlockDigest([block; 16])).collect(),
    }
}

/// The rows of a snapshot, laid beside the state a few at a time.
pub(crate) fn laid(database: &Database, rows: &[u8]) -> Result<Laid, Unusable<WriteError>> {
    let turn = database.turn().expect("nobody else lays any");
    lay_in(database, turn, &mut &*rows, 64)
}

/// The state is that of a snapshot.
pub(crate) fn replace(database: &Database, rows: &[u8]) {
    let _laid = laid(database, rows).expect("is whole");
    let mut batch = database.stage();
    batch.swap();
    batch.write(true).expect("writes");
}
