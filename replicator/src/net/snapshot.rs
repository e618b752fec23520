//! Snapshots on their way: in pieces, with gRPC's flow control, verified as a whole. One
//! that was cut off goes on where it was, since the receiver keeps what it has on disk. Neither side has more than a
//! few pieces in memory.

use super::dial::{self, Target};
use super::services::node_client::NodeClient;
use super::{NetError, wire};
use crate::state::ReadError;
use std::collections::HashMap;
use std::io::SeekFrom;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// Bytes in a piece on the wire.
const PIECE: usize = 1 << 20;
/// Attempts without any progress, after which somebody else may decide.
const ATTEMPTS: u32 = 3;
/// A receiver that takes no piece for so long has gone, whatever its connection says.
const STALLED: Duration = Duration::from_secs(30);
/// What a receiver has whole it lays out in this time, and more than this it never needs.
const LAYING: Duration = Duration::from_secs(600);
/// For how long one is sent at most: as long is its state kept.
const LONGEST: Duration = Duration::from_secs(3600);

/// What is sent: bytes that are never all in memory. Each time it is read they are the same.
pub trait Source: Send + Sync {
    /// From the start, in pieces of about a megabyte. May block for as long as a disk does.
    fn pieces(&self) -> Box<dyn Iterator<Item = Result<Vec<u8>, ReadError>> + Send + '_>;
}

pub(super) async fn send(target: &Target, snapshot: &dyn Source) -> Result<(), NetError> {
    let sent = tokio::time::timeout(LONGEST, send_all(target, snapshot)).await;
    sent.unwrap_or_else(|_| Err(late(target, "it took too long")))
}

