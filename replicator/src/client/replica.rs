//! A client as the file system sees it.

use super::Client;
use crate::locks::{self, LockName};
use crate::model::{Actor, Command, Outcome, RepoId, RepoPath, Version};
use crate::replica::{BackupError, ProposeError, Replica};
use crate::state::View;
use std::io::Write;

impl Replica for Client {
    fn view(&self) -> &dyn View {
        self
    }

    fn propose(&self, actor: Actor, command: Command) -> Result<Outcome, ProposeError> {
        self.proposed(actor, command)
    }

    fn read_barrier(&self, give_up: &dyn Fn() -> bool) -> Result<(), ProposeError> {
        self.sync(give_up)
    }

    fn is_alone(&self) -> bool {
        false
    }

    fn hears(&self) -> bool {
        false
    }

    fn machine(&self) -> Option<u64> {
        Some(self.identity().holder.id())
    }

    fn has_loaded(&self, repo: RepoId) -> bool {
        self.mirror.read_recursive().has_loaded(repo)
    }

    fn load_repo(&self, repo: RepoId, give_up: &dyn Fn() -> bool) -> Result<(), ProposeError> {
        self.load_repo(repo, give_up)
    }

    fn lock(&self, repo: RepoId, name: &RepoPath) -> bool {
        let name = name.clone();
        locks::lock(
            &*self.connection,
            &self.connection.runtime,
            LockName { repo, name },
        )
    }

    fn unlock(&self, repo: RepoId, name: &RepoPath) {
        let name = name.clone();
        locks::unlock(
            &self.connection,
            &self.connection.runtime,
            &LockName { repo, name },
        );
    }

    fn lost(&self, repo: RepoId, name: &RepoPath) -> bool {
        let name = name.clone();
        self.connection.own_locks.is_lost(&LockName { repo, name })
    }

    fn backup(&self, out: &mut dyn Write) -> Result<Version, BackupError> {
        self.whole_backup(out).map(Version)
    }
}
