//! Reading rows: the one interface between the state machine and whatever
//! holds its rows (RocksDB, a snapshot of it, or an [`super::Overlay`] of
//! changes that are not written yet).
//!
//! A scan is a callback that may jump forward, so that listing a directory
//! costs one seek per child and not one step per descendant.

use super::{ReadError, Table};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The keys of a table from `from` (inclusive) to `to` (exclusive).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeyRange {
    /// The first key of the range.
    pub from: Vec<u8>,
    /// The key after the last; `None` for the end of the table.
    pub to: Option<Vec<u8>>,
}

impl KeyRange {
    /// The range of all keys of a table.
    pub fn all() -> Self {
        Self {
            from: Vec::new(),
            to: None,
        }
    }

    /// Every key that begins with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self {
            from: prefix.to_vec(),
            to: after_prefix(prefix),
        }
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.from.as_slice() <= key && self.to.as_deref().is_none_or(|to| key < to)
    }
}

/// The least key above every key that begins with `prefix`; `None` when there
/// is none (an empty prefix, or one of 0xff only).
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// How a scan goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// With the next row.
    Next,
    /// With the first row at or after this key, which must lie ahead.
    Seek(Vec<u8>),
    /// The scan ends here.
    Stop,
}

/// Receives the rows of a scan: key, value.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<Step, ReadError> + 'a;

/// Rows that can be read. One scan sees one consistent state.
pub trait View {
    /// The value of a key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError>;

    /// Visits the rows of a range in ascending order of their keys.
    fn scan(&self, table: Table, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), ReadError>;
}

/// The value of a key, decoded.
pub(super) fn load<T: DeserializeOwned>(
    view: &dyn View,
    table: Table,
    key: &[u8],
) -> Result<Option<T>, ReadError> {
    let value = view.get(table, key)?;
    value.map(|value| decode(table, key, &value)).transpose()
}

/// The value of a key whose rows have grown: those of earlier versions end after the first part,
/// and readers of earlier versions stop there.
pub(super) fn load_grown<A: DeserializeOwned, B: DeserializeOwned + Default>(
    view: &dyn View,
    table: Table,
    key: &[u8],
) -> Result<Option<(A, B)>, ReadError> {
    let value = view.get(table, key)?;
    value
        .map(|value| decode_grown(table, key, &value))
        .transpose()
}

/// Decodes the value of such a row.
pub(super) fn decode_grown<A: DeserializeOwned, B: DeserializeOwned + Default>(
    table: Table,
    key: &[u8],
    value: &[u8],
) -> Result<(A, B), ReadError> {
    let (first, rest) =
        postcard::take_from_bytes(value).map_err(|error| damaged(table, key, &error))?;
    let second = match rest {
        [] => B::default(),
        rest => decode(table, key, rest)?,
    };
    Ok((first, second))
}

/// The first field of a row; the rest, which may be large, is left where it is.
pub(super) fn decode_first<T: DeserializeOwned>(
    table: Table,
    key: &[u8],
    value: &[u8],
) -> Result<T, ReadError> {
    let first = postcard::take_from_bytes(value).map(|(first, _)| first);
    first.map_err(|error| damaged(table, key, &error))
}

/// Whether a range has any row.
pub(super) fn any_in(view: &dyn View, table: Table, range: &KeyRange) -> Result<bool, ReadError> {
    let mut any = false;
    view.scan(table, range, &mut |_, _| {
        any = true;
        Ok(Step::Stop)
    })?;
    Ok(any)
}

/// Decodes the value of a row.
pub(super) fn decode<T: DeserializeOwned>(
    table: Table,
    key: &[u8],
    value: &[u8],
) -> Result<T, ReadError> {
    postcard::from_bytes(value).map_err(|error| damaged(table, key, &error))
}

fn damaged(table: Table, key: &[u8], error: &postcard::Error) -> ReadError {
    ReadError::Damaged(format!(
        "{} of {}: {error}",
        key.escape_ascii(),
        table.name()
    ))
}

/// Encodes the value of a row.
pub(super) fn encode<T: serde::Serialize + ?Sized>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain data without maps of unknown length encodes")
}
