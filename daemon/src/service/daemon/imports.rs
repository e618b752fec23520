//! Imports, inside the daemon.

use super::repos::Repos;
use crate::admin::{Asker, Rejection};
use crate::command::import::ImportRequest;
use crate::config::RepoName;
use gitmoor_jobs::import::{How, ImportError, ImportStatus, Imported};

impl Repos<'_> {
    /// Brings a repository in, or goes on with that.
    pub(super) fn import(
        &self,
        request: ImportRequest,
        asker: &Asker<'_>,
    ) -> Result<Imported, Rejection> {
        self.check_online("import")?;
        let ImportRequest {
            name,
            source,
            verify,
            live,
        } = request;
        let how = How { verify, live };
        let imported = self.jobs.imports.import(&name.path(), &source, how, asker);
        imported.map_err(|error| refused(&name, &error))
    }

    pub(super) fn abandon_import(&self, name: &RepoName) -> Result<(), Rejection> {
        let abandoned = self.jobs.imports.abandon(&name.path());
        abandoned.map_err(|error| refused(name, &error))
    }

    /// How far they are.
    pub(super) fn imports(&self) -> Result<Vec<ImportStatus>, Rejection> {
        self.jobs.imports.list().map_err(Rejection::failed)
    }
}

fn refused(name: &RepoName, error: &ImportError) -> Rejection {
    Rejection::failed(format!("{name}: {error}"))
}
