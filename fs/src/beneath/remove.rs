//! A directory is removed with all that is in it, however deep that is.

use super::Dir;
use rustix::fs::FileType;
use std::io;
use std::path::Path;

impl Dir {
    /// Removes a directory that nobody writes to any more; one that is not there is no error.
    ///
    /// Whoever renames directories into one another makes them deeper than any path is long, and than a thread has
    /// stack for. So none is descended into: what is in a directory of a directory comes up to the top first.
    pub fn remove_all(&self, at: &Path) -> io::Result<()> {
        if self.stat(at)?.is_none() {
            return Ok(());
        }
        let mut moved = 0;
        loop {
            let names = self.list(at)?;
            if names.is_empty() {
                return self.rmdir(at);
            }
            for (name, kind) in names {
                let inner = at.join(name);
                match kind {
                    FileType::Directory => self.flatten(&inner, at, &mut moved)?,
                    _ => self.unlink(&inner)?,
                }
            }
        }
    }

    /// Removes a directory, whose own directories get new names in another.
    fn flatten(&self, dir: &Path, to: &Path, moved: &mut u64) -> io::Result<()> {
        // Its mode may keep its owner out.
        self.node(dir)?.chmod(0o700)?;
        for (name, kind) in self.list(dir)? {
            let inner = dir.join(name);
            match kind {
                FileType::Directory => self.move_up(&inner, to, moved)?,
                _ => self.unlink(&inner)?,
            }
        }
        self.rmdir(dir)
    }

    fn move_up(&self, dir: &Path, to: &Path, moved: &mut u64) -> io::Result<()> {
        self.node(dir)?.chmod(0o700)?;
        loop {
            *moved += 1;
            match self.rename_new(dir, &to.join(format!("removed-{moved}"))) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                renamed => return renamed,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// Deeper than a path is long.
    fn deepen(dir: &Path, levels: usize) {
        let chain = |name: &str| {
            let chain = dir.join(name);
            let links = vec!["d"; 1000];
            fs::create_dir_all(chain.join(links.join("/"))).expect("a chain");
            chain
        };
        let mut all = chain("all");
        for level in 1..levels {
            let next = chain(&format!("next-{level}"));
            fs::rename(&all, next.join(["d"; 999].join("/")).join("all")).expect("moved");
            all = next;
        }
    }

    #[test]
    fn no_depth_takes_the_stack() {
        let scratch = tempfile::tempdir().expect("a directory");
        let top = scratch.path().join("top");
        fs::create_dir_all(top.join("removed-1/removed-2")).expect("a directory");
        fs::write(top.join("removed-1/removed-2/file"), b"x").expect("a file");
        std::os::unix::fs::symlink(scratch.path(), top.join("link")).expect("a link");
        fs::set_permissions(top.join("removed-1"), PermissionsExt::from_mode(0o500))
            .expect("chmod");
        fs::write(scratch.path().join("stays"), b"x").expect("a file");
        deepen(&top, 20);
        let dir = Dir::open(scratch.path()).expect("opened");
        dir.remove_all(Path::new("top")).expect("removed");
        assert!(!top.exists());
        assert!(scratch.path().join("stays").exists());
        dir.remove_all(Path::new("top")).expect("is not there");
    }
}
