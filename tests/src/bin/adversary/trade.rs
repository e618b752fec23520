//! What one thread of the hostile user has in its hands, and what it does next.

use super::act::{self, Answer};
use super::names;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rustix::fs::{FileType, RenameFlags};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Descriptors that are held at a time.
const HELD: usize = 24;

/// Sizes that files are given, and places that are written to.
const SIZES: &[u64] = &[
    0,
    1,
    41,
    4096,
    70_000,
    1 << 20,
    3 << 30,
    8 << 40,
    i64::MAX as u64,
];

const MODES: &[u32] = &[
    0o644, 0o600, 0o755, 0o777, 0o000, 0o4755, 0o2755, 0o1777, 0o444, 0o6777,
];

/// See the module.
pub(crate) struct Trade<'a> {
    random: StdRng,
    log: File,
    directories: &'a [PathBuf],
    held: Vec<OwnedFd>,
    done: u64,
}

impl<'a> Trade<'a> {
    pub(crate) fn new(random: StdRng, log: &Path, directories: &'a [PathBuf]) -> Self {
        let log = File::create(log).expect("a directory of the user's own");
        act::own_working_directory();
        Self {
            random,
            log,
            directories,
            held: Vec::new(),
            done: 0,
        }
    }

    /// One operation.
    pub(crate) fn one(&mut self) {
        self.done += 1;
        let answer = match self.random.random_range(0..100) {
            0..8 => self.create(),
            8..13 => self.write_file(),
            13..28 => self.rename(),
            28..34 => self.link(),
            34..41 => self.symlink(),
            41..46 => self.make_directory(),
            46..51 => self.remove(),
            51..54 => self.special(),
            54..58 => self.attributes(),
            58..60 => self.truncate(),
            60..65 => self.hold(),
            65..84 => self.use_held(),
            84..88 => self.through_descriptor(),
            88..91 => self.copy(),
            91..94 => self.look(),
            94..96 => self.work_within(),
            96..98 => self.git(),
            _ => self.let_go(),
        };
        let said = answer.map_or_else(|error| error.to_string(), |()| "done".to_owned());
        // What the log cannot take is not told.
        let _ = writeln!(self.log, "  {said}");
    }

