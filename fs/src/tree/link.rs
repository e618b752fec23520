//! link(2): within and between repositories, and in what only this machine has.

use super::{Entry, Place, Process, Stat, Tree, join, join_name};
use crate::error::{FsError, FsResult};
use crate::repository::{Between, Repository};
use gitmoor_model::RepoPath;
use std::sync::Arc;

/// A link by a process.
pub(super) struct Link<'t> {
    pub(super) tree: &'t Tree,
    pub(super) process: Process,
}

impl Link<'_> {
    /// Gives the file of an inode, which is at `from`, a name in a directory as well.
    pub(super) fn link(
        &self,
        ino: u64,
        from: Place,
        (dir, name): (Place, &[u8]),
    ) -> FsResult<Entry> {
        match (from, dir) {
            (Place::Repo(source, from), Place::Repo(repo, dir)) => {
                let to = join(&dir, name)?;
                match source.id == repo.id {
                    true => self.within(ino, repo, &from, to),
                    false => self.between(ino, (&source, &from), (repo, to)),
                }
            }
            (Place::Local(from), Place::Local(dir)) => {
                let to = join_name(&dir, name)?;
                self.tree.names.local.link(&from, &to)?;
                self.linked(ino, Place::Local(to))
            }
            (_, Place::Name(_) | Place::Beside(_)) => {
                Err(FsError::NotHere("beside repositories are no hard links"))
            }
            (Place::Name(_) | Place::Beside(_) | Place::Local(_), Place::Repo(..))
            | (Place::Name(_) | Place::Beside(_) | Place::Repo(..), Place::Local(_)) => {
                Err(FsError::CrossRoom)
            }
        }
    }

    fn within(
        &self,
        ino: u64,
        repo: Arc<Repository>,
        from: &RepoPath,
        to: RepoPath,
    ) -> FsResult<Entry> {
        repo.link(from, &to, &self.tree.caller(&repo, self.process))?;
        let one_file = repo.is_one_file(from, &to)?;
        let place = Place::Repo(repo, to);
        match one_file {
            true => self.linked(ino, place),
            false => self.tree.entry(&place),
        }
    }

    fn linked(&self, ino: u64, place: Place) -> FsResult<Entry> {
        self.tree.inodes.link(ino, &place);
        self.tree.entry(&place)
    }

    /// Of two repositories. git compares what it has linked with what that is a link of, so it is one inode,
    /// and as that is, owner and all.
    fn between(
        &self,
        ino: u64,
        (source, from): (&Arc<Repository>, &RepoPath),
        (repo, to): (Arc<Repository>, RepoPath),
    ) -> FsResult<Entry> {
        let tree = self.tree;
        let stat = tree.attributes(ino, None)?;
        if !may_read(self.process, &stat) {
            return Err(FsError::CrossRoom);
        }
        let between = Between {
            from: (source, &tree.caller(source, self.process)),
            to: (&repo, &tree.caller(&repo, self.process)),
        };
        let one_file = between.link(from, &to)?;
        let place = Place::Repo(repo, to);
        if !one_file {
            return tree.entry(&place);
        }
        tree.inodes.link(ino, &place);
        let (ino, name_ttl) = (tree.inodes.look_up(&place, None), tree.lives.name(&place));
        Ok(Entry {
            ino,
            stat: stat.named(tree.inodes.names(ino)),
            name_ttl,
        })
    }
}

/// Refuses to take a final file to another repository, where it has another owner, for a process that cannot read
/// it.
pub(super) fn check_readable(tree: &Tree, place: &Place, process: Process) -> FsResult<()> {
    if !place.is_final() || may_read(process, &tree.stat_place(place)?.0) {
        return Ok(());
    }
    Err(FsError::CrossRoom)
}

/// Whether a process may read what has these attributes, by what is known of it: its other groups are not.
fn may_read(process: Process, stat: &Stat) -> bool {
    let bit = match (process.uid, process.gid) {
        (0, _) => return true,
        (uid, _) if uid == stat.uid => 0o400,
        (_, gid) if gid == stat.gid => 0o040,
        (_, _) => 0o004,
    };
    stat.mode & bit != 0
}
