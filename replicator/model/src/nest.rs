//! What is asked for repositories inside repositories: one stands in the `modules/` of another, its owner, as git
//! keeps the repository of a submodule.

use super::{NamePath, RepoId, RepoPath};
use serde::{Deserialize, Serialize};

/// The directory of a repository in which other repositories may stand.
pub const MODULES: &[u8] = b"modules";

/// Repositories that stand inside one, at any depth: each may be looked at for a change of one, by every node.
pub const MOST_INSIDE: usize = 2048;

/// Repositories around one.
pub const MOST_AROUND: usize = 16;

/// Bytes of the whole name of one inside another: the kernel takes no longer path.
pub const LONGEST_INSIDE: usize = 4096;

/// A path beneath `modules/`, where a repository may stand: `modules/lib`, `modules/lib/zlib`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "RepoPath")]
pub struct ModulePath(RepoPath);

impl ModulePath {
    /// The path, if it is one.
    pub fn new(path: RepoPath) -> Option<Self> {
        let rest = path.as_bytes().strip_prefix(MODULES)?;
        rest.starts_with(b"/").then_some(Self(path))
    }

    /// As a path of the repository around it.
    pub fn path(&self) -> &RepoPath {
        &self.0
    }

    /// Its name in the namespace, beneath that of the repository around it.
    pub fn beneath(&self, owner: &NamePath) -> NamePath {
        NamePath::new([owner.as_bytes(), b"/", self.0.as_bytes()].concat())
            .expect("two valid paths make a valid one")
    }
}

/// Whether a path of a repository is `modules/` or beneath it.
pub fn is_in_modules(path: &RepoPath) -> bool {
    path.is_in_directory(MODULES)
}

impl TryFrom<RepoPath> for ModulePath {
    type Error = &'static str;

    fn try_from(path: RepoPath) -> Result<Self, Self::Error> {
        Self::new(path).ok_or("a path that is not beneath modules/")
    }
}

/// A place inside a repository, whatever the name of that is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Inside {
    /// The repository around it.
    pub owner: RepoId,
    /// Where in there.
    pub module: ModulePath,
}

/// A repository comes to stand inside another one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Nesting {
    /// Which.
    pub repo: RepoId,
    /// Where. Nothing stands there, nothing beneath, and no repository between this and the owner.
    pub inside: Inside,
    /// Where it comes from.
    pub step: NestStep,
}

/// See [`Nesting`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NestStep {
    /// It is new, and empty.
    Make,
    /// rename(2), with all that is inside it.
    Move,
    /// It comes out of the trash.
    Restore,
}

impl NestStep {
    /// A short name of its kind, for metrics and logs.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Make => "make_inside",
            Self::Move => "move_inside",
            Self::Restore => "restore_inside",
        }
    }
}
