//! Some objects of a repository: git lists them, which reads commits and trees, and then reads each
//! one with what it is a difference from.

use super::super::progress::bar;
use super::WarmArgs;
use super::{Repository, WarmError};
use gitmoor_fs::program::ReadView;
use std::io::{self, BufRead, BufReader, Read};

/// Reads them; answers how many, and their bytes.
pub(super) fn warm(repo: &Repository, args: &WarmArgs) -> Result<(u64, u64), WarmError> {
    let view = &ReadView::of(&repo.dir)?;
    let whole = super::files::bytes(repo)?;
    let listing = bar("{spinner} listing objects {elapsed}", 0);
    let objects = list(view, args)?;
    listing.finish_and_clear();
    // How long they are is in another table, which nothing else may need.
    if whole > repo.limit {
        repo.check_room(stored_bytes(view, &objects)?)?;
    }
    let count = objects.iter().filter(|byte| **byte == b'\n').count() as u64;
    let bar = bar("{wide_bar} {pos}/{len} objects {eta}", count);
    let command = ["cat-file", "--batch", "--buffer"];
    let bytes = feed(view, &command, &objects, |out| {
        read_objects(out, || bar.inc(1))
    })?;
    bar.finish_and_clear();
    Ok((count, bytes))
}

/// Their names, one a line.
fn list(view: &ReadView, args: &WarmArgs) -> Result<Vec<u8>, WarmError> {
    let git = view.git(&["rev-list", "--objects", "--no-object-names"]);
    let git = git.env("GIT_LITERAL_PATHSPECS", "1");
    let git = git.args(args.depth.map(|depth| format!("--max-count={depth}")));
    let git = git.args([
        "--end-of-options",
        args.rev.as_deref().unwrap_or("HEAD"),
        "--",
    ]);
    let git = git.args(&args.path);
    let said = git.ask(b"", &|| false);
    let said = said.map_err(|error| failed("rev-list", &error))?;
    match said.status.success() {
        true => Ok(said.stdout),
        false => Err(failed("rev-list", &said.words())),
    }
}

/// What they take in their packs, without what they are differences from.
fn stored_bytes(view: &ReadView, objects: &[u8]) -> Result<u64, WarmError> {
    let command = ["cat-file", "--batch-check=%(objectsize:disk)", "--buffer"];
    feed(view, &command, objects, |out| {
        let sizes = out
            .lines()
            .map(|line| line?.parse::<u64>().map_err(io::Error::other));
        sizes.sum()
    })
}

/// Runs git with these names on its standard input, and hands its output to `read`.
fn feed<T>(
    view: &ReadView,
    command: &[&str],
    objects: &[u8],
    read: impl FnOnce(&mut BufReader<&mut dyn Read>) -> io::Result<T>,
) -> Result<T, WarmError> {
    let git = view.git(command);
    // What cannot be parsed is explained by how git ended.
    let fed = git.converse(objects, &|| false, |output| {
        Ok(read(&mut BufReader::new(output)))
    });
    let (done, ended) = fed.map_err(|error| failed("cat-file", &error))?;
    match ended.status.success() {
        true => done.map_err(|error| failed("cat-file", &error)),
        false => Err(failed("cat-file", &ended.words())),
    }
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

/// Of a read of the mount that failed, git may know little.
fn failed(command: &'static str, reason: &dyn std::fmt::Display) -> WarmError {
    let said = format!("{reason}; gitmoor status and the log say more");
    WarmError::Git { command, said }
}
