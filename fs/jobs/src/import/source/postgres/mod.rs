//! A server that kept its repositories in PostgreSQL: objects in one table, refs in another.
//!
//! They come into a private repository first, some thousands of objects in a pack, each checked against its name; what is in one
//! already is not asked for again. Then git packs it all together, and it is imported as any repository is. At no time
//! is more in memory than a batch of rows, or one row that is larger.
#![expect(
    clippy::disallowed_methods,
    reason = "the private directory of an import is the daemon's own"
)]

mod connect;
mod rows;
mod tables;

pub use tables::{Database, ObjectColumns, RefColumns};

use super::super::ImportError;
use super::super::private::Private;
use super::disk::Disk;
use crate::runner::{ProgressReporter, git};
use gitmoor_fs::bundle::{self, BundleError, Packing};
use gitmoor_model::ObjectFormat;
use gix_hash::ObjectId;
use gix_pack::index;
use rows::{Key, Reader, Ref};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Objects of one pack.
const OBJECTS: usize = 20_000;

/// Bytes of the objects of one pack, unless one alone is larger.
const BYTES: u64 = 64 << 20;

type Index = index::File<gix_pack::MMap>;

pub(super) fn fetch(
    database: &Database,
    private: &Private,
    reporter: &ProgressReporter<'_>,
) -> Result<Disk, ImportError> {
    reporter.report("Asking", 0, None)?;
    let mut client = connect::connect(database)?;
    let mut reader = Reader::begin(database, &mut client)?;
    let format = reader.format()?;
    let dir = private.kept("fetched.git")?;
    super::remote::init(&dir, format, reporter)?;
    // Before the objects, though both are as of one moment.
    let refs = reader.refs()?;
    let filling = Filling {
        database,
        dir: dir.clone(),
        format,
        reporter,
    };
    filling.fill(&mut reader)?;
    write_refs(&dir, &refs, reporter)?;
    let pack = ["repack", "-a", "-d", "-k", "-n"];
    git::run(git::own(&dir, &pack), reporter)?;
    Disk::own(dir)
}

/// Fills the private repository.
struct Filling<'a> {
    database: &'a Database,
    dir: PathBuf,
    format: ObjectFormat,
    reporter: &'a ProgressReporter<'a>,
}

impl Filling<'_> {
    fn fill(&self, reader: &mut Reader<'_>) -> Result<(), ImportError> {
        let into = self.dir.join("objects/pack");
        let known = indexes(&into, self.format)?;
        let is_known = |oid: &ObjectId| known.iter().any(|index| index.lookup(oid).is_some());
        let (mut seen, mut got) = (HashSet::new(), 0);
        let mut chunk = Chunk::default();
        while let Some(keys) = reader.next_keys()? {
            for key in keys {
                let oid = self.parse(&key)?;
                // A database may have it twice.
                if is_known(&oid) || !seen.insert(oid) {
                    continue;
                }
                if chunk.is_full(&key) {
                    self.pack(reader, &into, &chunk, got)?;
                    got += chunk.keys.len() as u64;
                    chunk = Chunk::default();
                }
                chunk.add(key);
            }
            self.reporter.report("Fetching objects", got, None)?;
        }
        self.pack(reader, &into, &chunk, got)
    }

    fn parse(&self, key: &Key) -> Result<ObjectId, ImportError> {
        let oid = ObjectId::from_hex(key.hex().as_bytes()).ok();
        let oid = oid.filter(|oid| oid.kind() == bundle::hash_kind(self.format));
        oid.ok_or_else(|| {
            self.damaged(format!(
                "{:?} is no object id of this repository",
                key.hex()
            ))
        })
    }

    fn damaged(&self, reason: String) -> ImportError {
        ImportError::Damaged {
            path: PathBuf::from(&self.database.objects.table),
            reason,
        }
    }

    fn pack(
        &self,
        reader: &mut Reader<'_>,
        into: &Path,
        chunk: &Chunk,
        so_far: u64,
    ) -> Result<(), ImportError> {
        if chunk.keys.is_empty() {
            return Ok(());
        }
        let named = |error: BundleError| self.damaged(error.to_string());
        let mut packing = Packing::begin(into, chunk.keys.len(), self.format).map_err(named)?;
        reader.each_object(&chunk.keys, &mut |hex, kind, data| {
            let written = packing.written() as u64;
            self.reporter
                .report("Fetching objects", so_far + written, None)?;
            if data.is_empty() && matches!(kind, "commit" | "tag") {
                return Err(self.damaged(format!("object {hex}: a {kind} of 0 bytes")));
            }
            packing.add(hex, kind, data).map_err(named)
        })?;
        packing.finish().map_err(named)?;
        Ok(())
    }
}

