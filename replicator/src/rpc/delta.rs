//! How far a client has followed the state, and what changed since then.

use crate::model::RepoId;
use crate::state::{Changes, Table};
use serde::{Deserialize, Serialize};

/// What a client has, up to which entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cursor {
    /// Index of the last entry that was seen.
    pub index: u64,
    /// The repositories whose rows are wanted.
    pub repos: Vec<RepoId>,
}

/// What changed since a cursor.
#[derive(Serialize, Deserialize)]
pub struct Delta {
    /// Up to this entry.
    pub upto: u64,
    /// `None` when that is more than nodes remember: the client takes everything anew.
    pub changes: Option<Changes>,
}

/// The tables of which a client has everything.
pub(crate) const WHOLE: [Table; 3] = [Table::Repositories, Table::Names, Table::Members];
/// Those of which it has the rows of the repositories it uses; their keys begin with a repository's id.
pub(crate) const OF_REPOSITORY: [Table; 4] =
    [Table::Refs, Table::Packed, Table::Catalog, Table::Blocks];
