//! What is stored: repositories, refs, packed refs and the catalog of object
//! files.

use super::{NamePath, RepoId, Version};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds and nanoseconds since 1970, as stat(2) reports them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Timestamp {
    /// Whole seconds since 1970; negative before.
    pub secs: i64,
    /// Nanoseconds after `secs`, below 1_000_000_000.
    pub nanos: u32,
}

impl Timestamp {
    /// The clock of this machine.
    pub fn now() -> Self {
        SystemTime::now().into()
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            secs: since.as_secs() as i64,
            nanos: since.subsec_nanos(),
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        let since =
            Duration::new(time.secs.max(0) as u64, 0) + Duration::from_nanos(time.nanos.into());
        // What no clock says was not written by one.
        UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
    }
}

/// BLAKE3 of a whole file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

/// BLAKE3, cut to 128 bits, of one block of a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct BlockDigest(pub [u8; 16]);

/// Which hash names the objects of a repository (`extensions.objectFormat`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectFormat {
    /// SHA-1, the default of git.
    #[default]
    Sha1,
    /// SHA-256, 32 bytes an object id.
    Sha256,
}

impl ObjectFormat {
    /// As git has it in `extensions.objectFormat`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }
}

/// How a repository stores its refs (`extensions.refStorage`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefStorage {
    /// Loose files and `packed-refs`.
    #[default]
    Files,
    /// Tables in `reftable/`, see gitformat-reftable(5).
    Reftable,
}

impl RefStorage {
    /// As git has it in `extensions.refStorage`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Reftable => "reftable",
        }
    }
}

/// What of a repository's `config` every machine must know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Format {
    /// `core.bare` in git's configuration.
    pub bare: bool,
    /// `extensions.objectFormat` in git's configuration.
    pub objects: ObjectFormat,
    /// `extensions.refStorage` in git's configuration.
    pub refs: RefStorage,
}

/// What a repository may come to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Records of its audit trail.
    AuditRecords,
    /// Seconds for which they are kept.
    AuditKeep,
    /// Bytes of its catalogued files.
    Bytes,
    /// Refs, but for those in reftables.
    Refs,
}

/// What a repository has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Files in the catalog.
    pub files: u64,
    /// Their bytes; a fork's count in full.
    pub bytes: u64,
    /// Names beneath `refs/` that point somewhere, loose or packed, but for those in reftables.
    pub refs: u64,
}

impl Usage {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            files: self.files.saturating_add(other.files),
            bytes: self.bytes.saturating_add(other.bytes),
            refs: self.refs.saturating_add(other.refs),
        }
    }
}

impl Limit {
    /// How much there is of what it limits. What is limited by the trail itself counts as none.
    pub fn of(self, usage: Usage) -> u64 {
        match self {
            Self::Bytes => usage.bytes,
            Self::Refs => usage.refs,
            Self::AuditRecords | Self::AuditKeep => 0,
        }
    }
}

/// A repository as the namespace and its settings show it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Repo {
    /// The repository's permanent name.
    pub id: RepoId,
    /// Where it stands in the namespace now.
    pub path: NamePath,
    /// When it was created.
    pub created: Timestamp,
    /// Of which it is a fork.
    pub forked_from: Option<RepoId>,
    /// `None` until git (or `repo create`) has written the format keys.
    pub format: Option<Format>,
    /// Replicated settings rendered into `gitmoor.config`: key → value.
    pub settings: BTreeMap<String, String>,
    /// Those that were set.
    pub limits: BTreeMap<Limit, u64>,
    /// Kept with every change.
    pub usage: Usage,
    /// Version of the last commit that changed where any ref points. Moving a
    /// ref between the loose and the packed layer is not such a change.
    pub refs_version: Version,
    /// Version of the last commit that changed the catalog of this repository.
    pub catalog_version: Version,
    /// Version of the last commit that changed the packed table.
    pub packed_version: Version,
    /// Version of the last [`super::Command::Repack`]; 0 before the first.
    pub repacked_version: Version,
}

/// One file of the refs room: a loose ref, `HEAD`, `shallow`, a reftable.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefEntry {
    /// `st_mode`: `S_IFREG` or `S_IFLNK` with permission bits.
    pub mode: u32,
    /// When it was last written.
    pub mtime: Timestamp,
    /// The bytes of the file; the target, for a symbolic link. Any bytes are
    /// legal: git decides what they mean.
    pub value: Vec<u8>,
    /// The commit that wrote it. A change of its permission bits does not.
    pub version: Version,
}

/// The type of a file in `st_mode`, and of a symbolic link.
pub(crate) const S_IFMT: u32 = 0o170_000;
pub(crate) const S_IFLNK: u32 = 0o120_000;

impl RefEntry {
    /// Whether this is a symbolic link.
    pub fn is_link(&self) -> bool {
        self.mode & S_IFMT == S_IFLNK
    }
}

/// The name under which an unusual `packed-refs` (one that its own rendering
/// would not give back byte for byte) is kept as a plain [`RefEntry`]. When an entry of this name
/// exists the packed table is empty.
pub const PACKED_REFS: &[u8] = b"packed-refs";

/// A line of `packed-refs`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PackedRef {
    /// The object id in binary: 20 or 32 bytes.
    pub oid: Vec<u8>,
    /// What a tag peels to, in binary; `None` when there is no `^` line, empty when the file that
    /// the line comes from does not say.
    pub peeled: Option<Vec<u8>>,
}

/// Where the bytes of an object file are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Place {
    /// In the catalog itself (`.keep`, `info/alternates`, … up to 4 KiB).
    Inline(Vec<u8>),
    /// In the object store, under this key (relative to the store's prefix).
    Stored {
        /// Written once, never overwritten with other bytes.
        key: String,
    },
}

/// One file of the objects room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileEntry {
    /// Size of the file in bytes.
    pub size: u64,
    /// Modification time that stat(2) shows.
    pub mtime: Timestamp,
    /// `S_IFREG` with permission bits.
    pub mode: u32,
    /// BLAKE3 of the file.
    pub digest: Digest,
    /// Bytes per block of the block digests, a power of two.
    pub block_size: u32,
    /// Where the bytes are.
    pub place: Place,
}

impl FileEntry {
    /// Its key in the object store; `None` for a file in the catalog itself.
    pub fn key(&self) -> Option<&str> {
        match &self.place {
            Place::Stored { key } => Some(key),
            Place::Inline(_) => None,
        }
    }
}
