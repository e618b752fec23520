//! The backup that a client is getting, piece by piece. One at a time: a client that begins another ends it, and a
//! client that does not go on loses it.

use crate::rpc::client::BackupPiece;
use crate::state::ReadError;
use crate::storage::{Backup, Database};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Bytes in one response, at least, unless it is the last.
const PAGE: usize = 4 << 20;
/// A client that does not go on for so long has gone; until then RocksDB keeps what is in the backup.
const TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Default)]
pub(super) struct Backups(Arc<Mutex<Option<UnderWay>>>);

struct UnderWay {
    client: u64,
    backup: Backup,
    size: u64,
    /// The piece that was given last, and from where it was: a response may be lost.
    from: u64,
    last: Vec<u8>,
    asked: Instant,
}

impl UnderWay {
    fn begin(database: &Arc<Database>, client: u64) -> Result<Self, ReadError> {
        let backup = Backup::take(database)?;
        Ok(Self {
            client,
            size: backup.size()?,
            backup,
            from: 0,
            last: Vec::new(),
            asked: Instant::now(),
        })
    }

    /// The bytes from `from` on; `None` when these were given already and are gone.
    fn piece(&mut self, from: u64) -> Result<Option<BackupPiece>, ReadError> {
        self.asked = Instant::now();
        while self.from + (self.last.len() as u64) <= from && from < self.size {
            self.from += self.last.len() as u64;
            self.last.clear();
            while self.last.len() < PAGE
                && let Some(more) = self.backup.next_piece()?
            {
                self.last.extend_from_slice(&more);
            }
        }
        Ok((self.from == from).then(|| BackupPiece {
            version: self.backup.position.index,
            size: self.size,
            bytes: self.last.clone(),
        }))
    }
}

impl Backups {
    /// From 0 on it is a new one. Blocks.
    pub(super) fn piece(
        &self,
        runtime: &Handle,
        database: &Arc<Database>,
        client: u64,
        from: u64,
    ) -> Result<BackupPiece, ReadError> {
        let before = self.0.lock().take();
        let mut under_way = match before {
            Some(under_way) if from > 0 && under_way.client == client => under_way,
            _ => UnderWay::begin(database, client)?,
        };
        let piece = match under_way.piece(from)? {
            Some(piece) => piece,
            None => {
                under_way = UnderWay::begin(database, client)?;
                let piece = under_way.piece(from)?;
                piece.ok_or_else(|| ReadError::Away("no piece begins there".to_owned()))?
            }
        };
        if from + (piece.bytes.len() as u64) < piece.size {
            *self.0.lock() = Some(under_way);
            runtime.spawn(expire(Arc::downgrade(&self.0)));
        }
        Ok(piece)
    }

    /// The node stops: its database must not be kept.
    pub(super) fn let_go(&self) {
        *self.0.lock() = None;
    }
}

async fn expire(backups: Weak<Mutex<Option<UnderWay>>>) {
    tokio::time::sleep(TIMEOUT).await;
    if let Some(backups) = backups.upgrade() {
        let mut under_way = backups.lock();
        if under_way
            .as_ref()
            .is_some_and(|under_way| under_way.asked.elapsed() >= TIMEOUT)
        {
            *under_way = None;
        }
    }
}
