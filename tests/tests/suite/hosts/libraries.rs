//! Libraries that read and write repositories by themselves: a day of each is a script in `tests/hosts`, whose steps go
//! through one machine after the other.

use super::sites;
use gitmoor_tests::hosts::Hosts;
use gitmoor_tests::site::{Site, ok};
use std::path::{Path, PathBuf};

sites!(run_newest: pygit2, dulwich, gitpython, isomorphic_git);

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("hosts")
        .join(name)
}

fn python(site: &Site, name: &str) {
    let Some(hosts) = Hosts::find() else { return };
    let mut command = site.git.program(hosts.python("python"), &site.scratch(""));
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(script(name));
    ok(command.arg(site.scratch("")).args(&site.roots));
    site.fsck("app.git");
}

fn pygit2(site: &mut Site) {
    python(site, "pygit2_day.py");
}

fn dulwich(site: &mut Site) {
    python(site, "dulwich_day.py");
}

fn gitpython(site: &mut Site) {
    python(site, "gitpython_day.py");
}

fn isomorphic_git(site: &mut Site) {
    let Some(hosts) = Hosts::find() else { return };
    let steps = [
        "begin", "goes_on", "branches", "merges", "packs", "looks", "removes",
    ];
    for (turn, step) in steps.into_iter().enumerate() {
        let mut command = site.git.program("node", &site.scratch(""));
        command
            .envs(hosts.env())
            .arg(script("isomorphic_day.js"))
            .arg(step);
        ok(command.arg(site.root(turn).join("app.git")));
    }
    site.fsck("app.git");
    // isomorphic-git reads no included files: what decides about safety is for git.
    for turn in 0..3 {
        let denies = site.repo(turn, "app.git").ok("config receive.denyDeletes");
        assert_eq!(denies, "true", "machine {turn}");
    }
}
