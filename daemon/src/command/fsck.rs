//! `gitmoor fsck`.

use super::{Failure, Reply, Request, ask, output, unexpected};
use crate::config::{Place, RepoName};
use clap::Args;
use gitmoor_jobs::fsck::{Checked, Damage, Fault};
use serde::{Deserialize, Serialize};
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// `gitmoor fsck`.
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0 sound, or repaired; 1 damage is left; 2 wrong usage.")]
pub struct FsckArgs {
    /// What is asked.
    #[command(flatten)]
    pub request: FsckRequest,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Of which repository what is checked.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FsckRequest {
    /// Such as team/app.git
    pub name: RepoName,
    /// Repair what can be, from copies on this machine and from packs
    #[arg(long)]
    pub repair: bool,
    /// Also check the copies in this machine's cache, and loose objects against their names
    #[arg(long)]
    pub deep: bool,
}

/// How often a terminal is told how far it is.
const TICK: Duration = Duration::from_millis(500);

/// Asks the daemon to check, and prints what it found.
pub(super) fn run(place: &Place, args: &FsckArgs) -> Result<(), Failure> {
    let request = Request::Fsck(args.request.clone());
    let reply = match io::stderr().is_terminal() {
        true => ask_with_progress(place, &request)?,
        false => ask(place, &request)?,
    };
    let checked = match reply {
        Reply::Checked(checked) => checked,
        other => return Err(unexpected(place, &other)),
    };
    if args.json {
        output::json(&checked)?;
    } else {
        print(&checked)?;
    }
    if checked.is_sound() {
        return Ok(());
    }
    let FsckRequest { name, repair, .. } = args.request.clone();
    Err(Failure::Damaged { name, repair })
}

/// The daemon says in its status how far it is.
fn ask_with_progress(place: &Place, request: &Request) -> Result<Reply, Failure> {
    std::thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        scope.spawn(move || {
            while is_done.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                show_progress(place);
            }
        });
        let reply = ask(place, request);
        drop(done);
        reply
    })
}

fn show_progress(place: &Place) {
    let Ok(Reply::Status(status)) = ask(place, &Request::Status) else {
        return;
    };
    if let Some(progress) = status.waits.iter().find(|wait| wait.starts_with("fsck")) {
        let mut err = io::stderr();
        // Nothing depends on it.
        let _ = write!(err, "\r\x1b[K{progress}\r").and_then(|()| err.flush());
    }
}

fn print(checked: &Checked) -> io::Result<()> {
    for damage in &checked.damaged {
        print_damage(damage)?;
    }
    for staged in &checked.damaged_staging {
        output::line(format_args!("finished here and not stored: {staged}"))?;
    }
    for path in &checked.moved_aside {
        output::line(format_args!(
            "{}: damaged before it was stored, and moved there; remove it when you have looked",
            path.display()
        ))?;
    }
    for path in &checked.dropped_copies {
        output::line(format_args!(
            "{path}: damaged in the cache of this machine; dropped, it will be fetched again"
        ))?;
    }
    output::line(format_args!(
        "{} files checked, {} damaged, {} repaired",
        checked.files,
        checked.damaged.len() + checked.damaged_staging.len(),
        checked
            .damaged
            .iter()
            .filter(|d| d.repaired.is_some())
            .count()
    ))
}

fn print_damage(damage: &Damage) -> io::Result<()> {
    let at = match &damage.key {
        Some(key) => format!("{} ({key})", damage.path),
        None => damage.path.clone(),
    };
    for fault in &damage.faults {
        output::line(format_args!("{at}: {}", describe(fault)))?;
    }
    if let Some(how) = &damage.repaired {
        output::line(format_args!("  repaired: {how}"))?;
    }
    for oid in &damage.lost_objects {
        output::line(format_args!("  lost: {oid}"))?;
    }
    Ok(())
}

fn describe(fault: &Fault) -> String {
    match fault {
        Fault::Missing => "the store does not have it".to_owned(),
        Fault::Size { expected, actual } => {
            format!("{actual} bytes in the store, {expected} in the catalog")
        }
        Fault::Block { block, start, end } => {
            format!("block {block}, bytes {start} to {end}: does not match its digest")
        }
        Fault::Content { reason } => reason.clone(),
    }
}
