//! Whoever waits for an answer: can be told how far it is, and can go away.

use super::answer::Answer;
use gitmoor_jobs::runner::{Progress, ProgressSink};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// The other end of a connection, which has asked something.
#[derive(Debug)]
pub(crate) struct Asker<'a>(pub(super) &'a UnixStream);

impl Asker<'_> {
    /// Its user and process, as they were when it connected.
    pub(crate) fn credentials(&self) -> io::Result<(u32, u32)> {
        let peer = rustix::net::sockopt::socket_peercred(self.0)?;
        let pid = peer.pid.as_raw_nonzero().get().unsigned_abs();
        Ok((peer.uid.as_raw(), pid))
    }

    pub(super) fn answer(&self, answer: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(answer)?;
        text.push(b'\n');
        let mut stream = self.0;
        stream.write_all(&text)
    }
}

impl ProgressSink for Asker<'_> {
    fn report(&self, progress: &Progress) {
        // One who is gone is found to be.
        let _ = self.answer(&Answer::<()>::Progress(progress.clone()));
    }

    /// Both directions are closed: a script that only has nothing more to ask still waits.
    fn is_cancelled(&self) -> bool {
        let mut connection = [PollFd::new(self.0.as_fd(), PollFlags::empty())];
        let polled = poll(&mut connection, PollTimeout::ZERO);
        let seen = connection[0].revents().unwrap_or(PollFlags::empty());
        polled.is_ok() && seen.intersects(PollFlags::POLLHUP | PollFlags::POLLERR)
    }
}
