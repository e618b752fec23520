//! What the replicator answers.

use super::{
    ClusterId, Grantee, GroupName, Limit, NamePath, RepoId, RepoPath, TokenId, UserName, Version,
    host_file,
};
use serde::{Deserialize, Serialize};

/// What apply answers. A refusal changed nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// Done, with this version.
    Done(Version),
    /// Refused: nothing was changed.
    Refused(Refusal),
}

impl Outcome {
    /// The version of what was done.
    pub fn done(self) -> Result<Version, Refusal> {
        match self {
            Self::Done(version) => Ok(version),
            Self::Refused(refusal) => Err(refusal),
        }
    }
}

/// Why a command was refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The namespace path exists already.
    #[error("{0} exists already")]
    Exists(NamePath),
    /// There is no such path in the namespace.
    #[error("{0} does not exist")]
    NotFound(NamePath),
    /// A namespace directory still has entries.
    #[error("{0} is not empty")]
    NotEmpty(NamePath),
    /// The path may not be used so (a repository inside a repository, the name of a
    /// repository for a directory, or the other way round for a new repository).
    #[error(
        "{0} cannot be used so: names of new repositories end in .git, names of directories do not, and inside a repository others stand in its modules/ only"
    )]
    BadPath(NamePath),
    /// There is no such repository.
    #[error("repository {0} does not exist")]
    NoRepo(RepoId),
    /// A ref is not what the command expected.
    #[error("{name} was changed by another process since it was locked: repeat the command")]
    RefMoved {
        /// The ref that moved.
        name: RepoPath,
        /// Its version now; `None` when it is absent.
        actual: Option<Version>,
    },
    /// A loose ref would be both a file and a directory.
    #[error("{name} conflicts with {with}")]
    DirectoryConflict {
        /// The ref to write.
        name: RepoPath,
        /// The ref that is in the way.
        with: RepoPath,
    },
    /// A removal came too late: refs moved since the walk that justified it.
    #[error("refs moved since the walk that found these files unneeded")]
    RefsMoved {
        /// The repository's refs version now.
        actual: Version,
    },
    /// The repository is not in the trash, or not any more.
    #[error("repository {0} is not in the trash")]
    NotInTrash(RepoId),
    /// A key has a tombstone: its bytes are gone, or soon will be.
    #[error("{key} has a tombstone: gc deletes its bytes")]
    HasTombstone {
        /// Key in the object store.
        key: String,
    },
    /// Tombstones expired since the proposer began; whether its own keys
    /// had one nobody knows any more.
    #[error("gc deleted objects since these were stored")]
    TombstonesExpired,
    /// Object files were removed since the proposer last looked for those that it needs.
    #[error(
        "objects were deleted after this process looked for those that its ref needs: repeat the command"
    )]
    Pruned,
    /// This is a node of a cluster already.
    #[error("this is cluster {0} already")]
    Founded(ClusterId),
    /// Only a cluster has members.
    #[error("this is not a cluster yet; `gitmoor cluster init` makes it one")]
    NotFounded,
    /// The secret was used, or has expired, or never was one.
    #[error(
        "this token is unknown, was used already or has expired: make another with `gitmoor cluster token`"
    )]
    NotInvited,
    /// There is no such node.
    #[error("node {0} is not in this cluster")]
    NoMember(u64),
    /// The cluster's objects are in another store.
    #[error("the cluster's objects are in another store, {url}")]
    OtherStore {
        /// Where that was first reached.
        url: String,
    },
    /// Another node is reached there.
    #[error("node {holder} is at {address}")]
    AddressTaken {
        /// The address that is taken, host:port.
        address: String,
        /// The id of the node at that address.
        holder: u64,
    },
    /// A file that maintenance relied on is not there any more, or is another.
    #[error("{path} changed while the repository was repacked")]
    Changed {
        /// Path of the file, `objects/…`.
        path: RepoPath,
    },
    /// A removal came too late: what its walk had found elsewhere may be gone from there.
    #[error("the repository was repacked since the walk that found these files unneeded")]
    Repacked {
        /// The repository's repacked version now.
        actual: Version,
    },
    /// A repository has too much to be forked at once.
    #[error(
        "it has more than {limit} refs and object files; repack it with gitmoor gc, and fork it then"
    )]
    TooManyRows {
        /// How many there may be.
        limit: u64,
    },
    /// A repository would grow beyond its quota.
    #[error("{}", over_quota(*.limit, *.most, *.would_be))]
    OverQuota {
        /// The limit that would be exceeded.
        limit: Limit,
        /// The limit's value, in its own unit.
        most: u64,
        /// What it would come to.
        would_be: u64,
    },
    /// No import of this id is under way.
    #[error("no import of repository {0} is under way")]
    NoImport(RepoId),
    /// Another repository is being brought in under that name.
    #[error("{0} is being imported already")]
    BeingImported(NamePath),
    /// A file of an import was not read back.
    #[error("{path} was not verified")]
    Unverified {
        /// Path of the file, `objects/…`.
        path: RepoPath,
    },
    /// Whoever asks may not ask for this.
    #[error("not permitted: {0}")]
    NotPermitted(String),
    /// A file that was to be borrowed is not in its repository any more, or is another.
    #[error("{path} is not in repository {from} any more, which was to share it")]
    NotLent {
        /// The lender.
        from: RepoId,
        /// Which.
        path: RepoPath,
    },
    /// A file of the namespace is not the one that was opened.
    #[error("{path} was changed by another process since it was opened: repeat the command")]
    NameChanged {
        /// Which.
        path: NamePath,
        /// Its version now; `None` when it is absent.
        actual: Option<Version>,
    },
    /// The files of hosts in a repository would be more than all of them may.
    #[error(
        "the files that hosts keep in this repository would have {would_be} bytes, and {} are allowed",
        host_file::MOST
    )]
    HostFilesTooLarge {
        /// What they would come to, with their names.
        would_be: u64,
    },
    /// A machine whose hooks directory is not the cluster's takes no push.
    #[error("{}", hooks_differ(*.machine, .file.as_ref()))]
    HooksDiffer {
        /// Node or client.
        machine: u64,
        /// What differs first; `None` when one of both has no hooks directory.
        file: Option<RepoPath>,
    },
    /// A machine that lacks a hook of a repository takes no push to the repository.
    #[error(
        "machine {on} has hooks/{name} for this repository and machine {machine} has not, so that a push here would \
         not be checked by this hook: install the hook here, or push through machine {on}"
    )]
    HooksMissing {
        /// Node or client.
        machine: u64,
        /// The first hook that is missing.
        name: RepoPath,
        /// Where the hook is.
        on: u64,
    },
    /// There is no such user of the doors.
    #[error("there is no user {0}; gitmoor user list shows all")]
    NoUser(UserName),
    /// There is one of this name.
    #[error("there is a user {0} already")]
    UserExists(UserName),
    /// There is no such token.
    #[error("there is no token {0}; gitmoor token list shows all")]
    NoToken(TokenId),
    /// There is one of this id.
    #[error("there is a token {0} already")]
    TokenExists(TokenId),
    /// Nothing was granted there.
    #[error(
        "nothing is granted to {to} at {at} itself; gitmoor access list shows what is granted where"
    )]
    NoGrant {
        /// To whom.
        to: Grantee,
        /// Where, as people read it.
        at: String,
    },
    /// The user is not in the group.
    #[error("{user} is not in the group {group}; gitmoor user list shows all")]
    NotInGroup {
        /// Who.
        user: UserName,
        /// Where.
        group: GroupName,
    },
}

fn hooks_differ(machine: u64, file: Option<&RepoPath>) -> String {
    let why = match file {
        Some(file) => format!("{file} is not the same"),
        None => "one of both has none".to_owned(),
    };
    format!(
        "the hooks directory of machine {machine} is not the cluster's ({why}), so machine {machine} takes no push: \
         push through another machine, and see gitmoor hooks status"
    )
}

fn over_quota(limit: Limit, most: u64, would_be: u64) -> String {
    let what = match limit {
        Limit::Bytes => "bytes of objects",
        Limit::Refs => "refs",
        Limit::AuditRecords | Limit::AuditKeep => "audit records",
    };
    format!("over quota: it would have {would_be} {what}, and {most} are allowed")
}
