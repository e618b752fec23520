//! Random sequences of file operations, once in a plain directory and once on the
//! mount: every answer (result or errno) and the trees left behind must be equal.
//! proptest finds the sequences and shrinks the one that differs; what once differed, or is
//! easily got wrong, is kept in [`kept`] and runs first.
//!
//! What differs by design, and so does not occur here:
//! - rename and link from one room to another (`hooks/x` → `refs/x`) are refused with EXDEV,
//!   as between file systems: mv(1) then copies.
//! - Directories below `objects/` are renamed like that too; git only renames files there.
//! - RENAME_EXCHANGE and RENAME_WHITEOUT are refused with EINVAL; extended attributes with
//!   EOPNOTSUPP.
//! - A finished object or pack cannot be written, truncated or renamed to another
//!   final name with other bytes; a loose object that is not what its name says gets no
//!   final name at all (`immutable.rs`). Staging below `objects/` is as free as a disk.
//! - A lock file renamed onto a ref that moved since the lock was taken fails with EIO:
//!   a disk would lose the other's value.
//! - Inode numbers and link counts of what is stored, times of replicated values after a restart,
//!   and the order of names in a listing.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::Installed;
use gitmoor_tests::history;
use gitmoor_tests::place::Place;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, UNIX_EPOCH};

/// Sequences per area; each is up to [`LENGTH`] operations.
const CASES: u32 = 48;
const LENGTH: usize = 40;

/// A path below the directory under test.
type Name = String;

#[derive(Clone, Debug)]
enum Op {
    Create(Name),
    CreateNew(Name),
    Write(Name, u16, u8),
    Append(Name, u8),
    Truncate(Name, u16),
    Rename(Name, Name),
    Link(Name, Name),
    Unlink(Name),
    Mkdir(Name),
    Rmdir(Name),
    Symlink(Name, Name),
    Chmod(Name, u32),
    Touch(Name, u32),
    List(Name),
    Stat(Name),
    Read(Name),
    Hold(Name),
    HoldToAppend(Name),
    WriteHeld(u8),
    TruncateHeld(u16),
    ReadHeld,
    /// Through a shared mapping.
    Map(Name, u8),
    /// RENAME_NOREPLACE.
    RenameNew(Name, Name),
    /// Into the directory beside the one under test, and back.
    RenameOut(Name, Name),
    RenameIn(Name, Name),
}

/// Few names, so that operations meet.
fn name() -> impl Strategy<Value = Name> {
    let part = prop::sample::select(vec!["a", "b", "c", "config.lock", "main"]);
    prop::collection::vec(part, 1..=3).prop_map(|parts| parts.join("/"))
}

fn op() -> impl Strategy<Value = Op> {
    let mode = prop::sample::select(vec![0o644, 0o600, 0o755, 0o444, 0o700]);
    prop_oneof![
        3 => name().prop_map(Op::Create),
        2 => name().prop_map(Op::CreateNew),
        3 => (name(), 0..9000u16, any::<u8>()).prop_map(|(n, at, b)| Op::Write(n, at, b)),
        2 => (name(), any::<u8>()).prop_map(|(n, b)| Op::Append(n, b)),
        1 => (name(), 0..9000u16).prop_map(|(n, len)| Op::Truncate(n, len)),
        4 => (name(), name()).prop_map(|(a, b)| Op::Rename(a, b)),
        2 => (name(), name()).prop_map(|(a, b)| Op::Link(a, b)),
        3 => name().prop_map(Op::Unlink),
        4 => name().prop_map(Op::Mkdir),
        2 => name().prop_map(Op::Rmdir),
        1 => (name(), name()).prop_map(|(a, b)| Op::Symlink(a, b)),
        1 => (name(), mode).prop_map(|(n, mode)| Op::Chmod(n, mode)),
        1 => (name(), any::<u32>()).prop_map(|(n, at)| Op::Touch(n, at)),
        2 => name().prop_map(Op::List),
        3 => name().prop_map(Op::Stat),
        3 => name().prop_map(Op::Read),
        2 => name().prop_map(Op::Hold),
        1 => name().prop_map(Op::HoldToAppend),
        2 => any::<u8>().prop_map(Op::WriteHeld),
        1 => (0..9000u16).prop_map(Op::TruncateHeld),
        2 => Just(Op::ReadHeld),
        2 => (name(), any::<u8>()).prop_map(|(n, b)| Op::Map(n, b)),
        1 => (name(), name()).prop_map(|(a, b)| Op::RenameNew(a, b)),
        1 => (name(), name()).prop_map(|(a, b)| Op::RenameOut(a, b)),
        1 => (name(), name()).prop_map(|(a, b)| Op::RenameIn(a, b)),
    ]
}

