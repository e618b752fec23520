//! Hooks in a cluster: what each machine has of them, and which hooks directory all machines are to have. Digests and
//! names are replicated, never the bytes: nothing executable travels between machines.

use super::{Digest, RepoId, RepoPath, Timestamp};
use serde::{Deserialize, Serialize};

/// The directory of a repository in which git looks for hooks.
pub const HOOKS: &[u8] = b"hooks";

/// Files, links and directories of a hooks directory.
pub const MOST_HOOK_FILES: usize = 256;

/// Bytes of the files of a hooks directory: they are kept in memory.
pub const MOST_HOOK_BYTES: u64 = 8 << 20;

/// Hooks of one repository that are told to the cluster.
pub const MOST_OWN_HOOKS: usize = 64;

/// Hooks directories that are accepted beside the promoted one.
const MOST_FORMER_HOOKS: usize = 8;

/// The hooks that git runs while it takes a push (githooks(5)). Each may be a directory `NAME.d` as well, whose files
/// hosts run.
const OF_A_PUSH: [&[u8]; 7] = [
    b"post-receive",
    b"post-update",
    b"pre-receive",
    b"proc-receive",
    b"push-to-checkout",
    b"reference-transaction",
    b"update",
];

/// Whether a path is `hooks/` or beneath it.
pub fn is_in_hooks(path: &RepoPath) -> bool {
    path.is_in_directory(HOOKS)
}

/// Whether a name is one of git's samples: git runs none of them.
pub fn is_sample(name: &[u8]) -> bool {
    name.ends_with(b".sample")
}

/// Whether git runs a file of this name in `hooks/` while it takes a push.
pub fn is_push_hook(name: &[u8]) -> bool {
    OF_A_PUSH.contains(&name)
}

/// Whether hosts run what is in a directory of this name in `hooks/` while git takes a push.
pub fn is_push_hook_directory(name: &[u8]) -> bool {
    name.strip_suffix(b".d").is_some_and(is_push_hook)
}

/// A file, symbolic link or directory of a hooks directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct HookFile {
    /// Where, from the top of the hooks directory.
    pub path: RepoPath,
    /// Of its kind and its bytes: see [`HookFile::new`].
    digest: [u8; 32],
}

/// What stands under a name of a hooks directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HookKind {
    /// A file that can be run.
    Program,
    /// Any other file.
    Data,
    /// A symbolic link; its bytes are its target.
    Link,
    /// A directory; it has no bytes.
    Directory,
}

impl HookFile {
    /// What is told of one with these bytes.
    pub fn new(path: RepoPath, kind: HookKind, bytes: &[u8]) -> Self {
        let kind = match kind {
            HookKind::Program => b'x',
            HookKind::Data => b'f',
            HookKind::Link => b'l',
            HookKind::Directory => b'd',
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[kind]).update(bytes);
        Self {
            path,
            digest: hasher.finalize().into(),
        }
    }
}

/// All of a hooks directory, in the order of the paths.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HookSet(Vec<HookFile>);

impl HookSet {
    /// Of files in any order.
    pub fn new(mut files: Vec<HookFile>) -> Self {
        files.sort_unstable();
        Self(files)
    }

    /// The files.
    pub fn files(&self) -> &[HookFile] {
        &self.0
    }

    /// By which machines compare directories.
    pub fn digest(&self) -> Digest {
        let bytes = postcard::to_stdvec(&self.0).expect("paths and digests encode");
        Digest(blake3::hash(&bytes).into())
    }

    /// The first path that is not the same in both.
    pub fn first_difference<'a>(&'a self, other: &'a Self) -> Option<&'a RepoPath> {
        let not_in = |here: &[HookFile], file: &&HookFile| !here.contains(*file);
        let mine = self.0.iter().find(|file| not_in(&other.0, file));
        let theirs = other.0.iter().find(|file| not_in(&self.0, file));
        let mut both: Vec<_> = mine.into_iter().chain(theirs).collect();
        both.sort_unstable();
        both.first().map(|file| &file.path)
    }
}

/// What a machine tells of the hooks that it shows.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct MachineHooks {
    /// Of the directory that it shows as `hooks/` of every repository; `None` without one.
    pub directory: Option<HookSet>,
    /// It takes pushes to repositories that lack hooks here which other machines have.
    pub lenient: bool,
}

/// The hooks of one repository on one machine, which a host has written there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OwnHooks {
    /// Of their names, kinds and bytes.
    pub digest: Digest,
    /// `pre-receive`, `pre-receive.d/host`; in order, at most [`MOST_OWN_HOOKS`].
    pub names: Vec<RepoPath>,
}

/// A fact about hooks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum HooksChange {
    /// What the machine that proposes this shows. The first directory that a node tells of becomes the cluster's.
    Report(MachineHooks),
    /// All machines are to have this directory, or none.
    Promote {
        /// The directory; `None` for none.
        directory: Option<HookSet>,
        /// The one before is accepted until then, by the proposers' clocks.
        until: Timestamp,
    },
    /// The hooks that a repository has on the machine that proposes this; `None` for none.
    Own {
        /// The repository.
        repo: RepoId,
        /// What it has.
        hooks: Option<OwnHooks>,
    },
}

impl HooksChange {
    /// A short name of its kind, for metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Report(_) => "report_hooks",
            Self::Promote { .. } => "promote_hooks",
            Self::Own { .. } => "set_own_hooks",
        }
    }

    /// Whether a machine may tell as much.
    pub(super) fn fits(&self) -> bool {
        let fits =
            |set: Option<&HookSet>| set.is_none_or(|set| set.files().len() <= MOST_HOOK_FILES);
        match self {
            Self::Report(MachineHooks { directory, .. }) | Self::Promote { directory, .. } => {
                fits(directory.as_ref())
            }
            Self::Own { hooks, .. } => hooks
                .as_ref()
                .is_none_or(|hooks| hooks.names.len() <= MOST_OWN_HOOKS),
        }
    }
}

/// The directories that a cluster accepts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AcceptedHooks {
    /// What was promoted last; `None`: that no machine has one.
    pub current: Option<Digest>,
    /// What was before, and until when it is accepted.
    pub former: Vec<(Option<Digest>, Timestamp)>,
}

impl AcceptedHooks {
    /// Whether a machine with this directory takes pushes.
    pub fn accepts(&self, directory: Option<Digest>, now: Timestamp) -> bool {
        let mut former = self.former.iter();
        self.current == directory || former.any(|(old, until)| *old == directory && now < *until)
    }

    /// After a promotion.
    pub fn promoted(self, next: Option<Digest>, until: Timestamp, now: Timestamp) -> Self {
        let before = std::iter::once((self.current, until));
        let former = before.chain(self.former);
        let former = former.filter(|(old, until)| *old != next && now < *until);
        Self {
            current: next,
            former: former.take(MOST_FORMER_HOOKS).collect(),
        }
    }
}
