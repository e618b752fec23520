//! Imports.

use super::{all, path_after};
use crate::model::{Import, RepoId, RepoPath};
use crate::state::view::{KeyRange, Step, View, decode};
use crate::state::{ReadError, Table, keys};

/// The imports, those that are done too.
pub fn imports(view: &dyn View) -> Result<Vec<Import>, ReadError> {
    all(view, Table::Imports, &[keys::IMPORT])
}

/// The files of an import that were read back, and whether every object of them was hashed.
pub fn verified(view: &dyn View, id: RepoId) -> Result<Vec<(RepoPath, bool)>, ReadError> {
    let prefix = keys::all_verified(id);
    let mut found = Vec::new();
    view.scan(
        Table::Imports,
        &KeyRange::prefix(&prefix),
        &mut |key, value| {
            let path = path_after(key, prefix.len())?;
            found.push((path, decode(Table::Imports, key, value)?));
            Ok(Step::Next)
        },
    )?;
    Ok(found)
}
