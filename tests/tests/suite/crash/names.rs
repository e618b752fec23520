//! Death while names change hands: a file and a link beside repositories, a repository that goes into another one and out
//! again, and a file of Git LFS. Each change is the old or the new one afterwards, and one that was acknowledged is the new.

use super::points::{BASE, Load, Stage};
use crate::repository::lfs;
use gitmoor_fs::failpoint as fs_points;
use gitmoor_replicator::failpoint as raft_points;
use gitmoor_tests::git::Repo;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Where the repository is that moves.
const LIBRARY: [&str; 2] = ["library.git", "app.git/modules/library"];

impl Stage {
    fn at(&self, name: &str) -> PathBuf {
        self.place.root.join(name)
    }

    /// Outside the mount: what the last acknowledged change of a kind left behind.
    fn noted(&self, kind: &str) -> PathBuf {
        self.place.scratch.join(format!("acknowledged-{kind}"))
    }

    fn acknowledged(&self, kind: &str, value: &str) {
        fs::write(self.noted(kind), value).expect("a note");
    }

    /// What there is is what was acknowledged last, or the next, which was under way.
    fn check(&self, kind: &str, found: Option<&str>) {
        let acknowledged = fs::read_to_string(self.noted(kind)).ok();
        let next = self.steps.get().to_string();
        let found = found.map(str::to_owned);
        let as_before = found == acknowledged;
        assert!(
            as_before || found == Some(next),
            "{kind}: {found:?}, but {acknowledged:?}"
        );
        if let Some(found) = found {
            self.acknowledged(kind, &found);
        }
    }

    /// A file beside repositories gets other bytes, as editors and hosts write it.
    fn write_note(&self, value: &str) -> std::io::Result<()> {
        fs::write(self.at("new-note"), value)?;
        fs::rename(self.at("new-note"), self.at("note"))?;
        self.acknowledged("note", value);
        Ok(())
    }

    /// An alias is switched in one step.
    fn switch_alias(&self, value: &str) -> std::io::Result<()> {
        let _ = fs::remove_file(self.at("new-alias"));
        symlink(value, self.at("new-alias"))?;
        fs::rename(self.at("new-alias"), self.at("alias"))?;
        self.acknowledged("alias", value);
        Ok(())
    }

    /// The repository goes from one of its places to the other.
    fn move_library(&self) -> std::io::Result<()> {
        let [outside, inside] = LIBRARY.map(|name| self.at(name));
        match outside.exists() {
            true => fs::rename(outside, inside),
            false => fs::rename(inside, outside),
        }
    }

    fn change_names(&self) -> std::io::Result<()> {
        let value = self.steps.get().to_string();
        self.write_note(&value)?;
        self.move_library()?;
        self.switch_alias(&value)?;
        self.move_library()
    }

    /// A file of Git LFS, and a push after it, as `git lfs push` does it to a repository of a path.
    fn give_large(&self) -> std::io::Result<()> {
        let step = self.steps.get();
        let local = self.place.scratch.join("large");
        fs::write(&local, format!("large {step}\n").repeat(9_000))?;
        let to = self.at("app.git").join(lfs::at(&lfs::sha256(&local)));
        let made = self.at("app.git/lfs/tmp/made");
        for path in [&made, &to] {
            fs::create_dir_all(path.parent().expect("a directory"))?;
        }
        fs::copy(&local, &made)?;
        fs::rename(&made, &to)?;
        if self.is_pushed("", 1, 100) {
            let named = to.to_str().expect("text");
            self.acknowledged("large", named);
        }
        Ok(())
    }

    /// Whatever has the name of a file of Git LFS has its bytes.
    fn check_large(&self) {
        let objects = self.at("app.git/lfs/objects");
        let mut found = Vec::new();
        for first in fs::read_dir(&objects).into_iter().flatten().flatten() {
            for second in fs::read_dir(first.path()).expect("ls").flatten() {
                for file in fs::read_dir(second.path()).expect("ls").flatten() {
                    found.push(file.path());
                }
            }
        }
        for path in &found {
            let name = path.file_name().and_then(|name| name.to_str());
            assert_eq!(Some(&*lfs::sha256(path)), name);
        }
        if let Ok(acknowledged) = fs::read_to_string(self.noted("large")) {
            assert!(
                found.contains(&PathBuf::from(&acknowledged)),
                "{acknowledged} is lost"
            );
        }
    }

    fn library(&self) -> Repo {
        let there: Vec<_> = LIBRARY
            .iter()
            .filter(|name| self.at(name).exists())
            .collect();
        let [name] = there[..] else {
            panic!("the repository is at {there:?}");
        };
        self.place.repo(name)
    }
}

/// Names that all machines have.
const NAMES: Load = Load {
    begin: |stage| {
        let library = stage.place.init(LIBRARY[0], "");
        let refspec = "main:refs/heads/main";
        let url = library.url();
        stage.work.ok(["push", "--quiet", &url, refspec]);
        fs::create_dir_all(stage.at("app.git/modules")).expect("mkdir");
    },
    step: |stage| {
        // The daemon may die at any time.
        let _ = stage.change_names();
    },
    after: |stage| {
        let note = fs::read_to_string(stage.at("note")).ok();
        stage.check("note", note.as_deref());
        let alias = fs::read_link(stage.at("alias")).ok();
        stage.check("alias", alias.as_deref().and_then(Path::to_str));
        let library = stage.library();
        assert_eq!(library.oid("main"), stage.work.oid("main"));
        library.fsck();
        // All of it goes on.
        stage.steps.set(stage.steps.get() + 1);
        stage.change_names().expect("the daemon is back");
    },
    points: &[
        (raft_points::RAFT_UNWRITTEN, &[6, 9]),
        (raft_points::RAFT_WRITTEN, &[5, 6, 7, 8, 9, 10, 11, 12]),
        (raft_points::RAFT_APPLIED, &[6, 7, 8, 9, 10, 11]),
        (raft_points::APPLY, &[3, 4, 5, 6]),
    ],
    ..BASE
};

/// Files of Git LFS are objects of a repository too.
const LARGE: Load = Load {
    step: |stage| {
        // The daemon may die at any time.
        let _ = stage.give_large();
    },
    after: |stage| {
        stage.check_large();
        stage.place.cool();
        stage.check_large();
    },
    points: &[
        (fs_points::OBJECT_UNNAMED, &[1, 2]),
        (fs_points::OBJECT_NAMED, &[1, 2]),
        (fs_points::UNSENT, &[1]),
        (fs_points::SENT, &[1]),
        (fs_points::STORED, &[1]),
        (fs_points::CATALOGUED, &[1]),
        (fs_points::ADOPTED, &[1, 2]),
    ],
    ..BASE
};

#[test]
fn files_of_lfs() {
    LARGE.drill();
}

#[test]
fn beside_and_inside() {
    NAMES.drill();
}
