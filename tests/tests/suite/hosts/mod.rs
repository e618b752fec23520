//! Hosts and libraries, unmodified, doing what their users do all day: on a directory of the disk, which proves the
//! scenario right, on a mount, and on three machines that are one cluster.

mod browsers;
mod forges;
mod gitolite;
mod jgit;
mod lfs;
mod libraries;
mod transports;

use gitmoor_tests::site::{Site, write_program};

/// A scenario becomes a test per kind of site. What it takes from Debian, PyPI or npm may be left out on a developer's
/// machine.
macro_rules! sites {
    ($run:ident: $($scenario:ident),* $(,)?) => {
        $(mod $scenario {
            use gitmoor_tests::{backend::Kind, site::Site};
            #[test]
            fn plain() {
                Site::$run(Kind::Plain, super::$scenario);
            }
            #[test]
            fn dir() {
                Site::$run(Kind::Dir, super::$scenario);
            }
            #[test]
            fn three() {
                Site::run_on_three(super::$scenario);
            }
        })*
    };
}

pub(crate) use sites;

/// A hook of every machine.
fn hook(site: &Site, name: &str, hook: &str, text: &str) {
    for machine in 0..site.machines() {
        let path = site.root(machine).join(name).join("hooks").join(hook);
        write_program(&path, text);
    }
}
