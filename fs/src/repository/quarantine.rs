//! Quarantines: the directories in which git keeps what a push sent until its hooks agree
//! (git's tmp-objdir.h), then moves it to its final names and the refs after it.
//!
//! `git prune --expire=now` takes them for leftovers. On a disk a push loses objects so, and still
//! moves its refs if only some of them are gone. Here nobody deletes in there but the push
//! and the processes that it started, while it runs.
//!
//! git that is killed leaves its quarantine. So it is known which processes have made something in
//! one: when all of them have ended, nobody moves anything out of there any more, and the mount removes it. What is
//! there when a repository is opened, and nobody has made since this daemon began, is of an earlier mount. A push
//! through that one ends with it: git works in a directory of that mount.
//!
//! Of a process of another pid namespace nobody knows whether it lives: its quarantine is left to git prune.

use super::local::Files;
use crate::error::{FsError, FsResult};
use crate::process;
use gitmoor_model::{RepoId, RepoPath};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// What processes that cannot be looked at have made is theirs for so long after the last of it.
const UNSEEN: Duration = Duration::from_secs(24 * 3600);

/// From so many on, it is looked which of those who made something in a quarantine have ended.
const MANY: usize = 32;

/// The quarantines that this mount has seen come, or has found.
#[derive(Default)]
pub(crate) struct Quarantines(Mutex<HashMap<(RepoId, RepoPath), Push>>);

/// Who works in one.
#[derive(Default)]
struct Push {
    /// Who made it; `None` if that was before this daemon.
    by: Option<Process>,
    /// Who made something in it.
    helpers: Vec<Process>,
}

#[derive(Clone, Copy)]
struct Process {
    pid: u32,
    /// When it was certainly there.
    at: Duration,
}

impl Quarantines {
    /// A process made a file or a directory.
    pub(super) fn made(&self, repo: RepoId, path: &RepoPath, pid: u32) {
        let Some(dir) = of(path) else {
            return;
        };
        let process = Process::now(pid);
        let mut known = self.0.lock();
        if dir == *path {
            let push = Push {
                by: Some(process),
                helpers: Vec::new(),
            };
            known.insert((repo, dir), push);
        } else {
            known.entry((repo, dir)).or_default().helps(process);
        }
    }

    /// A directory is gone.
    pub(super) fn removed(&self, repo: RepoId, path: &RepoPath) {
        if of(path).as_ref() == Some(path) {
            self.0.lock().remove(&(repo, path.clone()));
        }
    }

    /// The repository is opened: what nobody has made there since this daemon began was left behind.
    pub(super) fn look(&self, repo: RepoId, files: &Files) -> FsResult<()> {
        let objects = RepoPath::new("objects").expect("a valid path");
        for (name, kind) in files.list(&objects)? {
            let path = objects.join(&name).filter(is_quarantine);
            if let Some(path) = path.filter(|_| kind.is_dir()) {
                self.0.lock().entry((repo, path)).or_default();
            }
        }
        Ok(())
    }

    /// Those of which nobody is left. Each is told once.
    pub(crate) fn take_ended(&self) -> Vec<(RepoId, RepoPath)> {
        let mut known = self.0.lock();
        let ended = known.extract_if(|_, push| push.has_ended());
        ended.map(|(key, _)| key).collect()
    }

