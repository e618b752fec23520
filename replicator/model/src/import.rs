//! A repository that is brought in from elsewhere. It has an id, object files and refs from the beginning,
//! and its name only at the end: nobody sees it before it is whole.

use super::{
    Digest, FileAdd, Format, NamePath, PackedEdit, RefEdit, RepoId, RepoPath, Timestamp, Usage,
};
use serde::{Deserialize, Serialize};

/// How far one is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Import {
    /// Of the repository that it becomes.
    pub id: RepoId,
    /// The name that this gets.
    pub path: NamePath,
    /// Where it comes from, without secrets.
    pub source: String,
    /// How far it is.
    pub stage: ImportStage,
    /// How much there is to do, as far as that is known.
    pub plan: ImportPlan,
    /// What it has by now.
    pub usage: Usage,
    /// When the import began.
    pub began: Timestamp,
    /// When this was last written.
    pub changed: Timestamp,
}

/// A stage of an import.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ImportStage {
    /// Nothing is stored yet.
    Pending,
    /// Its object files go into the store.
    Copying,
    /// They are read back.
    Verifying,
    /// It is a repository like any other.
    Done,
    /// The import stopped, and goes on only when it is started again.
    Failed {
        /// Why the import stopped, as a sentence.
        reason: String,
    },
}

/// What the source has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ImportPlan {
    /// Object files that are taken as they are.
    pub files: u64,
    /// Bytes of these, and of loose objects.
    pub bytes: u64,
    /// Objects in all of them; one that is in two counts twice.
    pub objects: u64,
}

/// A step of an import.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Importing {
    /// Of the repository that it becomes.
    pub id: RepoId,
    /// What has been done now.
    pub step: ImportStep,
}

/// What has been done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ImportStep {
    /// The import begins; nothing is stored yet.
    Begin {
        /// The name that it shall get.
        path: NamePath,
        /// Where it comes from, without secrets.
        source: String,
        /// The repository that has that name already, and borrows from the source what this brings.
        borrower: Option<RepoId>,
    },
    /// It comes to a stage. It does not become done by this.
    Reach {
        /// The stage that the import has reached.
        stage: ImportStage,
        /// What there is to do.
        plan: ImportPlan,
    },
    /// These files are stored; they are to be read back still.
    Store(Vec<FileAdd>),
    /// These files were read back, and are what they should be.
    Verify {
        /// Paths of the files that were read back.
        paths: Vec<RepoPath>,
        /// Every object of them was hashed.
        full: bool,
    },
    /// These files are of no use: they go to the trash of the repository.
    Drop(Vec<RepoPath>),
    /// Its refs, or a piece of them.
    Refs {
        /// The first piece: those noted before are forgotten.
        first: bool,
        /// Symbolic refs and `HEAD`.
        loose: Vec<RefEdit>,
        /// All refs that are not symbolic.
        packed: Vec<PackedEdit>,
    },
    /// It gets its name, if all of its files were read back.
    Finish {
        /// Object format and ref storage of the new repository.
        format: Format,
    },
    /// It is given up; gc removes what was stored.
    Abandon,
    /// A repository gets all of its files, if they were read back.
    GiveTo {
        /// The repository that gets the files.
        repo: RepoId,
        /// And loses its `objects/info/alternates`, if that still has this digest.
        instead_of: Digest,
    },
}
