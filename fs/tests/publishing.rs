//! The publisher, over a real replicator and a directory store that fails on demand: what an
//! earlier life left finished in a repository's directory is what it publishes.

use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use gitmoor_fs::bundle::bundle_loose;
use gitmoor_fs::{Config, FileSystem};
use gitmoor_model::{
    Actor, Command, Format, NamePath, ObjectFormat, Outcome, Place, RefStorage, RepoId, RepoPath,
};
use gitmoor_replicator::{Child, Node, NodeConfig, Replica, read};
use gitmoor_store::object_store::{
    Body, DirStore, Listed, ObjectStore, Put, StoreError, Upload, Watch,
};
use parking_lot::Mutex;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A directory store whose puts fail by their number.
#[derive(Debug)]
struct Flaky {
    inner: DirStore,
    /// Puts until the failure; `None` fails no more.
    left: Mutex<Option<u32>>,
    /// How often each key was stored.
    stored: Mutex<BTreeMap<String, u32>>,
}

impl ObjectStore for Flaky {
    fn put(&self, key: &str, body: Body<'_>) -> Result<Put, StoreError> {
        if let Some(left) = &mut *self.left.lock() {
            let Some(one_less) = left.checked_sub(1) else {
                return Err(StoreError::Unavailable {
                    store: self.describe(),
                    request: format!("PUT {key}"),
                    attempts: 1,
                    elapsed: Duration::ZERO,
                    reason: "as demanded".to_owned(),
                });
            };
            *left = one_less;
        }
        *self.stored.lock().entry(key.to_owned()).or_default() += 1;
        self.inner.put(key, body)
    }

    fn copy(&self, from: &str, to: &str, len: u64, watch: &Watch<'_>) -> Result<Put, StoreError> {
        self.inner.copy(from, to, len, watch)
    }

    fn get(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.inner.get(key, range)
    }

    fn get_small(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        self.inner.get_small(key, limit)
    }

    fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        self.inner.delete(keys)
    }

    fn list(&self, prefix: &str, visit: &mut (dyn FnMut(Listed) + Send)) -> Result<(), StoreError> {
        self.inner.list(prefix, visit)
    }

    fn abort(&self, upload: &Upload) -> Result<(), StoreError> {
        self.inner.abort(upload)
    }

    fn refuses_overwrite(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// A replicator and a store that outlive the cases.
struct World {
    dir: tempfile::TempDir,
    node: Arc<Node>,
}

/// One repository's files on a machine that has just started.
struct Machine<'w> {
    world: &'w World,
    data: tempfile::TempDir,
    store: Arc<Flaky>,
    repo: RepoId,
    format: ObjectFormat,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let node = Node::open(NodeConfig::new(dir.path().join("replica"))).expect("opens");
        let node = Arc::new(node);
        Self { dir, node }
    }

    fn propose(&self, command: Command) {
        let outcome = self.node.propose(Actor::default(), command);
        assert!(matches!(outcome, Ok(Outcome::Done(_))), "{outcome:?}");
    }

    fn machine(&self, objects: ObjectFormat) -> Machine<'_> {
        let id = RepoId::random();
        let path = NamePath::new(format!("{id}.git")).expect("a valid path");
        self.propose(Command::CreateRepo { id, path });
        let (bare, refs) = (true, RefStorage::Files);
        let format = Format {
            bare,
            objects,
            refs,
        };
        self.propose(Command::SetFormat { id, format });
        let store = Flaky {
            inner: DirStore::open(self.dir.path().join("store")).expect("opens"),
            left: Mutex::new(None),
            stored: Mutex::default(),
        };
        Machine {
            world: self,
            data: tempfile::tempdir().expect("a temporary directory"),
            store: Arc::new(store),
            repo: id,
            format: objects,
        }
    }
}

impl Machine<'_> {
    fn files(&self) -> PathBuf {
        let repos = self.data.path().join("repos");
        repos.join(self.repo.to_string()).join("files")
    }

    /// A finished file.
    fn leave(&self, path: &str, bytes: &[u8]) {
        let at = self.files().join(path);
        fs::create_dir_all(at.parent().expect("below")).expect("creates");
        fs::write(at, bytes).expect("writes");
    }

    fn leave_loose(&self, n: u32) -> (String, PathBuf) {
        let (oid, file) = loose(&n.to_be_bytes(), self.format);
        let path = format!("objects/{}/{}", &oid[..2], &oid[2..]);
        self.leave(&path, &file);
        (oid, self.files().join(path))
    }

    fn start(&self, bundle_over: usize) -> Arc<FileSystem> {
        let config = Config {
            bundle_over,
            ..Config::for_tests(self.data.path().to_path_buf())
        };
        let fs = FileSystem::open(
            config,
            self.world.node.clone(),
            self.store.clone(),
            Arc::default(),
        );
        let fs = fs.expect("opens, whatever was left");
        fs.repo_info(self.repo).expect("opens").expect("exists");
        fs
    }

    fn pending(&self, fs: &FileSystem) -> u64 {
        let info = fs.repo_info(self.repo).expect("opens").expect("exists");
        info.pending_files
    }

    /// The catalogued files, with their keys.
    fn catalogue(&self) -> BTreeMap<String, Place> {
        let mut found = BTreeMap::new();
        let top = RepoPath::new("objects").expect("a valid path");
        let mut dirs = vec![top];
        while let Some(dir) = dirs.pop() {
            let children = read::files_in(self.world.node.view(), self.repo, &dir).expect("reads");
            for (name, child) in children {
                let path = dir.join(&name).expect("a valid name");
                match child {
                    Child::Directory => dirs.push(path),
                    Child::File(entry) => drop(found.insert(path.to_string(), entry.place)),
                }
            }
        }
        found
    }
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut deflate = ZlibEncoder::new(Vec::new(), Compression::fast());
    deflate.write_all(bytes).expect("writes");
    deflate.finish().expect("ends")
}

