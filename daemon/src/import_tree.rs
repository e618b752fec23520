//! A tree of repositories under the names that they get here: their paths there.

use crate::config::RepoName;
use gitmoor_jobs::import::Tree;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(crate) struct Named {
    pub(crate) repositories: BTreeMap<RepoName, PathBuf>,
    /// What cannot be read or cannot get a name, and why.
    pub(crate) failures: Vec<String>,
}

/// Everything below a directory, itself included; below `above`, if that is not empty.
pub(crate) fn named(dir: &Path, above: &str) -> Named {
    let tree = Tree::below(dir);
    let mut failures: Vec<_> = tree.unreadable.iter().map(ToString::to_string).collect();
    let mut repositories = BTreeMap::new();
    for path in tree.repositories {
        match name_of(dir, above, &path) {
            Err(reason) => failures.push(format!("{}: {reason}", path.display())),
            Ok(name) => match repositories.get(&name) {
                None => drop(repositories.insert(name, path)),
                Some(first) => {
                    let first: &Path = first;
                    failures.push(format!(
                        "{}: {} would be {name} too; rename one of them, or import it by itself",
                        path.display(),
                        first.display()
                    ));
                }
            },
        }
    }
    Named {
        repositories,
        failures,
    }
}

fn name_of(dir: &Path, above: &str, path: &Path) -> Result<RepoName, String> {
    let within = path.strip_prefix(dir).unwrap_or(path);
    let within = match within.as_os_str().is_empty() {
        true => Path::new(path.file_name().unwrap_or_default()),
        false => within,
    };
    let within = within.to_str().ok_or("its path is not UTF-8")?;
    let above = above.trim_end_matches('/');
    let slash = if above.is_empty() { "" } else { "/" };
    let within = within.strip_suffix(".git").unwrap_or(within);
    format!("{above}{slash}{within}.git").parse()
}
