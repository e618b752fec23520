//! Names that change behind the kernel's back: told to it from threads of their
//! own, since a notification from within a request can deadlock.
//!
//! The kernel takes a notification with the lock of the directory, which a request there may hold for as long as it
//! waits (a create while staging is full). So each repository has a queue and a thread of its own while there
//! is something to tell, and names of repositories another: who is stuck holds up the users of that repository alone.

use crate::filesystem::{Change, Changed, FileSystem};
use crate::tree::Tree;
use fuser::{INodeNo, Notifier};
use gitmoor_model::RepoId;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::thread::Builder;

pub(super) fn start(fs: &FileSystem, tree: Arc<Tree>, notifier: Notifier) -> io::Result<()> {
    let changes = fs.changes();
    let queues = Queues::new(move |change| tell(&tree, &notifier, change));
    let run = move || {
        for change in changes {
            match queues.put(change) {
                Ok(Mounted::Still) => {}
                Ok(Mounted::NoLonger) => return,
                Err(error) => tracing::error!(%error, "the kernel is not told of a change"),
            }
        }
    };
    Builder::new()
        .name("invalidate".into())
        .spawn(run)
        .map(drop)
}

/// Whether there is a kernel to tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mounted {
    Still,
    NoLonger,
}

/// Of which lock the kernel is asked for at once: those of a repository's directories, or those above.
type Whose = Option<RepoId>;

struct Queues<F> {
    tell: Arc<F>,
    /// What is still to be told, of those that have a thread.
    waiting: Arc<Mutex<HashMap<Whose, VecDeque<Change>>>>,
    /// Set by a thread that finds it so.
    mounted: Arc<Mutex<Mounted>>,
}

impl<F> Clone for Queues<F> {
    fn clone(&self) -> Self {
        Self {
            tell: self.tell.clone(),
            waiting: self.waiting.clone(),
            mounted: self.mounted.clone(),
        }
    }
}

impl<F: Fn(&Changed) -> Mounted + Send + Sync + 'static> Queues<F> {
    fn new(tell: F) -> Self {
        Self {
            tell: Arc::new(tell),
            waiting: Arc::default(),
            mounted: Arc::new(Mutex::new(Mounted::Still)),
        }
    }

    /// Has a change told, after those of the same repository.
    fn put(&self, change: Change) -> io::Result<Mounted> {
        let whose = match change.of {
            Changed::InRepo(repo, _) | Changed::Renewed(repo, _) | Changed::Top(repo) => Some(repo),
            Changed::Name(_) => None,
        };
        let mut waiting = self.waiting.lock();
        if let Some(queue) = waiting.get_mut(&whose) {
            queue.push_back(change);
        } else {
            let queues = self.clone();
            let run = move || queues.drain(whose);
            Builder::new().name("tell-kernel".into()).spawn(run)?;
            waiting.insert(whose, VecDeque::from([change]));
        }
        Ok(*self.mounted.lock())
    }

    /// Tells all that is waiting there.
    fn drain(&self, whose: Whose) {
        while let Some(Change { of, told }) = self.next(whose) {
            if (self.tell)(&of) == Mounted::NoLonger {
                *self.mounted.lock() = Mounted::NoLonger;
            }
            // Lets the admin command that waits for this go on.
            drop(told);
        }
    }

    fn next(&self, whose: Whose) -> Option<Change> {
        let mut waiting = self.waiting.lock();
        let next = waiting.get_mut(&whose)?.pop_front();
        if next.is_none() {
            waiting.remove(&whose);
        }
        next
    }
}

fn tell(tree: &Tree, notifier: &Notifier, change: &Changed) -> Mounted {
    let name = match change {
        Changed::InRepo(repo, path) => {
            tree.forget_name(*repo, path);
            tree.kernel_name(*repo, path)
        }
        Changed::Renewed(repo, path) => tree.kernel_name(*repo, path),
        Changed::Name(path) => tree.kernel_name_of(path),
        Changed::Top(repo) => return tell_attributes(tree, notifier, *repo),
    };
    let Some((parent, name)) = name else {
        return Mounted::Still;
    };
    // Who has the directory open and rewinds it is told the names anew, also where the kernel does not know the name.
    if !matches!(change, Changed::Renewed(..))
        && told(notifier.inval_inode(INodeNo(parent), 0, 0)) == Mounted::NoLonger
    {
        return Mounted::NoLonger;
    }
    told(notifier.inval_entry(INodeNo(parent), OsStr::from_bytes(&name)))
}

/// The attributes of all that the kernel knows of a repository are to be asked for anew.
fn tell_attributes(tree: &Tree, notifier: &Notifier, repo: RepoId) -> Mounted {
    for ino in tree.kernel_inodes(repo) {
        // Attributes alone: a negative offset throws no page away.
        if told(notifier.inval_inode(INodeNo(ino), -1, 0)) == Mounted::NoLonger {
            return Mounted::NoLonger;
        }
    }
    Mounted::Still
}

fn told(told: io::Result<()>) -> Mounted {
    match told {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Mounted::NoLonger,
        Err(error) => {
            tracing::debug!(%error, "the kernel did not take an invalidation");
            Mounted::Still
        }
        Ok(()) => Mounted::Still,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{TryRecvError, bounded, unbounded};
    use gitmoor_model::RepoPath;
    use std::time::Duration;

    const BOUND: Duration = Duration::from_secs(60);

    fn change(repo: RepoId, path: &str) -> (Change, crossbeam_channel::Receiver<()>) {
        let (told, is_told) = bounded(0);
        let path = RepoPath::new(path).expect("a path");
        let of = Changed::InRepo(repo, path);
        let told = Some(told);
        (Change { of, told }, is_told)
    }

    #[test]
    fn who_is_stuck_holds_up_nobody_else_and_keeps_the_order() {
        let (open, gate) = bounded::<()>(0);
        let (tell, told) = unbounded();
        let [slow, quick] = [RepoId::random(), RepoId::random()];
        let queues = Queues::new(move |of: &Changed| {
            if let Changed::InRepo(repo, path) = of
                && *repo == slow
            {
                // Ends when the gate is opened, for all.
                let _ = gate.recv();
                tell.send(path.to_string()).expect("somebody listens");
            }
            Mounted::Still
        });
        let put = |(change, is_told)| {
            assert_eq!(queues.put(change).expect("a thread"), Mounted::Still);
            is_told
        };
        let stuck = ["a", "b", "c"].map(|path| put(change(slow, path)));
        let other = put(change(quick, "a"));
        let error = other.recv_timeout(BOUND).expect_err("nothing is sent");
        assert!(error.is_disconnected(), "the other is told");
        assert_eq!(stuck[0].try_recv(), Err(TryRecvError::Empty));
        drop(open);
        for is_told in &stuck {
            let error = is_told.recv_timeout(BOUND).expect_err("nothing is sent");
            assert!(error.is_disconnected(), "told in the end");
        }
        assert_eq!(told.try_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
