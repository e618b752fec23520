//! A bundle: one file, checked by a clone of it.

use super::super::progress::bar;
use super::ExportArgs;
use super::refs::Refs;
use super::{ExportError, git};
use gitmoor_fs::program::ReadView;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Makes it, checks it, and answers where it is and how large.
pub(super) fn make(
    source: &ReadView,
    refs: &Refs,
    work: &Path,
    args: &ExportArgs,
) -> Result<(PathBuf, u64), ExportError> {
    let making = bar("{spinner} {msg} {elapsed}", 0);
    making.set_message("bundling");
    let work = fs::canonicalize(work).map_err(ExportError::file(work))?;
    let (made, clone) = (work.join("made.bundle"), work.join("check.git"));
    let path = made.to_string_lossy();
    create(source, &made)?;
    making.set_message("checking");
    git::init_like(source, &clone)?;
    let fetch = git::own(&clone, &["fetch", "--quiet", &path, "+refs/*:refs/*"]);
    git::ask(fetch.reads(&made).env("GIT_ALLOW_PROTOCOL", "file"))?;
    git::check(&clone, args.full)?;
    refs.check_values(
        &Refs::of(&|step| git::own(&clone, step))?,
        args.name.as_str(),
    )?;
    making.finish_and_clear();
    let file = File::open(&made).map_err(ExportError::file(&made))?;
    file.sync_all().map_err(ExportError::file(&made))?;
    let size = file.metadata().map_err(ExportError::file(&made))?.len();
    Ok((made.clone(), size))
}

/// git, which may be another user, writes it to its standard output.
fn create(source: &ReadView, made: &Path) -> Result<(), ExportError> {
    let bundle = source.git(&["bundle", "create", "--quiet", "-", "--all"]);
    let command = bundle.name().to_owned();
    let mut file = File::create_new(made).map_err(ExportError::file(made))?;
    let written = bundle.converse(b"", &|| false, |output| std::io::copy(output, &mut file));
    let (_, ended) = written.map_err(|error| git::broken(&command, &error))?;
    match ended.status.success() {
        true => Ok(()),
        false => Err(ExportError::Git {
            command,
            said: ended.words(),
        }),
    }
}
