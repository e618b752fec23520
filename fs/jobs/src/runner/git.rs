//! Runs stock git for long work. Its progress, which it shows to terminals only, is read from the other end of
//! one; and it ends when nobody wants it any more, or when it says nothing for too long.

use super::JobError;
use super::progress::{self, ProgressReporter};
use gitmoor_fs::program::{LINES, POLL, Program, ProgramError, SILENCE, Said, ended};
use nix::pty::openpty;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Instant;

/// `git STEP` on a repository of this daemon's own, which it may change.
pub(crate) fn own(dir: &Path, step: &[&str]) -> Program {
    Program::git(step).on(dir).writes(dir)
}

/// Runs a program that shows its progress.
pub(crate) fn run(program: Program, reporter: &ProgressReporter<'_>) -> Result<(), JobError> {
    let step = program.name().to_owned();
    let failed = |error| JobError::of(&step, error);
    let terminal = openpty(None, None).map_err(|error| failed(ProgramError::Run(error.into())))?;
    let program = program.stderr(Stdio::from(terminal.slave));
    // With the command goes this process's end of the terminal: from then on only git holds it.
    let mut started = program.start().map_err(|error| failed(error.into()))?;
    let lines = listen(File::from(terminal.master)).map_err(|error| failed(error.into()))?;
    let words = follow(&lines, reporter).map_err(failed)?;
    let status = started.wait(&|| reporter.is_over()).map_err(failed)?;
    match words {
        _ if status.success() => Ok(()),
        words if words.is_empty() => Err(JobError::Git {
            step,
            said: ended(status),
        }),
        words => Err(JobError::Git {
            step,
            said: format!("{} ({})", words.join("; "), ended(status)),
        }),
    }
}

/// Runs a program with this on its standard input; what it answers, however it ended.
pub(crate) fn ask(
    program: Program,
    input: &[u8],
    reporter: &ProgressReporter<'_>,
) -> Result<Said, JobError> {
    let step = program.name().to_owned();
    let said = program.ask(input, &|| reporter.is_over());
    said.map_err(|error| JobError::of(&step, error))
}

/// The same of a program that must succeed.
pub(crate) fn ask_ok(
    program: Program,
    input: &[u8],
    reporter: &ProgressReporter<'_>,
) -> Result<Said, JobError> {
    let step = program.name().to_owned();
    let said = ask(program, input, reporter)?;
    match said.status.success() {
        true => Ok(said),
        false => Err(JobError::Git {
            step,
            said: said.words(),
        }),
    }
}

impl JobError {
    /// Of a program that did not come to its end.
    pub(crate) fn of(step: &str, error: ProgramError) -> Self {
        match error {
            ProgramError::Interrupted => Self::Interrupted,
            other => Self::Git {
                step: step.to_owned(),
                said: other.to_string(),
            },
        }
    }
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
        .name("work-git".to_owned())
        .spawn(read)
        .map(|_| lines)
}

/// Passes progress on until git ends, or is to; its last words that were none.
fn follow(
    lines: &Receiver<String>,
    reporter: &ProgressReporter<'_>,
) -> Result<Vec<String>, ProgramError> {
    let mut words: Vec<String> = Vec::new();
    let mut heard = Instant::now();
    loop {
        match lines.recv_timeout(POLL) {
            Ok(line) => {
                heard = Instant::now();
                match progress::parse(&line) {
                    Some((phase, done, total)) => reporter
                        .report(phase, done, total)
                        .map_err(|_| ProgramError::Interrupted)?,
                    None => {
                        words.push(line.trim().to_owned());
                        words.drain(..words.len().saturating_sub(LINES));
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) if reporter.is_over() => {
                return Err(ProgramError::Interrupted);
            }
            Err(RecvTimeoutError::Timeout) if heard.elapsed() > SILENCE => {
                return Err(ProgramError::Silent);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(words),
        }
    }
}
