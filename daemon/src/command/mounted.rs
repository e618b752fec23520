//! Where a command finds a repository on the daemon's mount.

use super::status::Status;
use crate::config::RepoName;
use std::path::PathBuf;

/// It is not on this mount.
#[derive(Debug, thiserror::Error)]
#[error("{name} is not mounted here: {} is {what}", at.display())]
pub struct NotMounted {
    name: RepoName,
    at: PathBuf,
    what: String,
}

/// The directory of a repository.
pub(super) fn dir(status: &Status, name: &RepoName) -> Result<PathBuf, NotMounted> {
    let not_here = |at: &PathBuf, what: &str| NotMounted {
        name: name.clone(),
        at: at.clone(),
        what: what.to_owned(),
    };
    let Some(mount) = status.mounts.first() else {
        return Err(not_here(
            &status.data,
            "the data directory of a node without a mount",
        ));
    };
    let at = &mount.mountpoint;
    let dir = match &mount.repo {
        None => at.join(name.as_str()),
        Some(only) if only == name.as_str() => at.clone(),
        Some(only) if name.as_str().starts_with(&format!("{only}/")) => {
            at.join(&name.as_str()[only.len() + 1..])
        }
        Some(only) => return Err(not_here(at, &format!("a mount of {only} alone"))),
    };
    match dir.join("objects").is_dir() {
        true => Ok(dir),
        false => Err(not_here(
            at,
            "a mount without it; gitmoor repo list shows what is there",
        )),
    }
}
