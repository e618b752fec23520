//! What hosts look for and keep in a repository, on every machine of a cluster.

use super::mounts::{MACHINES, init};
use crate::repository::host_files::NAMES;
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::Cluster;
use gitmoor_tests::process::report;
use std::fs;
use std::path::Path;
use std::process::Command;

/// By a process that has seen nothing before.
fn run(program: &str, args: &[&str], path: &Path) -> String {
    let output = Command::new(program).args(args).arg(path).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{program} {}", report(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What stands there, for a process that has seen nothing before.
fn text(cluster: &Cluster, machine: usize, name: &str) -> Option<String> {
    let path = cluster.repo(machine, "app.git").dir.join(name);
    let output = Command::new("cat").arg(&path).output().expect("cat(1)");
    let is_there = output.status.success();
    is_there.then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[track_caller]
fn all_see(cluster: &Cluster, machines: &[usize], name: &str, expected: Option<&str>) {
    for &machine in machines {
        let seen = text(cluster, machine, name);
        assert_eq!(seen.as_deref(), expected, "{name} on machine {machine}");
    }
}

/// Servers that look for git's layout before they take something for a repository.
#[test]
fn a_repository_looks_alike_on_every_machine() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let client = cluster.mount_client();
    init(&cluster, 0, "app.git", "--shared=group");
    cluster.ok(1, &["repo", "fork", "app.git", "fork.git"]);
    let listed = |machine: usize, name: &str| {
        let dir = cluster.repo(machine, name).dir;
        let names = run("ls", &["-A"], &dir);
        let shown = names.lines().map(|name| {
            let mode = run("stat", &["-c", "%A"], &dir.join(name));
            format!("{mode} {name}")
        });
        shown.collect::<Vec<_>>()
    };
    let made = listed(0, "app.git");
    for name in [" HEAD", " config", " description", " hooks", " info"] {
        assert!(made.iter().any(|line| line.ends_with(name)), "{made:?}");
    }
    for machine in [0, 1, 2, client] {
        for name in ["app.git", "fork.git"] {
            assert_eq!(listed(machine, name), made, "{name} on machine {machine}");
        }
    }
    let template = text(&cluster, 0, "info/exclude").expect("git's template");
    all_see(&cluster, &[1, 2, client], "info/exclude", Some(&template));
}

#[test]
fn what_one_writes_all_see() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let machines = [0, 1, 2, cluster.mount_client()];
    init(&cluster, 0, "app.git", "");
    for (round, name) in NAMES.into_iter().enumerate() {
        let repo = |turn: usize| cluster.repo(machines[(round + turn) % 4], "app.git");
        repo(0).write(name, "in place\n");
        all_see(&cluster, &machines, name, Some("in place\n"));
        repo(1).write("any.lock", "by rename\n");
        let (from, to) = (repo(1).dir.join("any.lock"), repo(1).dir.join(name));
        fs::rename(from, to).expect("rename");
        all_see(&cluster, &machines, name, Some("by rename\n"));
        fs::remove_file(repo(2).dir.join(name)).expect("unlink");
        all_see(&cluster, &machines, name, None);
        repo(3).write(name, "again\n");
        all_see(&cluster, &machines, name, Some("again\n"));
        let path = repo(0).dir.join(name);
        run("chmod", &["600"], &path);
        let mode = run("stat", &["-c", "%a"], &repo(1).dir.join(name));
        assert_eq!(mode, "600", "{name}");
    }
}

/// Two that write at once: all see the one text or the other, and the same.
#[test]
fn concurrent_edits_have_one_outcome() {
    let cluster = Cluster::mounted(Kind::Dir);
    init(&cluster, 0, "app.git", "");
    for round in 0..10 {
        std::thread::scope(|scope| {
            for machine in MACHINES {
                let bare = cluster.repo(machine, "app.git");
                scope.spawn(move || {
                    bare.write("own.lock", format!("{round} by {machine}\n"));
                    let (from, to) = (bare.dir.join("own.lock"), bare.dir.join("gl-conf"));
                    fs::rename(from, to).expect("rename");
                });
            }
        });
        let seen = text(&cluster, 0, "gl-conf").expect("one of them");
        assert!(seen.starts_with(&format!("{round} by ")), "{seen}");
        all_see(&cluster, &MACHINES, "gl-conf", Some(&seen));
    }
}