/// Sequences that run before the random ones: each failed once, or nearly.
fn kept() -> Vec<Vec<Op>> {
    let n = |name: &str| name.to_owned();
    vec![
        // A file that is open goes on under no name, and under another's.
        vec![
            Op::Create(n("a")),
            Op::Hold(n("a")),
            Op::Unlink(n("a")),
            Op::WriteHeld(1),
            Op::Create(n("a")),
            Op::ReadHeld,
            Op::Read(n("a")),
        ],
        vec![
            Op::Create(n("a")),
            Op::Create(n("b")),
            Op::HoldToAppend(n("b")),
            Op::Rename(n("a"), n("b")),
            Op::WriteHeld(2),
            Op::ReadHeld,
            Op::Read(n("b")),
        ],
        // Two names of a file are one file, whichever was looked up first.
        vec![
            Op::Create(n("a")),
            Op::Link(n("a"), n("b")),
            Op::Write(n("b"), 0, 3),
            Op::Map(n("a"), 4),
            Op::Read(n("b")),
            Op::Rename(n("a"), n("b")),
            Op::Stat(n("a")),
            Op::Unlink(n("b")),
            Op::Stat(n("a")),
        ],
        // A directory takes what is open in it along.
        vec![
            Op::Mkdir(n("a")),
            Op::Create(n("a/b")),
            Op::Hold(n("a/b")),
            Op::RenameOut(n("a"), n("c")),
            Op::WriteHeld(5),
            Op::Mkdir(n("a")),
            Op::RenameIn(n("c/b"), n("a/b")),
            Op::ReadHeld,
            Op::Read(n("a/b")),
        ],
        // What a mapping wrote beyond a cut is gone.
        vec![
            Op::Create(n("a")),
            Op::Write(n("a"), 5000, 6),
            Op::Map(n("a"), 7),
            Op::Truncate(n("a"), 50),
            Op::Truncate(n("a"), 6000),
            Op::Read(n("a")),
        ],
        vec![
            Op::Create(n("a")),
            Op::Mkdir(n("b")),
            Op::RenameNew(n("a"), n("b")),
            Op::RenameNew(n("a"), n("a")),
            Op::RenameNew(n("a"), n("c")),
            Op::Rename(n("b"), n("b/a")),
            Op::List(n("b")),
        ],
    ]
}

/// A directory under test and the one file that is kept open.
struct Machine {
    base: PathBuf,
    held: Option<File>,
}

impl Machine {
    fn new(base: PathBuf) -> Machine {
        fs::create_dir_all(&base).expect("directory under test");
        let machine = Machine { base, held: None };
        fs::create_dir(machine.beside("")).expect("directory beside it");
        machine
    }

    /// What a program sees: a description of the result, or the errno.
    fn apply(&mut self, op: &Op) -> Result<String, i32> {
        self.perform(op)
            .map_err(|error| error.raw_os_error().unwrap_or(-1))
    }

    /// What an operation renames.
    fn renamed(&self, op: &Op) -> Option<PathBuf> {
        match op {
            Op::Rename(from, _) | Op::RenameNew(from, _) | Op::RenameOut(from, _) => {
                Some(self.at(from))
            }
            Op::RenameIn(from, _) => Some(self.beside(from)),
            _ => None,
        }
    }

