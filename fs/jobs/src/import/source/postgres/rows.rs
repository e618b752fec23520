//! Rows, as of one moment.

use super::super::super::ImportError;
use super::tables::{self, BINARY, Database, ObjectColumns, RefColumns, quoted, quoted_table};
use gitmoor_model::ObjectFormat;
use postgres::{Client, IsolationLevel, Row, Transaction};
use std::collections::HashMap;
use std::path::PathBuf;

/// Keys that are read at a time.
const KEYS: usize = 5_000;

/// Bytes of content that are read at a time, unless one alone is larger.
const BATCH: u64 = 8 << 20;

/// Which object, and what is known of it without its content.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// As it stands in the table.
    stored: String,
    bytes: i64,
}

impl Key {
    /// As git writes it.
    pub(super) fn hex(&self) -> String {
        self.stored.trim().to_lowercase()
    }

    pub(super) fn bytes(&self) -> u64 {
        u64::try_from(self.bytes).unwrap_or(0)
    }
}

pub(super) struct Ref {
    pub(super) name: String,
    pub(super) target: String,
}

/// Receives id, type and content.
pub(super) type Objects<'a> = dyn FnMut(&str, &str, &[u8]) -> Result<(), ImportError> + 'a;

/// Reads one repository, all of it as of the moment when this began.
pub(super) struct Reader<'a> {
    database: &'a Database,
    transaction: Transaction<'a>,
    /// Expressions of SQL.
    id: String,
    condition: String,
    ref_condition: String,
    is_binary: bool,
    is_open: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn begin(
        database: &'a Database,
        client: &'a mut Client,
    ) -> Result<Self, ImportError> {
        let fail = |error: postgres::Error| tables::failed(database, &error);
        let builder = client.build_transaction();
        let builder = builder.isolation_level(IsolationLevel::RepeatableRead);
        let mut transaction = builder.read_only(true).start().map_err(fail)?;
        let (objects, refs) = (&database.objects, &database.refs);
        let types = tables::check(
            database,
            &mut transaction,
            &objects.table,
            &objects.columns,
            &ObjectColumns::expected(),
        )?;
        let ref_types = tables::check(
            database,
            &mut transaction,
            &refs.table,
            &refs.columns,
            &RefColumns::expected(),
        )?;
        let oid = quoted(&objects.columns[1]);
        let is_binary = BINARY.contains(&types[1].as_str());
        Ok(Self {
            database,
            transaction,
            id: match is_binary {
                true => format!("encode({oid}, 'hex')"),
                false => format!("{oid}::text"),
            },
            condition: is_of(&objects.columns[0], &types[0]),
            ref_condition: is_of(&refs.columns[0], &ref_types[0]),
            is_binary,
            is_open: false,
        })
    }

    fn query(
        &mut self,
        query: &str,
        values: &[&(dyn postgres::types::ToSql + Sync)],
    ) -> Result<Vec<Row>, ImportError> {
        let rows = self.transaction.query(query, values);
        rows.map_err(|error| tables::failed(self.database, &error))
    }

    fn null(&self, table: &str, what: &str) -> ImportError {
        ImportError::Damaged {
            path: PathBuf::from(table),
            reason: format!(
                "{what} is NULL in a row of repository {}",
                self.database.repo
            ),
        }
    }

    /// By the length of its ids; SHA-1 of one without objects.
    pub(super) fn format(&mut self) -> Result<ObjectFormat, ImportError> {
        let table = quoted_table(&self.database.objects.table);
        let query = format!(
            "SELECT length(btrim({})) FROM {table} WHERE {} LIMIT 1",
            self.id, self.condition
        );
        let rows = self.query(&query, &[&self.database.repo])?;
        let length: Option<i32> = rows.first().and_then(|row| row.get(0));
        Ok(match length {
            Some(64) => ObjectFormat::Sha256,
            _ => ObjectFormat::Sha1,
        })
    }

    pub(super) fn refs(&mut self) -> Result<Vec<Ref>, ImportError> {
        let RefColumns { table, columns } = &self.database.refs;
        let query = format!(
            "SELECT {}::text, {}::text FROM {} WHERE {} ORDER BY 1",
            quoted(&columns[1]),
            quoted(&columns[2]),
            quoted_table(table),
            self.ref_condition
        );
        let rows = self.query(&query, &[&self.database.repo])?;
        let read = |row: &Row| match (row.get(0), row.get::<_, Option<String>>(1)) {
            (Some(name), Some(target)) => Ok(Ref {
                name,
                target: target.trim().to_owned(),
            }),
            _ => Err(self.null(table, &format!("{} or {}", columns[1], columns[2]))),
        };
        rows.iter().map(read).collect()
    }

    /// Some more keys; `None` after the last.
    pub(super) fn next_keys(&mut self) -> Result<Option<Vec<Key>>, ImportError> {
        let ObjectColumns { table, columns } = &self.database.objects;
        if !self.is_open {
            let query = format!(
                "DECLARE gitmoor NO SCROLL CURSOR FOR SELECT {}, octet_length({})::bigint FROM {} WHERE {}",
                self.id,
                quoted(&columns[3]),
                quoted_table(table),
                // A cursor takes no parameters that are not there when it is declared.
                self.condition.replace("$1", &literal(&self.database.repo)),
            );
            let opened = self.transaction.batch_execute(&query);
            opened.map_err(|error| tables::failed(self.database, &error))?;
            self.is_open = true;
        }
        let rows = self.query(&format!("FETCH {KEYS} FROM gitmoor"), &[])?;
        let read = |row: &Row| match (row.get(0), row.get(1)) {
            (Some(stored), Some(bytes)) => Ok(Key { stored, bytes }),
            (None, _) => Err(self.null(table, &columns[1])),
            (Some(oid), None) => {
                let oid: String = oid;
                Err(self.null(table, &format!("{} of object {oid}", columns[3])))
            }
        };
        let keys: Vec<_> = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok((!keys.is_empty()).then_some(keys))
    }

    /// Gives the objects to the sink, in order.
    pub(super) fn each_object(
        &mut self,
        keys: &[Key],
        sink: &mut Objects<'_>,
    ) -> Result<(), ImportError> {
        let mut rest = keys;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|key| {
                bytes += key.bytes();
                bytes <= BATCH
            });
            let (now, later) = rest.split_at(fits.count().max(1));
            self.batch(now, sink)?;
            rest = later;
        }
        Ok(())
    }

    fn batch(&mut self, keys: &[Key], sink: &mut Objects<'_>) -> Result<(), ImportError> {
        let ObjectColumns { table, columns } = &self.database.objects;
        let wanted = match self.is_binary {
            true => "ARRAY(SELECT decode(hex, 'hex') FROM unnest($2::text[]) AS hex)",
            false => "$2::text[]",
        };
        let query = format!(
            "SELECT {}, {}::text, {} FROM {} WHERE {} AND {} = ANY({wanted})",
            self.id,
            quoted(&columns[2]),
            quoted(&columns[3]),
            quoted_table(table),
            self.condition,
            quoted(&columns[1]),
        );
        let ids: Vec<_> = keys.iter().map(|key| key.stored.clone()).collect();
        let rows = self.query(&query, &[&self.database.repo, &ids])?;
        let rows: HashMap<String, &Row> = rows.iter().map(|row| (row.get(0), row)).collect();
        for key in keys {
            let row = rows.get(&key.stored);
            let row =
                row.ok_or_else(|| ImportError::Moved(format!("object {} is gone", key.hex())))?;
            let kind: Option<String> = row.get(1);
            let kind = kind.ok_or_else(|| self.null(table, &columns[2]))?;
            let kind = type_name(&kind).ok_or_else(|| ImportError::Damaged {
                path: PathBuf::from(table),
                reason: format!(
                    "object {} is of type {kind:?}, which git does not have",
                    key.hex()
                ),
            })?;
            sink(&key.hex(), kind, row.get(2))?;
        }
        Ok(())
    }
}

/// The column keeps its type, so that its index is used.
fn is_of(column: &str, kind: &str) -> String {
    format!("{} = $1::text::{kind}", quoted(column))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// By name, or by the number that packs have for it.
fn type_name(stored: &str) -> Option<&'static str> {
    Some(match stored.trim() {
        "commit" | "1" => "commit",
        "tree" | "2" => "tree",
        "blob" | "3" => "blob",
        "tag" | "4" => "tag",
        _ => return None,
    })
}
