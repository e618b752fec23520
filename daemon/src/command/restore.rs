//! `gitmoor restore`: begins a data directory, which has no daemon, with a backup.

use super::backup::print;
use super::take_over::sentence;
use super::{Failure, environment, output};
use crate::config::{ByteSize, Place, RestoreSettings};
use crate::data_dir::{DataDir, DataDirError};
use crate::service::{self, ServiceError};
use clap::Args;
use gitmoor_fs::owner::{self, Claim};
use gitmoor_jobs::backup::{self, BackupInfo, Stored, Unknown};
use gitmoor_replicator::{Node, NodeConfig};
use gitmoor_store::object_store::{self, ObjectStore, StoreUrl};
use serde::Serialize;
use std::io;
use std::sync::Arc;

/// `gitmoor restore`.
#[derive(Args, Debug)]
pub struct RestoreBackupArgs {
    /// The store with the backups: dir:PATH or s3://BUCKET[/PREFIX]
    #[arg(long, value_name = "URL")]
    pub store: Option<StoreUrl>,
    /// Which backup, as `gitmoor restore --list` prints it [default: the newest]
    #[arg(long, value_name = "KEY")]
    pub backup: Option<String>,
    /// Only list the backups that there are
    #[arg(long, conflicts_with = "backup")]
    pub list: bool,
    /// Own the store from now on: what the backup is of can store and delete nothing there any
    /// more, and what it has stored since then is removed after gc-grace
    #[arg(long, conflicts_with = "list")]
    pub take_over: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `gitmoor restore --json` prints.
#[derive(Debug, Serialize)]
struct RestoreReport<'a> {
    backup: &'a BackupInfo,
    /// What the store has that it does not know.
    unknown: &'a [Unknown],
    /// Whether the store is its own now.
    taken_over: bool,
    /// Whose it is, or was.
    former: Option<&'a Claim>,
}

/// Begins a data directory with one.
pub(super) fn run(place: &Place, args: &RestoreBackupArgs) -> Result<(), Failure> {
    let settings = RestoreSettings::resolve(place, args.store.as_ref(), &environment)?;
    let dir = DataDir::new(settings.data);
    let url = settings.store.url.ok_or_else(|| {
        Failure::Usage(
            "--store: name the store with the backups, dir:PATH or s3://BUCKET[/PREFIX]".into(),
        )
    })?;
    check_there(&url)?;
    let runtime = service::runtime()?;
    let store = object_store::open(&url, settings.store.s3, runtime.handle().clone());
    let store = store.map_err(ServiceError::from)?;
    let backups = backup::list(&*store).map_err(failed)?;
    if args.list {
        return Ok(print(&backups, args.json)?);
    }
    let chosen = choose(&backups, args.backup.as_deref(), &*store)?;
    let former = owner::last_claim(&*store).map_err(failed)?;
    let unknown = begin(&dir, chosen, &url, &store, args.take_over)?;
    if args.json {
        return Ok(output::json(&RestoreReport {
            backup: chosen,
            unknown: &unknown,
            taken_over: args.take_over,
            former: former.as_ref(),
        })?);
    }
    report(chosen, &unknown)?;
    report_owner(&store.describe(), former.as_ref(), args.take_over)?;
    Ok(output::line(format_args!(
        "mount it with: gitmoor mount --data {} MOUNTPOINT",
        dir.path().display()
    ))?)
}

/// Opening a store in a directory would make it.
fn check_there(url: &StoreUrl) -> Result<(), Failure> {
    match url {
        StoreUrl::Dir(path) if !path.is_dir() => Err(Failure::Usage(format!(
            "--store {url}: has no backup: there is no such directory"
        ))),
        StoreUrl::Dir(_) | StoreUrl::S3 { .. } => Ok(()),
    }
}

fn choose<'a>(
    backups: &'a [BackupInfo],
    key: Option<&str>,
    store: &dyn ObjectStore,
) -> Result<&'a BackupInfo, Failure> {
    let (chosen, what) = match key {
        None => (backups.last(), "backup".to_owned()),
        Some(key) => (
            backups.iter().find(|backup| backup.key == key),
            format!("backup {key}; gitmoor restore --list prints those that there are"),
        ),
    };
    let missing = || Failure::Usage(format!("{} has no {what}", store.describe()));
    chosen.ok_or_else(missing)
}

fn begin(
    dir: &DataDir,
    chosen: &BackupInfo,
    url: &StoreUrl,
    store: &Arc<dyn ObjectStore>,
    take_over: bool,
) -> Result<Vec<Unknown>, Failure> {
    let _lock = dir.own(None)?;
    dir.cluster().check_no_member()?;
    if dir.has_data() {
        return Err(DataDirError::NotNew(dir.path().to_owned()).into());
    }
    let mut source = Stored::new(&**store, chosen);
    let node = Node::restore(NodeConfig::new(dir.replica()), &mut source, chosen.bytes);
    let node = node.map_err(|source| ServiceError::Restore {
        key: chosen.key.clone(),
        source,
    })?;
    dir.store().write(&url.to_string())?;
    let unknown = backup::unknown(&node, &**store).map_err(ServiceError::Compare)?;
    if take_over {
        let taken = owner::take_over(Arc::new(node), store.clone(), dir.path());
        taken.map_err(ServiceError::TakeOver)?;
    }
    Ok(unknown)
}

/// What may be done with it from here on.
fn report_owner(store: &str, former: Option<&Claim>, is_taken_over: bool) -> io::Result<()> {
    let what = sentence(store, former);
    match is_taken_over {
        true => output::line(format_args!("it owns the store. {what}")),
        false => output::line(format_args!(
            "it does not own the store: it can be read, and stores and deletes nothing until `gitmoor take-over` says \
             so. {what}"
        )),
    }
}

fn report(chosen: &BackupInfo, unknown: &[Unknown]) -> io::Result<()> {
    let stored = output::date(chosen.stored);
    output::line(format_args!("restored {} of {stored}", chosen.key))?;
    if unknown.is_empty() {
        return output::line("the store has nothing that it does not know");
    }
    output::line("the store has what it does not know, stored since then or never committed:")?;
    for Unknown {
        repository,
        path,
        bytes,
        keys,
    } in unknown
    {
        let name = path.as_deref().unwrap_or("a repository created since");
        let (files, bytes) = (keys.len(), ByteSize(*bytes));
        output::line(format_args!(
            "  {name}  {repository}  {files} object files, {bytes}"
        ))?;
    }
    Ok(())
}

fn failed(error: object_store::StoreError) -> ServiceError {
    ServiceError::Store(error.into())
}
