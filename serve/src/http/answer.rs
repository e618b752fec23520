//! What git answers, as it comes, and what it is fed meanwhile.

use super::Stage;
use super::exchange::Exchange;
use super::line::Line;
use super::out::Out;
use super::refused::Refused;
use crate::admission::Ticket;
use crate::body::{BodyError, Reader};
use crate::git::Git;
use crate::pace::Pace;
use bytes::{Bytes, BytesMut};
use hyper::Response;
use hyper::header::{HeaderName, HeaderValue};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Bytes of git's output that are passed on at a time.
const PIECE: usize = 64 << 10;
/// Pieces that a client has not taken yet.
const PIECES: usize = 4;
/// Bytes of a request that are read when git wants no more of it.
const FORGOTTEN: u64 = 1 << 30;

/// A git whose answer goes to the client.
pub(super) struct Answering {
    pub(super) headers: [(HeaderName, HeaderValue); 4],
    /// What is told before git is.
    pub(super) head: Bytes,
    pub(super) first: Bytes,
    /// `None` when it has ended, and said nothing.
    pub(super) git: Option<Git>,
    pub(super) feeding: Option<Feeding>,
    pub(super) received: u64,
    pub(super) _ticket: Ticket,
    pub(super) idle: Duration,
    /// Of the client that takes it.
    pub(super) pace: Pace,
}

impl Answering {
    /// The first bytes of the answer. A request that cannot be read, and a git that says nothing, are refused with a
    /// status of their own.
    pub(super) async fn first(&mut self) -> Result<(), Refused> {
        let mut buffer = BytesMut::with_capacity(PIECE);
        let Some(git) = &mut self.git else {
            return Ok(());
        };
        let fed = async {
            match &mut self.feeding {
                Some(feeding) => (&mut feeding.0).await,
                None => std::future::pending().await,
            }
        };
        let read = tokio::select! {
            // What is wrong with a request is told before git complains that it ended.
            biased;
            fed = fed => {
                match fed {
                    Ok(Ok(received)) => self.received = received,
                    Ok(Err(error)) => return Err(error.into()),
                    Err(error) => return Err(Refused::Git(error.to_string())),
                }
                self.feeding = None;
                git.stdout.read_buf(&mut buffer).await
            }
            read = git.stdout.read_buf(&mut buffer) => read,
        };
        read.map_err(|error| Refused::Git(error.to_string()))?;
        self.first = buffer.freeze();
        if self.first.is_empty()
            && let Some(git) = self.git.take()
            && let Some(problem) = git.end().await
        {
            return Err(Refused::Git(problem));
        }
        Ok(())
    }

    pub(super) fn respond(self, mut exchange: Exchange) -> Response<Out> {
        let (pieces, out) = mpsc::channel(PIECES);
        let mut response = Response::new(Out::Piped(out));
        response.headers_mut().extend(self.headers.clone());
        exchange.line.status = 200;
        tokio::spawn(self.pass_on(exchange, pieces));
        response
    }

    async fn pass_on(mut self, mut exchange: Exchange, pieces: mpsc::Sender<Bytes>) {
        let mut stage = exchange.shared.stage.clone();
        let passed = tokio::select! {
            passed = self.pass_all(&mut exchange.line, &pieces) => passed,
            () = over(&mut stage) => Err("the server ends".to_owned()),
        };
        drop(pieces);
        exchange.line.received = self.received;
        exchange.line.problem = match (passed, self.git.take()) {
            (Ok(()), Some(git)) => git.end().await,
            (Ok(()), None) => None,
            (Err(problem), _) => Some(problem),
        };
    }

    /// All that git says, and to the end of the request: who is answered while sending might never read the answer.
    async fn pass_all(
        &mut self,
        line: &mut Line,
        pieces: &mpsc::Sender<Bytes>,
    ) -> Result<(), String> {
        self.all(line, pieces).await?;
        if let Some(mut feeding) = self.feeding.take()
            && let Ok(Ok(Ok(received))) = timeout(self.idle, &mut feeding.0).await
        {
            self.received = received;
        }
        Ok(())
    }

    async fn all(&mut self, line: &mut Line, pieces: &mpsc::Sender<Bytes>) -> Result<(), String> {
        for piece in [&mut self.head, &mut self.first].map(std::mem::take) {
            self.pass(line, pieces, piece).await?;
        }
        loop {
            let Some(git) = &mut self.git else {
                return Ok(());
            };
            let mut buffer = BytesMut::with_capacity(PIECE);
            match git.stdout.read_buf(&mut buffer).await {
                Ok(0) => return Ok(()),
                Ok(_) => self.pass(line, pieces, buffer.freeze()).await?,
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    async fn pass(
        &mut self,
        line: &mut Line,
        pieces: &mpsc::Sender<Bytes>,
        piece: Bytes,
    ) -> Result<(), String> {
        if piece.is_empty() {
            return Ok(());
        }
        let length = piece.len() as u64;
        let asked = Instant::now();
        match timeout(self.pace.patience(), pieces.send(piece)).await {
            Ok(Ok(())) => line.sent += length,
            Ok(Err(_)) => return Err("the client went away".to_owned()),
            Err(_) => return Err(format!("the client took {}", self.pace.over())),
        }
        self.pace.waited(asked.elapsed());
        self.pace.moved(length);
        Ok(())
    }
}

/// Hands a request to git, piece by piece. How many bytes it had.
async fn feed(
    mut reader: Reader,
    looked_at: Bytes,
    mut stdin: pipe::Sender,
) -> Result<u64, BodyError> {
    let mut piece = Some(looked_at);
    while let Some(bytes) = piece {
        if stdin.write_all(&bytes).await.is_err() {
            forget(&mut reader).await?;
            break;
        }
        piece = reader.next().await?;
    }
    Ok(reader.read)
}

/// git had enough before the end, and says why. Who still sends does not read that.
async fn forget(reader: &mut Reader) -> Result<(), BodyError> {
    let most = reader.read.saturating_add(FORGOTTEN);
    while reader.read < most && reader.next().await?.is_some() {}
    Ok(())
}

/// Ends with what it feeds.
pub(super) struct Feeding(JoinHandle<Result<u64, BodyError>>);

impl Feeding {
    pub(super) fn start(reader: Reader, looked_at: Bytes, stdin: pipe::Sender) -> Self {
        Self(tokio::spawn(feed(reader, looked_at, stdin)))
    }
}

impl Drop for Feeding {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// When the door ends what still runs.
async fn over(stage: &mut watch::Receiver<Stage>) {
    // The door is gone: that is its end as well.
    let _ = stage.wait_for(|stage| *stage == Stage::Over).await;
}
