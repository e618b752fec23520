//! A plain bare repository: the object files as they are, refs in `packed-refs`.

use super::super::progress::bar;
use super::ExportArgs;
use super::refs::Refs;
use super::{ExportError, git};
use gitmoor_fs::beneath::Dir;
use gitmoor_fs::program::ReadView;
use gitmoor_model::{RepoPath, name};
use indicatif::ProgressBar;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// How often object files are listed that go away while they are copied.
const PASSES: u32 = 5;

/// Makes it, checks it, and answers how large its objects are.
pub(super) fn make(
    source: &ReadView,
    refs: &Refs,
    made: &Path,
    args: &ExportArgs,
) -> Result<u64, ExportError> {
    git::init_like(source, made)?;
    let objects = &source.objects()[0];
    let objects = Dir::open(objects).map_err(ExportError::file(objects))?;
    let bytes = copy_objects(&objects, &made.join("objects"))?;
    refs.write(made)?;
    borrow_no_more(source, made)?;
    let checking = bar("{spinner} checking {elapsed}", 0);
    git::check(made, args.full)?;
    checking.finish_and_clear();
    refs.check(&Refs::of(&|step| git::own(made, step))?, args.name.as_str())?;
    Ok(bytes)
}

/// What is repacked meanwhile has other files then.
fn copy_objects(from: &Dir, to: &Path) -> Result<u64, ExportError> {
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
    from: &Dir,
    to: &Path,
    files: &[(PathBuf, u64)],
    bar: &ProgressBar,
) -> Result<Option<u64>, ExportError> {
    for (path, size) in files {
        match copy(from, path, *size, &to.join(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            copied => copied.map_err(ExportError::file(&from.path().join(path)))?,
        }
        bar.inc(*size);
    }
    Ok(Some(files.iter().map(|(_, size)| size).sum()))
}

/// One that was copied before stays: finished object files never change, and what may be rewritten, of packs that are gone
/// perhaps, is read anew. It gets the mode of git's own objects under the umask of whoever exports: that of the
/// repository's users may have bits that are theirs alone to give. A file that a user has open may be made longer
/// while it is copied: no more of it is copied than was listed.
pub(super) fn copy(objects: &Dir, from: &Path, size: u64, to: &Path) -> io::Result<()> {
    let is_of_one_pack = to
        .extension()
        .is_some_and(|ext| ext == "pack" || ext == "idx");
    if is_of_one_pack && to.exists() {
        return Ok(());
    }
    let source = objects.file(from)?;
    fs::create_dir_all(to.parent().unwrap_or(Path::new("/")))?;
    // What was cut off must not pass for whole the next time.
    let unfinished = to.with_extension("tmp");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let options = &mut File::options();
    let mut copy = options
        .write(true)
        .create_new(true)
        .mode(0o444)
        .open(&unfinished)?;
    io::copy(&mut source.take(size), &mut copy)?;
    copy.sync_all()?;
    fs::rename(unfinished, to)
}

/// All object files that have their final names, relative to the directory; packs last, since that is where loose
/// objects go. The repository's users may put links and FIFOs there: those are none. Nor is a file that a user holds
/// open and that is mostly holes: it loses the name when it is closed.
fn list(dir: &Dir, within: &Path, files: &mut Vec<(PathBuf, u64)>) -> Result<(), ExportError> {
    let at = dir.path().join(within);
    let failed = || ExportError::file(&at);
    let mut entries = dir.list(within).map_err(failed())?;
    entries.sort_by_key(|(name, _)| (name == "pack", name.clone()));
    for (name, _) in entries {
        let path = within.join(&name);
        let Some(meta) = dir.stat(&path).map_err(failed())? else {
            continue;
        };
        if meta.is_dir() {
            list(dir, &path, files)?;
        } else if meta.is_file()
            && is_final(&path)
            && path != Path::new("info/alternates")
            && !dir.is_mostly_holes(&path, &meta).map_err(failed())?
        {
            files.push((path, meta.len()));
        }
    }
    Ok(())
}

/// Whether git gives the name, beneath `objects/`, to what is finished.
fn is_final(path: &Path) -> bool {
    let path = [b"objects/", path.as_os_str().as_bytes()].concat();
    RepoPath::new(path).is_some_and(|path| name::kind(&path).is_some())
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
