//! A whole tree of repositories.
#![expect(
    clippy::disallowed_methods,
    reason = "a listing reads names, opens no files and follows no links"
)]

use super::super::ImportError;
use super::disk::{is_linked, is_repository};
use std::fs;
use std::path::{Path, PathBuf};

/// What is in a tree.
#[derive(Debug, Default)]
pub struct Tree {
    /// The repositories, in order of their paths; `DIR` for one in `DIR/.git`.
    pub repositories: Vec<PathBuf>,
    /// Directories that cannot be read.
    pub unreadable: Vec<ImportError>,
}

impl Tree {
    /// Every repository in a directory, itself included. Symbolic links are not followed, what lies within a
    /// repository is its own matter, and a further work tree of one is no other.
    pub fn below(dir: &Path) -> Self {
        let mut tree = Self::default();
        tree.look_into(dir);
        tree.repositories.sort();
        tree
    }

    fn look_into(&mut self, dir: &Path) {
        if is_repository(dir) || dir.join(".git").exists() {
            if !is_linked(&dir.join(".git")) {
                self.repositories.push(dir.to_owned());
            }
            return;
        }
        let unreadable = |error| ImportError::Unreadable {
            path: dir.to_owned(),
            error,
        };
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) => return self.unreadable.push(unreadable(error)),
        };
        for entry in entries {
            match entry.and_then(|entry| Ok((entry.file_type()?, entry.path()))) {
                Ok((kind, path)) if kind.is_dir() => self.look_into(&path),
                Ok(_) => {}
                Err(error) => self.unreadable.push(unreadable(error)),
            }
        }
    }
}
