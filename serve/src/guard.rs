//! Refs that whoever may write, and no more, cannot name in a push.
//!
//! git looks at the name that a push gives: the rules for branches hold where that begins with `refs/heads/`. A name
//! elsewhere that stands for a branch (a symbolic ref, a symbolic link, to a directory too) would be a way around. So
//! such names are hidden from the push (`receive.hideRefs`), as are those with which git shows other objects than were
//! asked for. git refuses what is hidden, by whatever line of a request it comes: no request is parsed here.
//!
//! A name in `refs/heads/` has the rules of a branch. If it stands for something elsewhere, that could be moved by its
//! other name, and what is pushed is branches only.
//!
//! git reads what it is told once, when it starts: that nobody gains by who comes in between, since who may write
//! through a door makes no such name.

use gitmoor_fs::program::{Program, ProgramError, User};
use gitmoor_model::{RefStorage, Repo};
use gitmoor_replicator::state::View;
use gitmoor_replicator::{ReadError, read};
use std::path::Path;
use std::time::{Duration, Instant};

/// Replacements, and refs of one work tree, whose values no other machine has.
const NEVER: [&str; 4] = [
    "refs/replace",
    "refs/bisect",
    "refs/worktree",
    "refs/rewritten",
];

/// Names that are told one by one.
const MOST: usize = 500;

/// How long git may look for them.
const LOOKS: Duration = Duration::from_secs(60);

/// Of all refs, an empty line for each that is no symbolic ref.
const FORMAT: &str = "--format=%(if)%(symref)%(then)%(refname) %(symref)%(end)";

#[derive(Debug, thiserror::Error)]
pub(crate) enum GuardError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("git for-each-ref: {0}")]
    Program(#[from] ProgramError),
    #[error("git for-each-ref: {0}")]
    Failed(String),
}

/// What is hidden from a push, as settings of git.
pub(crate) fn hidden(
    view: &dyn View,
    repo: &Repo,
    at: &Path,
    user: Option<User>,
) -> Result<Vec<String>, GuardError> {
    let mut guard = Guard::default();
    // Beside reftables too: there git goes by the tables alone, and what is hidden needlessly is no ref.
    for (path, entry) in read::symbolic_references(view, repo.id)? {
        let text = entry.value.strip_prefix(b"ref:").unwrap_or(&entry.value);
        guard.add(path.as_bytes(), text.trim_ascii());
    }
    if repo
        .format
        .is_none_or(|format| format.refs == RefStorage::Reftable)
    {
        for line in tables(at, user)?.split(|byte| *byte == b'\n') {
            if let Some(space) = line.iter().position(|byte| *byte == b' ') {
                guard.add(&line[..space], &line[space + 1..]);
            }
        }
    }
    Ok(guard.settings())
}

/// Symbolic refs in reftables, and what they stand for in the end; not those that stand for nothing.
fn tables(at: &Path, user: Option<User>) -> Result<Vec<u8>, GuardError> {
    let began = Instant::now();
    let program = Program::git(&["for-each-ref", FORMAT, "refs/"]);
    let said = program
        .on(at)
        .as_user(user)
        .ask(b"", &|| began.elapsed() > LOOKS)?;
    match said.status.success() {
        true => Ok(said.stdout),
        false => Err(GuardError::Failed(said.words())),
    }
}

/// Names are collected here.
#[derive(Default)]
struct Guard {
    hidden: Vec<String>,
    branches_only: bool,
}

impl Guard {
    /// A name, and what it stands for.
    fn add(&mut self, name: &[u8], target: &[u8]) {
        let is_branch = |name: &[u8]| name.starts_with(b"refs/heads/");
        match std::str::from_utf8(name) {
            _ if is_branch(name) || name == b"refs/heads" => {
                self.branches_only |= !is_branch(target);
            }
            Ok(name) if self.hidden.len() < MOST => self.hidden.push(name.to_owned()),
            Ok(_) | Err(_) => self.branches_only = true,
        }
    }

    /// The last that names a ref counts.
    fn settings(self) -> Vec<String> {
        let hide = |name: &str| format!("receive.hideRefs={name}");
        let mut settings: Vec<_> = match self.branches_only {
            true => ["refs", "!refs/heads"].map(hide).into(),
            false => self.hidden.iter().map(|name| hide(name)).collect(),
        };
        settings.extend(NEVER.map(hide));
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(links: &[(&str, &str)]) -> Vec<String> {
        let mut guard = Guard::default();
        for (name, target) in links {
            guard.add(name.as_bytes(), target.as_bytes());
        }
        let mut settings = guard.settings();
        settings.truncate(settings.len() - NEVER.len());
        settings
    }

    const BRANCHES: [&str; 2] = ["receive.hideRefs=refs", "receive.hideRefs=!refs/heads"];

    #[test]
    fn names_that_stand_for_others() {
        assert!(settings(&[("refs/heads/old", "refs/heads/new")]).is_empty());
        let elsewhere = [("refs/tags/l", "HEAD"), ("refs/tags/dir", "../heads")];
        let hidden = [
            "receive.hideRefs=refs/tags/l",
            "receive.hideRefs=refs/tags/dir",
        ];
        assert_eq!(settings(&elsewhere), hidden);
        // A branch that moves with a tag.
        assert_eq!(settings(&[("refs/heads/l", "refs/tags/v1")]), BRANCHES);
        assert_eq!(settings(&[("refs/heads/l", "../tags")]), BRANCHES);
        assert_eq!(settings(&[("refs/heads", "other")]), BRANCHES);
    }

    #[test]
    fn very_many_names() {
        let mut guard = Guard::default();
        for number in 0..=MOST {
            guard.add(format!("refs/remotes/{number}/HEAD").as_bytes(), b"refs/x");
        }
        assert_eq!(guard.settings()[..2], BRANCHES);
        let mut guard = Guard::default();
        guard.add(b"refs/\xff/HEAD", b"refs/heads/main");
        assert_eq!(guard.settings()[..2], BRANCHES);
    }
}
