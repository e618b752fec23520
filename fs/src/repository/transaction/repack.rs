//! What maintenance made takes the place of what it made it from: stored, then published in one
//! command. The argument why no ref has to stand still meanwhile is the replicator's
//! (`state/repack.rs`); the proof that the command needs is in `fs/jobs/src/repack`.
//!
//! Storing takes as long as it takes and holds up nobody; only the proposal takes its turn.

use super::Transactions;
use crate::beneath::At;
use crate::error::{FsError, FsResult};
use crate::failpoint;
use crate::repository::objects::cache_object;
use gitmoor_model::{
    Actor, Command, FileAdd, Place, Refusal, Relied, Repacking, RepoPath, Version,
};
use gitmoor_replicator::read;
use gitmoor_store::block_cache;
use std::fs::File;

/// A file that was made, and where it is until it is stored.
#[derive(Clone, Debug)]
pub struct Made {
    /// The name that it gets.
    pub path: RepoPath,
    /// The file that git made.
    pub at: At,
    /// How large it is.
    pub bytes: u64,
}

/// What is to be published.
#[derive(Debug)]
pub struct Repack {
    /// Files that take the place of others.
    pub made: Vec<Made>,
    /// What nothing reaches any more, if there is any.
    pub expired: Option<Expired>,
    /// Catalogued files that go.
    pub remove: Vec<RepoPath>,
    /// Catalogued files that the proof stands on.
    pub relied: Vec<Relied>,
}

/// Objects of removed files that nothing else has. They go with these, if no ref moved.
#[derive(Debug)]
pub struct Expired {
    /// Holds those that were packed.
    pub made: Vec<Made>,
    /// Removed files of the others.
    pub loose: Vec<RepoPath>,
    /// The last commit by which a ref may have moved.
    pub unless_refs_moved_since: Version,
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Published {
    /// What had expired is gone with the rest.
    Whole,
    /// Refs moved, so that somebody may need what had expired: it is kept.
    Kept,
}

/// Publishes what a repack of one repository made.
pub struct RepackCommit<'a>(pub(crate) &'a Transactions);

impl RepackCommit<'_> {
    /// Stores and publishes. `tell` is told of each file before it is stored, and may end it all.
    pub fn repack(
        &self,
        repack: &Repack,
        tell: &dyn Fn(&Made) -> FsResult<()>,
    ) -> FsResult<Published> {
        let wait = self.0.shared.begin_wait(self.0.repo, "maintenance")?;
        let _waiting = wait.enter();
        let (published, stored) = self.0.retry_storing(|| {
            let looked = read::tombstones_as_of(self.0.shared.replica.view(), self.0.repo)?;
            let stored = self.store_made(&repack.made, tell)?;
            let mut adds: Vec<_> = stored.iter().map(|(add, _)| add.clone()).collect();
            failpoint::REPACK_STORED.hit();
            let Some(expired) = &repack.expired else {
                self.propose_repack(repack, &adds, looked, &repack.remove, None)?;
                return Ok((Published::Whole, stored));
            };
            let moved = Some(expired.unless_refs_moved_since);
            match self.propose_repack(repack, &adds, looked, &repack.remove, moved) {
                Err(FsError::Refused(Refusal::RefsMoved { .. })) => {}
                proposed => return proposed.map(|()| (Published::Whole, stored)),
            }
            let kept = self.store_made(&expired.made, tell)?;
            adds.extend(kept.into_iter().map(|(add, _)| add));
            let mut remove = repack.remove.clone();
            remove.retain(|path| !expired.loose.contains(path));
            self.propose_repack(repack, &adds, looked, &remove, None)?;
            Ok((Published::Kept, stored))
        })?;
        for ((add, file), made) in stored.iter().zip(&repack.made) {
            self.keep_made(add, &made.at, file);
        }
        Ok(published)
    }

    fn store_made(
        &self,
        made: &[Made],
        tell: &dyn Fn(&Made) -> FsResult<()>,
    ) -> FsResult<Vec<(FileAdd, File)>> {
        let store = |made: &Made| {
            tell(made)?;
            let file = made.at.open()?;
            let digests = block_cache::digest_file(
                &file,
                made.bytes,
                block_cache::block_size_for(made.bytes),
            )?;
            let add = self
                .0
                .objects
                .uploader()
                .store(&made.path, &file, digests)?;
            failpoint::REPACK_SENT.hit();
            Ok((add, file))
        };
        made.iter().map(store).collect()
    }

    fn propose_repack(
        &self,
        repack: &Repack,
        adds: &[FileAdd],
        looked: Version,
        remove: &[RepoPath],
        unless_refs_moved_since: Option<Version>,
    ) -> FsResult<()> {
        let _turn = self.0.turn.lock();
        let _no_ref_moves = self.0.prune.deletion();
        let repacking = Repacking {
            repo: self.0.repo,
            add: adds.to_vec(),
            remove: remove.to_vec(),
            relied: repack.relied.clone(),
            tombstones_as_of: looked,
            unless_refs_moved_since,
        };
        self.0
            .propose(Command::Repack(Box::new(repacking)), &Actor::default())?;
        failpoint::REPACK_PUBLISHED.hit();
        for path in remove {
            self.0.objects.touched_no_more(path);
        }
        let added = adds.iter().map(|add| &add.path);
        for path in remove.iter().chain(added) {
            (self.0.shared.changed)(self.0.repo, path);
        }
        Ok(())
    }

    /// The cache has it, from where it was made.
    fn keep_made(&self, add: &FileAdd, at: &At, file: &File) {
        let Place::Stored { key } = &add.entry.place else {
            return;
        };
        let object = cache_object(key, &add.entry, add.blocks.clone().into());
        let kept = self
            .0
            .files
            .take_made(at, file)
            .and_then(|taken| match taken {
                Some(taken) => Ok(self.0.shared.cache.adopt(&object, &taken.path())?),
                None => Ok(()),
            });
        if let Err(error) = kept {
            tracing::warn!(repo = %self.0.repo, path = %add.path, %error, "published, but not kept in the cache");
        }
    }
}
