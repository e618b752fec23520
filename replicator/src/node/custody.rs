//! What a node keeps beside what there is.

use super::Node;
use crate::model::{Import, RepoId, RepoPath, Version};
use crate::replica::{BackupError, Custody};
use crate::state::{
    AuditRecord, AuditSink, CondemnedKey, ReadError, Trail, TrashedFile, TrashedRepo, read,
};
use crate::storage::Backup;
use std::collections::BTreeSet;
use std::io::Write;

impl Custody for Node {
    fn backup(&self, out: &mut dyn Write) -> Result<Version, BackupError> {
        let mut backup = Backup::take(&self.database)?;
        while let Some(piece) = backup.next_piece()? {
            out.write_all(&piece)?;
        }
        Ok(Version(backup.position.index))
    }

    fn trashed_repos(&self) -> Result<Vec<TrashedRepo>, ReadError> {
        read::trashed_repos(&*self.database)
    }

    fn trashed_files(&self, repo: RepoId, after: Version) -> Result<Vec<TrashedFile>, ReadError> {
        read::trashed_files(&*self.database, repo, after)
    }

    fn condemned_repos(&self) -> Result<Vec<TrashedRepo>, ReadError> {
        read::condemned_repos(&*self.database)
    }

    fn condemned(&self, repo: RepoId) -> Result<Vec<CondemnedKey>, ReadError> {
        read::condemned(&*self.database, repo)
    }

    fn is_condemned(&self, repo: RepoId, key: &str) -> Result<bool, ReadError> {
        read::is_condemned(&*self.database, repo, key)
    }

    fn lent(&self, owner: RepoId) -> Result<BTreeSet<String>, ReadError> {
        read::lent(&*self.database, owner)
    }

    fn forgotten(&self, repo: RepoId) -> Result<Version, ReadError> {
        read::forgotten(&*self.database, repo)
    }

    fn expired(&self, repo: RepoId) -> Result<Version, ReadError> {
        read::expired(&*self.database, repo)
    }

    fn imports(&self) -> Result<Vec<Import>, ReadError> {
        read::imports(&*self.database)
    }

    fn verified(&self, id: RepoId) -> Result<Vec<(RepoPath, bool)>, ReadError> {
        read::verified(&*self.database, id)
    }

    fn audit(
        &self,
        trail: Trail,
        since: Version,
        sink: &mut AuditSink<'_>,
    ) -> Result<(), ReadError> {
        read::audit(&*self.database, trail, since, sink)
    }

    fn last_move(&self, repo: RepoId) -> Result<Option<AuditRecord>, ReadError> {
        read::last_move(&*self.database, repo)
    }
}
