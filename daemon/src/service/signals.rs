//! Signals: the first asks the daemon to leave in order, the second ends it at once.

use super::daemon::Event;
use crate::mount_point;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for the rest of the process. Hanging up counts too: a daemon in the
/// foreground of a terminal that closes must publish and unmount.
pub(super) fn listen(events: Sender<Event>, mountpoint: Option<PathBuf>) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        let name = first(&mut interrupt, &mut terminate, &mut hangup).await;
        // The receiver is gone only when the process is about to be.
        let _ = events.send(Event::Signal(name));
        let name = first(&mut interrupt, &mut terminate, &mut hangup).await;
        leave_at_once(name, mountpoint);
    });
    Ok(())
}

async fn first(
    interrupt: &mut Signal,
    terminate: &mut Signal,
    hangup: &mut Signal,
) -> &'static str {
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
        _ = hangup.recv() => "SIGHUP",
    }
}

/// Nothing is lost: what is finished stands in the staging journal. The mount is
/// taken out of the tree so that no dead one stays behind; trying that must not
/// hold us up, so it gets a thread and a moment.
fn leave_at_once(name: &'static str, mountpoint: Option<PathBuf>) -> ! {
    tracing::warn!(
        signal = name,
        "second signal: leaving at once, without publishing"
    );
    let Some(mountpoint) = mountpoint else {
        std::process::exit(1);
    };
    let detaching = std::thread::spawn(move || mount_point::detach(&mountpoint));
    for _ in 0..10 {
        if detaching.is_finished() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    std::process::exit(1)
}
