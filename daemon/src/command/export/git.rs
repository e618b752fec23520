//! Stock git, for an export: no setting of anybody's has a say, and objects are taken as they are stored.

use super::ExportError;
use gitmoor_fs::program::{Program, ProgramError, ReadView, Said};
use std::io::Write;
use std::path::Path;

/// Lines of git's findings that an error quotes.
const LINES: usize = 8;

/// `git STEP` on what was made, which is this command's own.
pub(super) fn own(dir: &Path, step: &[&str]) -> Program {
    Program::git(step).on(dir).writes(dir)
}

/// The standard output of a command that succeeds.
pub(super) fn ask(git: Program) -> Result<String, ExportError> {
    let command = git.name().to_owned();
    let said = git.ask(b"", &|| false);
    let said = said.map_err(|error| broken(&command, &error))?;
    match said.status.success() {
        true => Ok(text(&said)),
        false => Err(failed(command, &said)),
    }
}

/// The same of a command whose exit code is an answer: `None` for 1.
pub(super) fn ask_whether(git: Program) -> Result<Option<String>, ExportError> {
    let command = git.name().to_owned();
    let said = git.ask(b"", &|| false);
    let said = said.map_err(|error| broken(&command, &error))?;
    match said.status.code() {
        Some(0) => Ok(Some(text(&said))),
        Some(1) => Ok(None),
        _ => Err(failed(command, &said)),
    }
}

fn text(said: &Said) -> String {
    String::from_utf8_lossy(&said.stdout).into_owned()
}

/// An empty bare repository of the object format that another has.
pub(super) fn init_like(other: &ReadView, dir: &Path) -> Result<(), ExportError> {
    std::fs::create_dir(dir).map_err(ExportError::file(dir))?;
    let format = format!("--object-format={}", other.object_format().name());
    let init = ["init", "--bare", "--quiet", "--template=", &format];
    ask(own(dir, &init)).map(drop)
}

pub(super) fn broken(command: &str, error: &ProgramError) -> ExportError {
    ExportError::Git {
        command: command.to_owned(),
        said: error.to_string(),
    }
}

fn failed(command: String, said: &Said) -> ExportError {
    // fsck tells what it finds on its standard output.
    let lines = String::from_utf8_lossy(&said.stdout).into_owned();
    let lines: Vec<_> = lines.lines().take(LINES).map(str::to_owned).collect();
    let said = match lines.is_empty() {
        true => said.words(),
        false => format!("{}; {}", said.words(), lines.join("; ")),
    };
    let said = format!("{said}; gitmoor status and the log say more");
    ExportError::Git { command, said }
}

/// Whatever refs reach is there, and with `full` every object is what its name says.
pub(super) fn check(dir: &Path, full: bool) -> Result<(), ExportError> {
    let how = if full {
        "--full"
    } else {
        "--connectivity-only"
    };
    ask(own(dir, &["fsck", how, "--no-dangling", "--no-progress"])).map(drop)
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
