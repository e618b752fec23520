//! Repositories inside repositories: every machine has them, whichever made or moved them.

use super::mounts::{init, work};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::Cluster;
use gitmoor_tests::git::Repo;
use gitmoor_tests::process::report;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What a new process says: one that stays may be shown what it was shown a moment ago.
#[track_caller]
fn ls(path: &Path) -> Vec<String> {
    let output = Command::new("ls").arg("-A").arg(path).output().expect("ls");
    assert!(output.status.success(), "{}", report(&output));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(str::to_owned).collect()
}

/// Of a new process, too.
fn is_there(path: &Path) -> bool {
    let test = Command::new("test").arg("-e").arg(path).status();
    test.expect("test").success()
}

#[track_caller]
fn mv(cluster: &Cluster, machine: usize, from: &str, to: &str) {
    let at = |name: &str| cluster.mounted_on(machine).path().join(name);
    let above = at(to).parent().map(Path::to_owned);
    let made = Command::new("mkdir").arg("-p").args(above).status();
    assert!(made.expect("mkdir").success());
    let mut mv = Command::new("mv");
    let output = mv.arg("-T").args([at(from), at(to)]).output().expect("mv");
    assert!(output.status.success(), "{}", report(&output));
}

/// Each machine in turn, nodes and a client.
#[test]
fn what_one_makes_all_have() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let client = cluster.mount_client();
    let machines = [0, 1, client];
    init(&cluster, 0, "app.git", "");
    let at = |machine: usize, name: &str| cluster.mounted_on(machine).path().join(name);
    // What is not there yet is looked up by all.
    for machine in machines {
        assert!(!is_there(&at(machine, "app.git/modules")));
        assert!(!is_there(&at(machine, "app.git/modules/of-0")));
    }
    for maker in machines {
        let name = format!("app.git/modules/of-{maker}");
        init(&cluster, maker, &name, "");
        for machine in machines {
            let work = work(&cluster, machine, &name);
            work.commit(&format!("by {machine}"));
            work.ok(format!("push --quiet origin HEAD:refs/heads/{machine}"));
        }
        for machine in machines {
            let refs = cluster.repo(machine, &name).refs();
            assert_eq!(refs.lines().count(), 3, "{name} on {machine}");
        }
    }
    let all: Vec<_> = machines.iter().map(|maker| format!("of-{maker}")).collect();
    for machine in machines {
        let mut names = ls(&at(machine, "app.git/modules"));
        names.sort();
        let mut expected = all.clone();
        expected.sort();
        assert_eq!(names, expected, "on {machine}");
    }
    // Moved, by another one each time; the owner too.
    for (machine, from, to) in [
        (1, "app.git/modules/of-0", "zero.git"),
        (client, "app.git", "new.git"),
        (0, "zero.git", "new.git/modules/a/zero"),
        (client, "new.git/modules/of-1", "new.git/modules/a/one"),
        (1, "new.git", "app.git"),
    ] {
        mv(&cluster, machine, from, to);
        for other in machines {
            assert!(!is_there(&at(other, from)), "{from} on {other}");
            assert!(is_there(&at(other, to).join("HEAD")), "{to} on {other}");
        }
    }
    for machine in machines {
        assert_eq!(ls(&at(machine, "app.git/modules/a")), ["one", "zero"]);
        cluster.repo(machine, "app.git/modules/a/zero").fsck();
    }
    // Deleted and restored, by different machines.
    cluster.ok(0, &["repo", "delete", "app.git", "--yes"]);
    for machine in machines {
        assert!(!is_there(&at(machine, "app.git")), "on {machine}");
    }
    cluster.ok(1, &["repo", "restore", "app.git"]);
    for machine in machines {
        let refs = cluster.repo(machine, "app.git/modules/a/one").refs();
        assert_eq!(refs.lines().count(), 3, "on {machine}");
    }
}

/// Two machines have work trees of one repository, with its submodules.
#[test]
fn a_submodule_in_the_work_trees_of_two_machines() {
    let cluster = Cluster::mounted(Kind::Dir);
    init(&cluster, 0, "library.git", "");
    let library = work(&cluster, 0, "library.git");
    library.commit("library");
    library.ok("push --quiet origin HEAD:main");
    let git = &cluster.git;
    let tree = |machine: usize| -> Repo {
        let app = cluster.mounted_on(machine).path().join("app.git");
        let at = git.at(cluster.scratch(&format!("tree-{machine}")));
        let scratch = git.at(at.dir.parent().expect("a directory"));
        let separate = format!("--separate-git-dir={}", app.display());
        scratch.ok(format!("init --quiet {separate} {}", at.path()));
        at
    };
    let first = tree(0);
    let url = cluster.repo(0, "library.git").url();
    first.ok(format!("submodule --quiet add {url} lib"));
    first.ok("commit --quiet -m with-library");
    let second = tree(1);
    second.ok("reset --quiet --hard");
    second.ok("submodule --quiet update --init");
    assert_eq!(second.read("lib/library.txt"), "library\n");
    // The object is of the repository that both have, and no URL was asked for it.
    let sub = git.at(first.dir.join("lib"));
    let tip = sub.commit("by the first");
    let seen = cluster.repo(1, "app.git/modules/lib");
    assert!(seen.is(format!("cat-file -e {tip}")));
    let inner = git.at(second.dir.join("lib"));
    inner.ok(format!("checkout --quiet {tip}"));
    inner.commit("by the second");
    cluster.repo(0, "app.git/modules/lib").fsck();
}

/// Who sees a repository sees what is inside it, and nothing else.
#[test]
fn what_a_limited_client_sees() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let root = cluster.mounted_on(0).path().to_owned();
    fs::create_dir(root.join("team")).expect("mkdir");
    for name in [
        "team/app.git",
        "team/app.git/modules/lib",
        "other.git",
        "other.git/modules/lib",
    ] {
        init(&cluster, 0, name, "");
    }
    let limited = cluster.mount_limited_client(&["--repo", "team/*.git"]);
    let at = |name: &str| cluster.mounted_on(limited).path().join(name);
    assert_eq!(ls(&at("")), ["team"]);
    assert_eq!(ls(&at("team/app.git/modules")), ["lib"]);
    let work = work(&cluster, limited, "team/app.git/modules/lib");
    work.commit("by the client");
    work.ok("push --quiet origin HEAD:refs/heads/main");
    assert_eq!(
        cluster.repo(0, "team/app.git/modules/lib").oid("main"),
        work.oid("HEAD")
    );
    init(&cluster, limited, "team/app.git/modules/new", "");
    assert!(is_there(&root.join("team/app.git/modules/new/HEAD")));
    // What comes into sight with its owner, and leaves it.
    mv(&cluster, 0, "other.git", "team/other.git");
    assert_eq!(ls(&at("team/other.git/modules")), ["lib"]);
    mv(&cluster, 0, "team/other.git", "other.git");
    assert!(!is_there(&at("team/other.git")));
    mv(&cluster, 0, "team/app.git/modules/lib", "lib.git");
    assert_eq!(ls(&at("team/app.git/modules")), ["new"]);
    assert!(!is_there(&at("lib.git")));
}
