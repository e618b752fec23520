//! A client of another making, over TLS: what it may not it does not, and whatever it says nodes go on.

use crate::harness::{Cluster, create_repo, name, read, repo, write};
use gitmoor_model::{
    Actor, Borrowing, Change, Command, Deletions, Digest, Envelope, Expect, FileAdd, FileEntry,
    Format, Inside, Limit, Loan, ModulePath, NameChange, NamePath, NameStep, NestStep, Nesting,
    ObjectFormat, Outcome, PackedEdit, PackedRef, Place, RefEdit, RefStorage, Refusal, Relied,
    RepoChange, RepoId, Scope, SessionId, Timestamp,
};
use gitmoor_replicator::net::Caller;
use gitmoor_replicator::parsers::{ClientCall, ClientReply, ClientRequest, ClientResponse, Cursor};
use gitmoor_replicator::state::{KeyRange, Table, Trail};
use gitmoor_replicator::{Client, NameEntry, Replica, read};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

/// One that is asked of the first machine, by hand.
struct Attacker<'c> {
    cluster: &'c Cluster,
    caller: Caller,
}

impl<'c> Attacker<'c> {
    fn of(cluster: &'c Cluster, scope: Scope) -> Self {
        let at = vec![cluster.machines[0].address.to_string()];
        let caller = Caller::new(cluster.client_identity(scope), at);
        Self {
            cluster,
            caller: caller.expect("a client"),
        }
    }

    fn say(&self, call: &[u8]) -> Option<Vec<u8>> {
        let bound = Duration::from_secs(5);
        let deadline = tokio::time::Instant::now() + bound;
        let asked = self.caller.ask(call, bound, deadline);
        self.cluster.runtime.block_on(asked).ok()
    }

    fn ask(&self, request: ClientRequest) -> ClientResponse {
        let within = Duration::MAX;
        let call = postcard::to_stdvec(&ClientCall { within, request }).expect("encodes");
        let answer = self.say(&call).expect("an answer");
        let answer: ClientReply = postcard::from_bytes(&answer).expect("one of ours");
        answer.response
    }

    fn propose(&self, envelope: &Envelope) -> ClientResponse {
        self.ask(ClientRequest::Propose {
            cursor: cursor(&[]),
            session: envelope.session,
            sequence: envelope.sequence,
            data: postcard::to_stdvec(envelope).expect("encodes"),
        })
    }

    /// Whether a command was done.
    fn commits(&self, command: Command) -> bool {
        let envelope = envelope(SessionId::random(), 1, command);
        match self.propose(&envelope) {
            ClientResponse::Outcome(Outcome::Done(_), _) => true,
            ClientResponse::Outcome(Outcome::Refused(_), _) => false,
            _ => panic!("no outcome"),
        }
    }
}

fn cursor(repos: &[RepoId]) -> Cursor {
    let repos = repos.to_vec();
    Cursor { index: 0, repos }
}

fn envelope(session: SessionId, sequence: u64, command: Command) -> Envelope {
    Envelope {
        session,
        sequence,
        time: Timestamp::now(),
        actor: Actor::default(),
        command,
        trace: None,
    }
}

fn path(text: &str) -> NamePath {
    NamePath::new(text).expect("a path")
}

fn scope(patterns: &[&str], read_only: bool) -> Scope {
    let repos = patterns.iter().map(|it| it.parse().expect("a pattern"));
    let repos = repos.collect();
    Scope { repos, read_only }
}

fn borrow(repo: RepoId, from: RepoId) -> Command {
    let file = Relied {
        path: name("objects/info/x"),
        digest: Digest([3; 32]),
    };
    Command::Borrow(Box::new(Borrowing {
        change: RepoChange::new(repo),
        tombstones_as_of: None,
        unpruned: None,
        loans: vec![Loan {
            from,
            files: vec![file],
        }],
    }))
}

fn edit(at: &str) -> Command {
    let edit = RefEdit {
        name: name(at),
        expect: Expect::Anything,
        change: Change::Set {
            mode: 0o100_644,
            value: b"mine".to_vec(),
        },
    };
    Command::Commit(RepoChange {
        refs: vec![edit],
        ..RepoChange::new(repo())
    })
}

fn file(change: impl FnOnce(&mut FileAdd)) -> Command {
    let mut add = FileAdd {
        path: name("objects/info/x"),
        entry: FileEntry {
            size: 1,
            mtime: Timestamp::default(),
            mode: 0o100_444,
            digest: Digest([3; 32]),
            block_size: 1 << 20,
            place: Place::Inline(vec![1]),
        },
        blocks: Vec::new(),
    };
    change(&mut add);
    Command::Commit(RepoChange {
        add: vec![add],
        ..RepoChange::new(repo())
    })
}

