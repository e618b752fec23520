//! JGit's command line, on repositories that git uses too.

use super::sites;
use gitmoor_tests::hosts::Hosts;
use gitmoor_tests::site::{Site, ok};
use std::path::Path;

sites!(run_newest: jgit);

fn run(site: &Site, hosts: &Hosts, dir: &Path, line: &str) -> String {
    let words = hosts.jgit();
    let mut command = site.git.program(&words[0], dir);
    ok(command.args(&words[1..]).args(line.split(' ')))
}

fn jgit(site: &mut Site) {
    let Some(hosts) = Hosts::find() else { return };
    let jgit = |turn: usize, line: &str| run(site, &hosts, &site.repo(turn, "app.git").dir, line);
    run(site, &hosts, site.root(0), "init --bare app.git");
    site.repo(0, "app.git")
        .ok("symbolic-ref HEAD refs/heads/main");
    let work = site.work("work", 20);
    let push = |turn: usize| {
        work.ok(format!(
            "push --quiet {} HEAD:main HEAD:refs/heads/team/{turn}",
            site.repo(turn, "app.git").url()
        ))
    };
    for turn in 0..3 {
        work.commit(&format!("through-{turn}"));
        push(turn);
    }
    // Its gc, by way of a machine after the other, and what others push meanwhile.
    for turn in 0..2 {
        jgit(turn, "gc");
        let repo = site.repo(turn, "app.git");
        assert_eq!(repo.counted("count"), 0);
        work.commit(&format!("again-{turn}"));
        push(turn + 1);
    }
    site.fsck("app.git");
    // A clone of its own, and back by another machine.
    let (from, to) = (site.repo(1, "app.git"), site.repo(2, "app.git"));
    let clone = site.scratch("clone");
    run(
        site,
        &hosts,
        &site.scratch(""),
        &format!("clone {} {}", from.url(), clone.display()),
    );
    let clone = site.git.at(clone);
    assert_eq!(clone.oid("HEAD"), work.oid("HEAD"));
    let tip = clone.commit("by-jgit");
    run(
        site,
        &hosts,
        &clone.dir,
        &format!("push {} HEAD:refs/heads/jgit", to.url()),
    );
    assert_eq!(site.repo(0, "app.git").oid("jgit"), tip);
    jgit(
        0,
        &format!("fetch {} refs/heads/main:refs/heads/fetched", clone.url()),
    );
    jgit(1, "tag -f v1");
    jgit(2, "branch topic");
    assert_eq!(site.repo(0, "app.git").oid("topic"), work.oid("HEAD"));
    assert!(jgit(0, "log jgit").contains("by-jgit"));
    jgit(1, "branch -D topic");
    site.fsck("app.git");
    reftables(site, &hosts);
}

/// What git writes is sound to JGit.
fn reftables(site: &Site, hosts: &Hosts) {
    if !site.git.has((2, 45), "reftable") {
        return;
    }
    site.sh(
        0,
        "git init --quiet --bare --ref-format=reftable tables.git",
    );
    let work = site.git.at(site.scratch("work"));
    for turn in 0..3 {
        let repo = site.repo(turn, "tables.git");
        work.ok(format!(
            "push --quiet {} HEAD:main HEAD:refs/heads/team/{turn}",
            repo.url()
        ));
    }
    site.repo(1, "tables.git").ok("pack-refs --all");
    for turn in 0..3 {
        let repo = site.repo(turn, "tables.git");
        let tables = repo.read("reftable/tables.list");
        assert_eq!(tables.lines().count(), 1, "{tables}");
        let table = repo.dir.join("reftable").join(tables.trim());
        // In another repository: this JGit opens none that has reftables.
        let read = format!("debug-read-reftable {}", table.display());
        let read = run(site, hosts, &site.repo(turn, "app.git").dir, &read);
        assert!(
            read.contains(&work.oid("HEAD")) && read.contains("refs/heads/team/2"),
            "{read}"
        );
    }
}
