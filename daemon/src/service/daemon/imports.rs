//! Imports, inside the daemon.

use super::check_online;
use crate::admin::{Asker, Rejection};
use crate::command::import::ImportRequest;
use crate::config::RepoName;
use gitmoor_fs::FileSystem;
use gitmoor_jobs::Jobs;
use gitmoor_jobs::import::{How, ImportError, ImportStatus, Imported};

/// Brings a repository in, or goes on with that.
pub(super) fn import(
    fs: &FileSystem,
    jobs: &Jobs,
    request: ImportRequest,
    asker: &Asker<'_>,
) -> Result<Imported, Rejection> {
    check_online(fs, "import")?;
    let ImportRequest {
        name,
        source,
        verify,
        live,
    } = request;
    let how = How { verify, live };
    let imported = jobs.imports.import(&name.path(), &source, how, asker);
    imported.map_err(|error| refused(&name, &error))
}

pub(super) fn abandon(jobs: &Jobs, name: &RepoName) -> Result<(), Rejection> {
    let abandoned = jobs.imports.abandon(&name.path());
    abandoned.map_err(|error| refused(name, &error))
}

/// How far they are.
pub(super) fn list(jobs: &Jobs) -> Result<Vec<ImportStatus>, Rejection> {
    jobs.imports.list().map_err(Rejection::failed)
}

fn refused(name: &RepoName, error: &ImportError) -> Rejection {
    Rejection::failed(format!("{name}: {error}"))
}