    /// Before it is done, since it may be the last.
    fn say(&mut self, what: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.log, "{} {what}", self.done);
    }

    fn repository(&mut self) -> &'a Path {
        let first = self.random.random_bool(0.85);
        match self.directories.choose(&mut self.random) {
            Some(any) if !first => any,
            Some(_) | None => &self.directories[0],
        }
    }

    fn path(&mut self) -> PathBuf {
        let repository = self.repository();
        names::path(&mut self.random, repository)
    }

    fn any<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(&mut self.random).expect("not empty")
    }

    fn create(&mut self) -> Answer {
        let (path, mode) = (self.path(), self.any(MODES));
        self.say(format_args!("create {path:?} {mode:o}"));
        let made = act::create(&path, mode)?;
        act::write(&made, 0, &names::bytes(&mut self.random))?;
        self.keep(made)
    }

    /// In place, as echo(1) does.
    fn write_file(&mut self) -> Answer {
        let (path, bytes) = (self.path(), names::bytes(&mut self.random));
        let truncate = self.random.random();
        self.say(format_args!(
            "write {path:?} {} bytes, truncate {truncate}",
            bytes.len()
        ));
        let file = act::open_to_write(&path, truncate)?;
        act::write(&file, 0, &bytes)?;
        self.keep(file)
    }

    fn keep(&mut self, file: OwnedFd) -> Answer {
        if self.random.random_bool(0.3) {
            self.held.push(file);
        }
        if self.held.len() > HELD {
            self.let_go()?;
        }
        Ok(())
    }

    fn let_go(&mut self) -> Answer {
        if !self.held.is_empty() {
            let at = self.random.random_range(0..self.held.len());
            self.say(format_args!("close {at}"));
            self.held.swap_remove(at);
        }
        Ok(())
    }

    fn rename(&mut self) -> Answer {
        let (from, to) = (self.path(), self.path());
        let plain = RenameFlags::empty();
        let flags = [
            plain,
            plain,
            plain,
            RenameFlags::NOREPLACE,
            RenameFlags::EXCHANGE,
        ];
        let flags = self.any(&flags);
        self.say(format_args!("rename {from:?} {to:?} {flags:?}"));
        act::rename(&from, &to, flags)
    }

    fn link(&mut self) -> Answer {
        let (from, to) = (self.path(), self.path());
        let follow = self.random.random();
        self.say(format_args!("link {from:?} {to:?}, follow {follow}"));
        act::link(&from, &to, follow)
    }

    /// Often onto a name of some meaning by a rename, which asks less than symlink(2).
    fn symlink(&mut self) -> Answer {
        let (target, path) = (names::target(&mut self.random), self.path());
        self.say(format_args!("symlink {path:?} -> {target:?}"));
        std::os::unix::fs::symlink(&target, &path)?;
        let to = self.path();
        if self.random.random_bool(0.6) {
            self.say(format_args!("rename the link {path:?} {to:?}"));
            act::rename(&path, &to, RenameFlags::empty())?;
        }
        Ok(())
    }

    fn make_directory(&mut self) -> Answer {
        let repository = self.repository();
        let path = match self.random.random() {
            true => repository.join(names::directory(&mut self.random)),
            false => names::path(&mut self.random, repository),
        };
        self.say(format_args!("mkdir {path:?}"));
        std::fs::create_dir(&path)
    }

    fn remove(&mut self) -> Answer {
        let path = self.path();
        let is_dir = self.random.random_bool(0.3);
        self.say(format_args!("remove {path:?}, directory {is_dir}"));
        match is_dir {
            true => std::fs::remove_dir(&path),
            false => std::fs::remove_file(&path),
        }
    }

    fn special(&mut self) -> Answer {
        let (path, to) = (self.path(), self.path());
        let kind = self.any(&[
            FileType::Fifo,
            FileType::Fifo,
            FileType::Socket,
            FileType::CharacterDevice,
            FileType::BlockDevice,
            FileType::RegularFile,
        ]);
        self.say(format_args!("mknod {path:?} {kind:?}, rename {to:?}"));
        act::make_node(&path, kind)?;
        act::rename(&path, &to, RenameFlags::empty())
    }

    fn attributes(&mut self) -> Answer {
        let (path, mode) = (self.path(), self.any(MODES));
        let what = self.random.random_range(0..5);
        self.say(format_args!("attributes {path:?} {what} {mode:o}"));
        match what {
            0 => act::change_mode(&path, mode),
            1 => act::change_owner(&path, 0),
            2 => act::change_owner(&path, act::user()),
            3 => act::set_times(&path, self.random.random_range(0..1 << 33)),
            _ => act::set_xattr(&path),
        }
    }

    fn truncate(&mut self) -> Answer {
        let (path, size) = (self.path(), self.any(SIZES));
        self.say(format_args!("truncate {path:?} {size}"));
        act::truncate(&path, size)
    }

    fn hold(&mut self) -> Answer {
        let (path, how) = (self.path(), self.random.random_range(0..4));
        self.say(format_args!("hold {path:?} {how}"));
        let file = act::open(&path, how)?;
        self.held.push(file);
        if self.held.len() > HELD {
            self.held.swap_remove(0);
        }
        Ok(())
    }

    fn use_held(&mut self) -> Answer {
        if self.held.is_empty() {
            return self.hold();
        }
        let at = self.random.random_range(0..self.held.len());
        let (what, size) = (self.random.random_range(0..act::USES), self.any(SIZES));
        self.say(format_args!("held {at} {what} {size}"));
        let bytes = names::bytes(&mut self.random);
        let other = self.held.choose(&mut self.random).expect("not empty");
        act::use_held(&self.held[at], other, what, size, &bytes)
    }

    /// By /proc/self/fd, which names what has no name, and by directories that are held.
    fn through_descriptor(&mut self) -> Answer {
        let (to, what) = (self.path(), self.random.random_range(0..4));
        if self.held.is_empty() {
            return self.hold();
        }
        let at = self.random.random_range(0..self.held.len());
        self.say(format_args!("through {at} {what} {to:?}"));
        let name = to.file_name().unwrap_or_default();
        let held = &self.held[at];
        match what {
            0 => act::link_held(held, &to),
            1 => act::reopen(held).and_then(|file| self.keep(file)),
            2 => act::create_at(held, name).and_then(|file| self.keep(file)),
            _ => act::rename_at(held, name, &to),
        }
    }

    /// Bytes that are right elsewhere: objects, packs, packed refs.
    fn copy(&mut self) -> Answer {
        let (from, to) = (self.path(), self.path());
        self.say(format_args!("copy {from:?} {to:?}"));
        act::copy(&from, &to)
    }

    fn look(&mut self) -> Answer {
        let path = self.path();
        self.say(format_args!("look {path:?}"));
        act::look(&path)
    }

    /// With another working directory, and names that go up.
    fn work_within(&mut self) -> Answer {
        let (path, name) = (self.path(), self.path());
        let name = name.file_name().unwrap_or_default().to_owned();
        self.say(format_args!("from {path:?} {name:?}"));
        act::within(&path, &name)
    }

    /// What an owner does all day.
    fn git(&mut self) -> Answer {
        let repository = self.repository();
        let command = self.any(&[
            "update-ref refs/heads/next refs/heads/main",
            "update-ref -d refs/heads/next",
            "pack-refs --all",
            "hash-object -w config",
            "symbolic-ref HEAD refs/heads/next",
            "for-each-ref",
            "config gitmoor.adversary 1",
            "commit-graph write",
        ]);
        self.say(format_args!("git {command} in {repository:?}"));
        act::git(repository, command)
    }
}
