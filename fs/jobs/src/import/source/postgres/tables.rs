//! Which database, which tables, which columns; and whether they are there and of a type that can be read.

use super::super::super::ImportError;
use super::super::Url;
use gitmoor_store::causes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// A repository in a database.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Database {
    /// URL of the database, `postgres://…`.
    pub url: Url,
    /// The value of the column that says of which repository a row is.
    pub repo: String,
    /// The table of objects.
    pub objects: ObjectColumns,
    /// The table of refs.
    pub refs: RefColumns,
}

/// A table of objects: id in binary or hex; type by git's name or number; content, without git's header.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ObjectColumns {
    /// Its name, with its schema if that is not in the search path.
    pub table: String,
    /// The columns, in this order: repository, id, type, content.
    pub columns: [String; 4],
}

/// A table of refs: full names, `HEAD` among them; the object in hex, or `ref: ` and another name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefColumns {
    /// Name of the table, with its schema if that is not in the search path.
    pub table: String,
    /// The columns, in this order: repository, name, target.
    pub columns: [String; 3],
}

/// Without secrets.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} of {}", self.url, self.repo, self.objects.table)
    }
}

/// Types of an id in binary.
pub(super) const BINARY: [&str; 1] = ["bytea"];
/// Types of words.
const TEXT: [&str; 3] = ["text", "character varying", "character"];
/// Types of numbers.
const NUMBERS: [&str; 3] = ["smallint", "integer", "bigint"];

/// In PostgreSQL's words.
pub(super) fn failed(database: &Database, error: &postgres::Error) -> ImportError {
    let said = match error.as_db_error() {
        Some(error) => error.to_string(),
        // Only the causes say what it is.
        None => causes(error),
    };
    ImportError::Damaged {
        path: PathBuf::from(database.url.to_string()),
        reason: database.url.redact(&said),
    }
}

/// The types of the columns that are needed, in their order.
pub(super) fn check(
    database: &Database,
    transaction: &mut postgres::Transaction<'_>,
    table: &str,
    columns: &[String],
    expected: &[Vec<&str>],
) -> Result<Vec<String>, ImportError> {
    let damaged = |reason: String| ImportError::Damaged {
        path: PathBuf::from(database.url.to_string()),
        reason,
    };
    let query = "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute \
                 WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped";
    let rows = transaction.query(query, &[&quoted_table(table)]);
    let rows = rows.map_err(|error| failed(database, &error))?;
    if rows.is_empty() {
        return Err(damaged(format!("there is no table {table}")));
    }
    let known: BTreeMap<String, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut types = Vec::new();
    for (column, expected) in columns.iter().zip(expected) {
        let Some(found) = known.get(column) else {
            let known: Vec<_> = known.keys().map(String::as_str).collect();
            let known = known.join(", ");
            return Err(damaged(format!(
                "table {table} has no column {column}; it has {known}"
            )));
        };
        if !expected.is_empty() && !expected.contains(&found.as_str()) {
            let expected = expected.join(" or ");
            return Err(damaged(format!(
                "column {column} of table {table} is of type {found}, expected {expected}"
            )));
        }
        types.push(found.clone());
    }
    Ok(types)
}

impl ObjectColumns {
    pub(super) fn expected() -> [Vec<&'static str>; 4] {
        let oid = [&BINARY[..], &TEXT].concat();
        let kind = [&TEXT[..], &NUMBERS].concat();
        [vec![], oid, kind, BINARY.to_vec()]
    }
}

impl RefColumns {
    pub(super) fn expected() -> [Vec<&'static str>; 3] {
        [vec![], TEXT.to_vec(), TEXT.to_vec()]
    }
}

/// As SQL has it, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `schema.table`, or a table alone.
pub(super) fn quoted_table(name: &str) -> String {
    match name.split_once('.') {
        Some((schema, table)) => format!("{}.{}", quoted(schema), quoted(table)),
        None => quoted(name),
    }
}
