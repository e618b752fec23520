//! What others change, as the replicator tells it.
//!
//! Kernels remember names that others change, so the kernel of this mount is told of every such change:
//! the replicator's thread puts the change here, and a thread of the mount takes it ([`RemoteChanges::next`])
//! and tells the kernel. A process that has asked the cluster goes on when the kernel has been told of all that
//! had come by then ([`RemoteChanges::wait_told`]). The telling waits for no request and for no lock of a directory.

use gitmoor_model::{ChangedNames, Command, RepoId};
use gitmoor_replicator::Observer;
use gitmoor_store::wait::POLL;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// More changes than these are one change of everything.
const MOST: usize = 10_000;

/// Names that another machine changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RemoteChange {
    InRepo(RepoId, ChangedNames),
    Everything,
}

/// Keeps it for the file system, which may end before the replicator does.
#[derive(Default)]
pub struct RemoteChanges {
    /// Whether repositories were deleted. Which they are, who asks finds out from the replicator.
    deleted: AtomicBool,
    untold: Mutex<Untold>,
    moved: Condvar,
}

/// What the kernel is still to be told.
#[derive(Default)]
struct Untold {
    /// Without a mount no kernel remembers anything.
    is_mounted: bool,
    /// Each with how many of those that came it stands for.
    changes: VecDeque<(RemoteChange, u64)>,
    /// The same of the one that is being told.
    in_hand: u64,
    /// How many changes came, and how many of them the kernel was told.
    came: u64,
    told: u64,
}

impl RemoteChanges {
    /// Whether any repositories may have been deleted since this was last asked.
    pub(crate) fn take_deleted(&self) -> bool {
        self.deleted.swap(false, Ordering::Relaxed)
    }

    /// From now on a kernel remembers names.
    pub(crate) fn mounted(&self) {
        self.untold.lock().is_mounted = true;
    }

    /// No kernel does any longer.
    pub(crate) fn unmounted(&self) {
        *self.untold.lock() = Untold::default();
        self.moved.notify_all();
    }

    /// Whether a kernel does.
    pub(crate) fn is_mounted(&self) -> bool {
        self.untold.lock().is_mounted
    }

    /// The next change to tell, once there is one; `None` when there is no mount any more. After it was told:
    /// [`RemoteChanges::told`].
    pub(crate) fn next(&self) -> Option<RemoteChange> {
        let mut untold = self.untold.lock();
        loop {
            if !untold.is_mounted {
                return None;
            }
            if let Some((change, stands_for)) = untold.changes.pop_front() {
                untold.in_hand = stands_for;
                return Some(change);
            }
            self.moved.wait(&mut untold);
        }
    }

    pub(crate) fn told(&self) {
        let mut untold = self.untold.lock();
        untold.told += std::mem::take(&mut untold.in_hand);
        drop(untold);
        self.moved.notify_all();
    }

    /// Waits until the kernel has been told of all that came before; `false` if `give_up` or the time says so.
    pub(crate) fn wait_told(&self, within: Duration, give_up: &dyn Fn() -> bool) -> bool {
        let mut untold = self.untold.lock();
        let came = untold.came;
        let until = std::time::Instant::now() + within;
        while untold.is_mounted && untold.told < came {
            if give_up() || std::time::Instant::now() > until {
                return false;
            }
            self.moved.wait_for(&mut untold, POLL);
        }
        true
    }

    fn put(&self, change: RemoteChange) {
        let mut untold = self.untold.lock();
        if !untold.is_mounted {
            return;
        }
        untold.came += 1;
        if change == RemoteChange::Everything || untold.changes.len() >= MOST {
            let before: u64 = untold.changes.drain(..).map(|(_, count)| count).sum();
            untold
                .changes
                .push_back((RemoteChange::Everything, before + 1));
        } else {
            untold.changes.push_back((change, 1));
        }
        drop(untold);
        self.moved.notify_all();
    }
}

impl Observer for RemoteChanges {
    fn applied(&self, command: &Command) {
        if matches!(command, Command::DeleteRepo { .. }) {
            self.deleted.store(true, Ordering::Relaxed);
        }
        if let Some((repo, names)) = command.changed_names() {
            self.put(RemoteChange::InRepo(repo, names));
        }
    }

    fn changed(&self, repo: RepoId, names: ChangedNames) {
        self.put(RemoteChange::InRepo(repo, names));
    }

    fn deleted(&self, repo: RepoId) {
        self.deleted.store(true, Ordering::Relaxed);
        self.put(RemoteChange::InRepo(repo, ChangedNames::Any));
    }

    fn replaced(&self) {
        self.deleted.store(true, Ordering::Relaxed);
        self.put(RemoteChange::Everything);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    fn change() -> ChangedNames {
        ChangedNames::These(Vec::new())
    }

    #[test]
    fn who_asked_waits_until_the_kernel_was_told() {
        let remote = RemoteChanges::default();
        remote.changed(RepoId::random(), change());
        assert!(
            remote.wait_told(SOON, &|| false),
            "no kernel, nothing to tell"
        );
        remote.mounted();
        assert!(remote.wait_told(SOON, &|| false));
        let [one, two] = [RepoId::random(), RepoId::random()];
        remote.changed(one, change());
        remote.changed(two, change());
        assert!(!remote.wait_told(SOON, &|| false), "nobody has told");
        assert!(!remote.wait_told(Duration::MAX / 4, &|| true), "given up");
        for repo in [one, two] {
            assert_eq!(remote.next(), Some(RemoteChange::InRepo(repo, change())));
            remote.told();
        }
        assert!(remote.wait_told(SOON, &|| false));
    }

    #[test]
    fn everything_stands_for_all_that_waits() {
        let remote = RemoteChanges::default();
        remote.mounted();
        remote.changed(RepoId::random(), change());
        remote.replaced();
        assert_eq!(remote.next(), Some(RemoteChange::Everything));
        remote.told();
        assert!(remote.wait_told(SOON, &|| false));
        remote.changed(RepoId::random(), change());
        remote.unmounted();
        assert_eq!(remote.next(), None);
        assert!(remote.wait_told(SOON, &|| false));
    }
}
