//! `gitmoor repo …`.

use super::confirm::confirm;
use super::progress::ask_watching;
use super::{ask, limit, output, trash, unexpected};
use crate::Failure;
use crate::admin::protocol::{Created, RepoInfo, RepoSummary, SettingChange};
use crate::admin::{Reply, Request};
use crate::cli::{ConfigArgs, CreateArgs, ObjectFormat, Place, RefFormat, RepoCommand};
use crate::config::{ByteSize, RepoName};
use gitmoor_model::setting as repo_setting;
use std::collections::BTreeMap;
use std::io;

/// Asks the daemon about its repositories, or to change them.
pub(super) fn run(place: &Place, command: RepoCommand) -> Result<(), Failure> {
    match command {
        RepoCommand::List { json } => list(place, json),
        RepoCommand::Create(args) => create(place, args),
        RepoCommand::Info { name, json } => info(place, name, json),
        RepoCommand::Fork {
            name,
            to,
            copy,
            json,
        } => fork(place, &Request::RepoFork { name, to, copy }, json),
        RepoCommand::Rename { from, to } => done(place, &Request::RepoRename { from, to }),
        RepoCommand::Delete { name, yes } => delete(place, name, yes),
        RepoCommand::Trash { json } => trash::list(place, json),
        RepoCommand::Restore(args) => trash::restore(place, args),
        RepoCommand::Config(args) => config(place, &args),
        RepoCommand::Limit(args) => limit::run(place, args),
    }
}

fn list(place: &Place, json: bool) -> Result<(), Failure> {
    match ask(place, &Request::RepoList)? {
        Reply::Repos(repos) if json => Ok(output::json(&repos)?),
        Reply::Repos(repos) => Ok(print_list(&repos)?),
        other => Err(unexpected(place, &other)),
    }
}

fn print_list(repos: &[RepoSummary]) -> io::Result<()> {
    let width = repos.iter().map(|repo| repo.name.len()).max().unwrap_or(0);
    for repo in repos {
        let format = describe_format(repo.object_format.as_deref(), repo.ref_storage.as_deref());
        output::line(format_args!("{:width$}  {format}", repo.name))?;
    }
    Ok(())
}

fn describe_format(objects: Option<&str>, refs: Option<&str>) -> String {
    match (objects, refs) {
        (Some(objects), Some(refs)) => format!("{objects}, {refs}"),
        _ => "not initialised".to_owned(),
    }
}

fn create(place: &Place, args: CreateArgs) -> Result<(), Failure> {
    let object_format = match args.object_format {
        ObjectFormat::Sha1 => "sha1",
        ObjectFormat::Sha256 => "sha256",
    };
    let ref_format = match args.ref_format {
        RefFormat::Files => "files",
        RefFormat::Reftable => "reftable",
    };
    let request = Request::RepoCreate {
        name: args.name,
        object_format: object_format.to_owned(),
        ref_format: ref_format.to_owned(),
        default_branch: args.default_branch,
    };
    print_created(place, ask(place, &request)?, args.json)
}

fn fork(place: &Place, request: &Request, json: bool) -> Result<(), Failure> {
    print_created(place, ask_watching(place, request)?, json)
}

fn print_created(place: &Place, reply: Reply, json: bool) -> Result<(), Failure> {
    match reply {
        Reply::Created(created) if json => Ok(output::json(&created)?),
        Reply::Created(Created { path, .. }) => Ok(output::line(path.display())?),
        other => Err(unexpected(place, &other)),
    }
}

fn info(place: &Place, name: RepoName, json: bool) -> Result<(), Failure> {
    match ask(place, &Request::RepoInfo { name })? {
        Reply::Repo(info) if json => Ok(output::json(&info)?),
        Reply::Repo(info) => Ok(print_info(&info)?),
        other => Err(unexpected(place, &other)),
    }
}

fn print_info(info: &RepoInfo) -> io::Result<()> {
    let format = describe_format(info.object_format.as_deref(), info.ref_storage.as_deref());
    let objects = format!(
        "{} files ({} packs), {}",
        info.object_files,
        info.packs,
        ByteSize(info.object_bytes)
    );
    let parent = info.forked_from.clone().map(|parent| ("fork of", parent));
    let mut fields = vec![
        ("name", info.name.clone()),
        ("id", info.id.clone()),
        ("format", format),
    ];
    fields.extend(parent);
    fields.extend([
        ("refs", info.refs.to_string()),
        ("objects", objects),
        ("pending", format!("{} files", info.pending_files)),
        ("last push", last_push(info)),
    ]);
    output::fields(&fields)?;
    print_settings(&info.settings)?;
    limit::print_all(&info.limits)
}

fn last_push(info: &RepoInfo) -> String {
    match &info.last_push {
        Some(push) => format!("{} by {}", output::date(push.time), push.who),
        None => "none on record".to_owned(),
    }
}

fn done(place: &Place, request: &Request) -> Result<(), Failure> {
    match ask(place, request)? {
        Reply::Done => Ok(()),
        other => Err(unexpected(place, &other)),
    }
}

/// That there is none is said before anything is asked.
fn delete(place: &Place, name: RepoName, yes: bool) -> Result<(), Failure> {
    ask(place, &Request::RepoInfo { name: name.clone() })?;
    let question = format!("Delete {name} for every machine that mounts it?");
    confirm(
        &format!("repo delete {name}"),
        &question,
        name.as_str(),
        yes,
    )?;
    done(place, &Request::RepoDelete { name })
}

fn config(place: &Place, args: &ConfigArgs) -> Result<(), Failure> {
    let key = args
        .key
        .as_deref()
        .map(repo_setting::find)
        .transpose()?
        .map(|setting| setting.key);
    let change = match (key, &args.value, args.unset) {
        (Some(key), Some(value), _) => Some((key, Some(value.clone()))),
        (Some(key), None, true) => Some((key, None)),
        _ => None,
    };
    let is_change = change.is_some();
    let change = change.map(|(key, value)| SettingChange {
        key: key.to_owned(),
        value,
    });
    let settings = match ask(
        place,
        &Request::RepoConfig {
            name: args.name.clone(),
            change,
        },
    )? {
        Reply::Settings(settings) => settings,
        other => return Err(unexpected(place, &other)),
    };
    match key {
        _ if args.json => Ok(output::json(&settings)?),
        _ if is_change => Ok(()),
        Some(key) => print_setting(&args.name, key, &settings),
        None => Ok(print_settings(&settings)?),
    }
}

/// As `git config KEY`: the value, or exit code 1.
fn print_setting(
    name: &RepoName,
    key: &'static str,
    settings: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    match settings.get(key) {
        Some(value) => Ok(output::line(value)?),
        None => Err(Failure::NotSet {
            name: name.clone(),
            key,
        }),
    }
}

fn print_settings(settings: &BTreeMap<String, String>) -> io::Result<()> {
    for (key, value) in settings {
        output::line(format_args!("{key}={value}"))?;
    }
    Ok(())
}