/// What no mount could show, or would take for a path of its own.
#[test]
fn what_mounts_rely_on_is_checked() {
    let cluster = Cluster::new();
    create_repo(cluster.node(0));
    let client = Attacker::of(&cluster, Scope::default());
    assert!(client.commits(file(|_| {})));
    let key = |key: &str| {
        let key = key.to_owned();
        file(|add| add.entry.place = Place::Stored { key })
    };
    let hostile = [
        edit("config"),
        edit("hooks/post-receive"),
        edit("HEADS"),
        file(|add| add.path = name("hooks/update")),
        file(|add| add.path = name("objects")),
        file(|add| add.entry.mode = 0o120_777),
        file(|add| add.entry.mode = 0o010_644),
        file(|add| add.entry.block_size = 0),
        file(|add| add.entry.mtime.nanos = u32::MAX),
        key("../../etc/passwd"),
        key("/etc/passwd"),
        key("a//b"),
        key(""),
        key(&"x".repeat(2000)),
        borrow(repo(), repo()),
        // What a quota would not count, and what a reader would have to hold in memory.
        file(|add| add.entry.size = 0),
        file(|add| add.entry.size = u64::MAX),
        file(|add| {
            let key = format!("{}/objects/info/x", repo());
            add.entry.place = Place::Stored { key };
            add.entry.block_size = 1 << 31;
        }),
    ];
    for command in hostile {
        let told = format!("{command:?}");
        assert!(!client.commits(command), "{told}");
    }
}

/// A session and a name are the proposer's own, whatever it says.
#[test]
fn a_client_speaks_for_itself() {
    let cluster = Cluster::new();
    create_repo(cluster.node(0));
    let (one, other) = (
        Attacker::of(&cluster, Scope::default()),
        Attacker::of(&cluster, Scope::default()),
    );
    let session = SessionId::random();
    let with_actor = Envelope {
        actor: Actor {
            node: Some(1),
            address: Some("10.0.0.1".to_owned()),
            ..Actor::default()
        },
        time: Timestamp {
            secs: i64::MAX,
            nanos: 0,
        },
        ..envelope(session, 1, edit("refs/heads/one"))
    };
    assert!(matches!(
        one.propose(&with_actor),
        ClientResponse::Outcome(Outcome::Done(_), _)
    ));
    // The same session and number of another client: another command.
    let same = envelope(session, 1, edit("refs/heads/other"));
    assert!(matches!(
        other.propose(&same),
        ClientResponse::Outcome(Outcome::Done(_), _)
    ));
    assert_eq!(
        read(cluster.node(0), "refs/heads/other").as_deref(),
        Some("mine")
    );
    // The same client's is applied once.
    write(cluster.node(0), "refs/heads/one", Expect::Anything, "new").expect("written");
    one.propose(&with_actor);
    assert_eq!(
        read(cluster.node(0), "refs/heads/one").as_deref(),
        Some("new")
    );
    let mut told = Vec::new();
    let trail = Trail::Of(repo());
    let mut keep = |_, record: gitmoor_replicator::state::AuditRecord| {
        told.push((record.actor.node, record.time));
        true
    };
    let audit = read::audit(cluster.node(0).view(), trail, Default::default(), &mut keep);
    audit.expect("reads");
    let in_a_year = Timestamp::now().secs + 31_000_000;
    assert!(
        told.iter().all(|(_, time)| time.secs < in_a_year),
        "{told:?}"
    );
    let nodes: Vec<_> = told.iter().map(|(node, _)| *node).collect();
    let clients = cluster.node(0).clients().expect("reads");
    let [one, other] = clients.keys().copied().collect::<Vec<_>>()[..] else {
        panic!("{clients:?}");
    };
    assert_eq!(nodes, [Some(1), Some(one), Some(other), Some(1)]);
    let long = Envelope {
        actor: Actor {
            command: Some("x".repeat(1 << 20)),
            ..Actor::default()
        },
        ..envelope(session, 7, edit("refs/heads/one"))
    };
    let said = Attacker::of(&cluster, Scope::default());
    assert!(matches!(
        said.propose(&long),
        ClientResponse::Outcome(Outcome::Refused(Refusal::NotPermitted(_)), _)
    ));
}

