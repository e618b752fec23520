//! Loose refs of others, copied for a git of ours.
//!
//! git follows symbolic links among refs, to directories too. Two links to the directory that they stand in make a
//! tree without an end of it, and git walks that tree. So no link of others comes into a directory of refs that a
//! git of ours reads: a link that git takes for a symbolic ref becomes one, and a link to a file becomes what is
//! in the file.
#![expect(
    clippy::disallowed_methods,
    reason = "theirs is read with the rights of its owner; the copy is the daemon's own"
)]

use super::read_view::{Theirs, ViewError, at_most, make_dir, not_regular, there, write};
use gix_validate::reference;
use std::fs::{self, DirEntry, FileType};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes of a ref: the name of another, which is a path, has the most.
const LARGEST: u64 = 8192;

/// What a symbolic ref says that is a link with this text, by the rule of git: the text of any other link is a path.
pub fn symbolic(link: &[u8]) -> Option<Vec<u8>> {
    let is_ref = link.starts_with(b"refs/") && reference::name(link.into()).is_ok();
    is_ref.then(|| [b"ref: ", link, b"\n"].concat())
}

/// Copies a directory of refs, if it is there. A ref that is removed meanwhile is left out.
pub(super) fn copy(theirs: &Theirs<'_>, from: &Path, to: &Path) -> Result<(), ViewError> {
    make_dir(to).map_err(ViewError::Local)?;
    let list = || fs::read_dir(from)?.collect::<io::Result<Vec<_>>>();
    for entry in there(from, theirs.with(list))?.unwrap_or_default() {
        let Some(kind) = there(&entry.path(), entry.file_type())? else {
            continue;
        };
        let copy = to.join(entry.file_name());
        if kind.is_dir() {
            self::copy(theirs, &entry.path(), &copy)?;
        } else if let Some(value) = value(theirs, &entry, kind)? {
            write(&copy, &value).map_err(ViewError::Local)?;
        }
    }
    Ok(())
}

fn value(
    theirs: &Theirs<'_>,
    entry: &DirEntry,
    kind: FileType,
) -> Result<Option<Vec<u8>>, ViewError> {
    let path = entry.path();
    if kind.is_symlink() {
        return linked(theirs, &path);
    }
    if !kind.is_file() {
        return there(&path, Err(not_regular()));
    }
    there(&path, theirs.with(|| at_most(LARGEST, &path)))
}

/// A link that leads nowhere becomes an empty file: both are broken refs to git, which says so.
fn linked(theirs: &Theirs<'_>, path: &Path) -> Result<Option<Vec<u8>>, ViewError> {
    let Some(link) = there(path, theirs.with(|| fs::read_link(path)))? else {
        return Ok(None);
    };
    if let Some(symbolic) = symbolic(link.as_os_str().as_bytes()) {
        return Ok(Some(symbolic));
    }
    let is_dir = theirs.with(|| Ok(fs::metadata(path)?.is_dir()));
    if is_dir.unwrap_or(false) {
        return Err(ViewError::Damaged {
            path: path.to_owned(),
            reason: "is a symbolic link to a directory of refs: put that directory in its place"
                .to_owned(),
        });
    }
    let value = there(path, theirs.with(|| at_most(LARGEST, path)))?;
    Ok(Some(value.unwrap_or_default()))
}
