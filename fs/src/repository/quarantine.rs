//! Quarantines: the directories in which git keeps what a push sent until its hooks agree
//! (git's tmp-objdir.h), then moves it to its final names and the refs after it.
//!
//! `git prune --expire=now` takes them for leftovers. On a disk a push loses objects so, and still
//! moves its refs if only some of them are gone. Here nobody deletes in there but the push
//! and the processes that it started, while it runs.

use crate::error::{FsError, FsResult};
use crate::process;
use gitmoor_model::RepoPath;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// The quarantines that this mount has seen come.
#[derive(Default)]
pub(super) struct Quarantines(Mutex<HashMap<RepoPath, Push>>);

/// The process that made one.
#[derive(Clone, Copy)]
struct Push {
    pid: u32,
    at: Duration,
}

impl Quarantines {
    /// A directory was made.
    pub(super) fn made(&self, dir: &RepoPath, pid: u32) {
        if of(dir).as_ref() == Some(dir) {
            let mut known = self.0.lock();
            known.retain(|_, push| !push.has_ended());
            let at = process::now();
            known.insert(dir.clone(), Push { pid, at });
        }
    }

    /// Whether a process may delete that name.
    pub(super) fn check(&self, path: &RepoPath, pid: u32) -> FsResult<()> {
        let Some(dir) = of(path) else {
            return Ok(());
        };
        let push = self.0.lock().get(&dir).copied();
        match push {
            Some(push) if !process::descends_from(pid, push.pid) && !push.has_ended() => {
                let (path, push) = (path.to_string(), push.pid);
                Err(FsError::Quarantined { path, push })
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Push {
    fn has_ended(self) -> bool {
        process::has_ended(self.pid, self.at)
    }
}

/// The quarantine that a path is, or is in.
fn of(path: &RepoPath) -> Option<RepoPath> {
    let mut names = path.as_bytes().split(|byte| *byte == b'/');
    let (top, dir) = (names.next()?, names.next()?);
    // The second name until git 2.34.
    let is_one = dir.starts_with(b"tmp_objdir-") || dir.starts_with(b"incoming-");
    (top == b"objects" && is_one).then(|| {
        let path = [top, dir].join(&b'/');
        RepoPath::new(path).expect("the beginning of a valid path")
    })
}

/// What a path will be when the push that it is in succeeds.
pub(super) fn final_name(path: &RepoPath) -> RepoPath {
    let dir = of(path);
    let inside = dir.and_then(|dir| path.as_bytes().strip_prefix(dir.as_bytes()));
    let name = inside.map(|inside| [b"objects", inside].concat());
    name.and_then(RepoPath::new).unwrap_or_else(|| path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> RepoPath {
        RepoPath::new(path).expect("valid")
    }

    #[test]
    fn what_lies_in_a_quarantine() {
        let dir = path("objects/tmp_objdir-incoming-x");
        assert_eq!(of(&dir), Some(dir.clone()));
        assert_eq!(of(&path("objects/tmp_objdir-incoming-x/12/34")), Some(dir));
        assert!(of(&path("objects/incoming-abc/pack")).is_some());
        assert_eq!(of(&path("objects/12/tmp_objdir-x")), None);
        assert_eq!(of(&path("objects/tmp_obj_12")), None);
        assert_eq!(of(&path("objects")), None);
        let pack = path("objects/pack/pack-1.pack");
        assert_eq!(
            final_name(&path("objects/incoming-abc/pack/pack-1.pack")),
            pack
        );
        assert_eq!(final_name(&pack), pack);
    }

    #[test]
    fn only_the_push_deletes_while_it_runs() {
        let (quarantines, dir) = (Quarantines::default(), path("objects/tmp_objdir-x"));
        let file = path("objects/tmp_objdir-x/12/34");
        let mut push = crate::program::of_the_system("sleep")
            .arg("1000")
            .spawn()
            .expect("sleep");
        let me = std::process::id();
        quarantines.made(&dir, push.id());
        assert!(quarantines.check(&file, me).is_err());
        assert!(quarantines.check(&file, push.id()).is_ok());
        quarantines.made(&path("objects/tmp_objdir-y"), me);
        let child = quarantines.check(&path("objects/tmp_objdir-y/12/34"), push.id());
        assert!(child.is_ok(), "a child of the push");
        push.kill().expect("it runs");
        push.wait().expect("it ends");
        assert!(quarantines.check(&file, me).is_ok(), "a leftover");
    }
}
