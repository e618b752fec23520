//! Names that the kernel knows to be absent, of those that others may bring into being.
//!
//! FUSE can take back an absence in one way only: by the lock of the directory, for which a lookup there may wait
//! that waits for the change itself. So the directory becomes another inode when the name appears, and what the
//! kernel knows of names beneath the old one is of no use to it. To do that to no other directory, the absences
//! that the kernel was told of are noted here, each before it is looked whether the name is there.

use crate::consistency::TOLD;
use gitmoor_model::{RepoId, RepoPath};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

/// So many of a mount, with some 100 bytes each. The kernel asks again for each use of a name beyond.
const MOST: usize = 50_000;

#[derive(Default)]
pub(super) struct Absences(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    /// When each was noted.
    of: HashMap<RepoId, BTreeMap<RepoPath, Instant>>,
    count: usize,
}

impl Absences {
    /// The kernel may be told that the name is absent; `false` if there is no room to note that.
    pub(super) fn note(&self, repo: RepoId, path: &RepoPath) -> bool {
        let mut noted = self.0.lock();
        if noted.count >= MOST {
            noted.forget_expired();
        }
        if noted.count >= MOST {
            return false;
        }
        let names = noted.of.entry(repo).or_default();
        let is_new = names.insert(path.clone(), Instant::now()).is_none();
        noted.count += usize::from(is_new);
        true
    }

    /// The name is there.
    pub(super) fn found(&self, repo: RepoId, path: &RepoPath) -> bool {
        let mut noted = self.0.lock();
        let was = noted
            .of
            .get_mut(&repo)
            .and_then(|names| names.remove(path))
            .is_some();
        noted.count -= usize::from(was);
        was
    }

    /// Takes all of a repository.
    pub(super) fn take(&self, repo: RepoId) -> Vec<RepoPath> {
        let mut noted = self.0.lock();
        let names = noted.of.remove(&repo).unwrap_or_default();
        noted.count -= names.len();
        names.into_keys().collect()
    }

    /// The repositories of which there are any.
    pub(super) fn repositories(&self) -> Vec<RepoId> {
        self.0.lock().of.keys().copied().collect()
    }
}

impl Noted {
    fn forget_expired(&mut self) {
        for names in self.of.values_mut() {
            names.retain(|_, at| at.elapsed() < TOLD);
        }
        self.of.retain(|_, names| !names.is_empty());
        self.count = self.of.values().map(BTreeMap::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_noted_once_and_taken_once() {
        let (absences, repo) = (Absences::default(), RepoId::random());
        let path = |name: &str| RepoPath::new(name).expect("a valid path");
        assert!(absences.note(repo, &path("refs/a")) && absences.note(repo, &path("refs/a")));
        assert!(absences.note(repo, &path("refs/b")));
        assert!(absences.found(repo, &path("refs/b")) && !absences.found(repo, &path("refs/b")));
        assert_eq!(absences.take(repo), [path("refs/a")]);
        assert!(absences.take(repo).is_empty());
        assert_eq!(absences.0.lock().count, 0);
    }

    #[test]
    fn there_is_an_end_to_them() {
        let (absences, repo) = (Absences::default(), RepoId::random());
        for n in 0..MOST {
            let path = RepoPath::new(format!("refs/{n}")).expect("a valid path");
            assert!(absences.note(repo, &path));
        }
        let one_more = RepoPath::new("refs/more").expect("a valid path");
        assert!(!absences.note(repo, &one_more));
        absences.take(repo);
        assert!(absences.note(repo, &one_more));
    }
}