async fn send_all(target: &Target, snapshot: &dyn Source) -> Result<(), NetError> {
    let name = name(snapshot).await;
    let name = name.map_err(|error| NetError::unreadable(&error))?;
    let (mut reached, mut failed) = (0, 0);
    loop {
        let mut offset = reached;
        let error = match send_rest(target, &name, snapshot, &mut offset).await {
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

/// How many bytes these are. Reads them all.
pub async fn size(source: &dyn Source) -> Result<u64, NetError> {
    let name = name(source).await;
    Ok(name.map_err(|error| NetError::unreadable(&error))?.size)
}

async fn name(snapshot: &dyn Source) -> Result<wire::SnapshotName, ReadError> {
    let (mut digest, mut size) = (blake3::Hasher::new(), 0);
    let mut pieces = snapshot.pieces();
    while let Some(piece) = next(&mut *pieces).await? {
        digest.update(&piece);
        size += piece.len() as u64;
    }
    let digest = digest.finalize().as_bytes().to_vec();
    Ok(wire::SnapshotName { digest, size })
}

type Pieces<'s> = dyn Iterator<Item = Result<Vec<u8>, ReadError>> + Send + 's;

/// Reads a piece without keeping others from this thread, and lets go of it after each.
async fn next(pieces: &mut Pieces<'_>) -> Result<Option<Vec<u8>>, ReadError> {
    tokio::task::yield_now().await;
    tokio::task::block_in_place(|| pieces.next()).transpose()
}

/// Sends what the receiver does not have, and says from where that was.
async fn send_rest(
    target: &Target,
    name: &wire::SnapshotName,
    snapshot: &dyn Source,
    offset: &mut u64,
) -> Result<(), NetError> {
    let channel = dial::connect(target).await?;
    let mut client = NodeClient::with_interceptor(channel, dial::speak);
    let refused = |status: Status| dial::refused(&target.address, &status);
    let has = client.has_snapshot(name.clone()).await.map_err(refused)?;
    *offset = has.into_inner().offset;
    // One piece waits while another is on its way.
    let (sender, pieces) = mpsc::channel(1);
    let mut call = std::pin::pin!(client.send_snapshot(ReceiverStream::new(pieces)));
    tokio::select! {
        answered = &mut call => return answered.map(drop).map_err(refused),
        fed = feed(target, name, snapshot, *offset, sender) => fed?,
    }
    let answered = tokio::time::timeout(LAYING, call).await;
    let answered =
        answered.map_err(|_| late(target, "it does not say that it has the snapshot"))?;
    answered.map(drop).map_err(refused)
}

/// Gives the bytes from an offset on, at least one piece, which has the name.
async fn feed(
    target: &Target,
    name: &wire::SnapshotName,
    snapshot: &dyn Source,
    from: u64,
    sender: mpsc::Sender<wire::SnapshotPiece>,
) -> Result<(), NetError> {
    let mut name = Some(name.clone());
    let (mut pieces, mut at) = (snapshot.pieces(), 0_u64);
    loop {
        let piece = next(&mut *pieces).await;
        let piece = piece.map_err(|error| NetError::unreadable(&error))?;
        let is_last = piece.is_none();
        let bytes = piece.unwrap_or_default();
        let known = from.saturating_sub(at).min(bytes.len() as u64);
        at += known;
        let mut rest = &bytes[known as usize..];
        while !rest.is_empty() || is_last && name.is_some() {
            let (piece, more) = rest.split_at(rest.len().min(PIECE));
            let piece = wire::SnapshotPiece {
                name: name.take(),
                offset: at,
                bytes: piece.to_vec(),
            };
            (at, rest) = (at + piece.bytes.len() as u64, more);
            let sent = tokio::time::timeout(STALLED, sender.send(piece)).await;
            // A call that has ended says why by itself.
            if sent
                .map_err(|_| late(target, "it takes nothing any more"))?
                .is_err()
            {
                return std::future::pending().await;
            }
        }
        if is_last {
            return Ok(());
        }
    }
}

fn late(target: &Target, why: &str) -> NetError {
    NetError::unreachable(&target.address, why)
}

/// A whole snapshot that has arrived, in a file that goes with this.
#[derive(Debug)]
pub struct Received {
    path: PathBuf,
}

impl Received {
    /// Opens the file for reading.
    pub fn open(&self) -> std::io::Result<std::fs::File> {
        std::fs::File::open(&self.path)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a snapshot that is done with stays");
        }
    }
}

/// Snapshots that are arriving, one from each peer. Its newest attempt is the one that counts:
/// what is left of an earlier one, whose connection may be lost without this side knowing, ends.
pub(super) struct Incoming {
    dir: PathBuf,
    received: AtomicU64,
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
    /// What an earlier life left in the directory is of no use: nobody knows what it is of.
    pub(super) fn new(dir: PathBuf) -> Self {
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(dir = %dir.display(), %error, "pieces of snapshots stay");
            }
            Ok(()) | Err(_) => {}
        }
        Self {
            dir,
            received: AtomicU64::new(0),
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
    ) -> Result<Received, Status> {
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

    async fn whole(&self, from: u64, partial: &mut Partial) -> Result<Received, Status> {
        let Partial { name, have } = std::mem::take(partial);
        if have < name.size {
            *partial = Partial { name, have };
            return Err(Status::aborted("a snapshot that ends too early"));
        }
        // Under a name of its own, so that another attempt has nothing to do with it.
        let number = self.received.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("whole-{from}-{number}"));
        fs::rename(self.path(from), &path).await.map_err(disk)?;
        let received = Received { path };
        let file = received.open().map_err(disk)?;
        let digest = tokio::task::spawn_blocking(move || {
            let mut digest = blake3::Hasher::new();
            digest.update_reader(file).map(|digest| digest.finalize())
        });
        let digest = digest
            .await
            .map_err(|error| Status::internal(error.to_string()))?;
        if digest.map_err(disk)?.as_bytes() != name.digest.as_slice() {
            tracing::warn!(node = from, "refused a snapshot with a wrong checksum");
            return Err(Status::data_loss("the snapshot has a wrong checksum"));
        }
        Ok(received)
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
