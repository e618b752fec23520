//! A repository elsewhere, or in a bundle: fetched, with all of its refs, into a private one. That is kept until the import has
//! come to its end, so that one that goes on fetches what is new.
//!
//! The URL is given to git in its environment, where no other user of the machine sees it, and where it cannot be
//! taken for an option. Settings of the daemon's user and of the system say how a server is reached; git uses the
//! protocol of the URL and no other.
#![expect(
    clippy::disallowed_methods,
    reason = "the private directory of an import is the daemon's own"
)]

use super::super::ImportError;
use super::super::private::Private;
use super::disk::Disk;
use super::url::Url;
use crate::runner::{ProgressReporter, git};
use gitmoor_fs::program::{Program, Settings};
use gitmoor_model::ObjectFormat;
use std::fs;
use std::io;
use std::path::Path;

const FETCH: [&str; 10] = [
    "-c",
    "fetch.unpackLimit=1",
    "-c",
    "gc.auto=0",
    "fetch",
    "--progress",
    "--prune",
    "--no-write-fetch-head",
    "origin",
    "+refs/*:refs/*",
];

/// What a remote says of itself.
struct Advertised {
    format: ObjectFormat,
    /// `HEAD`, if it says where that points.
    head: Option<String>,
}

/// Where it is fetched from.
pub(super) enum Origin<'a> {
    Url(&'a Url),
    Bundle(&'a Path),
}

impl Origin<'_> {
    /// `git STEP` in a repository of ours, whose remote `origin` is this.
    fn git(&self, dir: &Path, step: &[&str]) -> Program {
        let (git, url, protocols) = match self {
            Self::Url(url) => (
                of_the_administrator(step).with_network(),
                url.secret().as_ref(),
                url.protocols(),
            ),
            Self::Bundle(path) => (Program::git(step).reads(path), path.as_os_str(), "file"),
        };
        git.on(dir)
            .writes(dir)
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "remote.origin.url")
            .env("GIT_CONFIG_VALUE_0", url)
            .env("GIT_ALLOW_PROTOCOL", protocols)
    }
}

/// ssh(1) and credential helpers write there what they learn.
fn of_the_administrator(step: &[&str]) -> Program {
    let git = Program::git_with(Settings::Administrators, step);
    match std::env::home_dir() {
        Some(home) => git.writes(&home),
        None => git,
    }
}

pub(super) fn fetch(
    origin: &Origin<'_>,
    private: &Private,
    reporter: &ProgressReporter<'_>,
) -> Result<Disk, ImportError> {
    let dir = private.kept("fetched.git")?;
    remove_locks(&dir).map_err(ImportError::local(&dir))?;
    let advertised = ask(&dir, origin, reporter)?;
    init(&dir, advertised.format, reporter)?;
    git::run(origin.git(&dir, &FETCH), reporter)?;
    if let Some(head) = &advertised.head {
        git::run(git::own(&dir, &["symbolic-ref", "HEAD", head]), reporter)?;
    }
    Disk::own(dir)
}

/// A bare repository, or none that is there already. Without a template: hooks of one would be nobody's.
pub(super) fn init(
    dir: &Path,
    format: ObjectFormat,
    reporter: &ProgressReporter<'_>,
) -> Result<(), ImportError> {
    let format = format!("--object-format={}", format.name());
    let step = ["init", "--bare", "--quiet", "--template=", &format];
    Ok(git::run(git::own(dir, &step), reporter)?)
}

fn ask(
    dir: &Path,
    origin: &Origin<'_>,
    reporter: &ProgressReporter<'_>,
) -> Result<Advertised, ImportError> {
    reporter.report("Asking", 0, None)?;
    let step = ["ls-remote", "--symref", "origin"];
    let said = git::ask_ok(origin.git(dir, &step), b"", reporter)?;
    let text = String::from_utf8_lossy(&said.stdout);
    let lines: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .collect();
    let is_long = lines.iter().any(|(oid, _)| oid.len() == 64);
    Ok(Advertised {
        format: match is_long {
            true => ObjectFormat::Sha256,
            false => ObjectFormat::Sha1,
        },
        head: head(&lines),
    })
}

/// A bundle, and an old server, say what `HEAD` is and not what it points at: then it is a branch that is the same,
/// as git clone has it.
fn head(lines: &[(&str, &str)]) -> Option<String> {
    let of_head = |(_, name): &&(&str, &str)| *name == "HEAD";
    let symbolic = lines.iter().filter(of_head);
    let mut symbolic = symbolic.filter_map(|(value, _)| value.strip_prefix("ref: "));
    if let Some(target) = symbolic.next() {
        return Some(target.to_owned());
    }
    let head = lines.iter().find(of_head).map(|(oid, _)| *oid);
    let is_it = |(oid, name): &&(&str, &str)| {
        name.starts_with("refs/heads/") && head.is_none_or(|head| head == *oid)
    };
    let mut branches: Vec<_> = lines.iter().filter(is_it).map(|(_, name)| *name).collect();
    branches.sort_by_key(|name| rank(name));
    branches.first().map(|name| (*name).to_owned())
}

/// Which of several branches is likelier to be the main one.
pub(super) fn rank(branch: &str) -> u8 {
    match branch {
        "refs/heads/main" => 0,
        "refs/heads/master" => 1,
        _ => 2,
    }
}

/// Of a fetch that was killed. Nobody else works here.
fn remove_locks(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let is_lock = path.extension().is_some_and(|ext| ext == "lock");
        if path.is_dir() {
            remove_locks(&path)?;
        } else if is_lock {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::head;

    #[test]
    fn head_as_the_remote_says_or_as_clone_guesses() {
        let main = ("1", "refs/heads/main");
        let other = ("1", "refs/heads/a");
        let old = ("2", "refs/heads/old");
        for (lines, expected) in [
            (
                vec![("ref: refs/heads/x", "HEAD"), ("1", "HEAD"), main],
                Some("refs/heads/x"),
            ),
            (vec![("1", "HEAD"), other, main], Some("refs/heads/main")),
            (vec![("2", "HEAD"), main, old], Some("refs/heads/old")),
            (vec![other, main], Some("refs/heads/main")),
            (vec![("3", "HEAD"), main], None),
            (vec![], None),
        ] {
            assert_eq!(head(&lines).as_deref(), expected, "{lines:?}");
        }
    }
}
