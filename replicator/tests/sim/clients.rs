//! Clients: each does one thing after the other, at any node, and writes down what
//! it saw. Half of them ask again at another node, under the same number, when they
//! had no answer.

use crate::bug::Bug;
use crate::history::{Action, Token, Value};
use gitmoor_model::{
    Actor, BlockDigest, Borrowing, Change, Command, Digest, Envelope, Expect, FileAdd, FileEntry,
    Inside, Loan, MAX_ENTRY, ModulePath, NameChange, NamePath, NameStep, NestStep, Nesting, Place,
    Proposal, RefEdit, RefEntry, Relied, RepoChange, RepoId, RepoPath, SessionId, Timestamp,
    Version,
};
use gitmoor_replicator::peer::RequestKind;
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;

/// Among the refs: the file beside repositories.
pub(crate) const FILE: usize = 100;

/// Times a stubborn client asks.
const TRIES: u32 = 4;

pub(crate) struct Client {
    session: SessionId,
    sequence: u64,
    is_stubborn: bool,
    /// What it last read of each ref: the version and the last token.
    known: BTreeMap<usize, (u64, Token)>,
    pub(crate) under_way: Option<UnderWay>,
}

/// What a client waits for.
pub(crate) struct UnderWay {
    pub(crate) operation: usize,
    pub(crate) reference: usize,
    pub(crate) attempt: u32,
    /// For a write, its command.
    command: Option<Command>,
}

impl Client {
    pub(crate) fn new(chance: &mut StdRng) -> Self {
        Self {
            session: SessionId::from_bytes(chance.random()),
            sequence: 0,
            is_stubborn: chance.random(),
            known: BTreeMap::new(),
            under_way: None,
        }
    }

    /// What to do next.
    pub(crate) fn choose(&self, reference: usize, token: Token, chance: &mut StdRng) -> Action {
        match chance.random_range(0..10) {
            0..4 => Action::Read,
            4 => Action::Set(token),
            5..8 => {
                let known = self.known.get(&reference).map(|(_, token)| *token);
                Action::Swap(known, token)
            }
            // A file is written as a whole.
            _ if reference == FILE => Action::Set(token),
            _ => Action::Append(token),
        }
    }

    pub(crate) fn begin(&mut self, operation: usize, reference: usize, action: Action) {
        let expect = match self.known.get(&reference) {
            Some((version, _)) => Expect::Is(Version(*version)),
            None => Expect::Absent,
        };
        self.sequence += 1;
        self.under_way = Some(UnderWay {
            operation,
            reference,
            attempt: 0,
            command: command(reference, action, expect),
        });
    }

    /// What to ask a node for.
    pub(crate) fn ask(&mut self, bug: Bug, chance: &mut StdRng) -> RequestKind {
        let under_way = self.under_way.as_ref().expect("something is");
        if bug == Bug::RetriesAsAnother && under_way.attempt > 0 {
            self.sequence += 1;
        }
        match &under_way.command {
            None => RequestKind::Read,
            Some(command) => propose(self.session, self.sequence, command.clone(), chance),
        }
    }

    /// Whether it asks again, having had no answer.
    pub(crate) fn try_again(&mut self) -> bool {
        let Some(under_way) = &mut self.under_way else {
            return false;
        };
        under_way.attempt += 1;
        self.is_stubborn && under_way.attempt < TRIES
    }

    pub(crate) fn learn(&mut self, reference: usize, version: u64, token: Option<Token>) {
        match token {
            Some(token) => self.known.insert(reference, (version, token)),
            None => self.known.remove(&reference),
        };
    }
}

pub(crate) fn propose(
    session: SessionId,
    sequence: u64,
    command: Command,
    chance: &mut StdRng,
) -> RequestKind {
    let envelope = envelope(session, sequence, command, chance);
    RequestKind::Propose(Proposal::new(&envelope, MAX_ENTRY).expect("a client says nothing else"))
}

/// A command as it goes to a leader.
pub(crate) fn encoded(chance: &mut StdRng) -> Vec<u8> {
    let session = SessionId::from_bytes(chance.random());
    let envelope = envelope(session, 1, create_repository(), chance);
    postcard::to_stdvec(&envelope).expect("encodes")
}

fn envelope(session: SessionId, sequence: u64, command: Command, chance: &mut StdRng) -> Envelope {
    Envelope {
        session,
        sequence,
        // Clocks of machines are what they are; within the year for which an audit trail, by which
        // the history is judged, keeps what happened.
        time: Timestamp {
            secs: chance.random_range(0..31_000_000),
            nanos: 0,
        },
        actor: Actor::default(),
        command,
        trace: None,
    }
}

