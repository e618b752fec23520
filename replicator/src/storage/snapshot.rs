//! The replicated state as bytes: what a node that joins, or has been away for
//! too long, gets in place of the log.
//!
//! The format is a version (4 bytes, big-endian), then for each row of the
//! state tables `table (1) | length of key (4) | key | length of value (4) |
//! value`, in order of tables and keys, then the byte 0xff and the number of
//! rows (8), so that a cut snapshot is known for one.

use super::{Stage, open::FORMAT};
use crate::ReadError;
use crate::state::{KeyRange, Step, Table, View};

const END: u8 = 0xff;

/// The state tables of a view.
pub fn encode(view: &dyn View) -> Result<Vec<u8>, ReadError> {
    let mut bytes = FORMAT.to_be_bytes().to_vec();
    let mut rows = 0_u64;
    for table in Table::STATE {
        view.scan(table, &KeyRange::all(), &mut |key, value| {
            bytes.push(table as u8);
            push(&mut bytes, key);
            push(&mut bytes, value);
            rows += 1;
            Ok(Step::Next)
        })?;
    }
    bytes.push(END);
    bytes.extend_from_slice(&rows.to_be_bytes());
    Ok(bytes)
}

fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    let length = u32::try_from(part.len()).expect("keys and values are far below 4 GiB");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(part);
}

/// Replaces the state tables by those of a snapshot.
pub fn replace(batch: &mut dyn Stage, bytes: &[u8]) -> Result<(), ReadError> {
    let mut rest = Reader { bytes };
    let version = rest.number()?;
    if version != FORMAT {
        return Err(ReadError::Damaged(format!(
            "a snapshot of format {version}, not {FORMAT}"
        )));
    }
    Table::STATE
        .iter()
        .for_each(|&table| batch.clear(table, &KeyRange::all()));
    let mut rows = 0_u64;
    loop {
        let number = rest.array::<1>()?[0];
        if number == END {
            break;
        }
        let table = Table::of_number(number).ok_or_else(cut)?;
        let key = rest.part()?;
        batch.put(table, key, rest.part()?);
        rows += 1;
    }
    let expected = u64::from_be_bytes(rest.array()?);
    if rows == expected && rest.bytes.is_empty() {
        Ok(())
    } else {
        Err(cut())
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or_else(cut)?;
        self.bytes = rest;
        Ok(*array)
    }

    fn number(&mut self) -> Result<u32, ReadError> {
        self.array().map(u32::from_be_bytes)
    }

    fn part(&mut self) -> Result<&'a [u8], ReadError> {
        let length = self.number()? as usize;
        let (part, rest) = self.bytes.split_at_checked(length).ok_or_else(cut)?;
        self.bytes = rest;
        Ok(part)
    }
}

fn cut() -> ReadError {
    ReadError::Damaged("a snapshot that is cut short or garbled".into())
}