    fn perform(&mut self, op: &Op) -> io::Result<String> {
        let objects = self.base.iter().any(|part| part == "objects");
        if objects && self.renamed(op).is_some_and(|from| from.is_dir()) {
            return Ok("a directory in objects/ stays".into());
        }
        let done = |()| String::from("done");
        match op {
            Op::Create(name) => File::create(self.at(name)).map(|_| "created".into()),
            Op::CreateNew(name) => File::create_new(self.at(name)).map(|_| "created".into()),
            Op::Write(name, at, byte) => self.write(name, *at, *byte).map(done),
            Op::Append(name, byte) => self.append(name, *byte).map(done),
            Op::Truncate(name, len) => self.open(name)?.set_len((*len).into()).map(done),
            Op::Rename(from, to) => fs::rename(self.at(from), self.at(to)).map(done),
            Op::Link(from, to) => fs::hard_link(self.at(from), self.at(to)).map(done),
            Op::Unlink(name) => fs::remove_file(self.at(name)).map(done),
            Op::Mkdir(name) => fs::create_dir(self.at(name)).map(done),
            Op::Rmdir(name) => fs::remove_dir(self.at(name)).map(done),
            Op::Symlink(target, name) => symlink(target, self.at(name)).map(done),
            Op::Chmod(name, mode) => self.chmod(name, *mode).map(done),
            Op::Touch(name, at) => self.touch(name, *at),
            Op::List(name) => list(&self.at(name)),
            Op::Stat(name) => describe(&self.at(name)),
            Op::Read(name) => fs::read(self.at(name)).map(digest),
            Op::Hold(name) => self.hold(name).map(done),
            Op::HoldToAppend(name) => self.hold_to_append(name).map(done),
            Op::WriteHeld(byte) => self.write_held(*byte),
            Op::TruncateHeld(len) => self.truncate_held(*len),
            Op::ReadHeld => self.read_held(),
            Op::Map(name, byte) => self.map(name, *byte),
            Op::RenameNew(from, to) => rename_new(&self.at(from), &self.at(to)).map(done),
            Op::RenameOut(from, to) => fs::rename(self.at(from), self.beside(to)).map(done),
            Op::RenameIn(from, to) => fs::rename(self.beside(from), self.at(to)).map(done),
        }
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.base.with_extension("beside").join(name)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.at(name))
    }

    fn write(&self, name: &str, at: u16, byte: u8) -> io::Result<()> {
        self.open(name)?.write_all_at(&[byte; 700], at.into())
    }

    fn append(&self, name: &str, byte: u8) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(self.at(name))?;
        file.write_all(&[byte; 300])
    }

    fn chmod(&self, name: &str, mode: u32) -> io::Result<()> {
        fs::set_permissions(self.at(name), Permissions::from_mode(mode))
    }

    fn touch(&self, name: &str, at: u32) -> io::Result<String> {
        let time = UNIX_EPOCH + Duration::new(at.into(), 123_456_789);
        let times = FileTimes::new().set_modified(time).set_accessed(time);
        let file = File::open(self.at(name))?;
        file.set_times(times)?;
        let stat = file.metadata()?;
        Ok(format!("{}.{}", stat.mtime(), stat.mtime_nsec()))
    }

    fn hold(&mut self, name: &str) -> io::Result<()> {
        self.held = Some(self.open(name)?);
        Ok(())
    }

    fn hold_to_append(&mut self, name: &str) -> io::Result<()> {
        let mut how = OpenOptions::new();
        self.held = Some(how.read(true).append(true).open(self.at(name))?);
        Ok(())
    }

    fn truncate_held(&mut self, len: u16) -> io::Result<String> {
        match &self.held {
            Some(file) => file.set_len(len.into()).map(|()| "cut".into()),
            None => Ok("nothing held".into()),
        }
    }

    /// Writes the middle of a file through a mapping, and reads it at once as read(2)
    /// shows it.
    fn map(&self, name: &str, byte: u8) -> io::Result<String> {
        let file = self.open(name)?;
        let len = file.metadata()?.len() as usize;
        if len == 0 {
            return Ok("nothing to map".into());
        }
        let mut map = Mapping::new(&file, len)?;
        let middle = len / 4..len.div_ceil(2);
        map.bytes()[middle].fill(byte);
        drop(map);
        fs::read(self.at(name)).map(digest)
    }

    /// The open file may have been renamed or unlinked since; it must not matter.
    fn write_held(&mut self, byte: u8) -> io::Result<String> {
        let Some(file) = &mut self.held else {
            return Ok("nothing held".into());
        };
        file.seek(SeekFrom::End(0))?;
        file.write_all(&[byte; 100])?;
        Ok(format!("{} bytes", file.metadata()?.len()))
    }

    fn read_held(&mut self) -> io::Result<String> {
        let Some(file) = &mut self.held else {
            return Ok("nothing held".into());
        };
        let mut content = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut content)?;
        Ok(digest(content))
    }
}

