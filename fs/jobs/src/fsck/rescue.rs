//! The right bytes of a damaged file, from wherever they can be had.
#![expect(
    clippy::disallowed_methods,
    reason = "copies in a temporary directory of the daemon's own"
)]

use super::Check;
use super::check::PIECE;
use bytes::Bytes;
use gitmoor_fs::FsError;
use gitmoor_fs::program::Program;
use gitmoor_model::{FileEntry, ObjectFormat, RepoPath};
use gitmoor_replicator::read;
use gitmoor_store::block_cache::CachedFile;
use gitmoor_store::object_store::StoreError;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The search for the bytes of one damaged file.
pub(super) struct Rescue<'a>(pub(super) &'a Check<'a>);

impl Rescue<'_> {
    /// Finds the bytes, stores them under a new key and lets the catalog name it.
    /// Answers where they came from.
    pub(super) fn run(
        &self,
        path: &RepoPath,
        entry: &FileEntry,
    ) -> Result<Option<&'static str>, FsError> {
        let dir = tempfile::Builder::new().prefix("fsck-").tempdir_in(
            self.0
                .fs
                .config()
                .data
                .join("repos")
                .join(self.0.id.to_string()),
        )?;
        let copy = dir.path().join("copy");
        let found = if self.assemble(path, entry, &copy)? {
            Some("from the copy in this machine's cache")
        } else if let Some(mut staged) = self.staged(path, entry)? {
            io::copy(&mut staged, &mut File::create(&copy)?)?;
            Some("from the copy in staging")
        } else if let Some(made) = self.regenerate(path, &dir)? {
            std::fs::rename(made, &copy)?;
            Some("made again from its pack")
        } else {
            None
        };
        if found.is_some() {
            self.0.repository.repair().replace(path, entry, &copy)?;
        }
        Ok(found)
    }

    /// The very bytes in staging, if it holds them.
    fn staged(&self, path: &RepoPath, entry: &FileEntry) -> Result<Option<File>, FsError> {
        let Some(file) = self.0.repository.objects().staged_file(path)? else {
            return Ok(None);
        };
        let size = file.metadata()?.len();
        let (digest, _) = gitmoor_store::block_cache::digest_file(&file, size, entry.block_size)?;
        Ok((digest == entry.digest).then_some(file))
    }

    /// Puts the file together from good blocks of the store and of the cache.
    fn assemble(&self, path: &RepoPath, entry: &FileEntry, to: &Path) -> Result<bool, FsError> {
        let Some(file) = self.0.stored(path, entry)? else {
            return self.take_whole(entry, to);
        };
        let mut out = File::create(to)?;
        let mut whole = blake3::Hasher::new();
        let block_size = u64::from(entry.block_size);
        for block in 0..entry.size.div_ceil(block_size) {
            let range = block * block_size..((block + 1) * block_size).min(entry.size);
            let Some(bytes) = self.good_block(&file, block as u32, range)? else {
                return Ok(false);
            };
            whole.update(&bytes);
            out.write_all(&bytes)?;
        }
        Ok(*whole.finalize().as_bytes() == entry.digest.0)
    }

    /// All that the store has of a file, if the digest of the whole proves it.
    fn take_whole(&self, entry: &FileEntry, to: &Path) -> Result<bool, FsError> {
        let Some(key) = entry.key() else {
            return Ok(false);
        };
        let mut out = File::create(to)?;
        let mut whole = blake3::Hasher::new();
        let mut start = 0;
        while start < entry.size {
            let end = (start + PIECE).min(entry.size);
            match self.0.fs.store().get(key, start..end) {
                Ok(bytes) => {
                    whole.update(&bytes);
                    out.write_all(&bytes)?;
                }
                Err(StoreError::NotFound { .. }) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
            start = end;
        }
        Ok(*whole.finalize().as_bytes() == entry.digest.0)
    }

    fn good_block(
        &self,
        file: &CachedFile,
        block: u32,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, FsError> {
        if let Some(bytes) = file.cached_block(block) {
            return Ok(Some(bytes));
        }
        let key = &file.object().key;
        if self.0.sizes.get(key).is_none_or(|size| *size < range.end) {
            return Ok(None);
        }
        match self.0.fs.store().get(key, range) {
            Ok(bytes) => Ok(file.is_block(block, &bytes).then_some(bytes)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// An index or a reverse index, made from its pack if that is sound.
    fn regenerate(&self, path: &RepoPath, dir: &TempDir) -> Result<Option<PathBuf>, FsError> {
        let text = path.to_string();
        let extension = [".idx", ".rev"].into_iter().find(|ext| text.ends_with(ext));
        let Some(extension) = extension else {
            return Ok(None);
        };
        let pack = text.trim_end_matches(extension).to_owned() + ".pack";
        let Some(pack) = RepoPath::new(pack) else {
            return Ok(None);
        };
        let Some(entry) = read::file(self.0.fs.replica().view(), self.0.id, &pack)? else {
            return Ok(None);
        };
        let copy = dir.path().join("again.pack");
        if entry.key().is_none() || !self.assemble(&pack, &entry, &copy)? {
            return Ok(None);
        }
        index_pack(&copy, self.0.repository.objects().format()?)?;
        Ok(Some(copy.with_extension(&extension[1..])))
    }
}

/// `git index-pack`, which writes `again.idx` and `again.rev` beside the pack.
fn index_pack(pack: &Path, format: ObjectFormat) -> io::Result<()> {
    let dir = pack.parent().unwrap_or(Path::new("/"));
    let format = format!("--object-format={}", format.name());
    let git = Program::git(&["index-pack", "--rev-index", &format, "-o"]);
    let git = git.args([&pack.with_extension("idx"), pack]);
    let said = git.within(dir).writes(dir).ask(b"", &|| false);
    let said = said.map_err(io::Error::other)?;
    match said.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "git index-pack: {}",
            said.words()
        ))),
    }
}
