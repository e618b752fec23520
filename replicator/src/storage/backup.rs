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
//!
//! It is made and read in pieces. What is read counts for nothing before the digest has been compared.

use super::OpenError;
use super::disk::{Disk, Frozen, WriteError};
use super::lay::{Laid, lay};
use super::log::{self, Position};
use super::snapshot::{Encoder, Unusable};
use crate::state::ReadError;
use std::io::{self, Read};
use std::sync::Arc;

const MAGIC: &[u8] = b"gitmoor backup\n";
const VERSION: u32 = 1;
const DIGEST: usize = 32;

/// Bytes are no backup that can be used.
#[derive(Debug, thiserror::Error)]
pub enum BadBackup {
    /// The bytes are not a backup.
    #[error("it is no backup of gitmoor's")]
    Foreign,
    /// A later version wrote the backup.
    #[error("it is a backup of version {found}, this gitmoor knows {VERSION}")]
    Version {
        /// The version that wrote it.
        found: u32,
    },
    /// Not what was written.
    #[error("it is damaged: its bytes do not match its digest")]
    Damaged,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(io::Error),
    /// Its rows cannot be kept.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A backup cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The bytes are no usable backup.
    #[error(transparent)]
    Bad(#[from] BadBackup),
    /// The data directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Everything that is replicated, as of one moment, piece by piece.
pub struct Backup {
    /// The last entry whose effects are in it.
    pub position: Position,
    state: Frozen,
    encoder: Encoder,
    begun: bool,
    /// Of what was given out; `None` after the last piece.
    digest: Option<blake3::Hasher>,
}

impl Backup {
    /// Takes one, which costs nothing yet.
    pub fn take(disk: &Arc<impl Disk + 'static>) -> Result<Self, ReadError> {
        let state = Arc::clone(disk).frozen();
        Ok(Self::of(log::applied(state.view())?, state))
    }

    /// One of a state, which is that of this place in the log.
    pub(crate) fn of(position: Position, state: Frozen) -> Self {
        Self {
            position,
            state,
            encoder: Encoder::default(),
            begun: false,
            digest: Some(blake3::Hasher::new()),
        }
    }

    /// Its bytes. Reads all of it.
    pub fn size(&self) -> Result<u64, ReadError> {
        let (mut again, mut size) = (Self::of(self.position, self.state.clone()), 0);
        while let Some(piece) = again.next_piece()? {
            size += piece.len() as u64;
        }
        Ok(size)
    }

    /// Its next bytes; `None` after the last.
    pub(crate) fn next_piece(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(digest) = &mut self.digest else {
            return Ok(None);
        };
        let piece = match std::mem::replace(&mut self.begun, true) {
            false => Some(head(self.position)),
            true => self.encoder.next_piece(self.state.view())?,
        };
        match piece {
            Some(piece) => {
                digest.update(&piece);
                Ok(Some(piece))
            }
            None => {
                let last = digest.finalize().as_bytes().to_vec();
                self.digest = None;
                Ok(Some(last))
            }
        }
    }
}

fn head(position: Position) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&position.index.to_be_bytes());
    bytes.extend_from_slice(&position.term.to_be_bytes());
    bytes
}

/// Lays the state of a backup of `size` bytes beside that of a disk that nobody else writes to.
pub(super) fn lay_backup(
    disk: &dyn Disk,
    source: &mut dyn Read,
    size: u64,
) -> Result<(Position, Laid), BadBackup> {
    let mut source = Hashed {
        source,
        digest: blake3::Hasher::new(),
    };
    let position = read_head(&mut source)?;
    let head = head(position).len() + DIGEST;
    let state = size.checked_sub(head as u64).ok_or(BadBackup::Damaged)?;
    let turn = disk.turn().expect("nobody else writes to it");
    let laid = lay(disk, turn, &mut (&mut source).take(state));
    // Whatever is wrong with the rows of a damaged one, that it is damaged is what there is to say.
    let laid = match laid {
        Err(Unusable::Io(error)) => return Err(BadBackup::Read(error)),
        Err(Unusable::Taker(error)) => return Err(error.into()),
        laid => laid.ok(),
    };
    let expected = source.digest.finalize();
    let digest: [u8; DIGEST] = array(source.source)?;
    let laid = laid.filter(|_| expected == digest);
    Ok((position, laid.ok_or(BadBackup::Damaged)?))
}

fn read_head(source: &mut dyn Read) -> Result<Position, BadBackup> {
    let magic: [u8; MAGIC.len()] = array(source).map_err(|error| match error {
        BadBackup::Damaged => BadBackup::Foreign,
        other => other,
    })?;
    if magic != MAGIC {
        return Err(BadBackup::Foreign);
    }
    match u32::from_be_bytes(array(source)?) {
        VERSION => {}
        found => return Err(BadBackup::Version { found }),
    }
    Ok(Position {
        index: u64::from_be_bytes(array(source)?),
        term: u64::from_be_bytes(array(source)?),
    })
}

fn array<const N: usize>(source: &mut dyn Read) -> Result<[u8; N], BadBackup> {
    let mut array = [0; N];
    match source.read_exact(&mut array) {
        Ok(()) => Ok(array),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(BadBackup::Damaged),
        Err(error) => Err(BadBackup::Read(error)),
    }
}

/// Digests what is read of it.
struct Hashed<'s> {
    source: &'s mut dyn Read,
    digest: blake3::Hasher,
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.digest.update(&buffer[..read]);
        Ok(read)
    }
}
