//! Snapshots on their way: in pieces, with gRPC's flow control, verified as a whole. One
//! that was cut off goes on where it was, since the receiver keeps what it has on disk.

use super::link::{self, Target};
use super::services::node_client::NodeClient;
use super::{NetError, wire};
use std::collections::HashMap;
use std::io::SeekFrom;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::sync::{Mutex, watch};
use tonic::{Status, Streaming};

/// Bytes in a piece.
const PIECE: usize = 1 << 20;
/// Attempts without any progress, after which somebody else may decide.
const ATTEMPTS: u32 = 3;

/// Sends a snapshot.
pub(super) async fn send(target: &Target, snapshot: Vec<u8>) -> Result<(), NetError> {
    let name = wire::SnapshotName {
        digest: blake3::hash(&snapshot).as_bytes().to_vec(),
        size: snapshot.len() as u64,
    };
    let snapshot = Arc::new(snapshot);
    let (mut reached, mut failed) = (0, 0);
    loop {
        let mut offset = reached;
        let error = match send_rest(target, &name, &snapshot, &mut offset).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        failed = if offset > reached { 0 } else { failed + 1 };
        reached = reached.max(offset);
        if failed == ATTEMPTS {
            return Err(error);
        }
        tracing::info!(address = target.address, offset, %error, "a snapshot was cut off");
    }
}

/// Sends what the receiver does not have, and says from where that was.
async fn send_rest(
    target: &Target,
    name: &wire::SnapshotName,
    snapshot: &Arc<Vec<u8>>,
    offset: &mut u64,
) -> Result<(), NetError> {
    let channel = link::connect(target).await?;
    let mut client = NodeClient::with_interceptor(channel, link::speak);
    let refused = |status: Status| link::refused(&target.address, &status);
    let has = client.has_snapshot(name.clone()).await.map_err(refused)?;
    *offset = has.into_inner().offset;
    let pieces = pieces(name.clone(), snapshot.clone(), *offset);
    client.send_snapshot(pieces).await.map_err(refused)?;
    Ok(())
}

/// At least one, which has the name.
fn pieces(
    name: wire::SnapshotName,
    snapshot: Arc<Vec<u8>>,
    from: u64,
) -> impl futures::Stream<Item = wire::SnapshotPiece> {
    let mut name = Some(name);
    let mut offset = usize::try_from(from).map_or(snapshot.len(), |from| from.min(snapshot.len()));
    futures::stream::iter(std::iter::from_fn(move || {
        if name.is_none() && offset == snapshot.len() {
            return None;
        }
        let end = (offset + PIECE).min(snapshot.len());
        let piece = wire::SnapshotPiece {
            name: name.take(),
            offset: offset as u64,
            bytes: snapshot[offset..end].to_vec(),
        };
        offset = end;
        Some(piece)
    }))
}

/// Snapshots that are arriving, one from each peer. Its newest attempt is the one that counts:
/// what is left of an earlier one, whose connection may be lost without this side knowing, ends.
pub(super) struct Incoming {
    dir: PathBuf,
    arriving: Mutex<HashMap<u64, Arc<Arriving>>>,
}

#[derive(Default)]
struct Arriving {
    partial: Mutex<Partial>,
    attempt: watch::Sender<u64>,
}

#[derive(Default)]
struct Partial {
    name: wire::SnapshotName,
    have: u64,
}

impl Arriving {
    /// Ends the attempt of before, and tells this one when it is over.
    fn begin(&self) -> watch::Receiver<u64> {
        self.attempt.send_modify(|attempt| *attempt += 1);
        self.attempt.subscribe()
    }
}

