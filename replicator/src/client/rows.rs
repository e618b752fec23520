//! Rows that a client does not keep, read from a node each time: the trash, the audit trail.

use super::Client;
use crate::rpc::client::{self, Ask, Reply};
use crate::state::{KeyRange, ReadError, Step, Table, View, Visit};

/// What the nodes have, as of each question.
pub(super) struct Rows<'c>(pub(super) &'c Client);

impl Rows<'_> {
    fn page(&self, table: Table, range: KeyRange) -> Result<client::Rows, ReadError> {
        match self.0.ask(Ask::Rows(vec![(table, range)]), &|| false) {
            Ok(Reply::Rows(page)) => Ok(page),
            Ok(_) => Err(ReadError::Away(super::senseless().to_string())),
            Err(error) => Err(ReadError::Away(error.to_string())),
        }
    }
}

impl View for Rows<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        // No key lies between a key and itself with a zero after it.
        let range = KeyRange {
            from: key.to_vec(),
            to: Some([key, &[0]].concat()),
        };
        let page = self.page(table, range)?;
        Ok(page.rows.into_iter().next().map(|(_, _, value)| value))
    }

    /// One scan sees more than one state when it does not fit into a page: good enough for what is
    /// only looked at, or checked again when it is acted upon.
    fn scan(&self, table: Table, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        let mut rest = Some((table, range.clone()));
        while let Some((table, range)) = rest.take() {
            let page = self.page(table, range)?;
            let mut from = Vec::new();
            for (_, key, value) in page
                .rows
                .iter()
                .map(|(table, key, value)| (table, key, value))
            {
                if *key < from {
                    continue;
                }
                match visit(key, value)? {
                    Step::Next => {}
                    Step::Seek(to) => from = to,
                    Step::Stop => return Ok(()),
                }
            }
            rest = page.rest.into_iter().next();
            if let Some((_, range)) = &mut rest
                && range.from < from
            {
                range.from = from;
            }
        }
        Ok(())
    }
}
