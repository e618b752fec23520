//! `gitmoor backup`.

use super::{Failure, Reply, Request, ask, output, unexpected};
use crate::config::{ByteSize, Place};
use clap::Args;
use gitmoor_jobs::backup::BackupInfo;
use std::io;

/// `gitmoor backup`.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// Only list the backups that there are
    #[arg(long)]
    pub list: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Makes a backup, or lists those that there are.
pub(super) fn run(place: &Place, args: &BackupArgs) -> Result<(), Failure> {
    let request = match args.list {
        true => Request::Backups,
        false => Request::Backup,
    };
    match ask(place, &request)? {
        Reply::Backups(backups) => Ok(print(&backups, args.json)?),
        other => Err(unexpected(place, &other)),
    }
}

/// One a line, the newest last.
pub(super) fn print(backups: &[BackupInfo], json: bool) -> io::Result<()> {
    if json {
        return output::json(&backups);
    }
    backups.iter().try_for_each(|backup| {
        let BackupInfo { key, bytes, stored } = backup;
        let (bytes, stored) = (ByteSize(*bytes), output::date(*stored));
        output::line(format_args!("{key}  {bytes}  {stored}"))
    })
}
