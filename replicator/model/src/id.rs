//! Ids and paths. Two ids that must not be mixed are two types, valid once
//! constructed.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// The permanent name of a repository; its path in the namespace may change.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RepoId(Uuid);

impl RepoId {
    /// No repository has this id. The audit trail of the namespace is kept under it.
    pub const NAMESPACE: Self = Self::from_bytes([0xff; 16]);

    /// A fresh random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The id whose big-endian bytes these are.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Of the fork of a repository that is inside the one that `fork` is of: every node derives the same, and nobody
    /// has it already, as nobody has a random one.
    pub fn of_fork(fork: Self, inner: Self) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("gitmoor repository inside a fork");
        hasher.update(fork.as_bytes());
        hasher.update(inner.as_bytes());
        let mut bytes = [0; 16];
        hasher.finalize_xof().fill(&mut bytes);
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// Big-endian bytes, as used in RocksDB keys.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl std::str::FromStr for RepoId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One life of one proposer (a mount, an admin command). Commands carry it with
/// a sequence number, so that a retry is applied once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct SessionId(Uuid);

impl SessionId {
    /// A fresh random session.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The session whose big-endian bytes these are.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// What becomes of a session that a client names: one that no other client, and no node, can
    /// have, whatever it names.
    pub fn of_client(client: u64, named: Self) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("gitmoor session of a client");
        hasher.update(&client.to_be_bytes());
        hasher.update(named.as_bytes());
        let mut bytes = [0; 16];
        hasher.finalize_xof().fill(&mut bytes);
        Self::from_bytes(bytes)
    }

    /// Big-endian bytes, as used in RocksDB keys.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

/// The raft index of the entry that wrote a value. Grows with every write, so
/// comparing it for equality is the compare of compare-and-swap.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize,
)]
pub struct Version(pub u64);

/// A path in the namespace of the mount: `team/app.git`, or empty for its root.
/// No leading or trailing slash, no empty, `.` or `..` component, no NUL, and no
/// component over 255 bytes. Bytes, not UTF-8. Decoding keeps the rules too: what
/// another node sends becomes a path of this machine's disk and store.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>")]
pub struct NamePath(Vec<u8>);

/// A path inside a repository: `refs/heads/main`, `objects/pack/pack-….idx`, or
/// empty for its top. Same rules as [`NamePath`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>")]
pub struct RepoPath(Vec<u8>);

fn valid_path(path: &[u8]) -> bool {
    path.is_empty() || path.split(|&b| b == b'/').all(valid_component)
}

fn valid_component(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && name.len() <= 255 && !name.contains(&0)
}

macro_rules! path_type {
    ($name:ident) => {
        impl $name {
            /// The path, if it keeps the rules of this type.
            pub fn new(path: impl Into<Vec<u8>>) -> Option<Self> {
                let path = path.into();
                valid_path(&path).then_some(Self(path))
            }

            /// The top: the empty path.
            pub fn root() -> Self {
                Self(Vec::new())
            }

            /// Whether this is the top.
            pub fn is_root(&self) -> bool {
                self.0.is_empty()
            }

            /// The path as bytes, without a leading slash.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// The last component; empty for the top.
            pub fn file_name(&self) -> &[u8] {
                self.0.rsplit(|&b| b == b'/').next().unwrap_or_default()
            }

            /// The path without its last component; `None` for the top.
            pub fn parent(&self) -> Option<Self> {
                if self.is_root() {
                    return None;
                }
                let end = self.0.iter().rposition(|&b| b == b'/').unwrap_or(0);
                Some(Self(self.0[..end].to_vec()))
            }

            /// This path with one more component, if that is a valid one.
            pub fn join(&self, name: &[u8]) -> Option<Self> {
                if name.contains(&b'/') || !valid_component(name) {
                    return None;
                }
                let mut path = self.0.clone();
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(name);
                Some(Self(path))
            }

            /// Whether this path is `dir` or lies beneath it.
            pub fn is_within(&self, dir: &Self) -> bool {
                dir.is_root()
                    || self.0 == dir.0
                    || (self.0.starts_with(&dir.0) && self.0[dir.0.len()] == b'/')
            }
        }

        impl TryFrom<Vec<u8>> for $name {
            type Error = &'static str;

            fn try_from(path: Vec<u8>) -> Result<Self, Self::Error> {
                Self::new(path).ok_or("a path with an impossible component")
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                String::from_utf8_lossy(&self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", String::from_utf8_lossy(&self.0))
            }
        }
    };
}

path_type!(NamePath);
path_type!(RepoPath);

impl RepoPath {
    /// Whether this path is a directory of the top of its repository, by its name, or lies beneath it.
    pub(super) fn is_in_directory(&self, name: &[u8]) -> bool {
        let rest = self.0.strip_prefix(name);
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    }
}

impl NamePath {
    /// Where this is when `from`, which is this path or above it, is `to`. Neither is the root.
    pub fn moved(&self, from: &Self, to: &Self) -> Self {
        let rest = self.0.get(from.0.len()..).unwrap_or_default();
        Self([to.0.as_slice(), rest].concat())
    }

    /// Whether a directory that is made under this name is a repository: its last component
    /// ends in `.git` and has something before that. A repository may have another name.
    pub fn names_repository(&self) -> bool {
        let name = self.file_name();
        name.len() > 4 && name.ends_with(b".git")
    }
}

/// Object ids and digests in text, as git writes them: two small hexadecimal digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
