//! Settings of `config` that decide about safety (who may delete, what is hidden, what is checked): they hold on every
//! machine, whoever wrote them last, and wherever.
//!
//! `config` is local, and the replicated settings are an include at its beginning, so that its own lines win. So
//!
//! - when a `config` gets its name, what its writer has changed of such settings is replicated first; if it cannot be,
//!   the old `config` stays;
//! - a line that says another thing than the replicated setting, because that was changed elsewhere since, is changed
//!   when anybody next looks at `config`;
//! - a `config` from which somebody took the include gets lines of its own;
//! - what a `config` of an earlier version says, and nobody has replicated, is replicated by the publisher.
//!
//! A line is *in step* once it said what is replicated; a note beside the repository's directory has the keys. By that a
//! setting that was removed elsewhere is told from one that was never replicated.

use super::config::{config_path, text_of};
use super::context::Context;
use super::local::{Files, file_like};
use crate::error::FsResult;
use crate::git_config::{self, Values};
use gitmoor_model::{Actor, Command, RepoId, setting};
use gitmoor_replicator::read;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The note of the keys of lines in step.
const NOTE: &str = "in-step";

/// Bytes of it.
const LARGEST_NOTE: u64 = 64 << 10;

/// See the module.
pub(super) struct Safety {
    repo: RepoId,
    shared: Arc<Context>,
    files: Arc<Files>,
    /// What `config` said when its writer began, who may have read it then.
    begun: Mutex<Option<Values>>,
    /// The replicated settings that `config` was last brought in step with.
    followed: Mutex<Option<Values>>,
    /// Whether the publisher is to replicate some.
    unreplicated: AtomicBool,
    /// Held while `config` gets another text.
    turn: Mutex<()>,
}

impl Safety {
    pub(super) fn new(repo: RepoId, shared: Arc<Context>, files: Arc<Files>) -> Self {
        Self {
            repo,
            shared,
            files,
            begun: Mutex::default(),
            followed: Mutex::default(),
            unreplicated: AtomicBool::new(false),
            turn: Mutex::default(),
        }
    }

    /// Somebody begins to write a `config`.
    pub(super) fn begin(&self) -> FsResult<()> {
        *self.begun.lock() = Some(self.said()?);
        Ok(())
    }

    /// Its writer has given up.
    pub(super) fn gave_up(&self) {
        *self.begun.lock() = None;
    }

    /// Replicates what is changed by a `config` of this text, which is about to get its name, or has it: since its
    /// writer began, or by one who began nothing.
    pub(super) fn replicate(&self, text: &[u8], has_begun: bool, by: Actor) -> FsResult<()> {
        let Some((new, unusable)) = git_config::safety_settings(text) else {
            return Ok(());
        };
        for key in unusable {
            tracing::warn!(repo = %self.repo, key, "the value is none that can be replicated: it holds on this machine alone");
        }
        let begun = match has_begun {
            true => self.begun.lock().take(),
            false => None,
        };
        let old = begun.map_or_else(|| self.said(), Ok)?;
        let settings = self.settings()?.unwrap_or_default();
        let keys: BTreeSet<_> = new.keys().chain(old.keys()).collect();
        let is_changed = |key: &&&String| {
            let value = new.get(**key);
            value != old.get(**key) && value != settings.get(**key)
        };
        let changed = keys.iter().filter(is_changed);
        self.propose(
            changed.map(|key| ((*key).clone(), new.get(*key).cloned())),
            by,
        )
    }

    fn propose(
        &self,
        settings: impl Iterator<Item = (String, Option<String>)>,
        by: Actor,
    ) -> FsResult<()> {
        let (id, settings) = (self.repo, settings.collect::<Vec<_>>());
        match settings.is_empty() {
            true => Ok(()),
            false => {
                let command = Command::SetSettings { id, settings };
                self.shared.propose(by, command).map(drop)
            }
        }
    }

    /// Gives `config` another text, whose settings are replicated.
    pub(super) fn put(&self, put: impl FnOnce() -> FsResult<()>) -> FsResult<()> {
        let _turn = self.turn.lock();
        put()?;
        *self.followed.lock() = None;
        let settings = self.settings()?.unwrap_or_default();
        self.note(&self.said()?, &settings)
    }

    /// Before somebody is shown `config`: brings it in step with what others have set.
    pub(super) fn follow(&self) -> FsResult<()> {
        let Some(settings) = self.settings()? else {
            return Ok(());
        };
        if self.followed.lock().as_ref() == Some(&settings) {
            return Ok(());
        }
        // Who looks while another text is given to it may have come before.
        let Some(_turn) = self.turn.try_lock() else {
            return Ok(());
        };
        self.bring_in_step(&settings)?;
        *self.followed.lock() = Some(settings);
        Ok(())
    }

