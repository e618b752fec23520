//! The data directory: its owner, and what earlier ones left.

use super::{Check, Finding, Fix, Patient};
use crate::admin::socket_path;
use crate::data_dir::{Lock, Owner};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// git writes no file for longer than this without touching it.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// How git calls what it has in the making, in a directory of objects.
const IN_THE_MAKING: [&str; 4] = ["tmp_", "incoming-", ".tmp-", "tmp-"];

/// Who owns it, and whether that can be asked.
pub(super) fn owner(patient: &Patient) -> Check {
    let name = "daemon";
    let owner = Lock::last_owner(&patient.dir);
    let (pid, killed) = match &owner {
        Some(owner) => (owner.pid.to_string(), owner.is_killed()),
        None => ("unknown".to_owned(), false),
    };
    match (&patient.daemon, patient.status()) {
        (None, _) => not_running(patient, owner),
        (Some(Err(_)), _) if killed => {
            let problem =
                format!("the daemon (pid {pid}) was killed, and a client holds it in the kernel");
            let mend = "gitmoor umount MOUNTPOINT ends both";
            Check::new(name, "", vec![Finding::new(problem, mend)])
        }
        (Some(Err(reason)), _) => {
            let log = patient.dir.log_file();
            let problem =
                format!("pid {pid} owns the data directory and does not answer: {reason}");
            let mend = format!("see {}; if it hangs, end it: kill {pid}", log.display());
            Check::new(name, "", vec![Finding::new(problem, mend)])
        }
        (Some(Ok(_)), Some(status)) => {
            let failure = status.pending.failure.as_ref().map(|failure| {
                let problem = format!(
                    "{} finished files are not stored: {failure}",
                    status.pending.files
                );
                Finding::new(
                    problem,
                    "mend what the message names; they go up by themselves then",
                )
            });
            Check::new(
                name,
                format!("runs, pid {pid}"),
                failure.into_iter().collect(),
            )
        }
        (Some(Ok(_)), None) => Check::new(
            name,
            format!("runs, pid {pid}, without a mount"),
            Vec::new(),
        ),
    }
}

fn not_running(patient: &Patient, owner: Option<Owner>) -> Check {
    let socket = socket_path(patient.dir.path());
    let stale = fs::symlink_metadata(&socket).is_ok().then(|| {
        let whose = owner.map_or(String::new(), |owner| format!(" (pid {})", owner.pid));
        let problem = format!(
            "{} is left of a daemon{whose} that ended without leaving",
            socket.display()
        );
        Finding::new(problem, "remove it, or mount: the next daemon replaces it")
            .with(Fix::Remove(socket))
    });
    Check::new("daemon", "does not run", stale.into_iter().collect())
}

/// What is in `repos/` and should not stay there.
pub(super) fn staging(patient: &Patient) -> io::Result<Check> {
    let mut findings = Vec::new();
    let repos = patient.dir.path().join("repos");
    for repo in entries(&repos)? {
        findings.extend(set_aside(&repo)?);
        findings.extend(left(&repo, patient.daemon.is_some())?);
    }
    Ok(Check::new("staging", "nothing is left behind", findings))
}

/// What was damaged before it was stored, and nobody has looked at.
fn set_aside(repo: &Path) -> io::Result<Option<Finding>> {
    let dir = repo.join("damaged");
    let files = entries(&dir)?.len();
    Ok((files > 0).then(|| {
        let problem = format!(
            "{files} files in {} were damaged before they were stored",
            dir.display()
        );
        Finding::new(
            problem,
            "push again whoever has the objects; then remove them",
        )
    }))
}

fn left(repo: &Path, is_served: bool) -> io::Result<Vec<Finding>> {
    let (mut finished, mut findings) = (0, Vec::new());
    let objects = repo.join("files/objects");
    for entry in entries(&objects)? {
        if is_in_the_making(&entry) {
            findings.extend(abandoned(entry)?);
            continue;
        }
        for file in entries(&entry)? {
            match is_in_the_making(&file) {
                true => findings.extend(abandoned(file)?),
                false => finished += 1,
            }
        }
    }
    // A daemon publishes them by itself, and says so when it cannot.
    if finished > 0 && !is_served {
        let problem = format!(
            "{finished} finished files in {} are not in the store yet",
            objects.display()
        );
        findings.push(Finding::new(problem, "mount: they go up by themselves"));
    }
    Ok(findings)
}

fn is_in_the_making(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    IN_THE_MAKING.iter().any(|begin| name.starts_with(begin))
}

fn abandoned(path: PathBuf) -> io::Result<Option<Finding>> {
    let Some(touched) = last_touched(&path)? else {
        return Ok(None);
    };
    let age = SystemTime::now()
        .duration_since(touched)
        .unwrap_or_default();
    Ok((age > ABANDONED).then(|| {
        let hours = age.as_secs() / 3600;
        let problem = format!(
            "{} is left of a git that ended {hours} hours ago",
            path.display()
        );
        let fix = match path.is_dir() {
            true => Fix::RemoveAll(path),
            false => Fix::Remove(path),
        };
        Finding::new(problem, "remove it").with(fix)
    }))
}

/// When it, or anything in it, was last written to; a push may take longer than a day. `None` if it is gone.
fn last_touched(path: &Path) -> io::Result<Option<SystemTime>> {
    let meta = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        meta => meta?,
    };
    let mut last = Some(meta.modified()?);
    if meta.is_dir() {
        for entry in entries(path)? {
            last = last.max(last_touched(&entry)?);
        }
    }
    Ok(last)
}

/// None of what is no directory, or not there.
fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}