/// The trail of the namespace is kept under the id of no repository.
#[test]
fn no_repository_has_the_trail_of_the_namespace() {
    let cluster = Cluster::new();
    create_repo(cluster.node(0));
    let client = Attacker::of(&cluster, Scope::default());
    let id = RepoId::NAMESPACE;
    let module = ModulePath::new(name("modules/x")).expect("beneath modules/");
    let inside = Inside {
        owner: repo(),
        module,
    };
    let step = NestStep::Make;
    client.commits(Command::CreateDirectory { path: path("d") });
    for command in [
        Command::CreateRepo {
            id,
            path: path("d.git"),
        },
        Command::Fork {
            from: repo(),
            id,
            path: path("d.git"),
        },
        Command::Nest(Box::new(Nesting {
            repo: id,
            inside,
            step,
        })),
        Command::Name(Box::new(NameChange {
            path: path("d"),
            step: NameStep::Become(id),
        })),
    ] {
        let told = format!("{command:?}");
        assert!(!client.commits(command), "{told}");
    }
}

/// Nobody has the sessions of others forgotten.
#[test]
fn sessions_without_end() {
    let cluster = Cluster::new();
    create_repo(cluster.node(0));
    let client = Attacker::of(&cluster, Scope::default());
    let begun = (0..1000).take_while(|_| {
        let envelope = envelope(SessionId::random(), 1, edit("refs/heads/main"));
        let within = Duration::from_secs(3);
        let request = ClientRequest::Propose {
            cursor: cursor(&[]),
            session: envelope.session,
            sequence: 1,
            data: postcard::to_stdvec(&envelope).expect("encodes"),
        };
        let call = postcard::to_stdvec(&ClientCall { within, request }).expect("encodes");
        let bound = Duration::from_millis(300);
        let deadline = tokio::time::Instant::now() + bound;
        let asked = client.caller.ask(&call, bound, deadline);
        cluster.runtime.block_on(asked).is_ok()
    });
    let begun = begun.count();
    assert!((1..1000).contains(&begun), "{begun}");
}

/// Three repositories, of which a limited client may use one, and the entry before them.
fn three_repositories(cluster: &Cluster) -> (u64, [RepoId; 3]) {
    let node = cluster.node(0);
    let before = node.status().applied;
    let done = |command| {
        let outcome = node.propose(Actor::default(), command);
        assert!(matches!(outcome, Ok(Outcome::Done(_))), "{outcome:?}");
    };
    for dir in ["team", "secret"] {
        done(Command::CreateDirectory { path: path(dir) });
    }
    let names = ["team/a.git", "secret/b.git", "c.git"];
    let ids = [1, 2, 3].map(|number| RepoId::from_bytes([number; 16]));
    for (id, at) in ids.into_iter().zip(names) {
        let path = path(at);
        done(Command::CreateRepo { id, path });
        done(ref_of(id));
        done(file_of(id));
    }
    (before, ids)
}

fn ref_of(repo: RepoId) -> Command {
    let Command::Commit(change) = edit("refs/heads/main") else {
        unreachable!("an edit is a commit")
    };
    Command::Commit(RepoChange { repo, ..change })
}

fn file_of(repo: RepoId) -> Command {
    let Command::Commit(change) = file(|_| {}) else {
        unreachable!("a file is a commit")
    };
    Command::Commit(RepoChange { repo, ..change })
}

/// All that a limited client is told, as text: what there is, and what changed since.
fn told(client: &Attacker<'_>, since: u64, ids: &[RepoId]) -> String {
    let mut all = String::new();
    let tables = Table::ALL.map(|table| vec![(table, KeyRange::all())]);
    for request in tables.map(ClientRequest::Rows).into_iter().chain([
        ClientRequest::CatchUp(Cursor {
            index: since,
            ..cursor(ids)
        }),
        ClientRequest::Backup(0),
        ClientRequest::Members,
    ]) {
        all += &match client.ask(request) {
            ClientResponse::Rows(rows) => {
                let rows = rows.rows.iter();
                let rows = rows.map(|(_, key, value)| [key.as_slice(), value].concat());
                let rows: Vec<_> = rows.map(|row| row.escape_ascii().to_string()).collect();
                rows.join("\n")
            }
            ClientResponse::CaughtUp(news) => {
                let changes = news.changes.expect("it is not long ago");
                let rows = changes.tables().flat_map(|(_, changes)| &changes.rows);
                let rows = rows.map(|(key, value)| {
                    [key.as_slice(), value.as_deref().unwrap_or_default()].concat()
                });
                let rows: Vec<_> = rows.map(|row| row.escape_ascii().to_string()).collect();
                rows.join("\n")
            }
            ClientResponse::Backup(piece) => piece.bytes.escape_ascii().to_string(),
            ClientResponse::Denied(_) | ClientResponse::Members(_) => String::new(),
            _ => panic!("it answers something else"),
        };
    }
    all
}

