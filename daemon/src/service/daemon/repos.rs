//! What an administrator does to repositories, inside the daemon. Names change
//! through the replicator; afterwards the kernel is told which names moved.

use super::check_online;
use crate::admin::{Asker, Rejection};
use crate::command::repo::config::{ConfigRequest, SettingChange};
use crate::command::repo::create::{CreateRequest, Created};
use crate::command::repo::fork::ForkRequest;
use crate::command::repo::info::RepoInfo;
use crate::command::repo::limit::{LimitChange, LimitRequest};
use crate::command::repo::list::RepoSummary;
use crate::command::repo::rename::RenameRequest;
use crate::command::status::MountStatus;
use crate::config::RepoName;
use crate::service::git::{self, InheritedUmask};
use gitmoor_fs::{FileSystem, Names};
use gitmoor_jobs::Jobs;
use gitmoor_jobs::fork::Copied;
use gitmoor_model::setting as repo_setting;
use gitmoor_model::{Actor, Command, Limit, NamePath, Outcome, Repo, RepoId};
use gitmoor_replicator::{Replica, read};
use std::collections::BTreeMap;

/// The repositories of a daemon.
pub(super) struct Repos<'a> {
    pub(super) fs: &'a FileSystem,
    pub(super) jobs: &'a Jobs,
    pub(super) replica: &'a dyn Replica,
    pub(super) mount: &'a MountStatus,
    pub(super) umask: InheritedUmask,
    pub(super) actor: Actor,
}

