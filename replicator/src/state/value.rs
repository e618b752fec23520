//! Where a ref points, as a value that can be compared and kept.

use super::ReadError;
use super::read;
use super::view::View;
use crate::model::{Digest, RefEntry, RepoId, RepoPath};
use serde::{Deserialize, Serialize};

/// Values longer than this are told apart by digest. Longer than any ref that
/// git writes; reftables are longer.
const SHORT: usize = 1024;

/// Where a name points, whichever layer says so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RefValue {
    /// There is no such name.
    Absent,
    /// At an object: a packed line, or a loose file that holds just an id.
    Object(Vec<u8>),
    /// A short file that holds anything else, such as `ref: refs/heads/main`.
    Text(Vec<u8>),
    /// A symbolic link, with its target.
    Link(Vec<u8>),
    /// A file that is longer than a record keeps.
    Long {
        /// Size of the file in bytes.
        size: u64,
        /// BLAKE3 of the whole file.
        digest: Digest,
    },
}

impl RefValue {
    /// Where a name points now: the loose entry hides the packed line.
    pub fn of(view: &dyn View, repo: RepoId, name: &RepoPath) -> Result<Self, ReadError> {
        if let Some(entry) = read::reference(view, repo, name)? {
            return Ok(Self::of_entry(&entry));
        }
        let line = read::packed_ref(view, repo, name)?;
        Ok(line.map_or(Self::Absent, |line| Self::Object(line.oid)))
    }

    fn of_entry(entry: &RefEntry) -> Self {
        if entry.value.len() > SHORT {
            let digest = Digest(*blake3::hash(&entry.value).as_bytes());
            return Self::Long {
                size: entry.value.len() as u64,
                digest,
            };
        }
        if entry.is_link() {
            return Self::Link(entry.value.clone());
        }
        object_id(&entry.value).map_or_else(|| Self::Text(entry.value.clone()), Self::Object)
    }
}

/// The object id that a loose ref holds, in binary: 40 or 64 hex digits, then
/// nothing but white space, as git's `parse_loose_ref_contents` has it.
fn object_id(value: &[u8]) -> Option<Vec<u8>> {
    let hex = value.trim_ascii_end();
    if !matches!(hex.len(), 40 | 64) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    hex.chunks_exact(2)
        .map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8))
        .collect()
}
