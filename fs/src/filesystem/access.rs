//! What jobs and the daemon get at: the parts of the file system by name, and what they do to repositories.

use super::FileSystem;
use crate::error::FsResult;
use crate::owner::StoreOwner;
use crate::repository::Repository;
use crate::repository::context::Config;
use gitmoor_model::{Actor, Command, RepoId, RepoPath, Version};
use gitmoor_replicator::Replica;
use gitmoor_store::block_cache::BlockCache;
use gitmoor_store::object_store::ObjectStore;
use gitmoor_store::wait::Wait;
use std::sync::Arc;

impl FileSystem {
    /// The settings that the file system was opened with.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Refs, namespace, and the catalog of object files.
    pub fn replica(&self) -> &dyn Replica {
        &*self.shared.replica
    }

    /// Where bytes go. Requests that change something are refused while the store is another state's.
    pub fn store(&self) -> &dyn ObjectStore {
        &*self.shared.store
    }

    /// Where bytes of the store are read.
    pub fn cache(&self) -> &BlockCache {
        &self.shared.cache
    }

    /// From now on everything is seen that the cluster has acknowledged by now. Blocks.
    pub fn sync_reads(&self) -> FsResult<()> {
        self.shared.freshness.sync_reads()
    }

    /// Fails if the store is another state's; see [`Self::check_known_owner`]. Asks the store.
    pub fn check_owner(&self, what: &str) -> FsResult<()> {
        self.shared.check_owner(what)
    }

    /// The same by what is known of that, which asks nobody.
    pub fn check_known_owner(&self, what: &str) -> FsResult<()> {
        match &self.shared.ownership {
            None => Ok(()),
            Some(ownership) => Ok(ownership.check_known(what)?),
        }
    }

    /// Whose the store is; `None` of a mount that does not write there.
    pub fn store_owner(&self) -> Option<StoreOwner> {
        Some(self.shared.ownership.as_ref()?.owner())
    }

    /// Makes this mount's state the owner of the store, whoever was it. `None` of a mount that does not write
    /// there.
    pub fn take_over_store(&self) -> FsResult<Option<StoreOwner>> {
        let Some(ownership) = &self.shared.ownership else {
            return Ok(None);
        };
        ownership.take_over()?;
        Ok(Some(ownership.owner()))
    }

    /// Commits a command that no person asked for.
    pub fn propose(&self, command: Command) -> FsResult<Version> {
        self.propose_as(&Actor::default(), command)
    }

    /// Commits a command on behalf of an actor.
    pub fn propose_as(&self, actor: &Actor, command: Command) -> FsResult<Version> {
        self.shared.propose(actor.clone(), command)
    }

    /// Somebody waits for the store on behalf of what is at a path, for as long as a ref change would;
    /// `what` is told in `gitmoor status`.
    pub fn begin_wait(&self, what: &str, path: &str) -> Wait {
        self.shared.begin_wait_in(what, path)
    }

    /// A repository, opened at the first touch.
    pub fn repository(&self, id: RepoId) -> FsResult<Arc<Repository>> {
        self.repositories.get(id)
    }

    /// Forgets an open repository: it is deleted, or the next touch is to find it anew.
    pub fn close_repository(&self, id: RepoId) {
        self.repositories.close(id);
    }

    /// Tells the kernel that a file of a repository changed behind its back. Does not wait.
    pub fn file_changed(&self, repo: RepoId, path: &RepoPath) {
        (self.shared.changed)(repo, path);
    }

    /// What is finished in a repository is stored and catalogued.
    pub fn publish_repo(&self, id: RepoId) -> FsResult<()> {
        self.repositories.get(id)?.publish()
    }
}
