//! What a client shows of the state: rows that its mirror has, and rows that a node has.
//!
//! The rows of a repository come into the mirror when the first of them is read. What is read seldom, such as the
//! trash and the audit trails, is read from a node each time.

use super::{Client, Mirror};
use crate::model::RepoId;
use crate::replica::ProposeError;
use crate::rpc::client::{ClientRequest, ClientResponse, RowsPage};
use crate::rpc::{OF_REPOSITORY, WHOLE};
use crate::state::{KeyRange, ReadError, Step, Table, View, Visit};
use parking_lot::RwLockReadGuard;

impl Client {
    /// The mirror, with everything in it that belongs to the repository of a key.
    fn mirrored(&self, table: Table, key: &[u8]) -> Result<RwLockReadGuard<'_, Mirror>, ReadError> {
        let mirror = self.mirror.read_recursive();
        if WHOLE.contains(&table) {
            return Ok(mirror);
        }
        let repo = key.first_chunk().copied().map(RepoId::from_bytes);
        let repo = repo.ok_or_else(|| {
            ReadError::Away("a client reads of one repository at a time".to_owned())
        })?;
        if mirror.has_loaded(repo) {
            return Ok(mirror);
        }
        drop(mirror);
        let loaded = self.load_repo(repo, &|| false);
        loaded.map_err(|error| ReadError::Away(error.to_string()))?;
        Ok(self.mirror.read_recursive())
    }

    fn page(&self, table: Table, range: KeyRange) -> Result<RowsPage, ReadError> {
        match self.ask(ClientRequest::Rows(vec![(table, range)]), &|| false) {
            Ok(ClientResponse::Rows(page)) => Ok(page),
            Ok(_) => Err(ReadError::Away(ProposeError::Senseless.to_string())),
            Err(error) => Err(ReadError::Away(error.to_string())),
        }
    }

    /// One scan sees more than one state when it does not fit into a page: good enough for what is
    /// only looked at, or checked again when it is acted upon.
    fn scan_pages(
        &self,
        table: Table,
        range: &KeyRange,
        visit: &mut Visit<'_>,
    ) -> Result<(), ReadError> {
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

fn is_mirrored(table: Table) -> bool {
    WHOLE.contains(&table) || OF_REPOSITORY.contains(&table)
}

impl View for Client {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        if is_mirrored(table) {
            return self.mirrored(table, key)?.get(table, key);
        }
        // No key lies between a key and itself with a zero after it.
        let range = KeyRange {
            from: key.to_vec(),
            to: Some([key, &[0]].concat()),
        };
        let page = self.page(table, range)?;
        Ok(page.rows.into_iter().next().map(|(_, _, value)| value))
    }

    fn scan(&self, table: Table, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        match is_mirrored(table) {
            true => self.mirrored(table, &range.from)?.scan(table, range, visit),
            false => self.scan_pages(table, range, visit),
        }
    }
}
