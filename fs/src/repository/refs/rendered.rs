//! The packed table as a file: rendered once per version, read by every git.
#![expect(
    clippy::disallowed_methods,
    reason = "renderings lie beside the repository's directory, where only the daemon writes"
)]

use super::packed::{self, Peeled};
use crate::error::FsResult;
use gitmoor_model::{RepoId, Version};
use gitmoor_replicator::{Replica, read};
use parking_lot::Mutex;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{BufWriter, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A rendered `packed-refs`. Removed from disk with its last user.
#[derive(Debug)]
pub(crate) struct Rendered {
    path: PathBuf,
    /// Of the table.
    version: Version,
    /// Nobody changes it once it is there.
    meta: Metadata,
}

impl Rendered {
    /// lstat(2) of it.
    pub(crate) fn stat(&self) -> &Metadata {
        &self.meta
    }

    /// The version of the table that this is.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Opens it for reading.
    pub(crate) fn open(&self) -> FsResult<File> {
        Ok(File::open(&self.path)?)
    }
}

impl Drop for Rendered {
    fn drop(&mut self) {
        // A leftover is cleared at the next start; it is never read again.
        let _ = fs::remove_file(&self.path);
    }
}

pub(super) struct Cache {
    repo: RepoId,
    replica: Arc<dyn Replica>,
    dir: PathBuf,
    /// The newest rendering; `None` inside for "the table is empty".
    newest: Mutex<Option<(Version, Option<Arc<Rendered>>)>>,
    /// Makes every file name new: a dropped rendering removes only its own.
    made: AtomicU64,
}

impl Cache {
    pub(super) fn new(repo: RepoId, replica: Arc<dyn Replica>, dir: PathBuf) -> Self {
        Self {
            repo,
            replica,
            dir,
            newest: Mutex::default(),
            made: AtomicU64::new(0),
        }
    }

    fn version(&self) -> FsResult<Version> {
        Ok(read::repo(self.replica.view(), self.repo)?
            .map_or(Version::default(), |repo| repo.packed_version))
    }

    /// The rendering of the table as it is; `None` when it is empty.
    pub(super) fn current(&self) -> FsResult<Option<Arc<Rendered>>> {
        let version = self.version()?;
        let mut newest = self.newest.lock();
        match &*newest {
            Some((at, rendered)) if *at == version => Ok(rendered.clone()),
            _ => {
                let rendered = self.render(version)?;
                *newest = Some((version, rendered.clone()));
                Ok(rendered)
            }
        }
    }

    /// The table may move on while it is walked; then this rendering is newer
    /// than its version says, and the next look renders again.
    fn render(&self, version: Version) -> FsResult<Option<Arc<Rendered>>> {
        if version == Version::default() {
            return Ok(None);
        }
        fs::create_dir_all(&self.dir)?;
        let path = self.path(version);
        let file = File::create_new(&path)?;
        let meta = file.metadata()?;
        // From here on it goes when this fails.
        let mut rendered = Rendered {
            path,
            version,
            meta,
        };
        let (mut lines, known) = self.write(&file, Peeled::Fully)?;
        if known != Peeled::Fully {
            file.set_len(0)?;
            (&file).rewind()?;
            lines = self.write(&file, known)?.0;
        }
        rendered.meta = file.metadata()?;
        Ok((lines > 0).then(|| Arc::new(rendered)))
    }

    /// Writes the table, and returns how many lines it has and how it is peeled.
    fn write(&self, file: &File, peeled: Peeled) -> FsResult<(u64, Peeled)> {
        let mut out = BufWriter::new(file);
        out.write_all(peeled.header())?;
        let (mut lines, mut known) = (0, Peeled::Fully);
        let mut failed = None;
        read::packed(self.replica.view(), self.repo, &mut |name, line| {
            lines += 1;
            known = known.max(Peeled::of(name, &line));
            failed = packed::write_line(&mut out, name, &line).err();
            failed.is_none()
        })?;
        failed.map_or(Ok(()), Err)?;
        out.flush()?;
        Ok((lines, known))
    }

    fn path(&self, version: Version) -> PathBuf {
        let n = self.made.fetch_add(1, Ordering::Relaxed);
        self.dir.join(format!("packed-refs.{}.{n}", version.0))
    }

    /// Takes the file that git wrote as the rendering of `version`, which its commit made. A later
    /// one, or one that somebody has rendered already, does not need it.
    pub(super) fn adopt(&self, file: &Path, version: Version) -> FsResult<()> {
        let path = self.path(version);
        fs::create_dir_all(&self.dir)?;
        let mut newest = self.newest.lock();
        if newest.as_ref().is_some_and(|(at, _)| *at >= version) {
            return Ok(fs::remove_file(file)?);
        }
        let empty = fs::metadata(file)?.len() <= packed::HEADER.len() as u64;
        fs::set_permissions(file, Permissions::from_mode(0o600))?;
        fs::rename(file, &path)?;
        let meta = fs::symlink_metadata(&path)?;
        let rendered = Arc::new(Rendered {
            path,
            version,
            meta,
        });
        *newest = Some((version, (!empty).then_some(rendered)));
        Ok(())
    }

    /// Removes every rendering of an earlier life.
    pub(super) fn clear(&self) -> FsResult<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }
}
