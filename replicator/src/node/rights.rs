//! What a client may: propose, read and lock. The node that serves it decides, by the scope that
//! stands in the state since its admission, and by where repositories stand when it asks.

use crate::model::{
    Actor, Command, Concern, Envelope, NamePath, RepoId, Scope, SessionId, Sight, Timestamp,
    Version,
};
use crate::rpc::{Cursor, OF_REPOSITORY, WHOLE};
use crate::state::{
    KeyRange, NameEntry, Owner, ReadError, Shown, Table, View, owner, place_of, read,
};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Scopes of clients, ready to decide. Few clients have one that limits them.
#[derive(Default)]
pub(super) struct Sights(Mutex<HashMap<u64, (Scope, Arc<Sight>)>>);

impl Sights {
    fn of(&self, client: u64, scope: &Scope) -> Arc<Sight> {
        let mut all = self.0.lock();
        match all.get(&client) {
            Some((known, sight)) if known == scope => sight.clone(),
            Some(_) | None => {
                let sight = Arc::new(scope.sight());
                all.insert(client, (scope.clone(), sight.clone()));
                sight
            }
        }
    }
}

/// Of one client, for one request.
pub(super) struct Rights<'v> {
    client: u64,
    read_only: bool,
    sight: Arc<Sight>,
    view: &'v dyn View,
    /// What was looked up of repositories.
    seen: Mutex<HashMap<RepoId, bool>>,
}

impl<'v> Rights<'v> {
    /// `None` when this node knows no such client.
    pub(super) fn of(
        view: &'v dyn View,
        client: u64,
        sights: &Sights,
    ) -> Result<Option<Self>, ReadError> {
        let known = read::client(view, client)?;
        Ok(known.map(|known| Self {
            client,
            read_only: known.scope.read_only,
            sight: sights.of(client, &known.scope),
            view,
            seen: Mutex::default(),
        }))
    }

    /// Whether it depends on where repositories stand.
    pub(super) fn are_limited(&self) -> bool {
        !self.sight.is_of_all()
    }

    /// Whether it may see a repository.
    pub(super) fn see(&self, repo: RepoId) -> Result<bool, ReadError> {
        if self.sight.is_of_all() {
            return Ok(true);
        }
        if let Some(&seen) = self.seen.lock().get(&repo) {
            return Ok(seen);
        }
        let seen = match read::path_of(self.view, repo)? {
            Some(path) => self.names(&path)?,
            None => false,
        };
        self.seen.lock().insert(repo, seen);
        Ok(seen)
    }

    /// Whether it may change a repository.
    pub(super) fn change(&self, repo: RepoId) -> Result<bool, ReadError> {
        Ok(!self.read_only && self.see(repo)?)
    }

