//! Stock git, for an export: no setting of the user has a say, and objects are taken as they are stored.

use super::ExportError;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Lines of git's that an error quotes.
const LINES: usize = 8;

/// `git STEP` in a repository.
pub(super) fn command(dir: &Path, step: &[&str]) -> Command {
    let mut git = gitmoor_fs::git::isolated();
    git.env("GIT_NO_REPLACE_OBJECTS", "1")
        .arg("--git-dir")
        .arg(dir)
        .args(step);
    git
}

/// The standard output of a command that succeeds.
pub(super) fn ask(dir: &Path, step: &[&str]) -> Result<String, ExportError> {
    let output = run(command(dir, step), step)?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(failed(step, &output)),
    }
}

/// The same of a command whose exit code is an answer: `None` for 1.
pub(super) fn ask_whether(dir: &Path, step: &[&str]) -> Result<Option<String>, ExportError> {
    let output = run(command(dir, step), step)?;
    match output.status.code() {
        Some(0) => Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned())),
        Some(1) => Ok(None),
        _ => Err(failed(step, &output)),
    }
}

/// An empty bare repository of the object format that another has.
pub(super) fn init_like(other: &Path, dir: &Path) -> Result<(), ExportError> {
    let format = ask(other, &["rev-parse", "--show-object-format"])?;
    let format = format!("--object-format={}", format.trim());
    let init = ["init", "--bare", "--quiet", "--template=", &format];
    ask(dir, &init).map(drop)
}

fn run(mut command: Command, step: &[&str]) -> Result<Output, ExportError> {
    let output = command.stdin(Stdio::null()).output();
    output.map_err(|error| ExportError::Git {
        command: step.first().copied().unwrap_or_default().to_owned(),
        said: error.to_string(),
    })
}

fn failed(step: &[&str], output: &Output) -> ExportError {
    // fsck tells what it finds on its standard output.
    let said = [&output.stderr[..], &output.stdout].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let lines: Vec<_> = said.lines().take(LINES).collect();
    let said = match lines.is_empty() {
        true => format!("{}; gitmoor status and the log say more", output.status),
        false => lines.join("; "),
    };
    // The command, after settings that may stand before it.
    let command = step
        .iter()
        .find(|word| !word.starts_with('-') && !word.contains('='));
    ExportError::Git {
        command: command.copied().unwrap_or_default().to_owned(),
        said,
    }
}

/// Whatever refs reach is there, and with `full` every object is what its name says.
pub(super) fn check(dir: &Path, full: bool) -> Result<(), ExportError> {
    let how = if full {
        "--full"
    } else {
        "--connectivity-only"
    };
    ask(dir, &["fsck", how, "--no-dangling", "--no-progress"]).map(drop)
}

/// A file that is durable when this returns.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    let write = || {
        let mut file = std::fs::File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(ExportError::file(path))
}