#[test]
fn a_limited_client_sees_and_changes_its_repositories() {
    let cluster = Cluster::new();
    let (since, [own, hidden, other]) = three_repositories(&cluster);
    let client = Attacker::of(&cluster, scope(&["team/*.git"], false));
    let all = told(&client, since, &[own, hidden, other]);
    assert!(all.contains("team/a.git") && all.contains("mine"), "{all}");
    assert!(!all.contains("secret") && !all.contains("c.git"), "{all}");
    assert!(client.commits(ref_of(own)));
    let format = Format {
        bare: true,
        objects: ObjectFormat::Sha1,
        refs: RefStorage::Files,
    };
    let new = RepoId::random();
    for id in [hidden, other, RepoId::random()] {
        let hostile = [
            ref_of(id),
            Command::DeleteRepo { id },
            Command::SetFormat { id, format },
            Command::Fork {
                from: id,
                id: new,
                path: path("team/f.git"),
            },
            Command::PurgeRepo { id },
            borrow(own, id),
            // Whoever pushes that object would find a tombstone on its key.
            Command::MarkDeleted(Deletions {
                repo: own,
                expired: Vec::new(),
                leftovers: vec![format!("{id}/objects/pack/pack-1.pack")],
            }),
        ];
        for command in hostile {
            let told = format!("{command:?}");
            assert!(!client.commits(command), "{told}");
        }
    }
    let rename = |from, to| Command::Rename {
        from: path(from),
        to: path(to),
    };
    for command in [
        rename("team/a.git", "c/a.git"),
        rename("secret/b.git", "team/b.git"),
        rename("secret", "team/x"),
        Command::CreateDirectory { path: path("d") },
        Command::CreateRepo {
            id: new,
            path: path("d.git"),
        },
        Command::SetLimit {
            id: own,
            limit: Limit::Bytes,
            value: None,
        },
    ] {
        let told = format!("{command:?}");
        assert!(!client.commits(command), "{told}");
    }
    assert!(client.commits(rename("team/a.git", "team/e.git")));
    let unlimited = Attacker::of(&cluster, Scope::default());
    assert!(unlimited.commits(borrow(own, hidden)));
}

#[test]
fn a_read_only_client_changes_nothing() {
    let cluster = Cluster::new();
    let (since, [own, ..]) = three_repositories(&cluster);
    let client = Attacker::of(&cluster, scope(&[], true));
    assert!(told(&client, since, &[own]).contains("secret/b.git"));
    for command in [
        ref_of(own),
        Command::CreateDirectory { path: path("d") },
        Command::DeleteRepo { id: own },
    ] {
        assert!(!client.commits(command));
    }
    let known = cluster.node(0).clients().expect("reads");
    let scope = &known.values().next_back().expect("it").scope;
    assert_eq!(scope.to_string(), "all repositories, read-only");
}

/// A client of ours, with a scope: what comes into sight and leaves it while it runs.
#[test]
fn repositories_come_into_sight_and_leave_it() {
    let cluster = Cluster::new();
    let (_, [own, hidden, _]) = three_repositories(&cluster);
    let identity = cluster.client_identity(scope(&["team/**"], false));
    let client: Client = cluster.client_with(identity, &[0]);
    let sees = |at: &str| {
        client.read_barrier(&|| false).expect("a quorum");
        read::name(client.view(), &path(at)).expect("reads")
    };
    let main = |id| {
        let read = read::reference(client.view(), id, &name("refs/heads/main"));
        read.expect("reads").map(|entry| entry.value)
    };
    assert_eq!(sees("team/a.git"), Some(NameEntry::Repo(own)));
    assert_eq!(main(own).as_deref(), Some(b"mine".as_slice()));
    assert_eq!(sees("secret"), None);
    let rename = |from: &str, to: &str| {
        let (from, to) = (path(from), path(to));
        let renamed = cluster
            .node(0)
            .propose(Actor::default(), Command::Rename { from, to });
        assert!(matches!(renamed, Ok(Outcome::Done(_))), "{renamed:?}");
    };
    rename("secret/b.git", "team/b.git");
    assert_eq!(sees("team/b.git"), Some(NameEntry::Repo(hidden)));
    assert_eq!(main(hidden).as_deref(), Some(b"mine".as_slice()));
    rename("team/a.git", "secret/a.git");
    assert_eq!(sees("team/a.git"), None);
    assert_eq!(read::repo(client.view(), own).expect("reads"), None);
    // It changes while it is out of sight.
    let change = RepoChange {
        refs: vec![RefEdit {
            name: name("refs/heads/main"),
            expect: Expect::Anything,
            change: Change::Set {
                mode: 0o100_644,
                value: b"new".to_vec(),
            },
        }],
        ..RepoChange::new(own)
    };
    let changed = cluster
        .node(0)
        .propose(Actor::default(), Command::Commit(change));
    assert!(matches!(changed, Ok(Outcome::Done(_))), "{changed:?}");
    assert_eq!(main(own), None);
    rename("secret/a.git", "team/a.git");
    assert_eq!(sees("team/a.git"), Some(NameEntry::Repo(own)));
    assert_eq!(main(own).as_deref(), Some(b"new".as_slice()));
    assert_eq!(client.scope().expect("reads"), scope(&["team/**"], false));
    assert_eq!(client.clients().expect("reads").len(), 1, "itself");
}

