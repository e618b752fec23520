//! A plain bare repository: the object files as they are, refs in `packed-refs`.

use super::super::progress::bar;
use super::refs::Refs;
use super::{ExportError, git};
use crate::cli::ExportArgs;
use gitmoor_fs::program::ReadView;
use indicatif::ProgressBar;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How often object files are listed that go away while they are copied.
const PASSES: u32 = 5;

/// Makes it, checks it, and answers where it is and how large its objects are.
pub(super) fn make(
    source: &ReadView,
    refs: &Refs,
    work: &Path,
    args: &ExportArgs,
) -> Result<(PathBuf, u64), ExportError> {
    let made = work.join("made.git");
    git::init_like(source, &made)?;
    let bytes = copy_objects(&source.objects()[0], &made.join("objects"))?;
    refs.write(&made)?;
    borrow_no_more(source, &made)?;
    let checking = bar("{spinner} checking {elapsed}", 0);
    git::check(&made, args.full)?;
    checking.finish_and_clear();
    refs.check(
        &Refs::of(&|step| git::own(&made, step))?,
        args.name.as_str(),
    )?;
    Ok((made, bytes))
}

/// What is repacked meanwhile has other files then.
fn copy_objects(from: &Path, to: &Path) -> Result<u64, ExportError> {
    let bar = bar(
        "{spinner} {bytes}/{total_bytes} [{wide_bar}] {bytes_per_sec} {eta}",
        0,
    );
    for _ in 0..PASSES {
        let mut files = Vec::new();
        list(from, Path::new(""), &mut files)?;
        bar.set_length(files.iter().map(|(_, size)| size).sum());
        bar.set_position(0);
        if let Some(bytes) = copy_all(from, to, &files, &bar)? {
            bar.finish_and_clear();
            return Ok(bytes);
        }
    }
    Err(ExportError::Moving)
}

/// `None` when one of them is gone.
fn copy_all(
    from: &Path,
    to: &Path,
    files: &[(PathBuf, u64)],
    bar: &ProgressBar,
) -> Result<Option<u64>, ExportError> {
    for (path, size) in files {
        let (from, to) = (from.join(path), to.join(path));
        match copy(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            copied => copied.map_err(ExportError::file(&from))?,
        }
        bar.inc(*size);
    }
    Ok(Some(files.iter().map(|(_, size)| size).sum()))
}

/// One that was copied before stays: finished object files never change, and what may be rewritten, of packs that are gone
/// perhaps, is read anew.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let is_of_one_pack = to
        .extension()
        .is_some_and(|ext| ext == "pack" || ext == "idx");
    if is_of_one_pack && to.exists() {
        return Ok(());
    }
    let mut source = File::open(from)?;
    fs::create_dir_all(to.parent().unwrap_or(Path::new("/")))?;
    // What was cut off must not pass for whole the next time.
    let unfinished = to.with_extension("tmp");
    let mut copy = File::create(&unfinished)?;
    io::copy(&mut source, &mut copy)?;
    copy.set_permissions(source.metadata()?.permissions())?;
    copy.sync_all()?;
    fs::rename(unfinished, to)
}

/// All object files but those in the making, relative to the directory; packs last, since that is where loose objects go.
fn list(dir: &Path, within: &Path, files: &mut Vec<(PathBuf, u64)>) -> Result<(), ExportError> {
    let at = dir.join(within);
    let entries = fs::read_dir(&at).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(ExportError::file(&at))?;
    entries.sort_by_key(|entry| (entry.file_name() == "pack", entry.file_name()));
    for entry in entries {
        let path = within.join(entry.file_name());
        let meta = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            meta => meta.map_err(ExportError::file(&at))?,
        };
        let name = entry.file_name();
        let is_temporary = [&b"tmp_"[..], b"incoming-", b"."];
        let is_temporary = is_temporary
            .iter()
            .any(|prefix| name.as_encoded_bytes().starts_with(prefix));
        if is_temporary || path == Path::new("info/alternates") {
            continue;
        }
        match meta.is_dir() {
            true => list(dir, &path, files)?,
            false => files.push((path, meta.len())),
        }
    }
    Ok(())
}

/// What the repository borrows comes along, as far as its refs reach it.
fn borrow_no_more(source: &ReadView, made: &Path) -> Result<(), ExportError> {
    let lenders = &source.objects()[1..];
    if lenders.is_empty() {
        return Ok(());
    }
    let own = made.join("objects/info/alternates");
    fs::create_dir_all(made.join("objects/info")).map_err(ExportError::file(&own))?;
    let lines = lenders.iter().map(|dir| dir.as_os_str().as_bytes());
    let lines: Vec<_> = lines.flat_map(|dir| [dir, b"\n"].concat()).collect();
    git::write(&own, &lines)?;
    let repack = git::own(made, &["repack", "-a", "-d", "-k", "--quiet"]);
    let repack = lenders.iter().fold(repack, |repack, dir| repack.reads(dir));
    git::ask(repack)?;
    fs::remove_file(&own).map_err(ExportError::file(&own))
}
