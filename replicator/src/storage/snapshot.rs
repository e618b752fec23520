//! The replicated state as bytes: what a node that joins, or has been away for
//! too long, gets in place of the log.
//!
//! The format is a version (4 bytes, big-endian), then for each row of the
//! state tables `table (1) | length of key (4) | key | length of value (4) |
//! value`, in order of tables and keys, then the byte 0xff and the number of
//! rows (8), so that a cut snapshot is known for one.
//!
//! They are written and read in pieces: of a state only a piece is in memory, or one row if that is larger.

use super::open::FORMAT;
use crate::failpoint;
use crate::state::ReadError;
use crate::state::{KeyRange, Step, Table, View};
use std::io::{self, Read};

const END: u8 = 0xff;

/// A piece ends after the row with which it reaches so many bytes.
const PIECE: usize = 1 << 20;

/// The bytes of a view's state tables, piece by piece. The view must stay the same.
#[derive(Default)]
pub struct Encoder {
    begun: bool,
    ended: bool,
    /// Which of the tables is next …
    table: usize,
    /// … from this key on.
    from: Vec<u8>,
    rows: u64,
}

impl Encoder {
    /// The next piece; `None` after the last.
    pub(crate) fn next_piece(&mut self, view: &dyn View) -> Result<Option<Vec<u8>>, ReadError> {
        if self.ended {
            return Ok(None);
        }
        failpoint::SNAPSHOT_TAKING.hit();
        let mut piece = Vec::new();
        if !self.begun {
            self.begun = true;
            piece.extend_from_slice(&FORMAT.to_be_bytes());
        }
        while let Some(&table) = Table::STATE.get(self.table) {
            self.add_rows(view, table, &mut piece)?;
            if piece.len() >= PIECE {
                return Ok(Some(piece));
            }
        }
        self.ended = true;
        piece.push(END);
        piece.extend_from_slice(&self.rows.to_be_bytes());
        Ok(Some(piece))
    }

    fn add_rows(
        &mut self,
        view: &dyn View,
        table: Table,
        piece: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let range = KeyRange {
            from: std::mem::take(&mut self.from),
            to: None,
        };
        let mut next = None;
        view.scan(table, &range, &mut |key, value| {
            if piece.len() >= PIECE {
                next = Some(key.to_vec());
                return Ok(Step::Stop);
            }
            piece.push(table as u8);
            push(piece, key);
            push(piece, value);
            self.rows += 1;
            Ok(Step::Next)
        })?;
        match next {
            Some(key) => self.from = key,
            None => self.table += 1,
        }
        Ok(())
    }
}

fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    let length = u32::try_from(part.len()).expect("keys and values are far below 4 GiB");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(part);
}

/// All of it at once, to compare small states.
pub fn encode(view: &dyn View) -> Result<Vec<u8>, ReadError> {
    let (mut encoder, mut bytes) = (Encoder::default(), Vec::new());
    while let Some(piece) = encoder.next_piece(view)? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Bytes are no snapshot that can be used, or whoever takes its rows cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Unusable<E> {
    /// Its bytes cannot be read.
    #[error("reading a snapshot: {0}")]
    Io(io::Error),
    /// It is cut short, or was never one.
    #[error("a snapshot that is cut short or garbled")]
    Garbled,
    /// The snapshot has another format.
    #[error("a snapshot of format {0}, not {FORMAT}")]
    Format(u32),
    /// Where the rows go.
    #[error(transparent)]
    Taker(E),
}

/// Gives every row to `take`, in order, and returns how many there were. The source ends with the snapshot.
pub fn read<E>(
    source: &mut dyn Read,
    mut take: impl FnMut(Table, &[u8], &[u8]) -> Result<(), E>,
) -> Result<u64, Unusable<E>> {
    match u32::from_be_bytes(array(source)?) {
        FORMAT => {}
        other => return Err(Unusable::Format(other)),
    }
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let mut rows = 0_u64;
    loop {
        let [number] = array(source)?;
        if number == END {
            break;
        }
        let table = Table::of_number(number).ok_or(Unusable::Garbled)?;
        part(source, &mut key)?;
        part(source, &mut value)?;
        take(table, &key, &value).map_err(Unusable::Taker)?;
        rows += 1;
    }
    let is_whole = u64::from_be_bytes(array(source)?) == rows;
    let is_over = source.read(&mut [0]).map_err(Unusable::Io)? == 0;
    match is_whole && is_over {
        true => Ok(rows),
        false => Err(Unusable::Garbled),
    }
}

fn array<const N: usize, E>(source: &mut dyn Read) -> Result<[u8; N], Unusable<E>> {
    let mut array = [0; N];
    source.read_exact(&mut array).map_err(cut)?;
    Ok(array)
}

/// Takes no more memory than there are bytes, whatever their length is said to be.
fn part<E>(source: &mut dyn Read, into: &mut Vec<u8>) -> Result<(), Unusable<E>> {
    let length = u32::from_be_bytes(array(source)?);
    into.clear();
    let read = source.take(length.into()).read_to_end(into);
    match read.map_err(Unusable::Io)? == length as usize {
        true => Ok(()),
        false => Err(Unusable::Garbled),
    }
}

fn cut<E>(error: io::Error) -> Unusable<E> {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Unusable::Garbled,
        _ => Unusable::Io(error),
    }
}
