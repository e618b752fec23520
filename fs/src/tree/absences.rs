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

/// So many of a mount, with some 200 bytes each. The kernel asks again for each use of a name beyond.
const MOST: usize = 50_000;

/// So many expired ones go when one more comes and there is no room: more than come, and a constant time.
const GO: usize = 2;

#[derive(Default)]
pub(super) struct Absences(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    /// The number of each.
    of: HashMap<RepoId, BTreeMap<RepoPath, u64>>,
    /// In the order in which they were noted last.
    by_age: BTreeMap<u64, (Instant, RepoId, RepoPath)>,
    last: u64,
}

impl Absences {
    /// The kernel may be told that the name is absent; `false` if there is no room to note that.
    pub(super) fn note(&self, repo: RepoId, path: &RepoPath) -> bool {
        let (mut noted, now) = (self.0.lock(), Instant::now());
        noted.remove(repo, path);
        noted.make_room(now);
        noted.insert(repo, path, now)
    }

    /// The name is there.
    pub(super) fn found(&self, repo: RepoId, path: &RepoPath) -> bool {
        self.0.lock().remove(repo, path)
    }

    /// Takes all of a repository.
    pub(super) fn take(&self, repo: RepoId) -> Vec<RepoPath> {
        let mut noted = self.0.lock();
        let names = noted.of.remove(&repo).unwrap_or_default();
        for number in names.values() {
            noted.by_age.remove(number);
        }
        names.into_keys().collect()
    }

    /// The repositories of which there are any.
    pub(super) fn repositories(&self) -> Vec<RepoId> {
        self.0.lock().of.keys().copied().collect()
    }
}

impl Noted {
    fn insert(&mut self, repo: RepoId, path: &RepoPath, now: Instant) -> bool {
        if self.by_age.len() >= MOST {
            return false;
        }
        self.last += 1;
        let names = self.of.entry(repo).or_default();
        names.insert(path.clone(), self.last);
        self.by_age.insert(self.last, (now, repo, path.clone()));
        true
    }

    fn remove(&mut self, repo: RepoId, path: &RepoPath) -> bool {
        let Some(names) = self.of.get_mut(&repo) else {
            return false;
        };
        let Some(number) = names.remove(path) else {
            return false;
        };
        if names.is_empty() {
            self.of.remove(&repo);
        }
        self.by_age.remove(&number);
        true
    }

    /// Forgets a few of which the kernel remembers nothing any more, the oldest, if there is no room.
    fn make_room(&mut self, now: Instant) {
        for _ in 0..GO {
            let Some((_, (at, repo, path))) = self.by_age.first_key_value() else {
                return;
            };
            let has_room = self.by_age.len() + GO <= MOST;
            if has_room || now.saturating_duration_since(*at) < TOLD {
                return;
            }
            let (repo, path) = (*repo, path.clone());
            self.remove(repo, &path);
        }
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
        let noted = absences.0.lock();
        assert!(noted.of.is_empty() && noted.by_age.is_empty());
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

    #[test]
    fn the_oldest_make_room_a_few_at_a_time() {
        let (absences, repo) = (Absences::default(), RepoId::random());
        let path = |n: usize| RepoPath::new(format!("refs/{n}")).expect("a valid path");
        (0..MOST).for_each(|n| assert!(absences.note(repo, &path(n))));
        // One that is noted again is the youngest.
        assert!(absences.note(repo, &path(0)));
        let mut noted = absences.0.lock();
        noted.make_room(Instant::now());
        assert_eq!(noted.by_age.len(), MOST, "none has expired");
        noted.make_room(Instant::now() + TOLD);
        assert_eq!(noted.by_age.len(), MOST - GO);
        drop(noted);
        assert!(absences.found(repo, &path(0)));
        assert!(!absences.found(repo, &path(1)) && !absences.found(repo, &path(2)));
        assert!(absences.found(repo, &path(3)));
    }
}