impl Incoming {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            arriving: Mutex::default(),
        }
    }

    /// How much of this snapshot is here.
    pub(super) async fn has(&self, from: u64, name: &wire::SnapshotName) -> Result<u64, Status> {
        let arriving = self.from(from).await;
        let _attempt = arriving.begin();
        let partial = arriving.partial.lock().await;
        Ok(if partial.name == *name {
            partial.have
        } else {
            0
        })
    }

    /// Receives what is missing, and returns the whole.
    pub(super) async fn receive(
        &self,
        from: u64,
        mut pieces: Streaming<wire::SnapshotPiece>,
    ) -> Result<Vec<u8>, Status> {
        let arriving = self.from(from).await;
        let mut attempt = arriving.begin();
        let mut partial = arriving.partial.lock().await;
        let first = next_piece(&mut pieces, &mut attempt).await?;
        let first = first.ok_or_else(|| Status::invalid_argument("a snapshot without pieces"))?;
        let name = first.name.clone();
        let name = name.ok_or_else(|| Status::invalid_argument("a snapshot without a name"))?;
        let mut file = self.open(from, &mut partial, name).await.map_err(disk)?;
        let mut next = Some(first);
        while let Some(piece) = next {
            append(&mut file, &mut partial, &piece).await?;
            next = next_piece(&mut pieces, &mut attempt).await?;
        }
        drop(file);
        self.whole(from, &mut partial).await
    }

    async fn from(&self, from: u64) -> Arc<Arriving> {
        self.arriving.lock().await.entry(from).or_default().clone()
    }

    fn path(&self, from: u64) -> PathBuf {
        self.dir.join(format!("from-{from}"))
    }

    /// The file of this snapshot, at its end; anew when it is another one.
    async fn open(
        &self,
        from: u64,
        partial: &mut Partial,
        name: wire::SnapshotName,
    ) -> std::io::Result<File> {
        fs::create_dir_all(&self.dir).await?;
        if partial.name != name {
            *partial = Partial { name, have: 0 };
        }
        let mut options = OpenOptions::new();
        let file = options.create(true).write(true).truncate(false);
        let mut file = file.open(self.path(from)).await?;
        file.set_len(partial.have).await?;
        file.seek(SeekFrom::End(0)).await?;
        Ok(file)
    }

    async fn whole(&self, from: u64, partial: &mut Partial) -> Result<Vec<u8>, Status> {
        let Partial { name, have } = std::mem::take(partial);
        if have < name.size {
            *partial = Partial { name, have };
            return Err(Status::aborted("a snapshot that ends too early"));
        }
        let path = self.path(from);
        let snapshot = fs::read(&path).await.map_err(disk)?;
        fs::remove_file(&path).await.map_err(disk)?;
        if blake3::hash(&snapshot).as_bytes() != name.digest.as_slice() {
            tracing::warn!(node = from, "refused a snapshot with a wrong checksum");
            return Err(Status::data_loss("the snapshot has a wrong checksum"));
        }
        Ok(snapshot)
    }
}

/// Unless another attempt begins. Nothing else is cut off: a write to the file that was under
/// way would come after the next one's.
async fn next_piece(
    pieces: &mut Streaming<wire::SnapshotPiece>,
    attempt: &mut watch::Receiver<u64>,
) -> Result<Option<wire::SnapshotPiece>, Status> {
    tokio::select! {
        piece = pieces.message() => piece,
        _ = attempt.changed() => Err(Status::aborted("another attempt took its place")),
    }
}

async fn append(
    file: &mut File,
    partial: &mut Partial,
    piece: &wire::SnapshotPiece,
) -> Result<(), Status> {
    let end = partial.have + piece.bytes.len() as u64;
    if piece.offset != partial.have || end > partial.name.size {
        return Err(Status::invalid_argument(format!(
            "a piece of {} bytes at {}, where {} of {} are there",
            piece.bytes.len(),
            piece.offset,
            partial.have,
            partial.name.size
        )));
    }
    file.write_all(&piece.bytes).await.map_err(disk)?;
    // What tokio keeps back would be missing if the next piece never comes.
    file.flush().await.map_err(disk)?;
    partial.have = end;
    Ok(())
}

fn disk(error: std::io::Error) -> Status {
    Status::internal(format!("keeping a piece of a snapshot: {error}"))
}
