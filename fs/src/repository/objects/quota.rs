//! What may still come into a repository.
//!
//! The replicator decides when files are catalogued, so that two pushes at once cannot exceed a quota together. Here
//! files are refused earlier, when git gives them a name: what git says then reaches the screen of the pusher.

use crate::error::{FsError, FsResult};
use gitmoor_model::{Limit, Refusal, RepoId};
use gitmoor_replicator::{Replica, read};

/// Whether so many bytes may come, beside those that the catalog has.
pub(super) fn check(replica: &dyn Replica, repo: RepoId, bytes: u64) -> FsResult<()> {
    check_limit(replica, repo, Limit::Bytes, bytes)
}

/// Whether so much more of what a limit is of may come, by all quotas that hold for the repository.
pub(in crate::repository) fn check_limit(
    replica: &dyn Replica,
    repo: RepoId,
    limit: Limit,
    more: u64,
) -> FsResult<()> {
    let Some(repo) = read::repo(replica.view(), repo)? else {
        return Ok(());
    };
    for quota in read::quotas(replica.view(), &repo)? {
        let (most, would_be) = (quota.most, quota.used.saturating_add(more));
        if quota.limit == limit && would_be > most {
            return Err(FsError::Refused(Refusal::OverQuota {
                limit,
                most,
                would_be,
            }));
        }
    }
    Ok(())
}

/// Whether it was refused for being too much.
pub fn is_over_quota(error: &FsError) -> bool {
    matches!(error, FsError::Refused(Refusal::OverQuota { .. }))
}
