//! Serves the admin socket: one thread accepts, one thread per connection answers
//! its requests in order. Few and short connections are expected, and a request
//! may block on S3 or on our own mount, so threads are the simple and safe choice.
//! They hold the daemon weakly: an idle connection must not keep its database open.

use super::answer::{Answer, LINE_LIMIT, Rejection};
use super::answering::Answering;
use super::asker::Asker;
use super::socket;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

pub(crate) trait Answers: Send + Sync + 'static {
    /// What can be asked.
    type Request: DeserializeOwned;
    /// What is answered when all is well.
    type Reply: Serialize;

    /// Does what is asked.
    fn answer(&self, request: Self::Request, asker: &Asker<'_>) -> Answer<Self::Reply>;

    /// Answers that are not written yet.
    fn answering(&self) -> &Answering;
}

/// A served socket. Dropping it removes the name; connections in flight go on.
#[derive(Debug)]
pub(crate) struct Server {
    data: PathBuf,
    listener: Arc<UnixListener>,
}

impl Server {
    /// Makes the socket of this data directory, which the caller owns. Whoever
    /// connects from now on is answered once [`Server::start`] is called, so that a
    /// mount that can be seen has a daemon that can be found.
    pub(crate) fn bind(data: &Path) -> io::Result<Self> {
        let listener = Arc::new(socket::bind(data)?);
        let data = data.to_owned();
        Ok(Self { data, listener })
    }

    pub(crate) fn start(&self, daemon: Weak<impl Answers>) -> io::Result<()> {
        let listener = Arc::clone(&self.listener);
        std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || accept(&listener, &daemon))
            .map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        socket::unlink(&self.data);
    }
}

fn accept(listener: &UnixListener, daemon: &Weak<impl Answers>) {
    for stream in listener.incoming() {
        let daemon = Weak::clone(daemon);
        let spawned = stream.and_then(|stream| {
            std::thread::Builder::new()
                .name("admin-conn".to_owned())
                .spawn(move || converse(stream, &daemon))
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "an admin connection was not served");
            // Out of descriptors or threads: without a pause this loop would spin.
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

fn converse(stream: UnixStream, daemon: &Weak<impl Answers>) {
    if let Err(error) = answer_all(&stream, daemon) {
        tracing::debug!(%error, "an admin connection ended early");
    }
}

fn answer_all(stream: &UnixStream, daemon: &Weak<impl Answers>) -> io::Result<()> {
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        (&mut lines).take(LINE_LIMIT).read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return Ok(());
        }
        let Some(daemon) = daemon.upgrade() else {
            return Ok(());
        };
        answer_one(&line, stream, &*daemon)?;
    }
}

/// Holds the daemon's life until the answer is written: an umount is answered by
/// a process that is about to end.
fn answer_one<A: Answers>(line: &[u8], stream: &UnixStream, daemon: &A) -> io::Result<()> {
    let _answering = daemon.answering().begin();
    let asker = Asker(stream);
    let answer = match serde_json::from_slice::<A::Request>(line) {
        Ok(request) => daemon.answer(request, &asker),
        Err(error) => Answer::Error(Rejection::usage(format!("not a request: {error}"))),
    };
    asker.answer(&answer)
}
