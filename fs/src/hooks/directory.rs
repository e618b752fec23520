//! A hooks directory on the disk of this machine, held by its descriptor. Git runs what is in it for whoever pushes:
//! all of it belongs to the daemon's user or to root, and nobody else may write to any of it.

use super::error::HooksError;
use super::tree::{HookNode, HookTree};
use crate::beneath::{Dir, kind_of};
use gitmoor_model::{HookKind, MOST_HOOK_BYTES, MOST_HOOK_FILES, RepoPath, Timestamp, is_sample};
use rustix::fs::FileType;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Directories in each other.
const DEEPEST: usize = 8;

/// How the files of a directory look from outside. As long as that is the same, so are they.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Stamp(Vec<(PathBuf, [i64; 7])>);

pub(super) struct Directory(Dir);

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Self, HooksError> {
        let dir = Dir::open(path).map_err(|source| HooksError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self(dir))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn stamp(&self) -> Result<Stamp, HooksError> {
        let mut stamp = Vec::new();
        self.walk(&mut |at, meta| {
            let look = [
                meta.ino() as i64,
                i64::from(meta.mode()),
                meta.size() as i64,
                meta.mtime(),
                meta.mtime_nsec(),
                meta.ctime(),
                meta.ctime_nsec(),
            ];
            stamp.push((at.to_owned(), look));
            Ok(())
        })?;
        stamp.sort_unstable();
        Ok(Stamp(stamp))
    }

    /// All of it, if it may be used.
    pub(super) fn read(&self) -> Result<HookTree, HooksError> {
        let (mut nodes, mut left, mut time) = (BTreeMap::new(), MOST_HOOK_BYTES, None);
        self.walk(&mut |at, meta| {
            self.check_owner(at, meta)?;
            let mtime = Timestamp {
                secs: meta.mtime(),
                nanos: meta.mtime_nsec() as u32,
            };
            if at.as_os_str().is_empty() {
                time = Some(mtime);
                return Ok(());
            }
            let path = RepoPath::new(at.as_os_str().as_bytes());
            let path = path.ok_or_else(|| HooksError::Irregular {
                path: self.path().join(at),
            })?;
            let (kind, bytes) = self.content(at, meta, left)?;
            left = left.saturating_sub(bytes.len() as u64);
            nodes.insert(path, HookNode::new(kind, bytes, mtime));
            Ok(())
        })?;
        let time =
            time.ok_or_else(|| self.failed(Path::new(""), io::ErrorKind::NotFound.into()))?;
        Ok(HookTree::new(nodes, time))
    }

    /// Calls `visit` with each file, link and directory, the top first. Samples are no hooks.
    fn walk(
        &self,
        visit: &mut dyn FnMut(&Path, &Metadata) -> Result<(), HooksError>,
    ) -> Result<(), HooksError> {
        let mut dirs = vec![(PathBuf::new(), 0)];
        let mut files = 0;
        visit(Path::new(""), &self.stat(Path::new(""))?)?;
        while let Some((dir, depth)) = dirs.pop() {
            let names = self
                .0
                .list(&dir)
                .map_err(|error| self.failed(&dir, error))?;
            for (name, _) in names {
                if is_sample(name.as_bytes()) {
                    continue;
                }
                files += 1;
                if files > MOST_HOOK_FILES || depth > DEEPEST {
                    return Err(HooksError::TooLarge {
                        path: self.path().to_owned(),
                    });
                }
                let at = dir.join(&name);
                let meta = self.stat(&at)?;
                visit(&at, &meta)?;
                if meta.is_dir() {
                    dirs.push((at, depth + 1));
                }
            }
        }
        Ok(())
    }

    fn stat(&self, at: &Path) -> Result<Metadata, HooksError> {
        let node = self.0.node(at).and_then(|node| node.stat());
        node.map_err(|error| self.failed(at, error))
    }

    fn failed(&self, at: &Path, source: io::Error) -> HooksError {
        HooksError::Io {
            path: self.path().join(at),
            source,
        }
    }

    fn check_owner(&self, at: &Path, meta: &Metadata) -> Result<(), HooksError> {
        let expected = rustix::process::geteuid().as_raw();
        let (path, uid, mode) = (self.path().join(at), meta.uid(), meta.mode());
        if uid != expected && uid != 0 {
            return Err(HooksError::OtherOwner {
                path,
                uid,
                expected,
            });
        }
        match mode & 0o022 != 0 && !meta.is_symlink() {
            true => Err(HooksError::Writable { path, mode }),
            false => Ok(()),
        }
    }

    fn content(
        &self,
        at: &Path,
        meta: &Metadata,
        left: u64,
    ) -> Result<(HookKind, Vec<u8>), HooksError> {
        match kind_of(meta) {
            FileType::Directory => Ok((HookKind::Directory, Vec::new())),
            FileType::Symlink => Ok((HookKind::Link, self.target(at)?)),
            FileType::RegularFile => self.bytes(at, left),
            _ => Err(HooksError::Irregular {
                path: self.path().join(at),
            }),
        }
    }

    /// The bytes of a file, whose owner and mode are those of what was opened.
    fn bytes(&self, at: &Path, left: u64) -> Result<(HookKind, Vec<u8>), HooksError> {
        let failed = |error| self.failed(at, error);
        let file = self.0.file(at).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        self.check_owner(at, &meta)?;
        let mut bytes = Vec::new();
        file.take(left + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > left {
            return Err(HooksError::TooLarge {
                path: self.path().to_owned(),
            });
        }
        let kind = match meta.mode() & 0o111 {
            0 => HookKind::Data,
            _ => HookKind::Program,
        };
        Ok((kind, bytes))
    }

    fn target(&self, at: &Path) -> Result<Vec<u8>, HooksError> {
        let target = self.0.node(at).and_then(|node| node.readlink());
        let target = target.map_err(|error| self.failed(at, error))?;
        match stays(at, &target) {
            true => Ok(target.into_os_string().into_vec()),
            false => Err(HooksError::Leaves {
                path: self.path().join(at),
                target,
            }),
        }
    }
}

/// Whether a symbolic link surely leads to something in the directory: up at the beginning only, and no farther than
/// the top. After a name, which may be a link itself, `..` could lead anywhere.
fn stays(link: &Path, target: &Path) -> bool {
    let depth = link.components().count() - 1;
    let mut up = 0;
    let mut names = 0;
    for component in target.components() {
        match component {
            Component::ParentDir if names == 0 => up += 1,
            Component::Normal(name) if name != OsStr::new("") => names += 1,
            Component::CurDir => {}
            Component::ParentDir
            | Component::Normal(_)
            | Component::RootDir
            | Component::Prefix(_) => return false,
        }
    }
    up <= depth && names > 0
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the directories are the test's own"
)]
mod tests {
    use super::*;
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn set(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).expect("changes the mode");
    }

    fn put(dir: &Path, name: &str, text: &str, mode: u32) {
        let path = dir.join(name);
        write(&path, text).expect("writes");
        set(&path, mode);
    }

    fn hooks() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        put(dir.path(), "pre-receive", "#!/bin/sh\n", 0o755);
        put(dir.path(), "rules", "main: nobody\n", 0o644);
        put(dir.path(), "update.sample", "none", 0o755);
        create_dir(dir.path().join("update.d")).expect("makes");
        set(&dir.path().join("update.d"), 0o755);
        put(dir.path(), "update.d/host", "#!/bin/sh\n", 0o700);
        symlink("update.d/host", dir.path().join("update")).expect("links");
        dir
    }

    fn read(dir: &Path) -> Result<HookTree, HooksError> {
        Directory::open(dir)?.read()
    }

    fn path(text: &str) -> RepoPath {
        RepoPath::new(text).expect("a valid path")
    }

    #[test]
    fn what_git_runs_is_in_it_and_samples_are_not() {
        let dir = hooks();
        let tree = read(dir.path()).expect("reads");
        let names: Vec<_> = tree
            .list(&path("hooks"))
            .into_iter()
            .map(|it| it.0)
            .collect();
        assert_eq!(
            names,
            [&b"pre-receive"[..], b"rules", b"update", b"update.d"]
        );
        let inner = tree.at(&path("hooks/update.d/host")).expect("is there");
        assert_eq!((inner.kind, inner.mode()), (HookKind::Program, 0o555));
        assert!(tree.at(&path("hooks/update.sample")).is_none());
        assert!(tree.at(&path("hooksx")).is_none());
    }

    #[test]
    fn names_bytes_links_and_x_bits_are_in_the_digest_and_times_are_not() {
        let (one, other) = (hooks(), hooks());
        let digest = |dir: &tempfile::TempDir| read(dir.path()).expect("reads").digest();
        assert_eq!(digest(&one), digest(&other));
        put(other.path(), "rules", "main: all\n", 0o644);
        assert_ne!(digest(&one), digest(&other));
        let trees = [&one, &other].map(|dir| read(dir.path()).expect("reads"));
        let [mine, theirs] = &trees;
        let first = mine.set().first_difference(theirs.set());
        assert_eq!(first, Some(&path("rules")));
        put(other.path(), "rules", "main: nobody\n", 0o755);
        assert_ne!(digest(&one), digest(&other));
        put(other.path(), "rules", "main: nobody\n", 0o600);
        assert_eq!(digest(&one), digest(&other));
        std::fs::remove_file(other.path().join("update")).expect("removes");
        symlink("pre-receive", other.path().join("update")).expect("links");
        assert_ne!(digest(&one), digest(&other));
    }

    #[test]
    fn what_others_may_write_to_is_refused() {
        let dir = hooks();
        set(&dir.path().join("update.d"), 0o775);
        assert!(matches!(read(dir.path()), Err(HooksError::Writable { .. })));
        let dir = hooks();
        set(&dir.path().join("rules"), 0o666);
        assert!(matches!(read(dir.path()), Err(HooksError::Writable { .. })));
        let dir = hooks();
        set(dir.path(), 0o777);
        assert!(matches!(read(dir.path()), Err(HooksError::Writable { .. })));
    }

    #[test]
    fn links_that_may_leave_it_are_refused() {
        for (link, target, is_in) in [
            ("a", "pre-receive", true),
            ("a", "/etc/passwd", false),
            ("a", "../x", false),
            ("update.d/a", "../pre-receive", true),
            ("update.d/a", "../../x", false),
            ("a", "update.d/../pre-receive", false),
            ("a", ".", false),
        ] {
            let dir = hooks();
            symlink(target, dir.path().join(link)).expect("links");
            let read = read(dir.path());
            assert_eq!(read.is_ok(), is_in, "{link} -> {target}: {read:?}");
        }
    }

    #[test]
    fn there_is_a_limit_of_files_and_of_bytes() {
        let dir = hooks();
        for n in 0..MOST_HOOK_FILES {
            put(dir.path(), &format!("f{n}"), "", 0o644);
        }
        assert!(matches!(read(dir.path()), Err(HooksError::TooLarge { .. })));
        let dir = hooks();
        let file = std::fs::File::create(dir.path().join("large")).expect("makes");
        file.set_len(MOST_HOOK_BYTES).expect("grows");
        set(&dir.path().join("large"), 0o644);
        assert!(matches!(read(dir.path()), Err(HooksError::TooLarge { .. })));
    }
}
