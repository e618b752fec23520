//! A backup: the replicated state and its place in the log, in bytes that tell when they are
//! not whole.
//!
//! ```text
//! "gitmoor backup\n"   15 bytes
//! version              4, big-endian, as the numbers below: 1
//! index, term          8 and 8: the last entry whose effects are in the state
//! state                [`super::snapshot`], to the end but for
//! digest               32: BLAKE3 of all before it
//! ```

use super::log::{self, Position};
use super::{Disk, snapshot};
use crate::ReadError;

const MAGIC: &[u8] = b"gitmoor backup\n";
const VERSION: u32 = 1;
const DIGEST: usize = 32;

/// Bytes are no backup that can be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadBackup {
    /// Something else.
    #[error("it is no backup of gitmoor's")]
    Foreign,
    /// A newer one.
    #[error("it is a backup of version {found}, this gitmoor knows {VERSION}")]
    Version {
        /// What it says.
        found: u32,
    },
    /// Not what was written.
    #[error("it is damaged: its bytes do not match its digest")]
    Damaged,
}

/// Everything that is replicated, as of one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backup {
    /// The last entry whose effects are in it.
    pub position: Position,
    /// [`snapshot::encode`]'s.
    pub(super) state: Vec<u8>,
}

impl Backup {
    /// Takes one.
    pub fn take(disk: &dyn Disk) -> Result<Self, ReadError> {
        let view = disk.frozen();
        Ok(Self {
            position: log::applied(&*view)?,
            state: snapshot::encode(&*view)?,
        })
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.position.index.to_be_bytes());
        bytes.extend_from_slice(&self.position.term.to_be_bytes());
        bytes.extend_from_slice(&self.state);
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes
    }

    /// From its bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadBackup> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(BadBackup::Foreign)?;
        let (version, rest) = rest.split_first_chunk().ok_or(BadBackup::Damaged)?;
        match u32::from_be_bytes(*version) {
            VERSION => {}
            found => return Err(BadBackup::Version { found }),
        }
        let (whole, digest) = bytes
            .split_last_chunk::<DIGEST>()
            .ok_or(BadBackup::Damaged)?;
        if blake3::hash(whole) != *digest {
            return Err(BadBackup::Damaged);
        }
        let (index, rest) = rest.split_first_chunk().ok_or(BadBackup::Damaged)?;
        let (term, rest) = rest.split_first_chunk().ok_or(BadBackup::Damaged)?;
        let state = rest.len().checked_sub(DIGEST).ok_or(BadBackup::Damaged)?;
        Ok(Self {
            position: Position {
                index: u64::from_be_bytes(*index),
                term: u64::from_be_bytes(*term),
            },
            state: rest[..state].to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup() -> Backup {
        let position = Position { index: 7, term: 3 };
        let state = b"rows".to_vec();
        Backup { position, state }
    }

    #[test]
    fn comes_back() {
        assert_eq!(Backup::decode(&backup().encode()), Ok(backup()));
    }

    #[test]
    fn every_cut_and_every_bit_is_noticed() {
        let bytes = backup().encode();
        for cut in 0..bytes.len() {
            Backup::decode(&bytes[..cut]).expect_err("it is cut");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            Backup::decode(&damaged).expect_err("a bit turned over");
        }
    }

    #[test]
    fn what_it_is_not_is_said() {
        assert_eq!(Backup::decode(b"a pack"), Err(BadBackup::Foreign));
        let mut newer = backup().encode();
        newer[MAGIC.len() + 3] = 2;
        assert_eq!(Backup::decode(&newer), Err(BadBackup::Version { found: 2 }));
    }
}
