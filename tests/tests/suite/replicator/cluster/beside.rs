//! Files and symbolic links beside repositories: every mount sees them, and none overwrites what another wrote.

use super::mounts::{init, work};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::Cluster;
use gitmoor_tests::process::report;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a new process says: one that stays may be shown what it was shown a moment ago.
#[track_caller]
fn sh(script: &str, path: &Path) -> String {
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", script, "sh"]).arg(path).output();
    let output = output.expect("sh");
    assert!(output.status.success(), "{script}: {}", report(&output));
    String::from_utf8(output.stdout).expect("text")
}

fn cat(path: &Path) -> String {
    sh("cat \"$1\"", path)
}

fn write(path: &Path, text: &str) {
    sh(&format!("printf '{text}' >\"$1\""), path);
}

fn ls(path: &Path) -> Vec<String> {
    sh("ls -A \"$1\"", path)
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Each machine in turn, nodes and a client.
#[test]
fn what_one_writes_all_see() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let machines = [0, cluster.mount_client(), 1, 2];
    let at = |machine: usize, name: &str| cluster.mounted_on(machine).path().join(name);
    let all = |check: &dyn Fn(usize)| machines.iter().for_each(|&machine| check(machine));
    let mut text = String::new();
    for round in 0..12 {
        let writer = machines[round % machines.len()];
        sh(&format!("echo {round} >>\"$1\""), &at(writer, "list"));
        text += &format!("{round}\n");
        all(&|machine| {
            let list = at(machine, "list");
            assert_eq!(cat(&list), text, "round {round}, machine {machine}");
            assert_eq!(sh("stat -c %s \"$1\"", &list), format!("{}\n", text.len()));
        });
    }
    sh("chmod 600 \"$1\"", &at(1, "list"));
    all(&|machine| assert_eq!(sh("stat -c %a \"$1\"", &at(machine, "list")), "600\n"));
    sh("mkdir \"$1\"", &at(0, "dir"));
    sh("mv \"$1/list\" \"$1/dir\"", &at(machines[1], ""));
    sh("mv \"$1/dir\" \"$1/d\"", &at(2, ""));
    all(&|machine| {
        assert_eq!(ls(&at(machine, "")), ["d"]);
        assert_eq!(cat(&at(machine, "d/list")), text);
    });
    sh("rm \"$1\"", &at(1, "d/list"));
    all(&|machine| assert!(ls(&at(machine, "d")).is_empty()));
    // The name is of another kind now.
    write(&at(0, "x"), "a file");
    all(&|machine| assert_eq!(cat(&at(machine, "x")), "a file"));
    sh("rm \"$1\"", &at(2, "x"));
    sh("mkdir \"$1\"", &at(1, "x"));
    all(&|machine| assert!(ls(&at(machine, "x")).is_empty()));
}

#[test]
fn a_push_by_way_of_an_alias() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let machines = [0, 1, cluster.mount_client()];
    init(&cluster, 0, "new.git", "");
    let at = |machine: usize, name: &str| cluster.mounted_on(machine).path().join(name);
    symlink("new.git", at(1, "old.git")).expect("ln -s");
    for machine in machines {
        assert_eq!(sh("readlink \"$1\"", &at(machine, "old.git")), "new.git\n");
        let work = work(&cluster, machine, "old.git");
        work.commit(&format!("by {machine}"));
        work.ok(format!("push --quiet origin HEAD:refs/heads/{machine}"));
        for other in machines {
            let oid = cluster.repo(other, "new.git").oid(&machine.to_string());
            assert_eq!(oid, work.oid("HEAD"), "{machine} seen by {other}");
        }
    }
    sh(
        "ln -s elsewhere.git \"$1/tmp\" && mv -T \"$1/tmp\" \"$1/old.git\"",
        &at(2, ""),
    );
    for machine in machines {
        assert_eq!(
            sh("readlink \"$1\"", &at(machine, "old.git")),
            "elsewhere.git\n"
        );
    }
}

/// Who opened a file that another has written since is refused, and nothing is lost.
#[test]
fn two_write_one_file() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let client = cluster.mount_client();
    let at = |machine: usize, name: &str| cluster.mounted_on(machine).path().join(name);
    for (slow, quick) in [(0, 1), (client, 0), (2, client)] {
        write(&at(slow, "list"), "before");
        let open = File::options()
            .write(true)
            .open(at(slow, "list"))
            .expect("opens");
        open.write_all_at(b"of the slow one", 0).expect("a draft");
        write(&at(quick, "list"), "of the quick one");
        let closed = nix::unistd::close(open);
        assert_eq!(
            closed,
            Err(nix::errno::Errno::ESTALE),
            "{slow} after {quick}"
        );
        for machine in [slow, quick] {
            assert_eq!(
                cat(&at(machine, "list")),
                "of the quick one",
                "machine {machine}"
            );
        }
        // Nor is a file made where another was made meanwhile.
        let new = File::create_new(at(slow, "new")).expect("creates");
        new.write_all_at(b"second", 0).expect("a draft");
        write(&at(quick, "new"), "first");
        assert_eq!(nix::unistd::close(new), Err(nix::errno::Errno::ESTALE));
        assert_eq!(cat(&at(slow, "new")), "first");
        sh("rm \"$1\"", &at(slow, "new"));
    }
}

