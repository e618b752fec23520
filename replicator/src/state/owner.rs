//! Whose a row is: what decides who may read it.

use super::{Table, Trail, keys};
use crate::model::{NamePath, RepoId, Version};

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// A node's own, or what keeps members apart: nobody else reads it.
    Nobody,
    /// Everybody's in the cluster.
    Cluster,
    Client(u64),
    /// Of whatever stands at this path.
    Name(NamePath),
    Repo(RepoId),
    AllRepositories,
    /// Of the file beside repositories that this version wrote.
    Contents(Version),
}

/// Whose the row of a key is, or the rows of which it is the beginning.
pub(crate) fn owner(table: Table, key: &[u8]) -> Owner {
    match table {
        // Only nodes have doors.
        Table::RaftLog | Table::RaftState | Table::Sessions | Table::Access => Owner::Nobody,
        Table::Members => of_cluster(key),
        Table::Names => NamePath::new(key).map_or(Owner::Nobody, Owner::Name),
        Table::Repositories
        | Table::Refs
        | Table::Packed
        | Table::Catalog
        | Table::Blocks
        | Table::Hooks => of_repo(key),
        Table::Audit => match of_repo(key) {
            Owner::Repo(id) if id == Trail::Namespace.id() => Owner::AllRepositories,
            owner => owner,
        },
        Table::Contents => keys::version_of_contents(key).map_or(Owner::Nobody, Owner::Contents),
        // A letter says what it is of the repository.
        Table::Trash | Table::Imports => of_repo(key.get(1..).unwrap_or_default()),
    }
}

fn of_repo(key: &[u8]) -> Owner {
    match key.first_chunk() {
        Some(id) => Owner::Repo(RepoId::from_bytes(*id)),
        None => Owner::Nobody,
    }
}

fn of_cluster(key: &[u8]) -> Owner {
    let whole = [
        keys::CLUSTER,
        keys::STORE,
        keys::CLAIMS,
        keys::ACCEPTED_HOOKS,
        keys::HOOKS_DIRECTORY,
    ];
    if whole.contains(&key) {
        return Owner::Cluster;
    }
    let number = key.get(1..).and_then(|id| id.try_into().ok());
    match (key.first(), number.map(u64::from_be_bytes)) {
        (Some(&keys::MEMBER), Some(_)) => Owner::Cluster,
        (Some(&(keys::CLIENT | keys::MACHINE_HOOKS | keys::MACHINE_HOOK_FILES)), Some(id)) => {
            Owner::Client(id)
        }
        // Invitations, and who was removed.
        _ => Owner::Nobody,
    }
}
