//! Some objects of a repository: git lists them, which reads commits and trees, and then reads each
//! one with what it is a difference from.

use super::super::progress::bar;
use super::{Repository, WarmError};
use crate::cli::WarmArgs;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// Reads them; answers how many, and their bytes.
pub(super) fn warm(repo: &Repository, args: &WarmArgs) -> Result<(u64, u64), WarmError> {
    let whole = super::files::bytes(repo)?;
    let listing = bar("{spinner} listing objects {elapsed}", 0);
    let objects = list(repo, args)?;
    listing.finish_and_clear();
    // How long they are is in another table, which nothing else may need.
    if whole > repo.limit {
        repo.check_room(stored_bytes(repo, &objects)?)?;
    }
    let count = objects.iter().filter(|byte| **byte == b'\n').count() as u64;
    let bar = bar("{wide_bar} {pos}/{len} objects {eta}", count);
    let command = ["cat-file", "--batch", "--buffer"];
    let bytes = feed(repo, &command, &objects, |out| {
        read_objects(out, || bar.inc(1))
    })?;
    bar.finish_and_clear();
    Ok((count, bytes))
}

/// Their names, one a line.
fn list(repo: &Repository, args: &WarmArgs) -> Result<Vec<u8>, WarmError> {
    let mut git = git(repo, &["rev-list", "--objects", "--no-object-names"]);
    git.args(args.depth.map(|depth| format!("--max-count={depth}")));
    git.arg("--end-of-options")
        .arg(args.rev.as_deref().unwrap_or("HEAD"));
    git.arg("--").args(&args.path);
    let output = git.output().map_err(|error| failed("rev-list", &error))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(ended("rev-list", &output)),
    }
}

/// What they take in their packs, without what they are differences from.
fn stored_bytes(repo: &Repository, objects: &[u8]) -> Result<u64, WarmError> {
    let command = ["cat-file", "--batch-check=%(objectsize:disk)", "--buffer"];
    feed(repo, &command, objects, |out| {
        let sizes = out
            .lines()
            .map(|line| line?.parse::<u64>().map_err(io::Error::other));
        sizes.sum()
    })
}

/// Runs git with these names on its standard input, and hands its output to `read`.
fn feed<T>(
    repo: &Repository,
    command: &[&str],
    objects: &[u8],
    read: impl FnOnce(&mut BufReader<ChildStdout>) -> io::Result<T>,
) -> Result<T, WarmError> {
    let mut git = git(repo, command);
    let git = git
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = git.spawn().map_err(|error| failed("cat-file", &error))?;
    let mut stdin = child.stdin.take().expect("it was asked to be a pipe");
    let mut stdout = BufReader::new(child.stdout.take().expect("it was asked to be a pipe"));
    let done = std::thread::scope(|scope| {
        // git may end before it has read everything; it says why.
        scope.spawn(move || stdin.write_all(objects));
        let done = read(&mut stdout);
        drop(stdout);
        done
    });
    end(child)?;
    done.map_err(|error| failed("cat-file", &error))
}

/// Reads `NAME TYPE SIZE`, and as many bytes, to the end; answers the bytes.
fn read_objects(out: &mut impl BufRead, mut each: impl FnMut()) -> io::Result<u64> {
    let (mut bytes, mut header) = (0, String::new());
    while out.read_line(&mut header)? > 0 {
        let size = header.trim_end().rsplit_once(' ');
        let size = size.and_then(|(_, size)| size.parse::<u64>().ok());
        let size = size.ok_or_else(|| io::Error::other(header.trim_end().to_owned()))?;
        io::copy(&mut out.by_ref().take(size + 1), &mut io::sink())?;
        bytes += size;
        each();
        header.clear();
    }
    Ok(bytes)
}

/// The repository is named outright, so that nothing else is looked for and nobody asks whose it is.
fn git(repo: &Repository, command: &[impl AsRef<OsStr>]) -> Command {
    let mut git = gitmoor_fs::git::command();
    git.env("GIT_LITERAL_PATHSPECS", "1").env("LC_ALL", "C");
    git.arg("--git-dir").arg(&repo.dir).args(command);
    git
}

fn end(child: Child) -> Result<(), WarmError> {
    let output = child
        .wait_with_output()
        .map_err(|error| failed("cat-file", &error))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(ended("cat-file", &output)),
    }
}

/// A page that the store did not give is SIGBUS to git, which then says nothing.
fn ended(command: &'static str, output: &Output) -> WarmError {
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let said = match said.is_empty() {
        true => format!("{}; gitmoor status and the log say more", output.status),
        false => said,
    };
    WarmError::Git { command, said }
}

fn failed(command: &'static str, error: &io::Error) -> WarmError {
    let said = error.to_string();
    WarmError::Git { command, said }
}