    /// Why it may not propose a command; `None` when it may.
    pub(super) fn refuse(&self, command: &Command) -> Result<Option<&'static str>, ReadError> {
        for concern in command.concerns() {
            let may = match concern {
                Concern::Cluster => return Ok(Some("only nodes change the cluster")),
                _ if self.read_only => return Ok(Some("this client may only read")),
                Concern::AllRepositories => self.sight.is_of_all(),
                Concern::Name(path) => self.sight.has(path),
                Concern::Repo(repo) => self.see(repo)?,
                Concern::Leaf(path) => self.names(path)?,
                Concern::Tree(path) => self.has_tree(path)?,
                // `bind` says who that is.
                Concern::Proposer => true,
            };
            if !may {
                return Ok(Some("this client may use other repositories only"));
            }
        }
        Ok(None)
    }

    /// What is proposed for it: in its own name, in a session of its own, at this node's time.
    pub(super) fn bind(&self, envelope: Envelope) -> Envelope {
        Envelope {
            session: SessionId::of_client(self.client, envelope.session),
            time: Timestamp::now(),
            actor: Actor {
                node: Some(self.client),
                ..envelope.actor
            },
            ..envelope
        }
    }

    /// Whether it may read a row.
    pub(super) fn read(&self, table: Table, key: &[u8]) -> Result<bool, ReadError> {
        match owner(table, key) {
            Owner::Nobody => Ok(false),
            Owner::Cluster => Ok(true),
            Owner::Client(id) => Ok(id == self.client || self.sight.is_of_all()),
            Owner::Name(path) => self.has_name(&path),
            Owner::Repo(repo) => self.see(repo),
            Owner::AllRepositories => Ok(self.sight.is_of_all()),
            Owner::Contents(version) => self.has_contents(version),
        }
    }

    /// Whether a pattern names what stands at a path. What is inside a repository is seen with that, and only so.
    fn names(&self, path: &NamePath) -> Result<bool, ReadError> {
        let outermost = read::outermost(self.view, path)?;
        Ok(self.sight.names(&outermost))
    }

    /// Whether it may know what stands at a path: a directory in which a repository may be that it
    /// sees, or what a pattern names.
    fn has_name(&self, path: &NamePath) -> Result<bool, ReadError> {
        if self.sight.is_of_all() {
            return Ok(true);
        }
        Ok(match read::name(self.view, path)? {
            Some(NameEntry::Repo(_) | NameEntry::Link(_) | NameEntry::File(_)) => {
                self.names(path)?
            }
            Some(NameEntry::Directory) => self.sight.has(path),
            // Whichever it was.
            None => self.sight.has(path) || self.names(path)?,
        })
    }

    /// Whether it sees all that is at a path and beneath it.
    fn has_tree(&self, path: &NamePath) -> Result<bool, ReadError> {
        Ok(match read::name(self.view, path)? {
            Some(NameEntry::Directory) => self.sight.is_of_all(),
            Some(NameEntry::Repo(_) | NameEntry::Link(_) | NameEntry::File(_)) | None => {
                self.names(path)?
            }
        })
    }

    fn has_contents(&self, version: Version) -> Result<bool, ReadError> {
        if self.sight.is_of_all() {
            return Ok(true);
        }
        let path = place_of(self.view, version)?;
        Ok(path.is_some_and(|path| self.sight.names(&path)))
    }

    /// Whether a name that it may not know now was that of a directory that it knew.
    fn may_have_seen(&self, name: &[u8]) -> bool {
        NamePath::new(name).is_some_and(|path| self.sight.has(&path))
    }

    /// Whether anything of a table is anybody's but a node's.
    pub(super) fn are_for(table: Table) -> bool {
        match table {
            Table::RaftLog | Table::RaftState | Table::Sessions | Table::Access => false,
            Table::Repositories
            | Table::Names
            | Table::Refs
            | Table::Packed
            | Table::Catalog
            | Table::Blocks
            | Table::Audit
            | Table::Trash
            | Table::Members
            | Table::Imports
            | Table::Contents
            | Table::Hooks => true,
        }
    }
}

/// What a client's delta has: rows of what it has, as far as it may see them.
pub(super) struct Wanted<'r> {
    rights: &'r Rights<'r>,
    repos: HashSet<RepoId>,
}

impl<'r> Wanted<'r> {
    pub(super) fn new(rights: &'r Rights<'r>, cursor: &Cursor) -> Self {
        let repos = cursor.repos.iter().copied().collect();
        Self { rights, repos }
    }

    fn has_of_repository(&self, key: &[u8]) -> bool {
        let repo = key.first_chunk().copied().map(RepoId::from_bytes);
        repo.is_some_and(|repo| self.repos.contains(&repo))
    }
}

impl Shown for Wanted<'_> {
    fn range(&mut self, table: Table, range: &KeyRange) -> bool {
        OF_REPOSITORY.contains(&table) && self.has_of_repository(&range.from)
    }

    fn row<'v>(
        &mut self,
        table: Table,
        key: &[u8],
        value: Option<&'v [u8]>,
    ) -> Result<Option<Option<&'v [u8]>>, ReadError> {
        let is_known =
            WHOLE.contains(&table) || OF_REPOSITORY.contains(&table) && self.has_of_repository(key);
        if !is_known {
            return Ok(None);
        }
        match self.rights.read(table, key)? {
            true => Ok(Some(value)),
            // It may have been in sight before.
            false if table == Table::Repositories => Ok(Some(None)),
            false if table == Table::Names && self.rights.may_have_seen(key) => Ok(Some(None)),
            false => Ok(None),
        }
    }
}
