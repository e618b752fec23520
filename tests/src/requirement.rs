//! What a test needs of its machine beyond git and FUSE, and what happens where the machine lacks it.
//!
//! A test without what it needs fails, and says what to install. A developer's machine may lack some of
//! it: `GITMOOR_TEST_REQUIRE` then names what the machine has (`garage,disk`, or `none`); a test that
//! needs something else says `skipped:` and passes. Without the variable, and with `all`, nothing is
//! skipped. What [`demand`] asks for is never skipped.

use std::fmt::Display;
use std::path::PathBuf;

/// Names what must not be missing: `all`, `none`, or names of [`Requirement`]s with commas between them.
const VARIABLE: &str = "GITMOOR_TEST_REQUIRE";

/// What some tests need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Requirement {
    /// The S3 server that [`crate::s3::Garage`] starts.
    Garage,
    /// The programs of a PostgreSQL server, and a user who may run them.
    Postgres,
    /// Network namespaces with links between them.
    Netns,
    /// A disk of its own: an ext4 file system on a loop device.
    Disk,
    /// A mount of its own: a memory file system of limited size.
    Mount,
    /// A clock of its own, by libfaketime.
    Clock,
    /// A user who may be any other user.
    Root,
    /// A git that is new enough.
    Git,
    /// systemd's own check of its units.
    Systemd,
    /// What [`crate::hosts::Hosts`] finds.
    Hosts,
}

use Requirement::{Clock, Disk, Garage, Git, Hosts, Mount, Netns, Postgres, Root, Systemd};

const ALL: [Requirement; 10] = [
    Garage, Postgres, Netns, Disk, Mount, Clock, Root, Git, Systemd, Hosts,
];

impl Requirement {
    /// Its name in `GITMOOR_TEST_REQUIRE`.
    fn name(self) -> &'static str {
        match self {
            Garage => "garage",
            Postgres => "postgres",
            Netns => "netns",
            Disk => "disk",
            Mount => "mount",
            Clock => "clock",
            Root => "root",
            Git => "git",
            Systemd => "systemd",
            Hosts => "hosts",
        }
    }

    /// What to do where it is missing.
    fn remedy(self) -> &'static str {
        match self {
            Garage => {
                "cargo install garage --locked --no-default-features --features bundled-libs,sqlite"
            }
            Postgres => "apt-get install postgresql",
            Netns => "apt-get install iproute2 nftables, and run the tests as root",
            Disk => {
                "apt-get install e2fsprogs mount, and run the tests as root where there are loop devices"
            }
            Mount => "run the tests as root, in a container with the capability SYS_ADMIN",
            Clock => "apt-get install libfaketime",
            Root => "run the tests as root",
            Git => {
                "install a newer git, beside the old one if you like: the tests run with each git on PATH"
            }
            Systemd => "apt-get install systemd",
            Hosts => "scripts/hosts.sh",
        }
    }
}

/// What was found of a requirement. Where it is missing, the test fails if this run requires it; else the
/// answer is `None`, which is said aloud, and the test has to end.
#[track_caller]
pub fn need<T>(what: Requirement, found: Result<T, impl Display>) -> Option<T> {
    let missing = match found {
        Ok(found) => return Some(found),
        Err(missing) => missing,
    };
    let setting = std::env::var(VARIABLE).ok();
    assert!(
        !is_required(what, setting.as_deref()),
        "{}. Or leave such tests out: set {VARIABLE} to what this machine has, without {}",
        complaint(what, &missing),
        what.name(),
    );
    println!("skipped: {missing}");
    None
}

/// The same of what no run leaves out: without it the test fails.
#[track_caller]
pub fn demand<T>(what: Requirement, found: Result<T, impl Display>) -> T {
    found.unwrap_or_else(|missing| panic!("{}", complaint(what, &missing)))
}

/// A program on PATH, or where only root's programs are.
pub fn program(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("{name} is not installed"))
}

fn complaint(what: Requirement, missing: &impl Display) -> String {
    format!(
        "{missing}. This test needs {}: {}",
        what.name(),
        what.remedy()
    )
}

#[track_caller]
fn is_required(what: Requirement, setting: Option<&str>) -> bool {
    let names = match setting {
        None | Some("all") => return true,
        Some("none") => return false,
        Some(names) => names.split(','),
    };
    let required: Vec<_> = names.map(named).collect();
    required.contains(&what)
}

#[track_caller]
fn named(name: &str) -> Requirement {
    let found = ALL.into_iter().find(|what| what.name() == name);
    found.unwrap_or_else(|| {
        let all = ALL.map(Requirement::name).join(", ");
        panic!("{VARIABLE} names {name:?}: expected all, none, or some of {all}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_skipped_unless_it_is_left_out_by_name() {
        assert!(is_required(Disk, None));
        assert!(is_required(Disk, Some("all")));
        assert!(is_required(Disk, Some("garage,disk")));
        assert!(!is_required(Disk, Some("garage,postgres")));
        assert!(!is_required(Disk, Some("none")));
        assert!(ALL.into_iter().all(|what| named(what.name()) == what));
    }

    #[test]
    #[should_panic(expected = "names \"disc\"")]
    fn a_name_with_a_typo_is_an_error() {
        is_required(Disk, Some("disc"));
    }

    #[test]
    #[should_panic(expected = "apt-get install postgresql")]
    fn a_failure_says_what_to_install() {
        demand::<()>(Postgres, Err("there is no initdb"));
    }
}
