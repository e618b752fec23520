//! Where a repository is brought in from.
#![expect(
    clippy::disallowed_methods,
    reason = "a source is read and written with the rights of its owner, and only regular files are opened"
)]

mod disk;
mod inventory;
pub(super) mod postgres;
mod remote;
mod tree;
mod url;

pub(super) use disk::Disk;
pub(super) use inventory::{Inventory, Loose, PackFiles, SourceFile};
pub use tree::Tree;
pub use url::Url;

use self::postgres::Database;
use super::ImportError;
use super::private::Private;
use crate::runner::ProgressReporter;
use gitmoor_fs::program::User;
use remote::Origin;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a repository is imported from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A repository on this machine, bare or not.
    Disk(PathBuf),
    /// One that git can fetch from.
    Url(Url),
    /// A file that `git bundle` wrote.
    Bundle(PathBuf),
    /// A repository in tables of PostgreSQL.
    Postgres(Box<Database>),
}

/// What was given cannot be a source.
#[derive(Debug, thiserror::Error)]
#[error(
    "{given:?} is no source: {reason}; expected a directory with a git repository, a bundle, or a URL that git can \
     fetch from (https://, http://, ssh://, git://, file://, host:path), or \
     postgres://"
)]
pub struct BadSource {
    given: String,
    reason: String,
}

impl Source {
    /// What somebody typed, seen from this process's directory.
    pub fn parse(text: &str) -> Result<Self, BadSource> {
        let bad = |reason: &str| BadSource {
            given: Url::new(text).to_string(),
            reason: reason.to_owned(),
        };
        if text.starts_with('-') {
            return Err(bad("it looks like an option"));
        }
        if text.contains("://") || names_helper(text) {
            let url = Url::new(text);
            return match url.is_allowed() {
                true => Ok(Self::Url(url)),
                false => Err(bad("this is not a protocol that is fetched from")),
            };
        }
        let path = Path::new(text);
        match std::fs::canonicalize(path) {
            Ok(found) if leads_astray(path, &found) => Err(bad(
                "a symbolic link leads there whose owner cannot read it; give the path that it leads to",
            )),
            Ok(path) if path.is_dir() => Ok(Self::Disk(path)),
            Ok(path) => Ok(Self::Bundle(path)),
            Err(_) if is_scp(text) => Ok(Self::Url(Url::new(text))),
            Err(error) => Err(bad(&error.to_string())),
        }
    }

    /// A repository on this machine, in the end; what is elsewhere is fetched.
    pub(super) fn open(
        &self,
        private: &Private,
        reporter: &ProgressReporter<'_>,
    ) -> Result<Disk, ImportError> {
        match self {
            Self::Disk(path) => Disk::find(path),
            Self::Url(url) => match url.path() {
                Some(path) => Disk::find(&path),
                None => remote::fetch(&Origin::Url(url), private, reporter)
                    .map_err(|error| url.without_secrets(error)),
            },
            Self::Bundle(path) => {
                check_bundle(path)?;
                remote::fetch(&Origin::Bundle(path), private, reporter)
            }
            Self::Postgres(database) => postgres::fetch(database, private, reporter),
        }
    }

    /// A text of somebody else's, such as git's, who may have quoted it.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        match self {
            Self::Url(url) => url.redact(text),
            Self::Postgres(database) => database.url.redact(text),
            Self::Disk(_) | Self::Bundle(_) => text.to_owned(),
        }
    }
}

/// Without secrets.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(path) | Self::Bundle(path) => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
            Self::Postgres(database) => database.fmt(f),
        }
    }
}

/// Whose link it is chose what is brought in, and must not get more by that than that user has.
fn leads_astray(path: &Path, found: &Path) -> bool {
    let path = std::path::absolute(path).unwrap_or_default();
    let mut owners = path.ancestors().filter_map(User::owning_link);
    owners.any(|owner| !owner.may_read(found))
}

/// `helper::address` would run a program of that name.
fn names_helper(text: &str) -> bool {
    text.split_once("::").is_some_and(|(helper, _)| {
        !helper.is_empty() && helper.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// `host:path`: as git has it, the colon comes before any slash.
fn is_scp(text: &str) -> bool {
    text.split_once(':')
        .is_some_and(|(host, path)| !host.is_empty() && !host.contains('/') && !path.is_empty())
}

/// git would take any other file for a URL that it cannot read, and say so in words that do not help.
fn check_bundle(path: &Path) -> Result<(), ImportError> {
    use std::io::Read;
    let mut first = [0; 14];
    let file = gitmoor_fs::program::regular(path);
    let read = file.and_then(|mut file| file.read_exact(&mut first));
    if let Err(error) = read
        && error.kind() != std::io::ErrorKind::UnexpectedEof
    {
        return Err(ImportError::Unreadable {
            path: path.to_owned(),
            error,
        });
    }
    let is_bundle = first.starts_with(b"# v2 git bund") || first.starts_with(b"# v3 git bund");
    match is_bundle {
        true => Ok(()),
        false => Err(ImportError::NoRepository {
            path: path.to_owned(),
            reason: "it is neither a repository nor a bundle".to_owned(),
        }),
    }
}
