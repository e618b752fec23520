//! A bundle: one file, checked by a clone of it.

use super::super::progress::bar;
use super::refs::Refs;
use super::{ExportError, git};
use crate::cli::ExportArgs;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Makes it, checks it, and answers where it is and how large.
pub(super) fn make(
    source: &Path,
    refs: &Refs,
    work: &Path,
    args: &ExportArgs,
) -> Result<(PathBuf, u64), ExportError> {
    let making = bar("{spinner} {msg} {elapsed}", 0);
    making.set_message("bundling");
    let work = fs::canonicalize(work).map_err(ExportError::file(work))?;
    let (made, clone) = (work.join("made.bundle"), work.join("check.git"));
    let path = made.to_string_lossy();
    git::ask(source, &["bundle", "create", "--quiet", &path, "--all"])?;
    making.set_message("checking");
    git::init_like(source, &clone)?;
    let fetch = ["fetch", "--quiet", &path, "+refs/*:refs/*"];
    git::ask(&clone, &fetch)?;
    git::check(&clone, args.full)?;
    refs.check_values(&Refs::of(&clone)?, args.name.as_str())?;
    making.finish_and_clear();
    let file = File::open(&made).map_err(ExportError::file(&made))?;
    file.sync_all().map_err(ExportError::file(&made))?;
    let size = file.metadata().map_err(ExportError::file(&made))?.len();
    Ok((made.clone(), size))
}
