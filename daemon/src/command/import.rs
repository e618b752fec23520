//! `gitmoor import`: the daemon does it, and this shows how far it is.

use super::progress::{bar, style};
use super::{Failure, Reply, Request, ask, data_dir, output, unexpected};
use crate::admin::Client;
use crate::config::{ByteSize, Place, RepoName};
use crate::import_tree::{Named, named};
use clap::{Args, ValueEnum};
use gitmoor_jobs::import::{
    Database, ImportStatus, Imported, ObjectColumns, RefColumns, Source, Url, Verify,
};
use gitmoor_jobs::runner::Progress;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// `gitmoor import`.
#[derive(Args, Debug)]
#[command(
    after_help = "Nothing is seen of a repository before all of it is there and was read back. Taken are objects, \
refs, HEAD and, from a directory, files of Git LFS and small files of hosts, such as description; config, hooks, logs and what \
belongs to a worktree stay behind."
)]
pub struct ImportArgs {
    /// A git repository on this machine, a URL that git can fetch from, a bundle, or
    /// postgres://USER@HOST/DATABASE
    #[arg(required_unless_present_any = ["status", "abandon"])]
    pub source: Option<String>,
    /// The name it gets, such as team/app.git; with --recursive the directory that all go into
    pub name: Option<String>,
    /// Every repository below the directory SOURCE, under its path there
    #[arg(long)]
    pub recursive: bool,
    /// Serve it from the beginning: a hook keeps refs from changing in SOURCE, a repository on this
    /// machine, from which objects are read until they are in the store
    #[arg(long)]
    pub live: bool,
    /// Of a postgres:// source: the value of the repository column
    #[arg(long, value_name = "ID")]
    pub repo: Option<String>,
    /// Of a postgres:// source: the table of objects
    #[arg(long, value_name = "NAME", default_value = "repo_objects")]
    pub table: String,
    /// Its columns: repository, id (binary or hex), type (name or number), content
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "repo_id,oid,type,data"
    )]
    pub columns: Vec<String>,
    /// Of a postgres:// source: the table of refs
    #[arg(long, value_name = "NAME", default_value = "repo_refs")]
    pub refs_table: String,
    /// Its columns: repository, name, object in hex (or `ref: NAME`)
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "repo_id,name,target"
    )]
    pub refs_columns: Vec<String>,
    /// What is checked when it is read back from the store: the checksums of files, or also every
    /// object
    #[arg(long, value_name = "WHAT", default_value = "checksums")]
    pub verify: ImportVerify,
    /// Only show how far imports are
    #[arg(long, conflicts_with_all = ["source", "abandon"])]
    pub status: bool,
    /// Give up an import that has begun; gc removes what was stored
    #[arg(long, value_name = "NAME", conflicts_with = "source")]
    pub abandon: Option<RepoName>,
    /// Print JSON: one event a line
    #[arg(long)]
    pub json: bool,
}

/// What is read back of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImportVerify {
    /// Every byte against the digest of what was sent
    Checksums,
    /// Also every object against its name
    Full,
}

/// What is brought in, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// The name that it gets; directories above it are created.
    pub name: RepoName,
    /// Where it comes from.
    pub source: Source,
    /// What is read back.
    pub verify: Verify,
    /// Served from the beginning.
    pub live: bool,
}

