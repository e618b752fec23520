//! A snapshot from another node: out of the file in which it came, beside the state, and on to the loop.

use super::cluster::ClusterMember;
use super::inbox::Input;
use crate::net::Received;
use crate::peer::{Unintelligible, carried};
use crate::replica::ProposeError;
use crate::storage::snapshot::Unusable;
use crate::storage::{self, Disk, WriteError};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A loop that does not take a snapshot in this time is stuck; the snapshot is sent again.
const TAKEN: Duration = Duration::from_secs(10);

/// A snapshot is not taken in. Its sender is told why, and sends another when it leads.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error(transparent)]
    Stopped(#[from] ProposeError),
    #[error("reading the snapshot: {0}")]
    Read(#[from] io::Error),
    #[error(transparent)]
    Message(#[from] Unintelligible),
    #[error("a snapshot in another's name")]
    Name,
    #[error("another snapshot is being taken in")]
    Busy,
    #[error(transparent)]
    Rows(#[from] Unusable<WriteError>),
    #[error("the loop does not take the snapshot")]
    Stuck,
}

/// Lays the rows of a snapshot beside the state, and tells the loop. Ends early when nobody waits for it any more: its
/// sender has gone, or this node stops.
pub(super) async fn take_in(
    node: Arc<ClusterMember>,
    from: u64,
    snapshot: Received,
) -> Result<(), String> {
    let waiting = Arc::new(());
    let waited_for = Arc::downgrade(&waiting);
    let lay = move || lay(&node, from, &snapshot, waited_for);
    let laid = tokio::task::spawn_blocking(lay).await;
    drop(waiting);
    let laid = laid.map_err(|error| error.to_string())?;
    laid.map_err(|error| error.to_string())
}

fn lay(
    node: &ClusterMember,
    from: u64,
    snapshot: &Received,
    waited_for: Weak<()>,
) -> Result<(), NotTaken> {
    let database = node.database()?;
    let mut file = BufReader::new(snapshot.open()?);
    let (message, rows) = carried::parse(&mut file)?;
    if message.from != from {
        return Err(NotTaken::Name);
    }
    let turn = database.turn().ok_or(NotTaken::Busy)?;
    file.seek(SeekFrom::Start(rows.start))?;
    let mut rows = WhileWaited {
        source: file.take(rows.end - rows.start),
        waited_for,
    };
    let laid = storage::lay(&*database, turn, &mut rows)?;
    let told = node
        .wire
        .send_timeout(Input::Snapshot(message, laid), TAKEN);
    told.map_err(|_| NotTaken::Stuck)
}

/// Can be read for as long as somebody waits.
struct WhileWaited<S> {
    source: S,
    waited_for: Weak<()>,
}

impl<S: Read> Read for WhileWaited<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.waited_for.strong_count() == 0 {
            return Err(io::Error::other("nobody waits for it any more"));
        }
        self.source.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_when_nobody_waits() {
        let waiting = Arc::new(());
        let mut rows = WhileWaited {
            source: &b"rows"[..],
            waited_for: Arc::downgrade(&waiting),
        };
        rows.read_exact(&mut [0; 2]).expect("waited for");
        drop(waiting);
        rows.read_exact(&mut [0; 2]).expect_err("given up");
    }
}