#[derive(Default)]
struct Chunk {
    keys: Vec<Key>,
    bytes: u64,
}

impl Chunk {
    fn is_full(&self, next: &Key) -> bool {
        !self.keys.is_empty() && (self.keys.len() == OBJECTS || self.bytes + next.bytes() > BYTES)
    }

    fn add(&mut self, key: Key) {
        self.bytes += key.bytes();
        self.keys.push(key);
    }
}

/// Of the packs that are there already. Nobody else works here, so that they can be mapped.
fn indexes(dir: &Path, format: ObjectFormat) -> Result<Vec<Index>, ImportError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(ImportError::local(dir))? {
        let path = entry.map_err(ImportError::local(dir))?.path();
        if path.extension().is_some_and(|ext| ext == "idx") {
            let index = Index::at(&path, bundle::hash_kind(format));
            found.push(index.map_err(|error| ImportError::Damaged {
                path: path.clone(),
                reason: error.to_string(),
            })?);
        }
    }
    Ok(found)
}

/// git judges the names.
fn write_refs(
    dir: &Path,
    refs: &[Ref],
    reporter: &ProgressReporter<'_>,
) -> Result<(), ImportError> {
    let local = ImportError::local(dir);
    forget_refs(dir).map_err(local)?;
    let step = ["update-ref", "--no-deref", "--stdin", "-z"];
    let mut input = Vec::new();
    for Ref { name, target } in refs {
        if !target.starts_with("ref: ") && name != "HEAD" {
            input.extend(format!("update {name}\0{target}\0\0").into_bytes());
        }
    }
    git::ask_ok(git::own(dir, &step), &input, reporter)?;
    let run = |step: &[&str]| git::run(git::own(dir, step), reporter);
    run(&["pack-refs", "--all"])?;
    for Ref { name, target } in refs {
        match target.strip_prefix("ref: ") {
            Some(target) => run(&["symbolic-ref", name, target.trim()])?,
            None if name == "HEAD" => {
                run(&["update-ref", "--no-deref", "HEAD", target])?;
            }
            None => {}
        }
    }
    match refs.iter().any(|known| known.name == "HEAD") {
        true => Ok(()),
        false => guess_head(dir, refs, reporter),
    }
}

/// Of an earlier try.
fn forget_refs(dir: &Path) -> std::io::Result<()> {
    let _ = fs::remove_file(dir.join("packed-refs"));
    fs::write(dir.join("HEAD"), "ref: refs/heads/main\n")?;
    fs::remove_dir_all(dir.join("refs"))?;
    fs::create_dir_all(dir.join("refs/heads"))
}

fn guess_head(
    dir: &Path,
    refs: &[Ref],
    reporter: &ProgressReporter<'_>,
) -> Result<(), ImportError> {
    let branches = refs.iter().map(|known| known.name.as_str());
    let mut branches: Vec<_> = branches
        .filter(|name| name.starts_with("refs/heads/"))
        .collect();
    branches.sort_by_key(|name| (super::remote::rank(name), *name));
    match branches.first() {
        Some(branch) => {
            let step = ["symbolic-ref", "HEAD", branch];
            Ok(git::run(git::own(dir, &step), reporter)?)
        }
        None => Ok(()),
    }
}
