//! The files of the cache directory.
//!
//! An object with key K is `xx/<name>.data`, where name is the BLAKE3 of K cut to
//! 128 bits in hex and xx its first byte; a sparse file of the object's size. Beside it
//! stands `<name>.map`: [`MAGIC`], the object's size and block size (u64, little
//! endian), and one bit for each block that is there. An object of a single block has no
//! map: it is there exactly when its data file has its size.
//!
//! Nothing is synced. After a power loss a map may promise what is not there, which the
//! digests find out, or know less than there is, which costs a fetch.
#![expect(
    clippy::disallowed_methods,
    reason = "the directory of the cache is the daemon's own"
)]

use super::bits::Bits;
use super::layout::Layout;
use crate::failpoint;
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const MAGIC: &[u8; 16] = b"gitmoor map v1\n\0";
const HEADER: usize = 32;

/// The name of an object's files.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct FileName([u8; 16]);

impl FileName {
    pub(super) fn of(key: &str) -> Self {
        let hash = blake3::hash(key.as_bytes());
        Self(
            *hash
                .as_bytes()
                .first_chunk()
                .expect("32 bytes have a first 16"),
        )
    }

    fn hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }

    fn parse(hex: &str) -> Option<Self> {
        let name = Self(u128::from_str_radix(hex, 16).ok()?.to_be_bytes());
        // Capitals and signs are numbers too, but no names of ours.
        (name.hex() == hex).then_some(name)
    }
}

/// An object found in the directory.
pub(super) struct Found {
    pub(super) name: FileName,
    pub(super) layout: Layout,
    pub(super) present: Bits,
    /// When it was last written, which is the best guess at when it was used.
    pub(super) written: SystemTime,
}

#[derive(Debug)]
pub(super) struct Disk {
    dir: PathBuf,
}

impl Disk {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self {
            dir: dir.to_path_buf(),
        })
    }

    pub(super) fn data_path(&self, name: FileName) -> PathBuf {
        self.path(name, "data")
    }

    fn path(&self, name: FileName, kind: &str) -> PathBuf {
        let hex = name.hex();
        self.dir.join(&hex[..2]).join(format!("{hex}.{kind}"))
    }

    /// Opens the data file for reading and writing, creating it.
    pub(super) fn open_data(&self, name: FileName, layout: &Layout) -> io::Result<File> {
        let path = self.data_path(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = match options.open(&path) {
            // Most files are opened often, and their directory is made once.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_parent(&path)?;
                options.open(&path)?
            }
            opened => opened?,
        };
        // To give it the length that it has would make the disk write its inode.
        if !layout.is_single() && file.metadata()?.len() != layout.size {
            file.set_len(layout.size)?;
        }
        Ok(file)
    }

    pub(super) fn make_parent(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path.parent().expect("it lies in the cache directory"))
    }

    /// Writes which blocks are there.
    pub(super) fn save(&self, name: FileName, layout: &Layout, present: &Bits) -> io::Result<()> {
        if layout.is_single() {
            return Ok(());
        }
        let mut map = Vec::from(MAGIC);
        map.extend(layout.size.to_le_bytes());
        map.extend(layout.block_size.to_le_bytes());
        map.extend(present.to_bytes());
        let path = self.path(name, "map");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.write_all_at(&map, 0)
    }

    /// Gives the space of a run of blocks back. The caller has saved a map
    /// without them before.
    pub(super) fn discard(
        &self,
        name: FileName,
        layout: &Layout,
        bytes: std::ops::Range<u64>,
    ) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.data_path(name))?;
        if layout.is_single() {
            return file.set_len(0);
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(
            &file,
            flags,
            bytes.start,
            bytes.end - bytes.start,
        )?)
    }

    /// Removes an object's files.
    pub(super) fn remove(&self, name: FileName) {
        for kind in ["map", "data"] {
            let path = self.path(name, kind);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!("cannot remove {} from the cache: {e}", path.display());
                }
                _ => {}
            }
            failpoint::CACHE_REMOVING.hit();
        }
    }

    /// Bytes that an ordinary user may still write to this file system.
    pub(super) fn available(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// All objects, oldest first. Files that make no sense are removed, those with
    /// names that are not ours are left alone: nothing found here keeps a cache from
    /// opening.
    pub(super) fn scan(&self) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for dir in fs::read_dir(&self.dir)? {
            let dir = dir?.path();
            if dir.is_dir() && dir.file_name().is_some_and(|n| n.len() == 2) {
                self.scan_dir(&dir, &mut found)?;
            }
        }
        found.sort_by_key(|f| f.written);
        Ok(found)
    }

    fn scan_dir(&self, dir: &Path, found: &mut Vec<Found>) -> io::Result<()> {
        for file in fs::read_dir(dir)? {
            let path = file?.path();
            let Some(name) = path.file_stem().and_then(|s| FileName::parse(s.to_str()?)) else {
                continue;
            };
            if self.data_path(name).parent() != Some(dir) {
                continue;
            }
            if path.extension().is_some_and(|e| e == "data") {
                match self.load(name) {
                    Ok(Some(one)) => found.push(one),
                    Ok(None) => self.remove(name),
                    Err(error) => {
                        tracing::warn!("cannot read {} of the cache: {error}", path.display());
                        self.remove(name);
                    }
                }
            } else if !self.data_path(name).exists() {
                self.remove(name);
            }
        }
        Ok(())
    }

    fn load(&self, name: FileName) -> io::Result<Option<Found>> {
        let metadata = fs::metadata(self.data_path(name))?;
        let (size, written) = (metadata.len(), metadata.modified()?);
        let (layout, present) = match self.load_map(name)? {
            Some((layout, present)) if layout.size == size => (layout, present),
            Some(_) => return Ok(None),
            None => (Layout::new(size, size), Bits::all(1)),
        };
        if size == 0 || present.is_empty() {
            return Ok(None);
        }
        Ok(Some(Found {
            name,
            layout,
            present,
            written,
        }))
    }

    /// A map that makes no sense counts as one for an object of no bytes.
    fn load_map(&self, name: FileName) -> io::Result<Option<(Layout, Bits)>> {
        let mut map = Vec::new();
        match File::open(self.path(name, "map")) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?.read_to_end(&mut map)?,
        };
        Ok(Some(
            parse_map(&map).unwrap_or((Layout::new(0, 1), Bits::none(0))),
        ))
    }
}

fn parse_map(map: &[u8]) -> Option<(Layout, Bits)> {
    let number = |at: usize| Some(u64::from_le_bytes(*map.get(at..)?.first_chunk()?));
    let layout = Layout::new(number(16)?, number(24)?);
    let bits = map.get(HEADER..)?;
    let fits = bits.len() as u64 * 8 >= layout.size.div_ceil(layout.block_size);
    let sane = map.starts_with(MAGIC) && !layout.is_single() && fits;
    sane.then(|| (layout, Bits::from_bytes(bits, layout.blocks())))
}
