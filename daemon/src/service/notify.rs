//! Tells a service manager how we are: sd_notify(3), for units of `Type=notify`. Where there is
//! none nothing is told.

use sd_notify::NotifyState;
use std::io;

/// The mount, or the node, answers.
pub(super) fn ready(status: &str) -> io::Result<()> {
    tell(&[NotifyState::Ready, NotifyState::Status(status)])
}

/// What we are doing. Who does not hear it loses nothing.
pub(super) fn status(status: &str) {
    let _ = tell(&[NotifyState::Status(status)]);
}

/// We leave, and do this meanwhile.
pub(super) fn stopping(status: &str) {
    let _ = tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

fn tell(state: &[NotifyState<'_>]) -> io::Result<()> {
    match std::env::var_os("NOTIFY_SOCKET") {
        Some(socket) if !socket.is_empty() => sd_notify::notify(state),
        _ => Ok(()),
    }
}
