//! Runs stock git in the view. Its progress, which it shows to terminals only, is read from the other end of
//! one. Nothing of the user's or the system's configuration has a say, and it ends when nobody wants it any more.

use super::MaintenanceError;
use super::progress::{self, Teller};
use nix::pty::openpty;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs::File;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// How often it is looked whether anybody still wants it.
const POLL: Duration = Duration::from_millis(100);

/// Last lines of git's that an error quotes.
const WORDS: usize = 5;

/// Runs `git STEP` in a repository.
pub(super) fn run(dir: &Path, step: &[&str], teller: &Teller<'_>) -> Result<(), MaintenanceError> {
    let said = |said: String| MaintenanceError::Git {
        step: format!("git {}", step.first().copied().unwrap_or_default()),
        said,
    };
    let broken = |error: &dyn std::fmt::Display| said(format!("cannot be run: {error}"));
    let terminal = openpty(None, None).map_err(|error| broken(&error))?;
    let mut command = command(dir, step);
    command.stderr(Stdio::from(terminal.slave));
    let mut child = command.spawn().map_err(|error| broken(&error))?;
    // With it goes this process's end of the terminal: from then on only git holds it.
    drop(command);
    let lines = listen(File::from(terminal.master)).map_err(|error| broken(&error))?;
    let words = follow(&mut child, &lines, teller);
    let status = child.wait().map_err(|error| broken(&error))?;
    match words? {
        _ if status.success() => Ok(()),
        words if words.is_empty() => Err(said(ended(status))),
        words => Err(said(format!("{} ({})", words.join("; "), ended(status)))),
    }
}

fn command(dir: &Path, step: &[&str]) -> Command {
    let mut git = crate::git::command();
    git.env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_DIR", dir)
        .env("LC_ALL", "C")
        .current_dir(dir)
        .args(step)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // All of what it starts is killed with it.
        .process_group(0);
    git
}

/// Lines, and what progress writes over and over, as they come; ends when git has.
fn listen(mut terminal: File) -> std::io::Result<Receiver<String>> {
    let (sender, lines) = mpsc::channel();
    let read = move || {
        let (mut line, mut buffer) = (Vec::new(), [0; 4096]);
        // A terminal that nobody holds is an error to read.
        while let Ok(read @ 1..) = terminal.read(&mut buffer) {
            for &byte in &buffer[..read] {
                match byte {
                    b'\r' | b'\n' if line.is_empty() => {}
                    b'\r' | b'\n' => {
                        let text = String::from_utf8_lossy(&line).into_owned();
                        line.clear();
                        if sender.send(text).is_err() {
                            return;
                        }
                    }
                    byte => line.push(byte),
                }
            }
        }
    };
    std::thread::Builder::new()
        .name("maintenance-git".to_owned())
        .spawn(read)
        .map(|_| lines)
}

/// Passes progress on until git ends, or is to; its last words that were none.
fn follow(
    child: &mut Child,
    lines: &Receiver<String>,
    teller: &Teller<'_>,
) -> Result<Vec<String>, MaintenanceError> {
    let mut words: Vec<String> = Vec::new();
    loop {
        let told = match lines.recv_timeout(POLL) {
            Ok(line) => match progress::parse(&line) {
                Some((phase, done, total)) => teller.tell(phase, done, total),
                None => {
                    words.push(line.trim().to_owned());
                    words.drain(..words.len().saturating_sub(WORDS));
                    Ok(())
                }
            },
            Err(RecvTimeoutError::Timeout) if !teller.is_over() => Ok(()),
            Err(RecvTimeoutError::Timeout) => Err(MaintenanceError::Interrupted),
            Err(RecvTimeoutError::Disconnected) => return Ok(words),
        };
        if told.is_err() {
            kill(child);
        }
        told?;
    }
}

fn kill(child: &Child) {
    let group = i32::try_from(child.id()).map(Pid::from_raw);
    // It may have ended by itself.
    let _ = group.map(|group| killpg(group, Signal::SIGKILL));
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        // What a failed read through a map is.
        (None, Some(libc::SIGBUS)) => "killed by SIGBUS: a read of the mount failed".to_owned(),
        (None, signal) => format!("killed by signal {}", signal.unwrap_or_default()),
    }
}