impl Repos<'_> {
    /// All, in order of their names.
    pub(super) fn list(&self) -> Result<Vec<RepoSummary>, Rejection> {
        let repositories = self.names().repositories().map_err(Rejection::failed)?;
        let summary = |repo: Repo| RepoSummary {
            name: repo.path.to_string(),
            id: repo.id.to_string(),
            object_format: repo.format.map(|format| format.objects.name().to_owned()),
            ref_storage: repo.format.map(|format| format.refs.name().to_owned()),
        };
        Ok(repositories.into_iter().map(summary).collect())
    }

    pub(super) fn names(&self) -> Names<'_> {
        Names::of(self.fs, self.actor.clone())
    }

    /// Runs `git init` on the mount: git itself knows best what an empty repository
    /// of its version looks like, and everything it writes is replicated.
    pub(super) fn create(&self, request: &CreateRequest) -> Result<Created, Rejection> {
        let name = &request.name;
        if self.mount.repo.is_some() {
            return Err(Rejection::failed(
                "this daemon mounts a single repository; create others through a mount of the \
                 whole namespace",
            ));
        }
        if self.find(name)?.is_some() {
            return Err(Rejection::failed(format!("{name} exists already")));
        }
        let path = self.mount.mountpoint.join(name.as_str());
        let options = [
            format!("--object-format={}", request.object_format.name()),
            format!("--ref-format={}", request.ref_format.name()),
            format!("--initial-branch={}", request.default_branch),
        ];
        git::init_bare(&self.mount.mountpoint, &path, &options, self.umask)
            .map_err(Rejection::failed)?;
        let id = self.existing(name)?.id.to_string();
        Ok(Created {
            name: name.to_string(),
            id,
            path,
            copied: None,
        })
    }

    /// Format, refs, objects and settings.
    pub(super) fn info(&self, name: &RepoName) -> Result<RepoInfo, Rejection> {
        let repo = self.existing(name)?;
        let info = self.fs.repo_info(repo.id).map_err(Rejection::failed)?;
        let info = info.ok_or_else(|| absent(name))?;
        Ok(RepoInfo {
            name: info.path,
            id: info.id,
            object_format: info.object_format,
            ref_storage: info.ref_storage,
            forked_from: self.parent_of(&repo)?,
            refs: info.refs,
            object_files: info.object_files,
            object_bytes: info.object_bytes,
            packs: info.packs,
            pending_files: info.pending_files,
            settings: info.settings,
            limits: repo.limits,
            last_push: self.last_push(repo.id)?,
        })
    }

    /// Creates the directories above the new name, then the fork. An independent one has its own files at the end; what was
    /// cut off goes on.
    pub(super) fn fork(
        &self,
        request: &ForkRequest,
        asker: &Asker<'_>,
    ) -> Result<Created, Rejection> {
        let ForkRequest { name, to, copy } = request;
        let copy = *copy;
        if copy {
            check_online(self.fs, "a copy")?;
        }
        let id = match self.find(to)? {
            None => self.new_fork(&self.existing(name)?, to)?,
            Some(fork) if copy && self.is_fork_of(&fork, name)? => fork.id,
            Some(_) => return Err(Rejection::failed(format!("{to} exists already"))),
        };
        let copied = copy.then(|| self.dissociate(to, asker)).transpose()?;
        Ok(Created {
            name: to.to_string(),
            id: id.to_string(),
            path: self.mount.mountpoint.join(to.as_str()),
            copied,
        })
    }

    /// A fork, and all inside it, gets files of its own.
    fn dissociate(&self, fork: &RepoName, asker: &Asker<'_>) -> Result<Copied, Rejection> {
        let fork = self.existing(fork)?;
        let mut copied = Copied::default();
        for repo in self.names().with_inner(&fork).map_err(Rejection::failed)? {
            let done = self.jobs.forks.dissociate(repo.id, asker);
            let done =
                done.map_err(|error| Rejection::failed(format!("{}: {error}", repo.path)))?;
            copied.files += done.files;
            copied.bytes += done.bytes;
        }
        Ok(copied)
    }

    /// Also of one that was deleted since.
    fn is_fork_of(&self, fork: &Repo, name: &RepoName) -> Result<bool, Rejection> {
        let Some(parent) = fork.forked_from else {
            return Ok(false);
        };
        match self.find(name)? {
            Some(named) => Ok(named.id == parent),
            None => Ok(read::repo(self.replica.view(), parent)
                .map_err(Rejection::failed)?
                .is_none()),
        }
    }

    fn new_fork(&self, parent: &Repo, to: &RepoName) -> Result<RepoId, Rejection> {
        if self
            .jobs
            .imports
            .is_taken_over(parent.id)
            .map_err(Rejection::failed)?
        {
            return Err(Rejection::failed(format!(
                "{} borrows objects until its import has ended: gitmoor import --status says how far it is",
                parent.path
            )));
        }
        // What no ref needs may be missing in the fork.
        for parent in self.names().with_inner(parent).map_err(Rejection::failed)? {
            if let Err(error) = self.fs.publish_repo(parent.id) {
                tracing::warn!(repo = %parent.id, %error, "forked without files that are not stored");
            }
        }
        self.create_parents(&to.path())?;
        let id = RepoId::random();
        let forked = self.change(Command::Fork {
            from: parent.id,
            id,
            path: to.path(),
        });
        forked.map_err(|error| Rejection::failed(format!("{}: {error}", parent.path)))?;
        self.fs.name_changed(&to.path());
        Ok(id)
    }

    /// Creates the directories above the new name, then moves.
    pub(super) fn rename(&self, request: &RenameRequest) -> Result<(), Rejection> {
        let RenameRequest { from, to } = request;
        let repo = self.existing(from)?;
        if self.find(to)?.is_some() {
            return Err(Rejection::failed(format!("{to} exists already")));
        }
        let renamed = self.names().rename(&repo, &to.path());
        renamed.map_err(Rejection::failed)
    }

    /// Moves it to the trash.
    pub(super) fn delete(&self, name: &RepoName) -> Result<(), Rejection> {
        let repo = self.existing(name)?;
        self.names().delete(&repo).map_err(Rejection::failed)
    }

    fn parent_of(&self, repo: &Repo) -> Result<Option<String>, Rejection> {
        let Some(id) = repo.forked_from else {
            return Ok(None);
        };
        let parent = read::repo(self.replica.view(), id).map_err(Rejection::failed)?;
        Ok(Some(
            parent.map_or(id.to_string(), |it| it.path.to_string()),
        ))
    }

    /// Changes a setting, if asked to, and returns all of them.
    pub(super) fn configure(
        &self,
        request: ConfigRequest,
    ) -> Result<BTreeMap<String, String>, Rejection> {
        let ConfigRequest { name, change } = request;
        let repo = self.existing(&name)?;
        let Some(SettingChange { key, value }) = change else {
            return Ok(repo.settings);
        };
        let setting = repo_setting::find(&key).map_err(Rejection::usage)?;
        if let Some(value) = &value {
            setting.check(value).map_err(Rejection::usage)?;
        }
        self.change(Command::SetSetting {
            id: repo.id,
            key: setting.key.to_owned(),
            value,
        })?;
        self.fs.settings_changed(repo.id);
        Ok(self.existing(&name)?.settings)
    }

    /// Changes a limit, if asked to, and returns all of them.
    pub(super) fn limit(&self, request: LimitRequest) -> Result<BTreeMap<Limit, u64>, Rejection> {
        let LimitRequest { name, change } = request;
        let id = self.existing(&name)?.id;
        if let Some(LimitChange { limit, value }) = change {
            self.change(Command::SetLimit { id, limit, value })?;
        }
        Ok(self.existing(&name)?.limits)
    }

    pub(super) fn create_parents(&self, path: &NamePath) -> Result<(), Rejection> {
        self.names().create_parents(path).map_err(Rejection::failed)
    }

    pub(super) fn find(&self, name: &RepoName) -> Result<Option<Repo>, Rejection> {
        self.names().find(&name.path()).map_err(Rejection::failed)
    }

    pub(super) fn existing(&self, name: &RepoName) -> Result<Repo, Rejection> {
        self.find(name)?.ok_or_else(|| absent(name))
    }

    pub(super) fn change(&self, command: Command) -> Result<(), Rejection> {
        match self
            .replica
            .propose(self.actor.clone(), command)
            .map_err(Rejection::failed)?
        {
            Outcome::Done(_) => Ok(()),
            Outcome::Refused(refusal) => Err(Rejection::failed(refusal)),
        }
    }
}

fn absent(name: &RepoName) -> Rejection {
    Rejection::failed(format!(
        "there is no repository {name} (gitmoor repo list shows all)"
    ))
}
