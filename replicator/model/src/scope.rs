//! What of the repositories a client may see, and whether it may change them.
//!
//! A [`Scope`] names repositories by patterns of paths, and holds for whatever stands at such a
//! path when it is asked: a repository that is renamed comes into it, or leaves it.

use super::NamePath;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

/// Bytes of a pattern.
const LONGEST: usize = 1024;
/// Patterns of a scope.
const MOST: usize = 64;

/// A pattern of repository paths, such as `team/*.git`: `*`, `?` and `[…]` stay within a
/// component, `**` stands for any number of components.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct RepoPattern(String);

/// A text is no [`RepoPattern`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{pattern:?} is no pattern of repositories; expected one such as team/*.git or team/**")]
pub struct PatternError {
    pattern: String,
}

/// What a client may see and do. The default is everything.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Scope {
    /// Only these repositories; all of them when there is no pattern.
    pub repos: Vec<RepoPattern>,
    /// The client may change nothing.
    pub read_only: bool,
}

/// A [`Scope`], ready to decide.
#[derive(Debug)]
pub struct Sight {
    /// `None` sees everything.
    limited: Option<Limited>,
}

#[derive(Debug)]
struct Limited {
    repos: GlobSet,
    /// In which they may be.
    directories: GlobSet,
}

impl Scope {
    /// Whether it names every repository.
    pub fn is_of_all(&self) -> bool {
        self.repos.is_empty()
    }

    /// What it lets see. It sees nothing where it has more patterns than there may be.
    pub fn sight(&self) -> Sight {
        if self.is_of_all() {
            return Sight { limited: None };
        }
        let patterns = self.repos.iter().take(MOST);
        let directories = patterns.clone().flat_map(RepoPattern::directories);
        let limited = Limited {
            repos: set(patterns.map(|pattern| pattern.0.clone())),
            directories: set(directories),
        };
        Sight {
            limited: Some(limited),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.repos.as_slice() {
            [] => f.write_str("all repositories")?,
            patterns => {
                let patterns: Vec<_> = patterns.iter().map(|pattern| pattern.0.as_str()).collect();
                f.write_str(&patterns.join(" "))?;
            }
        }
        match self.read_only {
            true => f.write_str(", read-only"),
            false => Ok(()),
        }
    }
}

impl Sight {
    /// Whether all there is can be seen.
    pub fn is_of_all(&self) -> bool {
        self.limited.is_none()
    }

    /// Whether what stands at this path of the namespace can be seen: a repository that a pattern
    /// names, or a directory in which one may be.
    pub fn has(&self, path: &NamePath) -> bool {
        let Some(Limited { repos, directories }) = &self.limited else {
            return true;
        };
        let text = Path::new(OsStr::from_bytes(path.as_bytes()));
        match path.names_repository() {
            true => repos.is_match(text),
            false => path.is_root() || directories.is_match(text),
        }
    }
}

impl Sight {
    /// Whether a pattern names this path itself: files and symbolic links are not seen for being beside
    /// what is.
    pub fn names(&self, path: &NamePath) -> bool {
        let Some(Limited { repos, .. }) = &self.limited else {
            return true;
        };
        repos.is_match(Path::new(OsStr::from_bytes(path.as_bytes())))
    }
}

impl RepoPattern {
    /// Patterns of the directories above what it names.
    fn directories(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut above = String::new();
        for component in self.0.split('/') {
            if !above.is_empty() {
                found.push(above.clone());
                above.push('/');
            }
            above.push_str(component);
            if component == "**" {
                // Whatever comes behind it is beneath it too.
                found.push(above);
                break;
            }
        }
        found
    }

    fn is_sound(&self) -> bool {
        let text = &self.0;
        let component = |it: &str| !it.is_empty() && (it == "**" || !it.contains("**"));
        let braces = |c: char| matches!(c, '{' | '}' | '\\') || c.is_control();
        text.len() <= LONGEST
            && !text.contains(braces)
            && text.split('/').all(component)
            && glob(text).is_some()
            && self.directories().iter().all(|above| glob(above).is_some())
    }
}

fn glob(pattern: &str) -> Option<globset::Glob> {
    let mut builder = GlobBuilder::new(pattern);
    builder.literal_separator(true).build().ok()
}

fn set(patterns: impl Iterator<Item = String>) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(glob(&pattern).expect("patterns are sound once constructed"));
    }
    // One that is too large to be made lets see nothing.
    set.build().unwrap_or_default()
}

impl FromStr for RepoPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for RepoPattern {
    type Error = PatternError;

    fn try_from(pattern: String) -> Result<Self, PatternError> {
        let it = Self(pattern);
        match it.is_sound() {
            true => Ok(it),
            false => Err(PatternError { pattern: it.0 }),
        }
    }
}

impl fmt::Display for RepoPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