pub(crate) fn repository() -> RepoId {
    RepoId::from_bytes([1; 16])
}

pub(crate) fn create_repository() -> Command {
    Command::CreateRepo {
        id: repository(),
        path: NamePath::new("app.git").expect("a valid path"),
    }
}

/// Lends its file to the repository.
fn lender() -> RepoId {
    RepoId::from_bytes([2; 16])
}

/// What there is before anybody asks for anything.
pub(crate) fn beginning() -> [Command; 4] {
    let lend = Command::CreateRepo {
        id: lender(),
        path: NamePath::new("lender.git").expect("a valid path"),
    };
    let add = RepoChange {
        add: vec![lent()],
        ..RepoChange::new(lender())
    };
    [create_repository(), lend, Command::Commit(add), nest()]
}

/// A repository inside the repository.
fn nest() -> Command {
    let module = RepoPath::new("modules/lib").expect("a valid path");
    let inside = Inside {
        owner: repository(),
        module: ModulePath::new(module).expect("beneath modules/"),
    };
    Command::Nest(Box::new(Nesting {
        repo: RepoId::from_bytes([3; 16]),
        inside,
        step: NestStep::Make,
    }))
}

fn lent() -> FileAdd {
    let path = "objects/pack/pack-1.pack";
    let key = format!("{}/{path}", lender());
    FileAdd {
        path: RepoPath::new(path).expect("a valid path"),
        entry: FileEntry {
            size: 2 << 20,
            mtime: Timestamp::default(),
            mode: 0o100_444,
            digest: Digest([7; 32]),
            block_size: 1 << 20,
            place: Place::Stored { key },
        },
        blocks: vec![BlockDigest([7; 16]); 2],
    }
}

pub(crate) fn path(reference: usize) -> RepoPath {
    RepoPath::new(format!("refs/heads/{reference}")).expect("a valid path")
}

/// Where the file is.
pub(crate) fn file_path() -> NamePath {
    NamePath::new("note").expect("a valid path")
}

fn command(reference: usize, action: Action, expect: Expect) -> Option<Command> {
    if reference == FILE {
        return write(action, expect);
    }
    let (expect, change) = match action {
        Action::Read => return None,
        Action::Set(token) => (Expect::Anything, set(token)),
        Action::Swap(_, token) => (expect, set(token)),
        Action::Append(token) => (Expect::Anything, Change::Append { value: text(token) }),
    };
    let edit = RefEdit {
        name: path(reference),
        expect,
        change,
    };
    let change = RepoChange {
        refs: vec![edit],
        ..RepoChange::new(repository())
    };
    Some(match action {
        Action::Append(_) => borrow(change),
        Action::Read | Action::Set(_) | Action::Swap(..) => Command::Commit(change),
    })
}

fn write(action: Action, expect: Expect) -> Option<Command> {
    let (expect, token) = match action {
        Action::Read => return None,
        Action::Set(token) | Action::Append(token) => (Expect::Anything, token),
        Action::Swap(_, token) => (expect, token),
    };
    let step = NameStep::Write {
        expect,
        mode: 0o644,
        value: text(token),
    };
    let path = file_path();
    Some(Command::Name(Box::new(NameChange { path, step })))
}

/// The change, and the lender's file.
fn borrow(change: RepoChange) -> Command {
    let FileAdd { path, entry, .. } = lent();
    let digest = entry.digest;
    Command::Borrow(Box::new(Borrowing {
        change,
        tombstones_as_of: Some(Version(0)),
        unpruned: None,
        loans: vec![Loan {
            from: lender(),
            files: vec![Relied { path, digest }],
        }],
    }))
}

fn set(token: Token) -> Change {
    Change::Set {
        mode: 0o100_644,
        value: text(token),
    }
}

pub(crate) fn text(token: Token) -> Vec<u8> {
    format!("{token} ").into_bytes()
}

/// The tokens of a value.
pub(crate) fn value_of(bytes: &[u8]) -> Value {
    let text = std::str::from_utf8(bytes).expect("only clients write");
    text.split_whitespace()
        .map(|token| token.parse().expect("only tokens are written"))
        .collect()
}

/// Version and value of what a read found.
pub(crate) fn found(entry: Option<RefEntry>) -> (u64, Value) {
    entry.map_or((0, Value::new()), |entry| {
        (entry.version.0, value_of(&entry.value))
    })
}