/// A blob's id and file.
fn loose(content: &[u8], format: ObjectFormat) -> (String, Vec<u8>) {
    let header = format!("blob {}\0", content.len());
    let bytes = [header.as_bytes(), content].concat();
    let mut hasher = gix_hash::hasher(match format {
        ObjectFormat::Sha1 => gix_hash::Kind::Sha1,
        ObjectFormat::Sha256 => gix_hash::Kind::Sha256,
    });
    hasher.update(&bytes);
    let oid = hasher.try_finalize().expect("no collision");
    (oid.to_string(), deflate(&bytes))
}

fn formats() -> impl Strategy<Value = ObjectFormat> {
    prop::sample::select(vec![ObjectFormat::Sha1, ObjectFormat::Sha256])
}

/// Few, so that these tests stay quick: each opens a file system.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn ending<'a>(files: &'a BTreeMap<String, Place>, end: &str) -> Vec<&'a String> {
    files.keys().filter(|path| path.ends_with(end)).collect()
}

/// As git's own temporary files in `objects/info`, which look final: unlink(2) may overtake
/// the close that finishes them.
#[test]
fn what_is_gone_is_not_pending_for_ever() {
    let world = World::new();
    let machine = world.machine(ObjectFormat::Sha1);
    machine.leave("objects/info/packs_1a2b3c", b"P pack-1.pack\n");
    let (_, gone) = machine.leave_loose(1);
    machine.leave_loose(2);
    let fs = machine.start(0);
    assert_eq!(machine.pending(&fs), 3);
    fs::remove_file(gone).expect("removes");
    let packs = machine.files().join("objects/info/packs_1a2b3c");
    fs::remove_file(packs).expect("removes");
    assert_eq!(fs.publish_all().expect("publishes"), 0);
    let catalogue = machine.catalogue();
    assert_eq!(ending(&catalogue, ".pack").len(), 1, "{catalogue:?}");
    assert_eq!(catalogue.len(), 2);
}

/// At the threshold loose objects go up as they are; one more and they are one pack,
/// with its index and nothing else.
#[test]
fn more_than_the_threshold_become_one_pack() {
    let world = World::new();
    proptest!(cases(24), |(format in formats(), over in 0..12usize, beyond in -1..3i32)| {
        let machine = world.machine(format);
        let n = u32::try_from(over as i32 + beyond).unwrap_or(0);
        for n in 0..n {
            machine.leave_loose(n);
        }
        let fs = machine.start(over);
        prop_assert_eq!(machine.pending(&fs), u64::from(n));
        fs.publish_all().expect("publishes");
        let files = machine.catalogue();
        let packs = ending(&files, ".pack");
        if n as usize > over {
            prop_assert_eq!(files.len(), 2, "{:?}", files);
            let idx = packs[0].replace(".pack", ".idx");
            prop_assert!(files.contains_key(&idx), "the index accompanies the pack");
        } else {
            prop_assert!(packs.is_empty() && files.len() == n as usize, "{:?}", files);
        }
        let stored = machine.store.stored.lock();
        let files_stored = stored.keys().filter(|key| !key.starts_with("gitmoor-owner/"));
        prop_assert_eq!(files_stored.count(), files.len());
        drop(stored);
        prop_assert_eq!(machine.pending(&fs), 0);
    });
}

/// All or nothing: a failed put catalogues nothing and loses nothing; afterwards everything goes
/// up, and what was stored before does not go again.
#[test]
fn a_failed_put_publishes_nothing_and_loses_nothing() {
    let world = World::new();
    proptest!(cases(48), |(format in formats(), n in 1..14u32, over in 0..12usize, fail_at in 0..14u32)| {
        let machine = world.machine(format);
        for n in 0..n {
            machine.leave_loose(n);
        }
        let fs = machine.start(over);
        *machine.store.left.lock() = Some(fail_at);
        if fs.publish_all().is_err() {
            prop_assert!(machine.catalogue().is_empty(), "nothing is catalogued");
            prop_assert!(machine.pending(&fs) >= u64::from(n), "all of it is pending");
        }
        *machine.store.left.lock() = None;
        fs.publish_all().expect("publishes");
        prop_assert_eq!(machine.pending(&fs), 0);
        let stored = machine.store.stored.lock().clone();
        prop_assert!(stored.values().all(|times| *times == 1), "none goes twice: {:?}", stored);
        let places = machine.catalogue();
        for place in places.values() {
            let Place::Stored { key } = place else { panic!("it has bytes") };
            prop_assert!(stored.contains_key(key), "{} was never stored", key);
        }
    });
}

