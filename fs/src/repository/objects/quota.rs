//! What may still come into a repository.
//!
//! The replicator decides when files are catalogued, so that two pushes at once cannot exceed a quota together. Here
//! files are refused earlier, when git gives them a name: what git says then reaches the screen of the pusher.

use super::Objects;
use crate::error::{FsError, FsResult};
use gitmoor_model::{Limit, Refusal, RepoPath};
use gitmoor_replicator::read;

impl Objects {
    /// Whether a file in the making may become one of the repository's.
    pub(crate) fn check_quota(&self, file: &RepoPath) -> FsResult<()> {
        let Some(repo) = read::repo(self.shared.replica.view(), self.repo)? else {
            return Ok(());
        };
        let Some(&most) = repo.limits.get(&Limit::Bytes) else {
            return Ok(());
        };
        let size = self.files.stat(file)?.map_or(0, |meta| meta.len());
        let would_be = repo.usage.bytes + self.state.lock().pending.bytes() + size;
        if would_be <= most {
            return Ok(());
        }
        let limit = Limit::Bytes;
        Err(FsError::Refused(Refusal::OverQuota {
            limit,
            most,
            would_be,
        }))
    }
}

/// Whether it was refused for being too much.
pub fn is_over_quota(error: &FsError) -> bool {
    matches!(error, FsError::Refused(Refusal::OverQuota { .. }))
}
