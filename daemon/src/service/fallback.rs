//! `gitmoor mount --fallback DIR`: whatever is below DIR is taken over. First all of it is served, which takes no
//! longer than reading refs; then it is imported, one repository after the other.

use super::{ServiceError, starting};
use crate::config::RepoName;
use crate::import_tree::{Named, named};
use gitmoor_jobs::Jobs;
use gitmoor_jobs::import::{How, ImportError, Source};
use gitmoor_jobs::runner::NoProgress;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Starts the thread that does it. It ends with the mount, and the next one goes on.
pub(super) fn start(jobs: &Arc<Jobs>, dir: &Path) -> Result<(), ServiceError> {
    let (jobs, dir) = (jobs.clone(), dir.to_owned());
    std::thread::Builder::new()
        .name("fallback".to_owned())
        .spawn(move || run(&jobs, &dir))
        .map(drop)
        .map_err(starting("a thread"))
}

fn run(jobs: &Jobs, dir: &Path) {
    let Named {
        repositories,
        failures,
    } = named(dir, "");
    for reason in failures {
        tracing::warn!(reason, "not taken over");
    }
    let imports = &jobs.imports;
    let take_over =
        |name: &RepoName, source: &Source| imports.take_over(&name.path(), source, &NoProgress);
    let import = |name: &RepoName, source: &Source| {
        let imported = imports.import(&name.path(), source, How::default(), &NoProgress);
        imported.map(drop)
    };
    let taken = each(&repositories, take_over);
    if let Ok(()) = taken.and_then(|()| each(&repositories, import)) {
        tracing::info!(dir = %dir.display(), repositories = repositories.len(), "nothing is left to take over");
    }
}

/// One that fails does not keep the others waiting; an error when all is to end.
fn each(
    repositories: &BTreeMap<RepoName, PathBuf>,
    step: impl Fn(&RepoName, &Source) -> Result<(), ImportError>,
) -> Result<(), ()> {
    for (name, path) in repositories {
        match step(name, &Source::Disk(path.clone())) {
            Ok(()) => {}
            Err(ImportError::Interrupted) => return Err(()),
            Err(error) => {
                tracing::warn!(%name, source = %path.display(), %error, "not taken over, or not to its end; gitmoor import --live does it when that is mended");
            }
        }
    }
    Ok(())
}
