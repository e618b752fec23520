//! Git LFS to a path: git-lfs(1) puts large files into the repository itself.

use super::sites;
use gitmoor_tests::git::{Git, Repo};
use gitmoor_tests::hosts::Hosts;
use gitmoor_tests::site::Site;
use std::env;

sites!(run_newest: git_lfs);

/// A git that finds git-lfs(1).
fn with_lfs(site: &Site, hosts: &Hosts) -> Git {
    let program = hosts.file("/usr/bin/git-lfs");
    let own = program.parent().expect("a directory").to_owned();
    let usual = site.git.search_path();
    let all = env::join_paths([own].into_iter().chain(env::split_paths(&usual)));
    site.git
        .with_env("PATH", all.expect("directories without colons"))
}

fn large(size: usize, seed: u8) -> Vec<u8> {
    let byte = |n: usize| (n as u8).wrapping_mul(37).wrapping_add(seed) ^ (n >> 9) as u8;
    (0..size).map(byte).collect()
}

fn user(site: &Site, git: &Git, turn: usize, name: &str) -> Repo {
    let dir = site.scratch(name);
    let at = git.at(site.scratch(""));
    at.ok([
        "clone",
        "--quiet",
        &site.repo(turn, "app.git").url(),
        &dir.to_string_lossy(),
    ]);
    git.at(dir)
}

fn git_lfs(site: &mut Site) {
    let Some(hosts) = Hosts::find() else { return };
    let git = with_lfs(site, &hosts);
    git.at(site.scratch("")).ok("lfs install --skip-repo");
    site.sh(
        0,
        "git init --quiet --bare app.git; git -C app.git symbolic-ref HEAD refs/heads/main",
    );
    let ann = user(site, &git, 0, "ann");
    ann.ok("checkout --quiet -b main");
    ann.ok(["lfs", "track", "*.bin"]);
    for (name, size, seed) in [
        ("small.bin", 100, 1),
        ("large.bin", 3_000_000, 2),
        ("copy.bin", 3_000_000, 2),
    ] {
        ann.write(name, large(size, seed));
    }
    ann.commit("files");
    ann.ok("push --quiet origin main");
    let mut large_file = large(3_000_000, 2);
    // Each user works by way of another machine.
    for turn in 1..3 {
        let bob = user(site, &git, turn, &format!("bob-{turn}"));
        assert_eq!(
            bob.ok("lfs ls-files --name-only"),
            "copy.bin\nlarge.bin\nsmall.bin"
        );
        assert!(std::fs::read(bob.dir.join("large.bin")).expect("checked out") == large_file);
        large_file = large(2_000_000, 2 + turn as u8);
        bob.write("large.bin", &large_file);
        bob.commit(&format!("changed-{turn}"));
        bob.ok("push --quiet origin HEAD:main");
        bob.ok("lfs fsck");
    }
    ann.ok([
        "remote",
        "set-url",
        "origin",
        &site.repo(1, "app.git").url(),
    ]);
    ann.ok("pull --quiet origin main");
    assert!(std::fs::read(ann.dir.join("large.bin")).expect("checked out") == large_file);
    site.restart(2);
    let cara = user(site, &git, 2, "cara");
    cara.ok("lfs fetch --all");
    cara.ok("lfs fsck");
    ann.ok("lfs prune --verify-remote --force");
    ann.ok("checkout --quiet HEAD~1");
    site.fsck("app.git");
}
