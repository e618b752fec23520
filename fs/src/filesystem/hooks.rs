//! The hooks of this machine, beside those of its cluster: which directory is accepted, who has another one.

use super::{FileSystem, OpenError, start_periodic};
use crate::error::{FsError, FsResult};
use crate::hooks::Standing;
use gitmoor_model::{
    AcceptedHooks, Actor, Command, Digest, HookSet, HooksChange, RepoId, RepoPath, Timestamp, hex,
};
use gitmoor_replicator::read::{self, MachineHooksRow};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often the directory is looked at, and what the cluster accepts.
const PERIOD: Duration = Duration::from_secs(1);

/// Repositories that are named of those that lack hooks somewhere.
const NAMED: usize = 20;

/// Hexadecimal digits of a digest that are shown.
const SHOWN: usize = 12;

/// What `gitmoor hooks status` prints.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HooksStatus {
    /// The hooks directory of this machine.
    pub directory: Option<PathBuf>,
    /// Digest of the content that is in use.
    pub in_use: Option<String>,
    /// Digest of the content of the directory, if that is another: gitmoor hooks promote makes it the cluster's.
    pub waiting: Option<String>,
    /// Why the directory cannot be used as it is now.
    pub problem: Option<String>,
    /// Why this machine takes no push.
    pub refusal: Option<String>,
    /// Digest of the directory that all machines are to have.
    pub promoted: Option<String>,
    /// Directories from before that, and until when each is accepted, seconds since 1970.
    pub former: Vec<(Option<String>, u64)>,
    /// What mounts of nodes and clients have told of their hooks.
    pub machines: BTreeMap<u64, MachineHooksStatus>,
    /// Repositories that have hooks on some machines and not on others, and what is missing where: the first of them.
    pub repositories: Vec<String>,
}

/// What a machine shows as hooks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MachineHooksStatus {
    /// Digest of its directory.
    pub directory: Option<String>,
    /// Whether the cluster accepts that.
    pub accepted: bool,
    /// The first file that is not as the promoted directory has it.
    pub differs: Option<String>,
}

/// Which hooks a push runs into on this mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PushHooks {
    /// None.
    None,
    /// Those of this machine, or the one that says why this machine takes no push.
    OfMachine,
    /// The repository's own, such as this one.
    Own(RepoPath),
}

/// The hooks of a mount.
pub struct HooksOfMount<'a>(pub &'a FileSystem);

/// What is in use is settled before anybody is served.
pub(super) fn start(fs: &Arc<FileSystem>) -> Result<(), OpenError> {
    HooksOfMount(fs).follow();
    start_periodic(fs, "hooks", PERIOD, |fs| HooksOfMount(fs).follow())
}