    /// Whether a process may delete that name.
    pub(super) fn check(&self, repo: RepoId, path: &RepoPath, pid: u32) -> FsResult<()> {
        let Some(dir) = of(path) else {
            return Ok(());
        };
        match self.0.lock().get(&(repo, dir)).and_then(Push::protector) {
            Some(push) if !process::descends_from(pid, push.pid) => {
                let (path, push) = (path.to_string(), push.pid);
                Err(FsError::Quarantined { path, push })
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Push {
    fn helps(&mut self, process: Process) {
        let is_same = |helper: &&mut Process| helper.pid == process.pid;
        match self.helpers.iter_mut().find(is_same) {
            Some(helper) => *helper = process,
            None => {
                let many = self.helpers.len();
                if many >= MANY && many.is_power_of_two() {
                    self.helpers.retain(|helper| !helper.has_ended());
                }
                self.helpers.push(process);
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = &Process> {
        self.by.iter().chain(&self.helpers)
    }

    fn has_ended(&self) -> bool {
        self.all().all(|process| process.has_ended())
    }

    /// Who made it, and may still need it.
    fn protector(&self) -> Option<Process> {
        let by = self.by.filter(|by| !by.has_ended())?;
        let last = self.all().map(|process| process.at).max();
        let is_old = last.is_some_and(|last| process::now().saturating_sub(last) > UNSEEN);
        (by.pid != 0 || !is_old).then_some(by)
    }
}

impl Process {
    fn now(pid: u32) -> Self {
        let at = process::now();
        Self { pid, at }
    }

    fn has_ended(self) -> bool {
        process::has_ended(self.pid, self.at)
    }
}

/// Whether a path is one, and not in one.
pub(super) fn is_quarantine(path: &RepoPath) -> bool {
    of(path).as_ref() == Some(path)
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

    fn child() -> std::process::Child {
        let mut sleep = crate::program::of_the_system("sleep");
        sleep.arg("1000").spawn().expect("sleep")
    }

    fn end(mut child: std::process::Child) {
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }

    const REPO: RepoId = RepoId::from_bytes([7; 16]);

    #[test]
    fn only_the_push_deletes_while_it_runs() {
        let (quarantines, dir) = (Quarantines::default(), path("objects/tmp_objdir-x"));
        let file = path("objects/tmp_objdir-x/12/34");
        let push = child();
        let me = std::process::id();
        quarantines.made(REPO, &dir, push.id());
        assert!(quarantines.check(REPO, &file, me).is_err());
        assert!(quarantines.check(REPO, &file, push.id()).is_ok());
        quarantines.made(REPO, &path("objects/tmp_objdir-y"), me);
        let of_child = quarantines.check(REPO, &path("objects/tmp_objdir-y/12/34"), push.id());
        assert!(of_child.is_ok(), "a child of the push");
        end(push);
        assert!(quarantines.check(REPO, &file, me).is_ok(), "a leftover");
    }

    #[test]
    fn who_made_something_in_one_keeps_it() {
        let (quarantines, dir) = (Quarantines::default(), path("objects/tmp_objdir-x"));
        let (push, unpacks) = (child(), child());
        quarantines.made(REPO, &dir, push.id());
        quarantines.made(REPO, &path("objects/tmp_objdir-x/12"), unpacks.id());
        quarantines.made(REPO, &path("objects/12"), push.id());
        assert_eq!(quarantines.take_ended(), []);
        end(push);
        assert_eq!(quarantines.take_ended(), [], "a child of the push lives");
        end(unpacks);
        assert_eq!(quarantines.take_ended(), [(REPO, dir)]);
        assert_eq!(quarantines.take_ended(), [], "told once");
    }

    /// Many short programs, of a hook, take no memory when they have ended.
    #[test]
    fn who_has_ended_is_forgotten() {
        let mut push = Push::default();
        let mut gone = child();
        gone.kill().expect("it runs");
        gone.wait().expect("it ends");
        push.helps(Process::now(std::process::id()));
        for pid in 1..MANY as u32 {
            // Numbers beyond the largest that a kernel gives.
            push.helps(Process::now((1 << 23) + pid));
        }
        push.helps(Process::now(gone.id()));
        assert_eq!(push.helpers.len(), 2);
        assert!(!push.has_ended());
    }

    /// Nobody knows when it ends: git prune takes it, when it has not been used for long.
    #[test]
    fn of_another_pid_namespace() {
        let (quarantines, dir) = (Quarantines::default(), path("objects/tmp_objdir-x"));
        quarantines.made(REPO, &dir, 0);
        assert_eq!(quarantines.take_ended(), []);
        let me = std::process::id();
        assert!(quarantines.check(REPO, &dir, me).is_err());
        let of_long_ago = Push {
            by: Some(Process {
                pid: 0,
                at: Duration::ZERO,
            }),
            helpers: Vec::new(),
        };
        let is_old = process::now() > UNSEEN;
        assert_eq!(of_long_ago.protector().is_none(), is_old);
        quarantines.removed(REPO, &dir);
        assert!(quarantines.check(REPO, &dir, me).is_ok());
    }
}
