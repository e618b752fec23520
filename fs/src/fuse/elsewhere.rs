//! Tells the kernel what other machines changed, each change as soon as it can be read here.
//!
//! The notification says that the attributes of an inode are no longer valid, nor the names of a directory. The kernel
//! takes it without the lock of a directory, so it waits for no request, and a request may wait for it.
//!
//! A client hears of changes by the answers to its questions. While the kernel may remember names, the client asks
//! several times a second.

use crate::consistency::RemoteChanges;
use crate::repository::context::Context;
use crate::tree::Tree;
use fuser::{INodeNo, Notifier};
use std::io;
use std::sync::Arc;
use std::thread::{Builder, sleep};
use std::time::Duration;

/// Between two questions of a client. With the answer, no more than a process may reuse another's answer.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) fn start(
    context: &Arc<Context>,
    tree: &Arc<Tree>,
    notifier: Notifier,
) -> io::Result<()> {
    tell(context.remote_changes.clone(), tree.clone(), notifier)?;
    match context.freshness.hears() {
        true => Ok(()),
        false => keep_up(context.clone(), tree.clone()),
    }
}

fn keep_up(context: Arc<Context>, tree: Arc<Tree>) -> io::Result<()> {
    let run = move || {
        while context.remote_changes.is_mounted() {
            sleep(PAUSE);
            if tree.has_given_names() && !context.freshness.keep_up() {
                tracing::debug!("no answer of the cluster: the kernel is told of nothing");
            }
        }
    };
    Builder::new().name("keep-up".into()).spawn(run).map(drop)
}

fn tell(remote: Arc<RemoteChanges>, tree: Arc<Tree>, notifier: Notifier) -> io::Result<()> {
    let run = move || {
        while let Some(change) = remote.next() {
            for ino in tree.changed_elsewhere(&change) {
                // A negative offset throws no page away; those of a directory are names, for who rewinds.
                let from = if tree.is_directory(ino) { 0 } else { -1 };
                if let Err(error) = notifier.inval_inode(INodeNo(ino), from, 0) {
                    tracing::debug!(%error, ino, "the kernel did not take an invalidation");
                }
            }
            remote.told();
        }
    };
    Builder::new().name("elsewhere".into()).spawn(run).map(drop)
}
