//! Finishing: git gives a file its final name, if its bytes may stand there, and takes it
//! away again. The digest of what was checked is remembered until it is stored.

use super::Objects;
use super::name::{self, Kind};
use super::pending::Finished;
use crate::error::{FsError, FsResult};
use crate::{bundle, cache};
use gitmoor_replicator::model::{Digest, ObjectFormat, RepoPath};
use std::time::Instant;

impl Objects {
    /// Whether a file may not be written to any more.
    pub fn is_finished(&self, path: &RepoPath) -> bool {
        self.state.lock().pending.contains_key(path)
    }

    /// git has given a file its final name, for which its bytes were checked.
    pub fn finish(&self, path: &RepoPath) {
        self.shared.staging.ended(&self.files.within(path));
        let finished = self.finished(path);
        let mut state = self.state.lock();
        state.stored.remove(path);
        state.touched.remove(path);
        state.removed.remove(path);
        state.pending.insert(path.clone(), finished);
        state.note();
    }

    pub(super) fn finished(&self, path: &RepoPath) -> Finished {
        let digest = name::holds_objects(path).then(|| self.digest(path));
        let meta = self.files.stat(path).ok().flatten();
        Finished {
            digest: digest.and_then(Result::ok),
            size: meta.map_or(0, |meta| meta.len()),
            since: Instant::now(),
        }
    }

    fn digest(&self, path: &RepoPath) -> FsResult<Digest> {
        let file = self.files.open_to_read(path)?.ok_or(FsError::NotFound)?;
        let size = file.metadata()?.len();
        let (digest, _) = cache::digest_file(&file, size, cache::block_size_for(size))?;
        Ok(digest)
    }

    /// Checks a finished file again if its bytes are not those that were checked: a
    /// write behind our back, or a disk that forgets. A digest costs a fraction of a check.
    pub(super) fn check_unchanged(&self, path: &RepoPath, digest: &Digest) -> FsResult<()> {
        let finished = self.state.lock().pending.get(path).copied();
        match finished.and_then(|finished| finished.digest) {
            Some(checked) if checked == *digest => Ok(()),
            Some(_) | None => self.check_again(path),
        }
    }

    /// Checks a finished file; a damaged one is moved aside.
    pub(super) fn check_again(&self, path: &RepoPath) -> FsResult<()> {
        self.check(path, path)
            .inspect_err(|error| match self.set_aside(path, error) {
                Ok(()) => {}
                Err(e) => tracing::error!(repo = %self.repo, %path, "cannot be moved aside: {e}"),
            })
    }

    /// git took a finished file's name away again.
    pub fn unfinish(&self, path: &RepoPath) {
        let mut state = self.state.lock();
        state.pending.remove(path);
        state.stored.remove(path);
    }

    /// Whether the bytes of a real file may stand under a final name: a loose object
    /// is proved by its oid, a pack or index by its trailer. What is no regular file may not.
    pub fn check(&self, file: &RepoPath, name: &RepoPath) -> FsResult<()> {
        let file = self.files.open_to_read(file)?.ok_or(FsError::NotFound)?;
        let format = self.format_of(name)?;
        let checked = match (name::kind(name), name::loose_oid(name)) {
            (Some(Kind::Loose), Some(oid)) => bundle::check_loose(&oid, &file, format),
            (Some(Kind::Pack), _) => bundle::check_pack_trailer(&file, format),
            (Some(Kind::Loose | Kind::Mutable | Kind::Keep) | None, _) => Ok(()),
        };
        checked.map_err(|e| FsError::WrongBytes {
            path: name.to_string(),
            reason: e.to_string(),
        })
    }

    /// Under its name a damaged file would be taken for what the name says, and
    /// keep git from writing that again.
    pub fn set_aside(&self, path: &RepoPath, why: &FsError) -> FsResult<()> {
        let aside = self.files.set_aside(path)?;
        self.unfinish(path);
        (self.shared.changed)(self.repo, path);
        let aside = aside.display();
        tracing::error!(repo = %self.repo, %path, %aside, "damaged, and moved aside: {why}");
        Ok(())
    }

    /// The object format of a file: its name's, since a repository that is being
    /// copied may not have its `config` yet.
    pub(super) fn format_of(&self, path: &RepoPath) -> FsResult<ObjectFormat> {
        if let Some(format) = name::object_format(path) {
            return Ok(format);
        }
        self.format()
    }

    /// The repository's object format.
    pub fn format(&self) -> FsResult<ObjectFormat> {
        let repo = self.shared.replica.repo(self.repo)?;
        Ok(repo
            .and_then(|repo| repo.format)
            .map_or(ObjectFormat::Sha1, |format| format.objects))
    }
}
