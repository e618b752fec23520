//! The name of a repository as people type it.

use gitmoor_model::NamePath;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A namespace path in UTF-8 that may name a repository: `team/app.git`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoName(String);

impl RepoName {
    /// The name of a repository that is to be made. Only git on the mount makes others.
    pub fn of_new(text: &str) -> Result<Self, String> {
        let name: Self = text.parse()?;
        if name
            .path()
            .parent()
            .is_some_and(|above| within_repository(&above))
        {
            return Err(format!(
                "{text:?} lies inside a repository; make it elsewhere, and move it with gitmoor repo rename"
            ));
        }
        match name.path().names_repository() {
            true => Ok(name),
            false => Err(format!(
                "names of new repositories end in .git; did you mean {text}.git?"
            )),
        }
    }

    /// As the replicator sees it.
    pub fn path(&self) -> NamePath {
        NamePath::new(self.0.as_str()).expect("checked when it was constructed")
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepoName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The empty path is the namespace itself.
        if text.is_empty() || NamePath::new(text).is_none() {
            return Err(format!(
                "{text:?} is no repository name; expected a path such as team/app.git, without \
                 leading or trailing slash and without . or .. in it"
            ));
        }
        if !is_in_modules_only(text) {
            return Err(format!(
                "{text:?} lies inside a repository, where others stand in modules/ only"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Whether what follows the name of a repository is `modules/` and more.
fn is_in_modules_only(text: &str) -> bool {
    let mut names = text.split('/').peekable();
    while let Some(name) = names.next() {
        let is_repository = name.len() > 4 && name.ends_with(".git") && names.peek().is_some();
        if is_repository && (names.next() != Some("modules") || names.peek().is_none()) {
            return false;
        }
    }
    true
}

fn within_repository(path: &NamePath) -> bool {
    path.names_repository() || path.parent().is_some_and(|above| within_repository(&above))
}

impl TryFrom<String> for RepoName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<RepoName> for String {
    fn from(name: RepoName) -> Self {
        name.0
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
