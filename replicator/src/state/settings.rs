//! What is set of a repository: its format, its settings, its limits.

use super::apply::{Context, Halt};
use super::audit::{self, AuditEvent};
use super::{Overlay, Table, host_files, keys, namespace};
use crate::model::{Format, Limit, Repo, RepoId};

pub(super) fn set_format(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    id: RepoId,
    format: Format,
) -> Result<(), Halt> {
    set(overlay, context, id, |repo| {
        repo.format = Some(format);
        vec![AuditEvent::FormatSet(format)]
    })
}

pub(super) fn set_setting(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    id: RepoId,
    (key, new): (&str, Option<&str>),
) -> Result<(), Halt> {
    host_files::check_setting(overlay, id, (key, new))?;
    set(overlay, context, id, |repo| vec![change(repo, key, new)])
}

pub(super) fn set_settings(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    id: RepoId,
    settings: &[(String, Option<String>)],
) -> Result<(), Halt> {
    for (key, new) in settings {
        host_files::check_setting(overlay, id, (key, new.as_deref()))?;
    }
    set(overlay, context, id, |repo| {
        let mut change = |(key, new): &(String, Option<String>)| change(repo, key, new.as_deref());
        settings.iter().map(&mut change).collect()
    })
}

fn change(repo: &mut Repo, key: &str, new: Option<&str>) -> AuditEvent {
    let (key, new) = (key.to_owned(), new.map(str::to_owned));
    let old = match &new {
        Some(value) => repo.settings.insert(key.clone(), value.clone()),
        None => repo.settings.remove(&key),
    };
    AuditEvent::SettingSet { key, old, new }
}

pub(super) fn set_limit(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    id: RepoId,
    (limit, new): (Limit, Option<u64>),
) -> Result<(), Halt> {
    set(overlay, context, id, |repo| {
        let old = match new {
            Some(value) => repo.limits.insert(limit, value),
            None => repo.limits.remove(&limit),
        };
        vec![AuditEvent::LimitSet { limit, old, new }]
    })
}

fn set(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    id: RepoId,
    change: impl FnOnce(&mut Repo) -> Vec<AuditEvent>,
) -> Result<(), Halt> {
    let mut repo = namespace::existing_repo(overlay, id)?;
    let events = change(&mut repo);
    overlay.put(Table::Repositories, keys::repo(id), &repo);
    Ok(audit::of_repo(overlay, context, &repo, events)?)
}
