//! Files that hosts keep in a repository: those of the source come along, where it has a directory on this machine.
#![expect(
    clippy::disallowed_methods,
    reason = "a source is read with the rights of its owner, and only regular files are opened"
)]

use super::ImportError;
use super::source::Disk;
use gitmoor_fs::program::small;
use gitmoor_model::{Change, Expect, RefEdit, RepoPath, host_file};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

const FILE: u32 = 0o100_644;

/// What makes them, no more than a repository may have. What is no regular file is none.
pub(super) fn of(source: &Disk) -> Result<Vec<RefEdit>, ImportError> {
    let (mut edits, mut left) = (Vec::new(), host_file::MOST);
    for name in names(source)? {
        let Some(value) = text(source, &name)? else {
            continue;
        };
        let bytes = (name.as_bytes().len() + value.len()) as u64;
        let rest = left.checked_sub(bytes);
        left = rest.ok_or_else(|| {
            let most = host_file::MOST;
            source.damaged(format!(
                "{name} and the other files that hosts keep there have more than {most} bytes"
            ))
        })?;
        edits.push(RefEdit {
            name,
            expect: Expect::Anything,
            change: Change::Set { mode: FILE, value },
        });
    }
    Ok(edits)
}

fn text(source: &Disk, name: &RepoPath) -> Result<Option<Vec<u8>>, ImportError> {
    let at = source.dir.join(OsStr::from_bytes(name.as_bytes()));
    let read = source.as_owner(|| match fs::symlink_metadata(&at)?.is_file() {
        true => small(&at).map(Some),
        false => Ok(None),
    });
    match read.flatten() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => text.map_err(ImportError::reading(&at)),
    }
}

fn names(source: &Disk) -> Result<Vec<RepoPath>, ImportError> {
    let branches = RepoPath::new(host_file::BRANCHES).expect("a valid path");
    let dir = source.dir.join(OsStr::from_bytes(host_file::BRANCHES));
    let listed = source.as_owner(|| {
        let entries = fs::read_dir(&dir)?.map(|entry| Ok(entry?.file_name()));
        entries.collect::<io::Result<Vec<_>>>()
    });
    let listed = match listed.flatten() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(ImportError::reading(&dir))?,
    };
    let listed = listed.into_iter().map(OsStringExt::into_vec);
    let listed = listed.filter_map(|name| branches.join(&name));
    let listed = listed.filter(host_file::is_one);
    Ok(host_file::named().chain(listed).collect())
}