/// Which import is given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportAbandonRequest {
    /// The name that it would have got.
    pub name: RepoName,
}

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum ImportEvent<'a> {
    Progress(&'a Progress),
    Imported(&'a Imported),
    Failed { reason: &'a str },
}

pub(super) fn run(place: &Place, args: &ImportArgs) -> Result<(), Failure> {
    if args.status {
        return status(place, args.json);
    }
    if let Some(name) = &args.abandon {
        let name = name.clone();
        return match ask(
            place,
            &Request::ImportAbandon(ImportAbandonRequest { name }),
        )? {
            Reply::Done => Ok(()),
            other => Err(unexpected(place, &other)),
        };
    }
    let source = source(args)?;
    let importer = Importer { place, args };
    match (&source, args.recursive) {
        (Source::Disk(dir), true) => importer.tree(dir),
        (_, true) => Err(Failure::Usage(format!(
            "--recursive takes a directory of this machine, and {source} is none"
        ))),
        (_, false) => importer.one_by_name(&source),
    }
}

fn source(args: &ImportArgs) -> Result<Source, Failure> {
    let text = args.source.as_deref().unwrap_or_default();
    let url = Url::new(text);
    match (url.is_postgres(), &args.repo) {
        (true, Some(repo)) => Ok(Source::Postgres(Box::new(Database {
            url,
            repo: repo.clone(),
            objects: ObjectColumns {
                table: args.table.clone(),
                columns: columns("--columns", &args.columns)?,
            },
            refs: RefColumns {
                table: args.refs_table.clone(),
                columns: columns("--refs-columns", &args.refs_columns)?,
            },
        }))),
        (true, None) => Err(Failure::Usage(
            "--repo is missing: expected which repository of the database".to_owned(),
        )),
        (false, Some(_)) => Err(Failure::Usage(
            "--repo is of a postgres:// source, and this is another".to_owned(),
        )),
        (false, None) => Source::parse(text).map_err(|error| Failure::Usage(error.to_string())),
    }
}

fn columns<const N: usize>(option: &str, given: &[String]) -> Result<[String; N], Failure> {
    let columns = given.to_vec().try_into();
    columns.map_err(|_| Failure::Usage(format!("{option}: expected {N} names with commas between")))
}

struct Importer<'a> {
    place: &'a Place,
    args: &'a ImportArgs,
}

impl Importer<'_> {
    fn one_by_name(&self, source: &Source) -> Result<(), Failure> {
        let name = self.args.name.as_deref().ok_or_else(|| {
            Failure::Usage("NAME is missing: expected one such as team/app.git".to_owned())
        })?;
        let name = RepoName::of_new(name).map_err(Failure::Usage)?;
        let done = self.one(source, name);
        if let (Err(Failure::Rejected(rejection)), true) = (&done, self.args.json) {
            let reason = &rejection.message;
            event(&ImportEvent::Failed { reason })?;
        }
        done
    }

    /// One that cannot be imported does not keep the others waiting.
    fn tree(&self, dir: &Path) -> Result<(), Failure> {
        let above = self.args.name.as_deref().unwrap_or_default();
        let Named {
            repositories,
            mut failures,
        } = named(dir, above);
        let mut imported = 0;
        for (name, path) in repositories {
            match self.one(&Source::Disk(path), name) {
                Ok(()) => imported += 1,
                Err(Failure::Rejected(rejection)) => failures.push(rejection.to_string()),
                Err(other) => return Err(other),
            }
        }
        if self.args.json {
            for reason in &failures {
                event(&ImportEvent::Failed { reason })?;
            }
        } else {
            let failed = failures.len();
            output::line(format_args!("imported: {imported}, failed: {failed}"))?;
        }
        match failures.is_empty() {
            true => Ok(()),
            false => Err(Failure::Unimported(failures)),
        }
    }

    fn one(&self, source: &Source, name: RepoName) -> Result<(), Failure> {
        let bar = bar(COUNTING, 0);
        let request = Request::Import(ImportRequest {
            name,
            source: source.clone(),
            verify: match self.args.verify {
                ImportVerify::Checksums => Verify::Checksums,
                ImportVerify::Full => Verify::Full,
            },
            live: self.args.live,
        });
        let mut client = Client::connect(&data_dir(self.place)?)?;
        let mut written = Ok(());
        let answer = client.ask_watching(&request, &mut |progress| match self.args.json {
            true if written.is_ok() => written = event(&ImportEvent::Progress(progress)),
            true => {}
            false => show(&bar, progress),
        });
        bar.finish_and_clear();
        written?;
        match answer?? {
            Reply::Imported(done) if self.args.json => Ok(event(&ImportEvent::Imported(&done))?),
            Reply::Imported(done) => Ok(print(&done)?),
            other => Err(unexpected(self.place, &other)),
        }
    }
}

fn event(event: &ImportEvent<'_>) -> io::Result<()> {
    output::line(serde_json::to_string(event)?)
}

/// While it is not known how much there is to do.
const COUNTING: &str = "{spinner} {msg} {pos} {elapsed}";
/// What is counted in bytes.
const BYTES: &str = "{spinner} {msg} {bytes}/{total_bytes} [{wide_bar}] {bytes_per_sec} {eta}";
/// What is counted otherwise.
const PARTS: &str = "{spinner} {msg} {pos}/{len} [{wide_bar}] {eta}";

fn show(bar: &ProgressBar, progress: &Progress) {
    let is_bytes = matches!(progress.phase.as_str(), "Copying" | "Verifying");
    let template = match progress.total {
        Some(_) if is_bytes => BYTES,
        Some(_) => PARTS,
        None => COUNTING,
    };
    let message = match progress.objects {
        Some(objects) => format!(
            "{}: {}, {}/{} objects,",
            progress.repository, progress.phase, objects.done, objects.total
        ),
        None => format!("{}: {}", progress.repository, progress.phase),
    };
    if progress.done < bar.position() {
        // Another phase: rate and remaining time are its own.
        bar.reset();
    }
    bar.set_style(style(template));
    bar.set_length(progress.total.unwrap_or(0));
    bar.set_message(message);
    bar.set_position(progress.done);
}

fn print(done: &Imported) -> io::Result<()> {
    let name = &done.repository;
    if done.already {
        return output::line(format_args!(
            "{name} was imported before from {}",
            done.source
        ));
    }
    output::line(format_args!(
        "{name}: imported in {:.1} s; {} refs, {} objects, {} files, {}; stored this time: {}",
        done.seconds,
        done.refs,
        done.objects,
        done.files,
        ByteSize(done.bytes),
        ByteSize(done.stored_bytes)
    ))
}

fn status(place: &Place, json: bool) -> Result<(), Failure> {
    match ask(place, &Request::Imports)? {
        Reply::Imports(imports) if json => Ok(output::json(&imports)?),
        Reply::Imports(imports) => Ok(print_status(&imports)?),
        other => Err(unexpected(place, &other)),
    }
}

fn print_status(imports: &[ImportStatus]) -> io::Result<()> {
    for import in imports {
        let (name, stage) = (&import.repository, &import.stage);
        output::line(format_args!("{name}  {stage}  from {}", import.source))?;
        if let Some(reason) = &import.reason {
            output::line(format_args!("  {reason}"))?;
        }
        if stage != "done" {
            let verified = import.files.iter().filter(|file| file.verified).count();
            let bytes = import.files.iter().map(|file| file.bytes).sum();
            output::line(format_args!(
                "  stored: {} files, {} of {}; verified: {verified} files",
                import.files.len(),
                ByteSize(bytes),
                ByteSize(import.bytes)
            ))?;
        }
    }
    Ok(())
}