impl HooksOfMount<'_> {
    /// Uses what stands in the directory, if the cluster accepts it, and tells the cluster.
    fn follow(&self) {
        self.0.shared.hooks.look();
        if let Err(error) = self.settle() {
            tracing::warn!(%error, "what the cluster says of hooks is not known; trying again");
        }
    }

    fn settle(&self) -> FsResult<()> {
        let shared = &self.0.shared;
        let accepted = self.accepted()?;
        let now = Timestamp::now();
        let accepts = |directory: Option<Digest>| {
            let accepted = accepted.as_ref();
            accepted.is_none_or(|accepted| accepted.accepts(directory, now))
        };
        if shared.hooks.settle(&accepts, &|used| self.differs(used)) {
            for repository in self.0.repositories.all() {
                repository.shown_hooks().changed();
            }
        }
        self.tell(accepted.is_some())
    }

    /// Who is alone accepts whatever it has.
    fn accepted(&self) -> FsResult<Option<AcceptedHooks>> {
        let replica = &self.0.shared.replica;
        match replica.machine() {
            Some(_) => Ok(read::accepted_hooks(replica.view())?),
            None => Ok(None),
        }
    }

    fn differs(&self, used: &HookSet) -> Option<RepoPath> {
        let promoted = read::hooks_directory(self.0.shared.replica.view()).ok()??;
        used.first_difference(&promoted).cloned()
    }

    /// Tells the cluster what is in use here, if it does not know. A cluster in which no machine has a directory knows
    /// without a word that this one has none.
    fn tell(&self, has_directory: bool) -> FsResult<()> {
        let shared = &self.0.shared;
        let Some(machine) = shared.replica.machine().filter(|_| !self.0.is_read_only()) else {
            return Ok(());
        };
        let (directory, lenient) = shared.hooks.in_use();
        let row = MachineHooksRow { directory, lenient };
        let known = read::machine_hooks(shared.replica.view(), machine)?;
        let is_known = match known {
            Some(known) => known == row,
            None => !has_directory && row == MachineHooksRow::default(),
        };
        if is_known {
            return Ok(());
        }
        let change = HooksChange::Report(shared.hooks.told());
        shared
            .propose(Actor::default(), Command::Hooks(Box::new(change)))
            .map(drop)
    }

    /// All machines of the cluster are to have what this one has in its directory now. What they had before is
    /// accepted for a while.
    pub fn promote(&self, actor: Actor, grace: Duration) -> FsResult<()> {
        let shared = &self.0.shared;
        if shared.replica.machine().is_none() {
            return Err(FsError::NotHere(
                "this machine is in no cluster: its hooks directory is in use as it is",
            ));
        }
        let directory = shared.hooks.read_now()?;
        let until = Timestamp::from(SystemTime::now() + grace);
        let change = HooksChange::Promote { directory, until };
        shared.propose(actor, Command::Hooks(Box::new(change)))?;
        self.settle()
    }

    /// Which hooks a push to a repository runs into.
    pub fn of_push(&self, repo: RepoId) -> FsResult<PushHooks> {
        if self.0.shared.hooks.shown().is_some() {
            return Ok(PushHooks::OfMachine);
        }
        let own = self.0.repository(repo)?.own_push_hook()?;
        Ok(own.map_or(PushHooks::None, PushHooks::Own))
    }

    /// For `gitmoor hooks status`, `doctor`.
    pub fn status(&self) -> FsResult<HooksStatus> {
        let shared = &self.0.shared;
        let Standing {
            used,
            waiting,
            problem,
            refusal,
        } = shared.hooks.standing();
        let accepted = self.accepted()?;
        let former = accepted.iter().flat_map(|accepted| &accepted.former);
        let seconds = |until: &Timestamp| u64::try_from(until.secs).unwrap_or_default();
        Ok(HooksStatus {
            directory: shared.hooks.path().map(PathBuf::from),
            in_use: used.map(short),
            waiting: waiting.map(short),
            problem,
            refusal,
            promoted: accepted.as_ref().and_then(|it| it.current).map(short),
            former: former
                .map(|(digest, until)| (digest.map(short), seconds(until)))
                .collect(),
            machines: self.machines(accepted.as_ref())?,
            repositories: self.lacking()?,
        })
    }

    fn machines(
        &self,
        accepted: Option<&AcceptedHooks>,
    ) -> FsResult<BTreeMap<u64, MachineHooksStatus>> {
        let view = self.0.shared.replica.view();
        let machines = read::machines_with_hooks(view)?;
        let now = Timestamp::now();
        let status = |(machine, row): (u64, MachineHooksRow)| {
            let differs = read::differing_hooks(view, machine)?;
            let status = MachineHooksStatus {
                directory: row.directory.map(short),
                accepted: accepted.is_none_or(|accepted| accepted.accepts(row.directory, now)),
                differs: differs.map(|path| path.to_string()),
            };
            FsResult::Ok((machine, status))
        };
        machines.into_iter().map(status).collect()
    }

    /// Repositories whose own hooks are not on every node, as far as a node knows.
    fn lacking(&self) -> FsResult<Vec<String>> {
        let view = self.0.shared.replica.view();
        let Some(machine) = self.0.shared.replica.machine() else {
            return Ok(Vec::new());
        };
        let nodes = read::members(view)?;
        if !nodes.contains_key(&machine) {
            return Ok(Vec::new());
        }
        let mut lacking = Vec::new();
        for repo in self.0.live_repos()? {
            for node in nodes.keys() {
                if let Some((on, name)) = read::hooks_elsewhere(view, repo.id, *node)? {
                    let path = &repo.path;
                    lacking.push(format!(
                        "{path}: machine {on} has hooks/{name}, node {node} has not"
                    ));
                }
                if lacking.len() == NAMED {
                    return Ok(lacking);
                }
            }
        }
        Ok(lacking)
    }
}

fn short(Digest(digest): Digest) -> String {
    let mut digits = hex(&digest);
    digits.truncate(SHOWN);
    digits
}