/// A shared mapping of a file that nobody cuts meanwhile.
struct Mapping {
    at: *mut libc::c_void,
    len: usize,
}

impl Mapping {
    fn new(file: &File, len: usize) -> io::Result<Mapping> {
        let (access, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let at = unsafe { libc::mmap(null_mut(), len, access, libc::MAP_SHARED, fd, 0) };
        match at {
            libc::MAP_FAILED => Err(io::Error::last_os_error()),
            at => Ok(Mapping { at, len }),
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: mapped for reading and writing for as long as self lives, by this thread
        // alone, and the file is that long.
        unsafe { std::slice::from_raw_parts_mut(self.at.cast(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made, of which no slice is left.
        unsafe { libc::munmap(self.at, self.len) };
    }
}

fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).expect("no NUL");
    let (from, to) = (text(from), text(to));
    let (here, flags) = (libc::AT_FDCWD, libc::RENAME_NOREPLACE);
    // SAFETY: both are C strings that live until the call returns.
    match unsafe { libc::renameat2(here, from.as_ptr(), here, to.as_ptr(), flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Short, and different for different content in practice.
fn digest(content: Vec<u8>) -> String {
    let sum = content.iter().enumerate();
    let sum = sum.fold(0u64, |sum, (at, byte)| {
        sum.wrapping_mul(31)
            .wrapping_add(at as u64 ^ u64::from(*byte))
    });
    format!("{} bytes, {sum:x}", content.len())
}

fn list(dir: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        names.push(format!("{:?} {:?}", entry.file_name(), entry.file_type()?));
    }
    names.sort();
    Ok(names.join(", "))
}

fn describe(path: &Path) -> io::Result<String> {
    let stat = path.symlink_metadata()?;
    let kind = stat.file_type();
    if kind.is_symlink() {
        return Ok(format!("link to {}", fs::read_link(path)?.display()));
    }
    let mode = stat.mode() & 0o7777;
    if kind.is_dir() {
        return Ok(format!("directory {mode:o}"));
    }
    Ok(format!(
        "{} bytes, {mode:o}, {} links",
        stat.len(),
        stat.nlink()
    ))
}

/// Every path with its description and content.
fn tree(base: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![base.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).expect("readdir") {
            let path = entry.expect("entry").path();
            let kind = path.symlink_metadata().expect("stat").file_type();
            let content = match kind.is_file() {
                true => digest(fs::read(&path).expect("read")),
                false => String::new(),
            };
            let text = format!("{} {content}", describe(&path).expect("stat"));
            if kind.is_dir() {
                pending.push(path.clone());
            }
            let name = path.strip_prefix(base).expect("below").to_owned();
            found.insert(name, text);
        }
    }
    found
}

/// Runs sequences in `area` of a repository against the same on the disk.
fn compare(area: &str) {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let bare = place.bare("app.git");
    let number = AtomicU32::new(0);
    let run = |ops: Vec<Op>| {
        let case = format!("case-{}", number.fetch_add(1, Ordering::Relaxed));
        let disk = Machine::new(place.scratch(area).join(&case));
        let mount = Machine::new(bare.dir.join(area).join(&case));
        same_answers(disk, mount, &ops)
    };
    for ops in kept() {
        run(ops.clone()).unwrap_or_else(|failure| panic!("{failure}: {ops:?}"));
    }
    let sequences = prop::collection::vec(op(), 1..LENGTH);
    let outcome = runner().run(&sequences, run);
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

fn same_answers(mut disk: Machine, mut mount: Machine, ops: &[Op]) -> Result<(), TestCaseError> {
    for (step, op) in ops.iter().enumerate() {
        prop_assert_eq!(
            mount.apply(op),
            disk.apply(op),
            "mount, disk: step {} {:?}",
            step,
            op
        );
    }
    for dir in [
        |machine: &Machine| machine.base.clone(),
        |machine: &Machine| machine.beside(""),
    ] {
        prop_assert_eq!(
            tree(&dir(&mount)),
            tree(&dir(&disk)),
            "mount, disk: trees at the end"
        );
    }
    Ok(())
}

/// The same sequences in every run: a failure is everybody's failure.
fn runner() -> TestRunner {
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    };
    let seed = proptest::test_runner::TestRng::deterministic_rng(
        proptest::test_runner::RngAlgorithm::ChaCha,
    );
    TestRunner::new_with_rng(config, seed)
}

#[test]
fn hooks() {
    compare("hooks");
}

#[test]
fn logs() {
    compare("logs/refs/heads");
}

#[test]
fn worktrees() {
    compare("worktrees/x");
}

#[test]
fn directory_at_the_top() {
    compare("rebase-merge");
}

/// Where git makes objects, before they have their names.
#[test]
fn staging_of_a_push() {
    compare("objects/tmp_objdir-incoming-x");
}

#[test]
fn temporary_objects() {
    compare("objects/pack/tmp_x");
}

/// What git, and an impatient administrator, do below `refs/`.
#[derive(Clone, Debug)]
enum RefOp {
    Echo(Name, bool),
    Update(Name, bool),
    Lock(Name),
    Commit(Name, bool),
    Abandon(Name),
    Unlink(Name),
    Mkdir(Name),
    Rmdir(Name),
    Read(Name),
    Kind(Name),
    List(Name),
    Pack,
    /// Opened for writing, or for reading and writing, and closed unwritten.
    Open(Name, bool),
    /// touch(1): opened for writing, and given new times.
    Touch(Name, u32),
    Chmod(Name, u32),
    Mode(Name),
    /// A descriptor that is read later, whatever becomes of the name.
    Hold(Name),
    ReadHeld,
}

fn ref_op() -> impl Strategy<Value = RefOp> {
    let name = || {
        let part = prop::sample::select(vec!["a", "b"]);
        prop::collection::vec(part, 1..=3).prop_map(|parts| parts.join("/"))
    };
    prop_oneof![
        3 => (name(), any::<bool>()).prop_map(|(n, new)| RefOp::Echo(n, new)),
        2 => (name(), any::<bool>()).prop_map(|(n, new)| RefOp::Update(n, new)),
        3 => name().prop_map(RefOp::Lock),
        3 => (name(), any::<bool>()).prop_map(|(n, new)| RefOp::Commit(n, new)),
        2 => name().prop_map(RefOp::Abandon),
        3 => name().prop_map(RefOp::Unlink),
        3 => name().prop_map(RefOp::Mkdir),
        2 => name().prop_map(RefOp::Rmdir),
        3 => name().prop_map(RefOp::Read),
        3 => name().prop_map(RefOp::Kind),
        2 => name().prop_map(RefOp::List),
        1 => Just(RefOp::Pack),
        2 => (name(), any::<bool>()).prop_map(|(n, read)| RefOp::Open(n, read)),
        2 => (name(), any::<u32>()).prop_map(|(n, at)| RefOp::Touch(n, at)),
        1 => (name(), prop::sample::select(vec![0o644, 0o600])).prop_map(|(n, m)| RefOp::Chmod(n, m)),
        1 => name().prop_map(RefOp::Mode),
        2 => name().prop_map(RefOp::Hold),
        2 => Just(RefOp::ReadHeld),
    ]
}

/// A directory below `refs/` of a repository with two commits.
struct Refs {
    repo: gitmoor_tests::git::Repo,
    space: String,
    values: [String; 2],
    held: RefCell<Option<File>>,
}

impl Refs {
    fn new(repo: &gitmoor_tests::git::Repo, space: &str) -> Refs {
        let space = format!("refs/{space}");
        fs::create_dir_all(repo.dir.join(&space)).expect("directory under test");
        let value = |name| format!("{}\n", repo.oid(name));
        Refs {
            values: [value("main~1"), value("main")],
            repo: repo.clone(),
            space,
            held: RefCell::default(),
        }
    }

    fn apply(&self, op: &RefOp) -> Result<String, i32> {
        self.perform(op)
            .map_err(|error| error.raw_os_error().unwrap_or(-1))
    }

    fn perform(&self, op: &RefOp) -> io::Result<String> {
        let done = |()| String::from("done");
        match op {
            RefOp::Echo(name, new) => self.echo(name, *new),
            RefOp::Update(name, new) => Ok(self.update(name, *new)),
            RefOp::Lock(name) => File::create_new(self.lock(name)).map(|_| "locked".into()),
            RefOp::Commit(name, new) => self.commit(name, *new).map(done),
            RefOp::Abandon(name) => fs::remove_file(self.lock(name)).map(done),
            RefOp::Unlink(name) => fs::remove_file(self.at(name)).map(done),
            RefOp::Mkdir(name) => fs::create_dir(self.at(name)).map(done),
            RefOp::Rmdir(name) => fs::remove_dir(self.at(name)).map(done),
            RefOp::Read(name) => fs::read_to_string(self.at(name)),
            RefOp::Kind(name) => kind(&self.at(name)),
            RefOp::List(name) => list(&self.at(name)),
            RefOp::Pack => Ok(format!("{}", self.repo.is("pack-refs --all"))),
            RefOp::Open(name, read) => self.open(name, *read).map(|_| "opened".into()),
            RefOp::Touch(name, at) => self.touch(name, *at),
            RefOp::Chmod(name, mode) => self.chmod(name, *mode).map(done),
            RefOp::Mode(name) => mode(&self.at(name)),
            RefOp::Hold(name) => self.hold(name),
            RefOp::ReadHeld => self.read_held(),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.repo.dir.join(&self.space).join(name)
    }

    fn lock(&self, name: &str) -> PathBuf {
        self.at(&format!("{name}.lock"))
    }

    fn value(&self, new: bool) -> &str {
        &self.values[usize::from(new)]
    }

    /// Never past a lock: whoever holds it has seen another value, and a disk that
    /// lets him overwrite this one loses it, where a mount refuses.
    fn echo(&self, name: &str, new: bool) -> io::Result<String> {
        if self.lock(name).exists() {
            return Ok("locked by another".into());
        }
        // A descriptor that is held shows it on a disk, and on a mount what it was opened for.
        self.held.replace(None);
        fs::write(self.at(name), self.value(new)).map(|()| "done".into())
    }

    /// Of a file alone: what a directory of refs does is in [`compare`]. A lock is nobody else's.
    fn open(&self, name: &str, read: bool) -> io::Result<File> {
        OpenOptions::new()
            .read(read)
            .write(true)
            .open(self.at(name))
    }

    fn touch(&self, name: &str, at: u32) -> io::Result<String> {
        let time = UNIX_EPOCH + Duration::new(at.into(), 0);
        let times = FileTimes::new().set_modified(time).set_accessed(time);
        self.open(name, false)?.set_times(times)?;
        Ok("touched".into())
    }

    fn chmod(&self, name: &str, mode: u32) -> io::Result<()> {
        if self.at(name).is_dir() {
            return Ok(());
        }
        fs::set_permissions(self.at(name), Permissions::from_mode(mode))
    }

    /// Of what a rename replaces: who writes in place writes to what is held, on a disk.
    fn hold(&self, name: &str) -> io::Result<String> {
        let held = File::open(self.at(name))?;
        if held.metadata()?.is_dir() {
            return Ok("a directory".into());
        }
        self.held.replace(Some(held));
        Ok("held".into())
    }

    fn read_held(&self) -> io::Result<String> {
        let mut held = self.held.borrow_mut();
        let Some(file) = &mut *held else {
            return Ok("nothing held".into());
        };
        let mut value = String::new();
        file.seek(SeekFrom::Start(0))?;
        file.read_to_string(&mut value)?;
        Ok(value)
    }

    /// What git finds here, packed or loose. Only here: an earlier sequence that
    /// differed must not make this one fail.
    fn listed(&self) -> String {
        let pattern = format!("{}/", self.space);
        self.repo.ok(["for-each-ref", &pattern])
    }

    fn update(&self, name: &str, new: bool) -> String {
        let name = format!("{}/{name}", self.space);
        let args = [
            "-c",
            "core.filesRefLockTimeout=0",
            "update-ref",
            &name,
            self.value(new).trim(),
        ];
        self.repo.is(args).to_string()
    }

    /// Carries a lock through, if it is there.
    fn commit(&self, name: &str, new: bool) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(self.lock(name))?;
        file.write_all(self.value(new).as_bytes())?;
        drop(file);
        fs::rename(self.lock(name), self.at(name))
    }
}

fn mode(path: &Path) -> io::Result<String> {
    let stat = path.symlink_metadata()?;
    Ok(match stat.is_dir() {
        true => "directory".into(),
        false => format!("{:o}", stat.mode() & 0o7777),
    })
}

fn kind(path: &Path) -> io::Result<String> {
    let stat = path.symlink_metadata()?;
    Ok(match stat.is_dir() {
        true => "directory".into(),
        false => format!("{} bytes", stat.len()),
    })
}

#[test]
fn refs() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let (mount, disk) = (place.bare("app.git"), place.work("disk"));
    let disk = place.git.at(disk.dir.join(".git"));
    for repo in [&mount, &disk] {
        repo.import(&history::commits(2));
    }
    let number = AtomicU32::new(0);
    let sequences = prop::collection::vec(ref_op(), 1..LENGTH);
    let outcome = runner().run(&sequences, |ops| {
        let space = format!("case-{}", number.fetch_add(1, Ordering::Relaxed));
        let (on_mount, on_disk) = (Refs::new(&mount, &space), Refs::new(&disk, &space));
        let result = same_refs(&on_mount, &on_disk, &ops);
        // Forgotten locks would make every later `pack-refs` fail.
        for refs in [&on_mount, &on_disk] {
            let _ = fs::remove_dir_all(refs.repo.dir.join(&refs.space));
        }
        result
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

fn same_refs(mount: &Refs, disk: &Refs, ops: &[RefOp]) -> Result<(), TestCaseError> {
    for (step, op) in ops.iter().enumerate() {
        prop_assert_eq!(
            mount.apply(op),
            disk.apply(op),
            "mount, disk: step {} {:?}",
            step,
            op
        );
    }
    prop_assert_eq!(
        mount.listed(),
        disk.listed(),
        "mount, disk: refs at the end"
    );
    Ok(())
}
