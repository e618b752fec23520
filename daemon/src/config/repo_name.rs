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
        let path = NamePath::new(text).filter(|_| !text.is_empty());
        let Some(path) = path else {
            return Err(format!(
                "{text:?} is no repository name; expected a path such as team/app.git, without \
                 leading or trailing slash and without . or .. in it"
            ));
        };
        if path.parent().is_some_and(|above| within_repository(&above)) {
            return Err(format!(
                "{text:?} lies inside a repository; repositories do not nest"
            ));
        }
        Ok(Self(text.to_owned()))
    }
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
