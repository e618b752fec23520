//! Lock files of refs, between machines.

use super::mounts::{MACHINES, init, work};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::{BOUND, Cluster};
use gitmoor_tests::wait;
use std::fs::{self, File};
use std::path::PathBuf;

/// As git takes one, and keeps it.
fn take(cluster: &Cluster, machine: usize, name: &str) -> PathBuf {
    let path = lock(cluster, machine, name);
    File::create_new(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}

fn lock(cluster: &Cluster, machine: usize, name: &str) -> PathBuf {
    let mount = cluster.mounted_on(machine).path();
    mount.join(format!("app.git/{name}.lock"))
}

fn furnished(cluster: &Cluster) -> [String; 2] {
    init(cluster, 0, "app.git", "");
    let work = work(cluster, 0, "app.git");
    let (first, second) = (work.commit("first"), work.commit("second"));
    work.ok("push --quiet origin HEAD~:refs/heads/main HEAD:refs/heads/second");
    // Each machine has the directories that git makes for locks.
    for machine in MACHINES {
        cluster.repo(machine, "app.git").refs();
    }
    [first, second]
}

#[test]
fn what_one_machine_locks_no_other_does() {
    let cluster = Cluster::mounted(Kind::Dir);
    let [_, second] = furnished(&cluster);
    for name in ["refs/heads/main", "HEAD", "packed-refs", "shallow"] {
        for (one, other) in [(0, 1), (1, 2), (2, 0)] {
            let held = take(&cluster, one, name);
            let refused = File::create_new(lock(&cluster, other, name));
            let error = refused.expect_err("it is held").kind();
            assert_eq!(error, std::io::ErrorKind::AlreadyExists, "{name}, {one}");
            if name == "refs/heads/main" {
                let update = format!("update-ref {name} {second}");
                let said = cluster.repo(other, "app.git").fail(&*update);
                assert!(said.contains("File exists"), "{said}");
            }
            fs::remove_file(held).expect("unlink");
            wait::until("it is given back", BOUND, || {
                File::create_new(lock(&cluster, other, name)).is_ok()
            });
            fs::remove_file(lock(&cluster, other, name)).expect("unlink");
        }
    }
    let update = format!("update-ref refs/heads/main {second}");
    wait::until("it is given back", BOUND, || {
        cluster.repo(1, "app.git").is(&*update)
    });
    assert_eq!(cluster.repo(2, "app.git").oid("main"), second);
}

/// Whichever call was to make it.
#[test]
fn a_lock_that_is_refused_leaves_nothing() {
    let cluster = Cluster::mounted(Kind::Dir);
    furnished(&cluster);
    for name in ["refs/heads/main", "HEAD", "packed-refs"] {
        let held = take(&cluster, 0, name);
        let (dir, lock) = (cluster.repo(1, "app.git").dir, lock(&cluster, 1, name));
        let file = |name: &str| {
            let path = dir.join(name);
            fs::write(&path, "x").expect("a local file");
            path
        };
        let refused = [
            std::os::unix::fs::symlink("x", &lock),
            fs::hard_link(file("x"), &lock),
            fs::rename(file("y"), &lock),
            fs::write(&lock, "x"),
        ];
        for (n, refused) in refused.into_iter().enumerate() {
            let error = refused.expect_err("it is held").kind();
            let expected = match (name, n) {
                // Nor may anybody else make it a link.
                ("packed-refs", 0) => std::io::ErrorKind::InvalidInput,
                _ => std::io::ErrorKind::AlreadyExists,
            };
            assert_eq!(error, expected, "{name}, {n}");
        }
        assert!(dir.join("y").exists(), "it was not renamed");
        let there = fs::symlink_metadata(&lock)
            .expect_err("nothing is left")
            .kind();
        assert_eq!(there, std::io::ErrorKind::NotFound, "{name}");
        fs::remove_file(held).expect("unlink");
        wait::until("it is given back", BOUND, || {
            File::create_new(&lock).is_ok()
        });
        fs::remove_file(&lock).expect("unlink");
    }
}

#[test]
fn those_of_a_dead_machine_end() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let [_, second] = furnished(&cluster);
    let dead = (cluster.leader(0, &[]) + 1) % 3;
    let other = (dead + 1) % 3;
    take(&cluster, dead, "refs/heads/main");
    cluster.kill9(dead);
    let update = format!("update-ref refs/heads/main {second}");
    let said = cluster.repo(other, "app.git").fail(&*update);
    assert!(said.contains("File exists"), "{said}");
    wait::until("its lease is over", BOUND, || {
        cluster.repo(other, "app.git").is(&*update)
    });
}

/// A new leader has no locks until those who have them say so, of all at once: who asks for one before that has it,
/// and then its former holder's commit is refused. So the test asks for another one than it goes on with.
#[test]
fn they_outlive_the_leader() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let [_, second] = furnished(&cluster);
    let leader = cluster.leader(0, &[]);
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let held = take(&cluster, one, "refs/heads/main");
    take(&cluster, one, "refs/heads/second");
    cluster.kill9(leader);
    cluster.leader(other, &[leader]);
    let asked = lock(&cluster, other, "refs/heads/second");
    wait::until("they are known again", BOUND, || {
        match File::create_new(&asked) {
            Ok(_) => {
                fs::remove_file(&asked).expect("unlink");
                false
            }
            Err(error) => error.kind() == std::io::ErrorKind::AlreadyExists,
        }
    });
    // Its holder goes on: the ref has not moved.
    fs::write(&held, format!("{second}\n")).expect("write");
    fs::rename(&held, held.with_extension("")).expect("commits");
    assert_eq!(cluster.repo(other, "app.git").oid("main"), second);
}

/// libgit2, JGit and dulwich rename the lock of a value to the value, that of `packed-refs` too.
#[test]
fn a_lock_that_becomes_the_value_is_given_back() {
    let cluster = Cluster::mounted(Kind::Dir);
    furnished(&cluster);
    for name in ["packed-refs", "HEAD", "refs/heads/main"] {
        for machine in MACHINES {
            let value = cluster.repo(machine, "app.git").dir.join(name);
            let path = lock(&cluster, machine, name);
            let new = fs::read(&value).unwrap_or_else(|_| b"# pack-refs with: peeled \n".into());
            wait::until("it is given back", BOUND, || {
                File::create_new(&path).is_ok()
            });
            fs::write(&path, new).expect("written");
            fs::rename(path, value).expect("rename");
        }
    }
    cluster
        .repo(1, "app.git")
        .ok("update-ref -d refs/heads/second");
}
