//! What another machine changed, in terms of the kernel: inodes whose attributes are no longer valid.
//!
//! Told of these, the kernel asks for the attributes before it uses the inode again. A file that is another one by now,
//! or is gone, is ESTALE then, and so is a directory that has become another inode; the kernel walks the
//! path again and asks for each name. Neither needs the lock of a directory.
//!
//! A directory becomes another inode when a name appears in it that the kernel takes for absent, or for one of another
//! kind: through a file the kernel does not walk, and it opens no directory as a file.

use super::Tree;
use super::inodes::Key;
use crate::consistency::{RemoteChange, is_shared};
use gitmoor_model::room::Type;
use gitmoor_model::{ChangedNames, RepoId, RepoPath};
use std::collections::BTreeSet;

/// See the module.
pub(super) struct Remote<'t> {
    pub(super) tree: &'t Tree,
}

impl Remote<'_> {
    /// The inodes of a change.
    pub(super) fn inodes_of(&self, change: &RemoteChange) -> Vec<u64> {
        let mut inodes = BTreeSet::new();
        match change {
            RemoteChange::InRepo(repo, ChangedNames::These(names)) => {
                let shared = names.iter().filter(|path| is_shared(path));
                shared.for_each(|path| self.changed_name(*repo, path, &mut inodes));
            }
            RemoteChange::InRepo(repo, ChangedNames::Any) => {
                self.changed_names(*repo, &mut inodes);
            }
            RemoteChange::Everything => {
                let all: BTreeSet<_> = (self.tree.repositories.all().iter().map(|repo| repo.id))
                    .chain(self.tree.lives.absences.repositories())
                    .collect();
                all.into_iter()
                    .for_each(|repo| self.changed_names(repo, &mut inodes));
            }
        }
        inodes.into_iter().collect()
    }

    /// A name, and the directories above it: they may have come or gone with the name.
    fn changed_name(&self, repo: RepoId, path: &RepoPath, inodes: &mut BTreeSet<u64>) {
        let mut at = Some(path.clone());
        while let Some(path_here) = at.filter(|path| !path.is_root()) {
            let (dir, key) = (path_here.parent(), Key::in_repo(repo, &path_here));
            let is_of_another_kind = match self.tree.inodes.kind_by(&key) {
                None => false,
                Some(kind) => (kind == Type::Directory) == (path_here == *path),
            };
            if (self.tree.lives.absences.found(repo, &path_here) || is_of_another_kind)
                && let Some(dir) = &dir
            {
                inodes.extend(self.retire(repo, dir));
            }
            if let Some(ino) = self.tree.inodes.known_by(&key) {
                inodes.insert(ino);
                self.tell_of_opened(repo, &path_here, ino);
            }
            at = dir;
        }
    }

    fn changed_names(&self, repo: RepoId, inodes: &mut BTreeSet<u64>) {
        let absent = self.tree.lives.absences.take(repo).into_iter();
        let mut dirs: BTreeSet<_> = absent.filter_map(|path| path.parent()).collect();
        for (path, ino) in self.tree.inodes.paths_of(repo) {
            if !is_shared(&path) {
                continue;
            }
            inodes.insert(ino);
            self.tell_of_opened(repo, &path, ino);
            if self.tree.inodes.kind_by(&Key::in_repo(repo, &path)) == Some(Type::Directory) {
                dirs.insert(path);
            }
        }
        for dir in dirs {
            inodes.extend(self.retire(repo, &dir));
        }
    }

    /// The top stays what it is.
    fn retire(&self, repo: RepoId, dir: &RepoPath) -> Option<u64> {
        match dir.is_root() {
            true => None,
            false => self.tree.inodes.retire(&Key::in_repo(repo, dir)),
        }
    }

    /// While a file is open, its inode answers for the file, and stat(2) of the name does not tell that from fstat(2).
    /// So the name is taken back from the kernel too, a moment later.
    fn tell_of_opened(&self, repo: RepoId, path: &RepoPath, ino: u64) {
        if self.tree.inodes.an_opened(ino).is_some() {
            (self.tree.shared.changed)(repo, path);
        }
    }
}
