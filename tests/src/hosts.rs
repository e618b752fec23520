//! Hosts and libraries, unmodified, as `scripts/hosts.sh` unpacks them: the programs of Debian's packages, and the
//! Python and the modules of Node that have those of PyPI and npm.

use crate::requirement::{Requirement, need, program};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Names the directory, if it is not in the cache of the user.
const VARIABLE: &str = "GITMOOR_TEST_HOSTS";

/// Of JGit, and what it needs.
const JARS: [&str; 17] = [
    "args4j",
    "commons-codec",
    "commons-compress",
    "commons-logging",
    "httpclient",
    "httpcore",
    "javaewah",
    "jsch",
    "jzlib",
    "org.eclipse.jgit",
    "org.eclipse.jgit.archive",
    "org.eclipse.jgit.http.apache",
    "org.eclipse.jgit.lfs",
    "org.eclipse.jgit.pgm",
    "org.eclipse.jgit.ui",
    "slf4j-api",
    "slf4j-nop",
];

/// Where they are.
pub struct Hosts {
    dir: PathBuf,
}

impl Hosts {
    /// `None` on a machine that may lack them.
    #[track_caller]
    pub fn find() -> Option<Hosts> {
        let home = env::var_os("HOME").unwrap_or_default();
        let dir = env::var_os(VARIABLE).map_or_else(
            || Path::new(&home).join(".cache/gitmoor-hosts"),
            PathBuf::from,
        );
        let stamp = dir.join("stamp");
        let found = match stamp.exists() {
            true => Ok(Hosts { dir }),
            false => Err(format!("{} is not there", stamp.display())),
        };
        need(Requirement::Hosts, found)
    }

    /// A file of a package by its absolute path: unpacked, or installed on the machine.
    pub fn file(&self, path: &str) -> PathBuf {
        let unpacked = self.dir.join("root").join(path.trim_start_matches('/'));
        match unpacked.exists() {
            true => unpacked,
            false => path.into(),
        }
    }

    /// A program of a virtual environment that has the packages of PyPI.
    pub fn python(&self, name: &str) -> PathBuf {
        self.dir.join("python/bin").join(name)
    }

    /// Where Node finds the packages of npm.
    pub fn node_modules(&self) -> PathBuf {
        self.dir.join("node_modules")
    }

    /// JGit's command line.
    pub fn jgit(&self) -> Vec<OsString> {
        let jars = JARS.map(|name| self.file(&format!("/usr/share/java/{name}.jar")));
        let path = env::join_paths(jars).expect("names without colons");
        let java = program("java").unwrap_or_else(|missing| panic!("{missing}"));
        [
            java.into(),
            "-cp".into(),
            path,
            "org.eclipse.jgit.pgm.Main".into(),
        ]
        .into()
    }

    /// What programs that were unpacked need in order to find each other and their libraries.
    pub fn env(&self) -> Vec<(&'static str, OsString)> {
        let root = self.dir.join("root");
        let perl = [root.join("usr/share/perl5"), libraries(&root).join("perl5")];
        vec![
            ("LD_LIBRARY_PATH", libraries(&root).into()),
            (
                "PERL5LIB",
                env::join_paths(with_versions(&perl)).expect("directories without colons"),
            ),
            ("NODE_PATH", self.node_modules().into()),
        ]
    }
}

/// `usr/lib/x86_64-linux-gnu`, or that of another processor.
fn libraries(root: &Path) -> PathBuf {
    root.join("usr/lib")
        .join(format!("{}-linux-gnu", env::consts::ARCH))
}

/// Perl's modules in C are in folders of its version.
fn with_versions(dirs: &[PathBuf]) -> Vec<PathBuf> {
    let below = |dir: &PathBuf| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let mut all = dirs.to_vec();
    all.extend(dirs[1..].iter().flat_map(below));
    all
}
