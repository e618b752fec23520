//! Asks the daemon of a data directory.

use super::answer::{Answer, LINE_LIMIT, Rejection};
use super::socket;
use crate::data_dir::DataDir;
use gitmoor_jobs::runner::Progress;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The daemon cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error(
        "no daemon is running for data directory {}; start one with: gitmoor {} (or name another \
         directory with --data or GITMOOR_DATA)",
        data.display(), start(data)
    )]
    NotRunning { data: PathBuf },
    /// It belongs to somebody else.
    #[error("the daemon of {} belongs to another user: {source}", data.display())]
    Denied {
        data: PathBuf,
        /// The kernel's word.
        source: io::Error,
    },
    /// It died or hangs.
    #[error("the daemon of {} does not answer: {source}", data.display())]
    Silent { data: PathBuf, source: io::Error },
    /// It speaks another protocol.
    #[error(
        "the daemon of {} says what this gitmoor does not understand ({reason}); is it another \
         version?", data.display()
    )]
    Misunderstood { data: PathBuf, reason: String },
}

/// What is asked: one line of JSON.
pub(crate) trait Asked: Serialize {
    /// What is answered when all is well.
    type Reply: DeserializeOwned;

    /// How long an answer may take.
    fn timeout(&self) -> Duration;
}

/// A connection to the daemon.
pub(crate) struct Client {
    data: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects, or says that there is no daemon.
    pub(crate) fn connect(dir: &DataDir) -> Result<Self, AdminError> {
        let data = dir.path().to_owned();
        match socket::connect(&data) {
            Ok(stream) => Ok(Self {
                data,
                stream: BufReader::new(stream),
            }),
            Err(source) => Err(match source.kind() {
                io::ErrorKind::PermissionDenied => AdminError::Denied { data, source },
                _ => AdminError::NotRunning { data },
            }),
        }
    }

    /// Asks, and waits for the answer. The outer error is the connection's, the
    /// inner one the daemon's.
    pub(crate) fn ask<Q: Asked>(
        &mut self,
        request: &Q,
    ) -> Result<Result<Q::Reply, Rejection>, AdminError> {
        self.ask_watching(request, &mut |_| {})
    }

    /// The same, told how far it is where that takes long.
    pub(crate) fn ask_watching<Q: Asked>(
        &mut self,
        request: &Q,
        watch: &mut dyn FnMut(&Progress),
    ) -> Result<Result<Q::Reply, Rejection>, AdminError> {
        let silent = |data: &Path, source| AdminError::Silent {
            data: data.to_owned(),
            source,
        };
        self.send(request)
            .map_err(|source| silent(&self.data, source))?;
        loop {
            let line = self.receive();
            let line = line.map_err(|source| silent(&self.data, source))?;
            match serde_json::from_slice(&line) {
                Ok(Answer::Ok(reply)) => return Ok(Ok(reply)),
                Ok(Answer::Error(rejection)) => return Ok(Err(rejection)),
                Ok(Answer::Progress(progress)) => watch(&progress),
                Err(error) => return Err(self.misunderstood(error)),
            }
        }
    }

    /// The error for a reply that does not belong to the request.
    pub(crate) fn misunderstood(&self, reason: impl ToString) -> AdminError {
        AdminError::Misunderstood {
            data: self.data.clone(),
            reason: reason.to_string(),
        }
    }

    fn send(&mut self, request: &impl Asked) -> io::Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let socket = self.stream.get_mut();
        socket.set_read_timeout(Some(request.timeout()))?;
        socket.write_all(&line)
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut answer = Vec::new();
        (&mut self.stream)
            .take(LINE_LIMIT)
            .read_until(b'\n', &mut answer)?;
        if answer.ends_with(b"\n") {
            Ok(answer)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

fn start(data: &Path) -> String {
    format!("mount --data {} MOUNTPOINT", data.display())
}
