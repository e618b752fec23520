//! Where a host keeps its repositories: a directory of the disk, a mount, or the mounts of three machines that are one
//! cluster. A scenario does one thing after the other by way of another machine each time.

use crate::backend::Kind;
use crate::cluster::Cluster;
use crate::git::{Git, Installed, Repo};
use crate::place::Place;
use crate::process;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// See the module.
pub struct Site {
    /// Whose git clients and hosts run.
    pub git: Git,
    /// The directories in which repositories stand, one for each machine.
    pub roots: Vec<PathBuf>,
    scratch: PathBuf,
    held: Held,
}

enum Held {
    One(Box<Place>),
    Three(Box<Cluster>),
}

impl Site {
    /// Runs a scenario once with every git of this machine.
    #[track_caller]
    pub fn run(kind: Kind, scenario: fn(&mut Site)) {
        for git in Installed::all() {
            println!("-- {git}");
            scenario(&mut Site::one(kind, &git));
        }
    }

    /// The same with the newest git alone, on one machine.
    #[track_caller]
    pub fn run_newest(kind: Kind, scenario: fn(&mut Site)) {
        scenario(&mut Site::one(kind, &Installed::newest()));
    }

    /// The same on three machines.
    #[track_caller]
    pub fn run_on_three(scenario: fn(&mut Site)) {
        scenario(&mut Site::three());
    }

    fn one(kind: Kind, git: &Installed) -> Site {
        let place = Place::new(kind, git);
        Site {
            git: place.git.clone(),
            roots: vec![place.root.clone()],
            scratch: place.scratch.clone(),
            held: Held::One(Box::new(place)),
        }
    }

    fn three() -> Site {
        let cluster = Cluster::mounted(Kind::Dir);
        let root = |machine| cluster.mounted_on(machine).path().to_owned();
        Site {
            git: cluster.git.clone(),
            roots: (0..3).map(root).collect(),
            scratch: cluster.scratch("site"),
            held: Held::Three(Box::new(cluster)),
        }
    }

    /// How many machines there are.
    pub fn machines(&self) -> usize {
        self.roots.len()
    }

    /// Where repositories stand, on a machine of which it is the turn.
    pub fn root(&self, turn: usize) -> &Path {
        &self.roots[turn % self.roots.len()]
    }

    /// A repository, by way of a machine of which it is the turn.
    pub fn repo(&self, turn: usize, name: &str) -> Repo {
        self.git.at(self.root(turn).join(name))
    }

    /// A name in the directory of files that are not on a mount.
    pub fn scratch(&self, name: impl AsRef<Path>) -> PathBuf {
        self.scratch.join(name)
    }

    /// Commands that need no repository.
    pub fn at(&self) -> Repo {
        self.git.at(&self.scratch)
    }

    /// A new repository with a work tree on the plain disk, with that many commits on `main`.
    #[track_caller]
    pub fn work(&self, name: &str, commits: usize) -> Repo {
        let path = self.scratch(name);
        self.at().ok(format!("init --quiet {}", path.display()));
        let work = self.git.at(path);
        if commits > 0 {
            work.import(&crate::history::commits(commits));
            work.ok("reset --quiet --hard main");
        }
        work
    }

    /// Clones a URL or path to the plain disk.
    #[track_caller]
    pub fn clone(&self, url: &str, name: &str) -> Repo {
        let path = self.scratch(name);
        self.at()
            .ok(["clone", "--quiet", url, &path.to_string_lossy()]);
        self.git.at(path)
    }

    /// Every machine's git finds nothing wrong with a repository, and the same refs.
    #[track_caller]
    pub fn fsck(&self, name: &str) {
        let refs = self.repo(0, name).refs();
        for machine in 0..self.machines() {
            let repo = self.repo(machine, name);
            repo.fsck();
            assert_eq!(repo.refs(), refs, "{name} on machine {machine}");
        }
    }

    /// Unmounts a machine and mounts it again; nothing on a plain directory.
    #[track_caller]
    pub fn restart(&mut self, turn: usize) {
        let machine = turn % self.machines();
        match &mut self.held {
            Held::One(place) => place.restart(),
            Held::Three(cluster) => {
                let mount = cluster.machines[machine].mount.as_mut();
                let mount = mount.expect("it runs with a mount");
                mount.umount();
                mount.launch();
            }
        }
    }

    /// Kills a machine's daemon with SIGKILL and mounts again; nothing on a plain directory.
    #[track_caller]
    pub fn crash(&mut self, turn: usize) {
        let machine = turn % self.machines();
        match &mut self.held {
            Held::One(place) => place.crash(),
            Held::Three(cluster) => {
                cluster.kill9(machine);
                cluster.mount(machine);
            }
        }
    }

    /// What a shell prints that runs these commands at the root of a machine. Its processes have seen nothing before.
    #[track_caller]
    pub fn sh(&self, turn: usize, script: &str) -> String {
        ok(&mut self.shell(turn, script))
    }

    /// Whether these commands succeed.
    #[track_caller]
    pub fn is(&self, turn: usize, script: &str) -> bool {
        let mut command = self.shell(turn, script);
        process::run(&mut command, b"", process::LIMIT)
            .status
            .success()
    }

    fn shell(&self, turn: usize, script: &str) -> Command {
        let mut command = self.git.program("/bin/sh", self.root(turn));
        command.args(["-euc", script]);
        command
    }

    /// Writes a program.
    #[track_caller]
    pub fn program(&self, name: &str, text: &str) -> PathBuf {
        let path = self.scratch(name);
        write_program(&path, text);
        path
    }
}

/// A command that must succeed; its standard output without the last newline.
#[track_caller]
pub fn ok(command: &mut Command) -> String {
    let output = process::run(command, b"", process::LIMIT);
    let line = process::describe(command);
    assert!(
        output.status.success(),
        "{line} {}",
        process::report(&output)
    );
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

/// Writes an executable file, and the directories above.
#[track_caller]
pub fn write_program(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a directory")).expect("mkdir -p");
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
}
