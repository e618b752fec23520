//! What hosts look for and keep in a repository, on every machine of a cluster.

use super::mounts::init;
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::Cluster;
use gitmoor_tests::process::report;
use std::path::Path;
use std::process::Command;

/// By a process that has seen nothing before.
fn run(program: &str, args: &[&str], path: &Path) -> String {
    let output = Command::new(program).args(args).arg(path).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{program} {}", report(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Servers that look for git's layout before they take something for a repository.
#[test]
fn a_repository_has_the_same_directories_on_every_machine() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let client = cluster.mount_client();
    init(&cluster, 0, "app.git", "--shared=group");
    cluster.ok(1, &["repo", "fork", "app.git", "fork.git"]);
    let listed = |machine: usize, name: &str| {
        let dir = cluster.repo(machine, name).dir;
        let names = run("ls", &["-A"], &dir);
        let is_dir = |name: &&str| dir.join(name).is_dir();
        let dirs = names.lines().filter(is_dir).map(|name| {
            let mode = run("stat", &["-c", "%A"], &dir.join(name));
            format!("{mode} {name}")
        });
        dirs.collect::<Vec<_>>()
    };
    let made = listed(0, "app.git");
    assert!(made.iter().any(|line| line.ends_with(" hooks")), "{made:?}");
    for machine in [0, 1, 2, client] {
        for name in ["app.git", "fork.git"] {
            assert_eq!(listed(machine, name), made, "{name} on machine {machine}");
        }
        for file in ["config", "HEAD"] {
            let path = cluster.repo(machine, "fork.git").dir.join(file);
            assert!(path.is_file(), "{file} on machine {machine}");
        }
    }
}
