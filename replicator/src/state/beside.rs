//! Names beside repositories: small files and symbolic links of the namespace, and moves of any name.
//!
//! A row of [`Table::Names`] says all of a file but its bytes, so that a listing reads none. The bytes stand in
//! [`Table::Contents`] under the version that wrote them: a rename, of the file or of a directory above, moves no
//! byte. Beside them stands where the file is, which decides who may read them ([`super::owner`]).

use super::apply::{Context, Halt};
use super::audit::{self, AuditEvent};
use super::namespace::{self, NameEntry, NamedFile, NamedLink};
use super::{Overlay, ReadError, Table, keys, read, trash};
use crate::model::{Digest, Expect, NameChange, NamePath, NameStep, Refusal, Timestamp, Version};

/// The bits of a mode that chmod(2) sets.
const PERMISSIONS: u32 = 0o7777;

pub(super) fn change(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    change: &NameChange,
) -> Result<(), Halt> {
    let path = &change.path;
    match &change.step {
        NameStep::Link { target } => link(overlay, context, path, target),
        NameStep::Write {
            expect,
            mode,
            value,
        } => write(overlay, context, path, *expect, (*mode, value)),
        NameStep::Touch { mode, mtime } => touch(overlay, path, *mode, *mtime),
        NameStep::Unlink => unlink(overlay, context, path),
        NameStep::Move { to, replace } => {
            if *replace {
                make_way(overlay, path, to)?;
            }
            namespace::move_tree(overlay, context, path, to)
        }
        NameStep::Become(id) => namespace::become_repo(overlay, context, *id, path),
        NameStep::Restore(id) => trash::restore_under(overlay, context, *id, path),
    }
}

fn link(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    path: &NamePath,
    target: &[u8],
) -> Result<(), Halt> {
    namespace::check_free(overlay, path)?;
    let entry = NameEntry::Link(NamedLink {
        target: target.to_vec(),
        mtime: context.time,
        version: context.version,
    });
    overlay.put(Table::Names, keys::name(path), &entry);
    let event = AuditEvent::Linked {
        path: path.clone(),
        target: target.to_vec(),
    };
    Ok(audit::of_namespace(overlay, context, None, event)?)
}

fn write(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    path: &NamePath,
    expect: Expect,
    (mode, value): (u32, &[u8]),
) -> Result<(), Halt> {
    let old = match read::name(overlay, path)? {
        None => None,
        Some(NameEntry::File(file)) => Some(file.version),
        Some(NameEntry::Directory | NameEntry::Repo(_) | NameEntry::Link(_)) => {
            return Err(Refusal::Exists(path.clone()).into());
        }
    };
    let holds = match expect {
        Expect::Anything => true,
        Expect::Absent => old.is_none(),
        Expect::Is(version) => old == Some(version),
    };
    match old {
        _ if !holds => {
            let (path, actual) = (path.clone(), old);
            return Err(Refusal::NameChanged { path, actual }.into());
        }
        Some(version) => forget(overlay, version),
        None => namespace::check_free(overlay, path)?,
    }
    let entry = NameEntry::File(NamedFile {
        mode: mode & PERMISSIONS,
        size: value.len() as u64,
        mtime: context.time,
        version: context.version,
    });
    overlay.put(Table::Names, keys::name(path), &entry);
    overlay.put(Table::Contents, keys::contents(context.version), value);
    put_place(overlay, path, context.version);
    let event = AuditEvent::FileWritten {
        path: path.clone(),
        size: value.len() as u64,
        digest: Digest(blake3::hash(value).into()),
    };
    Ok(audit::of_namespace(overlay, context, None, event)?)
}

fn touch(
    overlay: &mut Overlay<'_>,
    path: &NamePath,
    mode: Option<u32>,
    mtime: Option<Timestamp>,
) -> Result<(), Halt> {
    let touched = match namespace::existing(overlay, path)? {
        NameEntry::File(file) => NameEntry::File(NamedFile {
            mode: mode.map_or(file.mode, |mode| mode & PERMISSIONS),
            mtime: mtime.unwrap_or(file.mtime),
            ..file
        }),
        NameEntry::Link(link) => NameEntry::Link(NamedLink {
            mtime: mtime.unwrap_or(link.mtime),
            ..link
        }),
        NameEntry::Directory | NameEntry::Repo(_) => {
            return Err(Refusal::BadPath(path.clone()).into());
        }
    };
    overlay.put(Table::Names, keys::name(path), &touched);
    Ok(())
}

fn unlink(overlay: &mut Overlay<'_>, context: Context<'_>, path: &NamePath) -> Result<(), Halt> {
    let gone = namespace::existing(overlay, path)?;
    if !gone.is_leaf() {
        return Err(Refusal::BadPath(path.clone()).into());
    }
    drop_leaf(overlay, path, &gone);
    let event = AuditEvent::Unlinked { path: path.clone() };
    Ok(audit::of_namespace(overlay, context, None, event)?)
}

/// rename(2) puts a file or a symbolic link in the place of another.
fn make_way(overlay: &mut Overlay<'_>, from: &NamePath, to: &NamePath) -> Result<(), Halt> {
    let source = namespace::existing(overlay, from)?;
    match read::name(overlay, to)? {
        Some(there) if from != to && source.is_leaf() && there.is_leaf() => {
            drop_leaf(overlay, to, &there);
        }
        // What is in the way is found by whoever moves.
        Some(_) | None => {}
    }
    Ok(())
}

fn drop_leaf(overlay: &mut Overlay<'_>, path: &NamePath, gone: &NameEntry) {
    overlay.delete(Table::Names, keys::name(path));
    if let NameEntry::File(file) = gone {
        forget(overlay, file.version);
    }
}

fn forget(overlay: &mut Overlay<'_>, version: Version) {
    overlay.delete(Table::Contents, keys::contents(version));
    overlay.delete(Table::Contents, keys::place_of(version));
}

/// Says where the file of a version stands.
pub(super) fn put_place(overlay: &mut Overlay<'_>, path: &NamePath, version: Version) {
    overlay.put(Table::Contents, keys::place_of(version), path);
}

/// Where the file stands of whose bytes, or of whose place, this is the key.
pub(crate) fn place_of(
    view: &dyn super::View,
    version: Version,
) -> Result<Option<NamePath>, ReadError> {
    super::view::load(view, Table::Contents, &keys::place_of(version))
}
