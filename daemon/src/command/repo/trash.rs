//! `gitmoor repo trash`.

use super::{Failure, Reply, Request, ask, output, unexpected};
use crate::config::{ByteSize, Place};
use clap::Args;
use gitmoor_jobs::trash::TrashedRepo;
use std::io;

/// `gitmoor repo trash`.
#[derive(Args, Debug)]
pub struct TrashArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(place: &Place, args: &TrashArgs) -> Result<(), Failure> {
    match ask(place, &Request::RepoTrash)? {
        Reply::Trash(found) if args.json => Ok(output::json(&found)?),
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
