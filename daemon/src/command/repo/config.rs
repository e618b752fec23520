//! `gitmoor repo config`.

use super::{Failure, Reply, Request, ask, output, unexpected};
use crate::config::{Place, RepoName};
use clap::Args;
use gitmoor_model::setting as repo_setting;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;

/// `gitmoor repo config`.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// Such as team/app.git
    pub name: RepoName,
    /// A git setting such as gc.auto; all that are set without it
    pub key: Option<String>,
    /// Its new value; shows the current one without it
    #[arg(requires = "key", allow_negative_numbers = true)]
    pub value: Option<String>,
    /// Remove the setting
    #[arg(long, requires = "key", conflicts_with = "value")]
    pub unset: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Of which repository what is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigRequest {
    pub name: RepoName,
    pub change: Option<SettingChange>,
}

/// A change of one replicated setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingChange {
    /// A key that [`gitmoor_model::setting`] allows, in any case.
    pub key: String,
    /// `None` removes it.
    pub value: Option<String>,
}

/// Shows settings, or changes one.
pub(super) fn run(place: &Place, args: &ConfigArgs) -> Result<(), Failure> {
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
        &Request::RepoConfig(ConfigRequest {
            name: args.name.clone(),
            change,
        }),
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

/// As they could be typed; a list one by one, as git has it.
pub(super) fn print_settings(settings: &BTreeMap<String, String>) -> io::Result<()> {
    for (key, values) in settings {
        for value in values.lines() {
            output::line(format_args!("{key}={value}"))?;
        }
    }
    Ok(())
}
