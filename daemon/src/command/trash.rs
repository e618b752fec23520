//! `gitmoor repo trash`, `gitmoor repo restore` and `gitmoor gc`.

use super::{ask, output, unexpected};
use crate::Failure;
use crate::admin::protocol::Restored;
use crate::admin::{Reply, Request};
use crate::cli::{GcArgs, Place, RestoreArgs};
use crate::config::ByteSize;
use gitmoor_fs::{Collected, TrashedRepo};
use std::io;

/// Lists the trash.
pub(super) fn list(place: &Place, json: bool) -> Result<(), Failure> {
    match ask(place, &Request::RepoTrash)? {
        Reply::Trash(found) if json => Ok(output::json(&found)?),
        Reply::Trash(found) => Ok(found.iter().try_for_each(print_trashed)?),
        other => Err(unexpected(place, &other)),
    }
}

fn print_trashed(trashed: &TrashedRepo) -> io::Result<()> {
    let files = format!(
        "{} deleted object files, {}",
        trashed.files,
        ByteSize(trashed.bytes)
    );
    let TrashedRepo { name, id, .. } = trashed;
    match (trashed.deleted, trashed.kept_until) {
        (Some(deleted), Some(until)) => output::line(format_args!(
            "{name}  {id}  deleted {}, kept until {}",
            output::date(deleted),
            output::date(until)
        )),
        _ => output::line(format_args!("{name}  {id}  {files}")),
    }
}

/// Takes something out of the trash.
pub(super) fn restore(place: &Place, args: RestoreArgs) -> Result<(), Failure> {
    let request = if args.objects {
        let name = args.repo.parse().map_err(Failure::Usage)?;
        Request::RepoRestoreObjects { name }
    } else {
        let (repo, to) = (args.repo, args.to);
        Request::RepoRestore { repo, to }
    };
    match ask(place, &request)? {
        Reply::Restored(restored) if args.json => Ok(output::json(&restored)?),
        Reply::Restored(restored) => Ok(print_restored(&restored, args.objects)?),
        other => Err(unexpected(place, &other)),
    }
}

fn print_restored(restored: &Restored, objects: bool) -> io::Result<()> {
    let pieces = &restored.pieces;
    if !objects {
        output::line(format_args!("{} is back", restored.name))?;
    }
    if objects || pieces.files > 0 {
        output::line(format_args!("{} object files are back", pieces.files))?;
    }
    for name in &pieces.refs {
        output::line(format_args!("{name} is back"))?;
    }
    for lost in &pieces.lost {
        output::line(format_args!("not restored: {lost}"))?;
    }
    Ok(())
}

/// Empties the trash of what was there for long enough.
pub(super) fn collect(place: &Place, args: GcArgs) -> Result<(), Failure> {
    let (name, dry_run) = (args.name, args.dry_run);
    match ask(place, &Request::Gc { name, dry_run })? {
        Reply::Collected(done) if args.json => Ok(output::json(&done)?),
        Reply::Collected(done) => Ok(print_collected(&done)?),
        other => Err(unexpected(place, &other)),
    }
}

fn print_collected(done: &Collected) -> io::Result<()> {
    if done.is_nothing() {
        return output::line("nothing to remove");
    }
    for name in &done.repositories {
        output::line(format_args!("{name} can no longer be restored"))?;
    }
    output::fields(&[
        ("expired files", done.expired_files.to_string()),
        ("leftovers", done.leftovers.to_string()),
        ("unfinished uploads", done.uploads.to_string()),
        (
            if done.dry_run {
                "would delete"
            } else {
                "deleted"
            },
            format!("{} objects, {}", done.objects, ByteSize(done.bytes)),
        ),
    ])
}
