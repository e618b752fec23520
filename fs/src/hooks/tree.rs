//! The content of a hooks directory, in memory.

use bytes::Bytes;
use gitmoor_model::room::Type;
use gitmoor_model::{Digest, HOOKS, HookFile, HookKind, HookSet, RepoPath, Timestamp, is_in_hooks};
use std::collections::BTreeMap;

/// What stands under a name in it.
#[derive(Clone, Debug)]
pub(crate) struct HookNode {
    pub kind: HookKind,
    /// Of a symbolic link, its target.
    pub bytes: Bytes,
    pub mtime: Timestamp,
    /// Of the bytes, and of what kind they are.
    pub digest: Digest,
}

impl HookNode {
    pub(super) fn new(kind: HookKind, bytes: Vec<u8>, mtime: Timestamp) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{kind:?}").as_bytes()).update(&bytes);
        Self {
            kind,
            bytes: bytes.into(),
            mtime,
            digest: Digest(hasher.finalize().into()),
        }
    }

    /// Its type.
    pub(crate) fn type_of(&self) -> Type {
        match self.kind {
            HookKind::Program | HookKind::Data => Type::File,
            HookKind::Link => Type::Symlink,
            HookKind::Directory => Type::Directory,
        }
    }

    /// Permission bits. A hook that somebody may not run is none to git, which passes it by.
    pub(crate) fn mode(&self) -> u32 {
        match self.kind {
            HookKind::Program | HookKind::Directory => 0o555,
            HookKind::Data => 0o444,
            HookKind::Link => 0o777,
        }
    }
}

/// All of it.
#[derive(Debug)]
pub(crate) struct HookTree {
    /// By their paths from the top of the directory, which itself is none of them.
    nodes: BTreeMap<RepoPath, HookNode>,
    top: HookNode,
    set: HookSet,
    digest: Digest,
}

impl HookTree {
    pub(super) fn new(nodes: BTreeMap<RepoPath, HookNode>, mtime: Timestamp) -> Self {
        let told = |(path, node): (&RepoPath, &HookNode)| {
            HookFile::new(path.clone(), node.kind, &node.bytes)
        };
        let set = HookSet::new(nodes.iter().map(told).collect());
        Self {
            digest: set.digest(),
            set,
            top: HookNode::new(HookKind::Directory, Vec::new(), mtime),
            nodes,
        }
    }

    /// What is told of it.
    pub(crate) fn set(&self) -> &HookSet {
        &self.set
    }

    /// The digest of that.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// What stands at a path of a repository, `hooks` or beneath.
    pub(crate) fn at(&self, path: &RepoPath) -> Option<&HookNode> {
        match within(path)? {
            top if top.is_root() => Some(&self.top),
            path => self.nodes.get(&path),
        }
    }

    /// The names in a directory, by its path in a repository.
    pub(crate) fn list(&self, dir: &RepoPath) -> Vec<(Vec<u8>, Type)> {
        let Some(dir) = within(dir) else {
            return Vec::new();
        };
        let is_in = |path: &RepoPath| path.parent().as_ref() == Some(&dir);
        let names = self.nodes.iter().filter(|(path, _)| is_in(path));
        names
            .map(|(path, node)| (path.file_name().to_vec(), node.type_of()))
            .collect()
    }
}

/// A path of a repository as one of the hooks directory.
fn within(path: &RepoPath) -> Option<RepoPath> {
    let rest = path.as_bytes().strip_prefix(HOOKS)?;
    match rest.strip_prefix(b"/") {
        _ if !is_in_hooks(path) => None,
        Some(rest) => RepoPath::new(rest),
        None => Some(RepoPath::root()),
    }
}