/// Who has opened the value that another replaces loses, and is told.
#[test]
fn what_another_wrote_meanwhile_is_not_overwritten() {
    let cluster = Cluster::mounted(Kind::Dir);
    init(&cluster, 0, "app.git", "");
    cluster.repo(0, "app.git").write("gl-perms", "first\n");
    let path = cluster.repo(1, "app.git").dir.join("gl-perms");
    let script = "exec 3>>\"$1\"; read -r line; echo \"$line\" >&3; exec 3>&-";
    let mut writer = Command::new("bash");
    let writer = writer.args(["-c", script, "bash"]).arg(&path);
    let writer = writer.stdin(std::process::Stdio::piped());
    let mut writer = writer
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("bash(1)");
    gitmoor_tests::wait::until(
        "it has opened the file",
        gitmoor_tests::cluster::BOUND,
        || {
            let fds = format!("/proc/{}/fd/3", writer.id());
            fs::read_link(fds).is_ok_and(|to| to == path)
        },
    );
    cluster.repo(0, "app.git").write("gl-perms", "second\n");
    use std::io::Write;
    let mut input = writer.stdin.take().expect("a pipe");
    input.write_all(b"more\n").expect("it reads");
    drop(input);
    let output = writer.wait_with_output().expect("a child");
    all_see(&cluster, &MACHINES, "gl-perms", Some("second\n"));
    // bash(1) does not say what close(2) told it.
    drop(output);
}

#[test]
fn who_was_away_sees_them_and_a_minority_changes_none() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    init(&cluster, 0, "app.git", "");
    cluster.kill9(2);
    cluster
        .repo(0, "app.git")
        .write("description", "meanwhile\n");
    cluster.repo(1, "app.git").write("branches/origin", "x\n");
    cluster.mount(2);
    all_see(&cluster, &MACHINES, "description", Some("meanwhile\n"));
    all_see(&cluster, &MACHINES, "branches/origin", Some("x\n"));
    cluster.kill9(1);
    cluster.kill9(2);
    let path = cluster.repo(0, "app.git").dir.join("description");
    // cp(1) says what close(2) told it.
    let other = cluster.scratch("disk").join("other");
    fs::write(&other, "alone\n").expect("a file of the disk");
    let copied = Command::new("cp").arg(&other).arg(&path).output();
    assert!(!copied.expect("cp(1)").status.success(), "no majority");
    cluster.mount(1);
    all_see(&cluster, &[0, 1], "description", Some("meanwhile\n"));
}

#[test]
fn names_that_a_setting_adds_are_seen_by_all() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let machines = [0, 1, 2, cluster.mount_client()];
    init(&cluster, 0, "app.git", "");
    cluster.repo(1, "app.git").write("gl-extra", "of one\n");
    all_see(&cluster, &[0, 2], "gl-extra", None);
    cluster.ok(
        0,
        &["repo", "config", "app.git", "gitmoor.replicate", "gl-extra"],
    );
    // The machine that has a text adopts it when somebody looks.
    all_see(&cluster, &[1], "gl-extra", Some("of one\n"));
    gitmoor_tests::wait::until("it is adopted", gitmoor_tests::cluster::BOUND, || {
        text(&cluster, 0, "gl-extra").is_some()
    });
    all_see(&cluster, &machines, "gl-extra", Some("of one\n"));
    cluster.repo(2, "app.git").write("gl-extra", "of two\n");
    all_see(&cluster, &machines, "gl-extra", Some("of two\n"));
}
