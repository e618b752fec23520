//! `gitmoor mount` without `--foreground`: the command starts itself once more in a
//! session of its own and returns when that daemon's mount answers, or fails with
//! its message and exit code.
//!
//! The daemon's standard output is a pipe to the command, on which it reports
//! once, one JSON line; its standard error is the log file. It knows its part by
//! the name it is called, `argv[0]`: flags would have to be found a place among the
//! user's, and an environment variable would be inherited further down.

use super::notify;
use crate::data_dir::{DataDir, DataDirError};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// What `ps` shows of the daemon.
const CALLED: &str = "gitmoor-daemon";
/// Starting replays logs and may wait for a store; somebody watches the terminal.
const PROGRESS: Duration = Duration::from_secs(10);

/// The daemon in the background did not come up.
#[derive(Debug, thiserror::Error)]
pub enum BackgroundError {
    /// It could not be started.
    #[error("starting the daemon: {0}")]
    Spawn(#[from] io::Error),
    /// It said why it cannot.
    #[error("{message}")]
    Reported {
        /// Its words.
        message: String,
        code: u8,
    },
    /// It ended without a word.
    #[error("the daemon ended ({status}) before its mount answered; see {}", log.display())]
    Died {
        status: ExitStatus,
        /// Where it may have said why.
        log: PathBuf,
    },
    /// The log cannot be opened.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
}

impl BackgroundError {
    /// The exit code of the daemon is that of the command.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Reported { code, .. } => *code,
            Self::DataDir(error) => 1 + u8::from(error.is_usage()),
            Self::Spawn(_) | Self::Died { .. } => 1,
        }
    }
}

/// What the daemon reports to the command that started it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StartReport {
    Ready,
    Failed { message: String, code: u8 },
}

/// Starts the daemon and waits until it reports.
pub(crate) fn start_in_background(dir: &DataDir) -> Result<(), BackgroundError> {
    let mut child = spawn(dir.prepare()?)?;
    let pipe = child
        .stdout
        .take()
        .expect("standard output was asked to be a pipe");
    match wait_for_report(pipe, dir)? {
        Some(StartReport::Ready) => Ok(()),
        Some(StartReport::Failed { message, code }) => {
            Err(BackgroundError::Reported { message, code })
        }
        None => Err(BackgroundError::Died {
            status: child.wait()?,
            log: dir.log_file(),
        }),
    }
}

fn spawn(log: File) -> io::Result<Child> {
    // The link survives that the binary is replaced or removed while it runs.
    gitmoor_fs::program::of_the_system("/proc/self/exe")
        .arg0(CALLED)
        .args(std::env::args_os().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
}

/// `None` when the daemon ended without a report.
fn wait_for_report(pipe: ChildStdout, dir: &DataDir) -> io::Result<Option<StartReport>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(pipe).read_line(&mut line);
        // Nobody listens any more only when this process is ending.
        let _ = sender.send(read.map(|_| line));
    });
    loop {
        match receiver.recv_timeout(PROGRESS) {
            Ok(line) => return Ok(serde_json::from_str(&line?).ok()),
            Err(RecvTimeoutError::Timeout) => {
                eprintln!("gitmoor: still starting; see {}", dir.log_file().display());
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
    }
}

/// Where a daemon announces that its mount answers.
#[derive(Debug)]
pub(crate) enum Readiness {
    /// Nobody waits but, perhaps, a service manager.
    Foreground,
    /// The command that started it waits at our standard output.
    Background,
}

impl Readiness {
    /// Whether this process was started by [`start_in_background`]; if so, it now
    /// leaves its session, terminal and working directory.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        if std::env::args_os().next().is_none_or(|name| name != CALLED) {
            return Ok(Self::Foreground);
        }
        nix::unistd::setsid()?;
        Ok(Self::Background)
    }

    /// Reports that the mount answers. Fails when nobody is there any more to hear it.
    pub(crate) fn announce(&self, status: &str) -> io::Result<()> {
        match self {
            Self::Foreground => notify::ready(status),
            Self::Background => report(&StartReport::Ready),
        }
    }

    /// Reports a failure, if it comes before the mount answered.
    pub(crate) fn announce_failure(&self, message: String, code: u8) {
        match self {
            Self::Foreground => {}
            Self::Background => {
                // If the command is gone, the log has the message too.
                let _ = report(&StartReport::Failed { message, code });
            }
        }
    }
}

/// Reports once: afterwards standard output leads nowhere, and the command's end
/// of the pipe is free to close.
fn report(report: &StartReport) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    let mut stdout = io::stdout();
    stdout.write_all(&line)?;
    stdout.flush()?;
    let nowhere = File::options().write(true).open("/dev/null")?;
    nix::unistd::dup2_stdout(&nowhere)?;
    Ok(())
}