/// What a crash may leave in `objects/`.
#[derive(Clone, Debug)]
enum Leftover {
    Loose(u32),
    CutLoose(u32, usize),
    MisnamedLoose(u32),
    Pack(u32),
    CutPack(u32, usize),
    /// A name in the making, or none of git's.
    Stray(String, Vec<u8>),
}

fn leftover() -> impl Strategy<Value = Leftover> {
    let stray = prop::sample::select(vec![
        "tmp_obj_x",
        "pack/tmp_pack_x",
        "pack/.tmp-1-pack-x.pack",
        "incoming-x/ab/cd",
        "tmp_objdir-x/pack/pack-1.pack",
        "info/x.lock",
        "ab/xyz",
        "xy",
    ]);
    prop_oneof![
        (0..50u32).prop_map(Leftover::Loose),
        (0..50u32, 0..20usize).prop_map(|(n, cut)| Leftover::CutLoose(n, cut)),
        (0..50u32).prop_map(Leftover::MisnamedLoose),
        (50..99u32).prop_map(Leftover::Pack),
        (50..99u32, 1..60usize).prop_map(|(n, cut)| Leftover::CutPack(n, cut)),
        (stray, any::<Vec<u8>>()).prop_map(|(name, bytes)| Leftover::Stray(name.into(), bytes)),
    ]
}

impl Leftover {
    /// Leaves it, and says under which names something whole now stands.
    fn leave(&self, machine: &Machine<'_>, whole: &mut BTreeMap<String, bool>) {
        let strip = |path: &Path| {
            let path = path.strip_prefix(machine.files()).expect("below");
            path.to_string_lossy().into_owned()
        };
        match self {
            Self::Loose(n) => {
                let (_, path) = machine.leave_loose(*n);
                whole.insert(strip(&path), true);
            }
            Self::CutLoose(n, cut) => {
                let (_, path) = machine.leave_loose(*n);
                let bytes = fs::read(&path).expect("reads");
                let cut = (*cut).min(bytes.len() - 1);
                fs::write(&path, &bytes[..cut]).expect("writes");
                whole.insert(strip(&path), false);
            }
            Self::MisnamedLoose(n) => {
                let (_, path) = machine.leave_loose(*n);
                let (_, other) = loose(b"another", machine.format);
                fs::write(&path, other).expect("writes");
                whole.insert(strip(&path), false);
            }
            Self::Pack(n) => self.leave_pack(machine, whole, *n, 0),
            Self::CutPack(n, cut) => self.leave_pack(machine, whole, *n, *cut),
            Self::Stray(name, bytes) => machine.leave(&format!("objects/{name}"), bytes),
        }
    }

    /// A pack of one object; cut when there is something to cut.
    fn leave_pack(
        &self,
        machine: &Machine<'_>,
        whole: &mut BTreeMap<String, bool>,
        n: u32,
        cut: usize,
    ) {
        let into = tempfile::tempdir().expect("a temporary directory");
        let (oid, file) = loose(&n.to_be_bytes(), machine.format);
        let path = into.path().join("loose");
        fs::write(&path, file).expect("writes");
        let made = bundle_loose(
            &[(oid, path)],
            |at| fs::File::open(at),
            machine.format,
            into.path(),
        )
        .expect("bundles");
        for file in [&made.pack, &made.idx] {
            let end = file.extension().expect("has one").to_string_lossy();
            let name = format!("objects/pack/{}.{end}", made.name);
            let bytes = fs::read(file).expect("reads");
            machine.leave(&name, &bytes[..bytes.len() - cut.min(bytes.len())]);
            whole.insert(name, cut == 0);
        }
    }
}

/// Whatever was left: what is whole is published, what is damaged moves aside and is never
/// catalogued, what was in the making is left alone.
#[test]
fn leftovers_of_a_crash() {
    let world = World::new();
    let leftovers = prop::collection::vec(leftover(), 0..12);
    proptest!(cases(24), |(format in formats(), leftovers in leftovers)| {
        let machine = world.machine(format);
        let mut whole = BTreeMap::new();
        for leftover in &leftovers {
            leftover.leave(&machine, &mut whole);
        }
        let fs = machine.start(100);
        let expected: Vec<_> = whole.iter().filter(|(_, whole)| **whole).map(|(path, _)| path).collect();
        prop_assert_eq!(machine.pending(&fs), expected.len() as u64);
        for (path, whole) in &whole {
            prop_assert_eq!(machine.files().join(path).exists(), *whole, "{}", path);
        }
        fs.publish_all().expect("publishes");
        let catalogue = machine.catalogue();
        prop_assert_eq!(catalogue.keys().collect::<Vec<_>>(), expected);
    });
}
