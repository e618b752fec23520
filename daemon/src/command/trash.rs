//! `gitmoor repo trash` and `gitmoor repo restore`.

use super::{ask, output, unexpected};
use crate::Failure;
use crate::admin::protocol::Restored;
use crate::admin::{Reply, Request};
use crate::cli::{Place, RestoreArgs};
use crate::config::ByteSize;
use gitmoor_fs::TrashedRepo;
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