    fn bring_in_step(&self, settings: &Values) -> FsResult<()> {
        let (said, in_step) = (self.said()?, self.in_step()?);
        let mut changes = self.missing(&said, settings)?;
        for (key, value) in said
            .iter()
            .filter(|(key, value)| settings.get(*key) != Some(value))
        {
            match (settings.get(key), in_step.contains(key)) {
                (new, true) => drop(changes.insert(key.clone(), new.cloned())),
                (Some(new), false) => {
                    tracing::warn!(repo = %self.repo, key, value, replicated = new, "config of this machine had another value, which gives way");
                    changes.insert(key.clone(), Some(new.clone()));
                }
                (None, false) => self.unreplicated.store(true, Ordering::Release),
            }
        }
        if !changes.is_empty() {
            self.rewrite(&changes)?;
        }
        self.note(&self.said()?, settings)
    }

    /// What a `config` lacks from which somebody took the include.
    fn missing(
        &self,
        said: &Values,
        settings: &Values,
    ) -> FsResult<BTreeMap<String, Option<String>>> {
        let has_include = |text: Vec<u8>| text.is_empty() || git_config::has_include(&text);
        if self.text()?.is_none_or(has_include) {
            return Ok(BTreeMap::new());
        }
        let is_missing = |(key, _): &(&String, &String)| {
            !said.contains_key(*key)
                && setting::find(key).is_ok_and(|setting| setting.is_for_safety())
        };
        let missing = settings.iter().filter(is_missing);
        Ok(missing
            .map(|(key, value)| (key.clone(), Some(value.clone())))
            .collect())
    }

    fn rewrite(&self, changes: &BTreeMap<String, Option<String>>) -> FsResult<()> {
        let path = config_path();
        let (Some(text), Some(meta)) = (self.text()?, self.files.stat(&path)?) else {
            return Ok(());
        };
        let text = git_config::with_settings(&text, changes);
        let text = text.map_err(|error| std::io::Error::other(format!("config: {error}")))?;
        let owner = super::local::Owner {
            uid: meta.uid(),
            gid: meta.gid(),
        };
        let mode = match meta.mode() & 0o777 {
            0 => file_like(self.files.top()?.mode()),
            mode => mode,
        };
        self.files.put_durably(&path, &text, mode, owner)?;
        (self.shared.changed)(self.repo, &path);
        Ok(())
    }

    /// Whether the publisher is to replicate what an earlier version left.
    pub(super) fn is_unreplicated(&self) -> bool {
        self.unreplicated.load(Ordering::Acquire)
    }

    /// Replicates it.
    pub(super) fn adopt(&self) -> FsResult<()> {
        self.shared.freshness.sync_reads()?;
        self.follow()?;
        let (said, in_step) = (self.said()?, self.in_step()?);
        let settings = self.settings()?.unwrap_or_default();
        let is_new =
            |(key, _): &(&String, &String)| !settings.contains_key(*key) && !in_step.contains(*key);
        let new = said.iter().filter(is_new);
        let new = new.map(|(key, value)| (key.clone(), Some(value.clone())));
        self.propose(new, Actor::default())?;
        self.unreplicated.store(false, Ordering::Release);
        *self.followed.lock() = None;
        self.follow()
    }

    fn settings(&self) -> FsResult<Option<Values>> {
        let repo = read::repo(self.shared.replica.view(), self.repo)?;
        Ok(repo.map(|repo| repo.settings))
    }

    fn text(&self) -> FsResult<Option<Vec<u8>>> {
        text_of(&self.files, &config_path())
    }

    /// What `config` says now; nothing while it cannot be parsed.
    fn said(&self) -> FsResult<Values> {
        let said = self
            .text()?
            .and_then(|text| git_config::safety_settings(&text));
        Ok(said.map_or_else(Values::new, |(values, _)| values))
    }

    fn in_step(&self) -> FsResult<BTreeSet<String>> {
        let note = self.files.noted(NOTE, LARGEST_NOTE)?.unwrap_or_default();
        let note = String::from_utf8_lossy(&note).into_owned();
        Ok(note.lines().map(str::to_owned).collect())
    }

    fn note(&self, said: &Values, settings: &Values) -> FsResult<()> {
        let before = self.in_step()?;
        let is_in_step = |(key, value): &(&String, &String)| {
            settings.get(*key) == Some(value) || before.contains(*key)
        };
        let in_step = said.iter().filter(is_in_step);
        let keys: BTreeSet<_> = in_step.map(|(key, _)| key.clone()).collect();
        if keys == before {
            return Ok(());
        }
        let lines: String = keys.iter().map(|key| format!("{key}\n")).collect();
        self.files.note(NOTE, lines.as_bytes())
    }
}