/// Questions of every kind, garbled: nodes go on, and nothing is done that is no client's to do.
#[test]
fn garbled_questions() {
    let cluster = Cluster::new();
    create_repo(cluster.node(0));
    let client = Attacker::of(&cluster, Scope::default());
    let seed = rand::random();
    println!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let (before, members) = (
        cluster.node(0).clients().expect("reads"),
        cluster.node(0).members().expect("reads"),
    );
    let command = postcard::to_stdvec(&envelope(SessionId::random(), 1, edit("refs/heads/x")));
    let command = command.expect("encodes");
    for _ in 0..300 {
        let request = match chance.random_range(0..7) {
            0 => ClientRequest::CatchUp(cursor(&[repo()])),
            1 => ClientRequest::Rows(vec![(Table::Refs, KeyRange::all())]),
            2 => ClientRequest::Backup(chance.random()),
            3 => ClientRequest::RenewCertificate(vec![chance.random(); 20]),
            4 => ClientRequest::Members,
            _ => ClientRequest::Propose {
                cursor: cursor(&[]),
                session: SessionId::random(),
                sequence: chance.random(),
                data: garbled(&command, &mut chance),
            },
        };
        let within = Duration::from_secs(1);
        let call = postcard::to_stdvec(&ClientCall { within, request }).expect("encodes");
        let call = match chance.random() {
            true => garbled(&call, &mut chance),
            false => call,
        };
        let bound = Duration::from_millis(200);
        let deadline = tokio::time::Instant::now() + bound;
        let asked = client.caller.ask(&call, bound, deadline);
        let _ = cluster.runtime.block_on(asked);
    }
    write(cluster.node(0), "refs/heads/y", Expect::Anything, "y").expect("it goes on");
    assert_eq!(cluster.node(0).clients().expect("reads"), before);
    assert_eq!(cluster.node(0).members().expect("reads"), members);
    assert!(client.commits(edit("refs/heads/x")));
}

fn garbled(bytes: &[u8], chance: &mut StdRng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..chance.random_range(1..4) {
        let at = chance.random_range(0..bytes.len());
        match chance.random_range(0..4) {
            0 => bytes.truncate(at.max(1)),
            1 => bytes.insert(at, chance.random()),
            _ => bytes[at] = chance.random(),
        }
    }
    bytes
}

/// Rows that a client may not read cost no more time than its request has.
#[test]
fn a_scan_of_what_a_client_may_not_see_ends_in_time() {
    let cluster = Cluster::new();
    let (_, [_, hidden, _]) = three_repositories(&cluster);
    let node = cluster.node(0);
    for from in 0..20 {
        let lines = (0..1000).map(|n| PackedEdit::Set {
            name: name(&format!("refs/heads/{from}-{n}")),
            line: PackedRef {
                oid: vec![1; 20],
                peeled: None,
            },
        });
        let change = RepoChange {
            packed: lines.collect(),
            ..RepoChange::new(hidden)
        };
        let outcome = node.propose(Actor::default(), Command::Commit(change));
        assert!(matches!(outcome, Ok(Outcome::Done(_))), "{outcome:?}");
    }
    let client = Attacker::of(&cluster, scope(&["team/*.git"], false));
    let ranges = vec![(Table::Packed, KeyRange::all()); 60_000];
    let (within, request) = (Duration::from_secs(1), ClientRequest::Rows(ranges));
    let call = postcard::to_stdvec(&ClientCall { within, request }).expect("encodes");
    // The client asks again until its own deadline, and then says what it was told.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    let asked = client.caller.ask(&call, Duration::from_secs(60), deadline);
    let refused = cluster.runtime.block_on(asked).expect_err("too many rows");
    let said = refused.to_string();
    assert!(said.contains("takes too long"), "{said}");
}
