//! The bytes of a request as git reads them: unpacked if they were compressed, one piece at a time, within bounds.
//!
//! What is sent does not become much less either: bytes that unpack to nothing would keep a place for as long as they come.
//!
//! Compressed bytes are fed to the decoder in small slices, so that one slice cannot become much. A request that grows
//! by more than [`RATIO`] beyond the first [`FREE`] bytes is refused: text of a fetch shrinks to a tenth at best.
//!
//! How slow a client may be: [`crate::pace`].

use crate::pace::{Pace, TooSlow};
use bytes::Bytes;
use flate2::write::GzDecoder;
use hyper::body::{Body, Incoming};
use std::future::poll_fn;
use std::io::Write;
use std::pin::Pin;
use std::time::Instant;
use tokio::time::timeout;

/// How much larger than what was sent a request may become …
const RATIO: u64 = 100;
/// … beyond so many bytes.
const FREE: u64 = 1 << 20;
/// Compressed bytes that are unpacked at a time.
const SLICE: usize = 1024;
/// How much smaller than what was sent a request may become …
const SHRINKS: u64 = 2;
/// … beyond so many bytes: headers of gzip, and what the decoder has not handed out yet.
const BARREN: u64 = 256 << 10;

/// Why compressed bytes are refused.
#[derive(Debug, thiserror::Error)]
pub enum InflateError {
    /// They are no gzip.
    #[error("the body is not what gzip makes: {0}")]
    Garbled(#[from] std::io::Error),
    /// They become too much.
    #[error("the body grows to more than {RATIO} times what was sent")]
    Bomb,
    /// They become too little.
    #[error("the body becomes less than half of what was sent")]
    Barren,
}

/// Why a body cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error(transparent)]
    Inflate(#[from] InflateError),
    #[error("the body has more than {0} bytes, which no fetch needs")]
    TooLarge(u64),
    #[error("the client sent {0}")]
    Slow(#[from] TooSlow),
    #[error("the client went away: {0}")]
    Gone(#[from] hyper::Error),
}

/// Unpacks gzip, a slice at a time.
pub struct Inflate {
    decoder: GzDecoder<Vec<u8>>,
    received: u64,
    made: u64,
}

impl Default for Inflate {
    fn default() -> Self {
        Self {
            decoder: GzDecoder::new(Vec::new()),
            received: 0,
            made: 0,
        }
    }
}

impl Inflate {
    /// What some compressed bytes become.
    pub fn push(&mut self, compressed: &[u8]) -> Result<Vec<u8>, InflateError> {
        let mut made = Vec::new();
        for slice in compressed.chunks(SLICE) {
            self.decoder.write_all(slice)?;
            self.received += slice.len() as u64;
            made.append(self.decoder.get_mut());
            let most = FREE.max(self.received.saturating_mul(RATIO));
            if self.made + made.len() as u64 > most {
                return Err(InflateError::Bomb);
            }
        }
        self.made += made.len() as u64;
        if self.received > self.made.saturating_mul(SHRINKS).saturating_add(BARREN) {
            return Err(InflateError::Barren);
        }
        Ok(made)
    }

    /// What is left, when all of them were there.
    pub fn finish(&mut self) -> Result<Vec<u8>, InflateError> {
        self.decoder.try_finish()?;
        Ok(std::mem::take(self.decoder.get_mut()))
    }
}

/// A body that is read.
pub(crate) struct Reader {
    body: Incoming,
    inflate: Option<Inflate>,
    /// Compressed bytes that are not unpacked yet.
    rest: Bytes,
    is_over: bool,
    pace: Pace,
    /// Bytes that it may have, unpacked.
    most: u64,
    /// Bytes that git gets.
    pub(crate) read: u64,
}

impl Reader {
    pub(crate) fn new(body: Incoming, is_packed: bool, pace: Pace, most: u64) -> Self {
        Self {
            body,
            inflate: is_packed.then(Inflate::default),
            rest: Bytes::new(),
            is_over: false,
            pace,
            most,
            read: 0,
        }
    }

    /// The next piece, which may be empty; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.is_over {
            return Ok(None);
        }
        let piece = self.piece().await?;
        let length = piece.as_ref().map_or(0, Bytes::len) as u64;
        self.read += length;
        match self.read > self.most {
            true => Err(BodyError::TooLarge(self.most)),
            false => Ok(piece),
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.rest.is_empty() {
            match self.received().await? {
                Some(received) => self.rest = received,
                None => return self.end(),
            }
        }
        match &mut self.inflate {
            None => Ok(Some(std::mem::take(&mut self.rest))),
            Some(inflate) => {
                let slice = self.rest.split_to(self.rest.len().min(SLICE));
                Ok(Some(inflate.push(&slice)?.into()))
            }
        }
    }

    fn end(&mut self) -> Result<Option<Bytes>, BodyError> {
        self.is_over = true;
        match &mut self.inflate {
            None => Ok(None),
            Some(inflate) => Ok(Some(inflate.finish()?.into())),
        }
    }

    async fn received(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let asked = Instant::now();
            let frame = poll_fn(|context| Pin::new(&mut self.body).poll_frame(context));
            let frame = timeout(self.pace.patience(), frame).await;
            let Ok(frame) = frame else {
                return Err(self.pace.over().into());
            };
            self.pace.waited(asked.elapsed());
            let Some(frame) = frame else {
                return Ok(None);
            };
            // Trailers say nothing to git.
            if let Ok(data) = frame?.into_data()
                && !data.is_empty()
            {
                self.pace.moved(data.len() as u64);
                return Ok(Some(data));
            }
        }
    }
}