/// A client that sees some repositories sees the files that its patterns name, and no others.
#[test]
fn what_a_limited_client_sees() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let root = cluster.mounted_on(0).path().to_owned();
    fs::create_dir(root.join("team")).expect("mkdir");
    fs::write(root.join("projects.list"), "all there is").expect("written");
    fs::write(root.join("team/README"), "the team's").expect("written");
    fs::write(root.join("team/list.git"), "not a repository").expect("written");
    symlink("../projects.list", root.join("team/link")).expect("ln -s");
    let limited = cluster.mount_limited_client(&["--repo", "team/*.git"]);
    let all = cluster.mount_limited_client(&["--repo", "team/**"]);
    let at =
        |machine: usize, name: &str| -> PathBuf { cluster.mounted_on(machine).path().join(name) };
    assert_eq!(ls(&at(limited, "")), ["team"]);
    assert_eq!(ls(&at(limited, "team")), ["list.git"]);
    assert_eq!(ls(&at(all, "")), ["team"]);
    assert_eq!(ls(&at(all, "team")), ["README", "link", "list.git"]);
    assert_eq!(cat(&at(all, "team/README")), "the team\'s");
    write(&at(all, "team/README"), "changed");
    for name in ["team/README", "projects.list"] {
        // Its close is refused, which the shell does not look at.
        write(&at(limited, name), "not its own");
    }
    symlink("x", at(all, "alias")).expect_err("not its own");
    fs::rename(at(all, "team/README"), at(all, "README")).expect_err("out of its sight");
    assert_eq!(cat(&root.join("team/README")), "changed");
    assert_eq!(cat(&root.join("projects.list")), "all there is");
    // What comes into sight, and leaves it.
    sh("mv \"$1/projects.list\" \"$1/team/p.git\"", &root);
    assert_eq!(cat(&at(limited, "team/p.git")), "all there is");
    sh("mv \"$1/team/p.git\" \"$1/projects.list\"", &root);
    assert_eq!(ls(&at(limited, "team")), ["list.git"]);
}

/// One machine makes a repository in a directory that others have seen as a directory.
#[test]
fn a_directory_becomes_a_repository_elsewhere() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let client = cluster.mount_client();
    let machines = [0, 1, client];
    let at = |machine: usize, name: &str| cluster.mounted_on(machine).path().join(name);
    for (maker, name) in [
        (0, "plain"),
        (client, "of-client"),
        (1, "2026-11-29_21:42:16"),
    ] {
        sh("mkdir \"$1\"", &at(maker, name));
        for machine in machines {
            assert!(ls(&at(machine, name)).is_empty());
        }
        // A process that has the directory open all the time.
        let mut stays: Vec<_> = machines
            .iter()
            .map(|&machine| {
                let mut shell = Command::new("sh");
                shell.args(["-c", "read go && test -e HEAD"]);
                let shell = shell.current_dir(at(machine, name)).stdin(Stdio::piped());
                shell.spawn().expect("sh")
            })
            .collect();
        init(&cluster, maker, name, "");
        for machine in machines {
            let work = work(&cluster, machine, name);
            work.commit(&format!("by {machine}"));
            work.ok(format!("push --quiet origin HEAD:refs/heads/{machine}"));
        }
        for machine in machines {
            assert_eq!(cluster.repo(machine, name).refs().lines().count(), 3);
        }
        for shell in &mut stays {
            let mut go = shell.stdin.take().expect("a pipe");
            go.write_all(b"go\n").expect("it reads");
            assert!(shell.wait().expect("it ends").success(), "{name}");
        }
    }
}

/// What stands beneath a name of `local` stays on its machine, and what is a repository there does not.
#[test]
fn what_is_of_one_machine() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    cluster.set_env("GITMOOR_LOCAL", "+gitaly");
    let (first, second) = (cluster.mount_client(), cluster.mount_client());
    let at = |machine: usize, name: &str| cluster.mounted_on(machine).path().join(name);
    let file = at(first, "+gitaly/tmp/file");
    sh("mkdir \"${1%/*}\" && echo mine >\"$1\"", &file);
    assert_eq!(ls(&at(first, "+gitaly/tmp")), ["file"]);
    assert!(ls(&at(second, "+gitaly")).is_empty());
    assert!(ls(&at(1, "")).is_empty());
    for (machine, name) in [(first, "one"), (second, "two")] {
        sh("mkdir -p \"$1\"", &at(machine, "+gitaly/tmp"));
        let temporary = format!("+gitaly/tmp/{name}");
        init(&cluster, machine, &temporary, "");
        let work = work(&cluster, machine, &temporary);
        work.commit("first");
        work.ok("push --quiet origin HEAD:refs/heads/main");
        // One that has no such setting sees what the namespace has.
        assert_eq!(cluster.repo(1, &temporary).oid("main"), work.oid("HEAD"));
        let from = at(machine, &temporary);
        let to = at(machine, &format!("{name}.git"));
        fs::rename(from, to).expect("mv");
        for other in [1, first, second] {
            let repo = cluster.repo(other, &format!("{name}.git"));
            assert_eq!(repo.oid("main"), work.oid("HEAD"), "{name} on {other}");
            repo.fsck();
        }
    }
    assert_eq!(ls(&at(first, "+gitaly/tmp")), ["file"]);
    assert!(ls(&at(second, "+gitaly/tmp")).is_empty());
}
