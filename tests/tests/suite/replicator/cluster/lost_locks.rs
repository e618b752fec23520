//! A machine that was frozen for longer than a lock lasts: whatever its git does next under the lock is refused. And
//! what a step under a lock rests on is a condition of the commit, whoever wrote past the lock.

use super::mounts::{MACHINES, init, work};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::{BOUND, Cluster};
use gitmoor_tests::wait;
use nix::sys::signal::Signal;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

const REPO: &str = "app.git";

struct Machines {
    cluster: Cluster,
    /// Will be frozen. It does not lead.
    frozen: usize,
    /// Goes on meanwhile.
    other: usize,
    commits: [String; 3],
}

impl Machines {
    fn new() -> Machines {
        let cluster = Cluster::mounted(Kind::Dir);
        init(&cluster, 0, REPO, "");
        let work = work(&cluster, 0, REPO);
        let commits = ["first", "second", "third"].map(|message| work.commit(message));
        work.ok("push --quiet origin HEAD~2:refs/heads/gone HEAD~2:refs/heads/main HEAD~:refs/heads/second HEAD:refs/heads/third");
        for machine in MACHINES {
            cluster.repo(machine, REPO).refs();
        }
        let other = cluster.leader(0, &[]);
        Machines {
            frozen: (other + 1) % 3,
            other,
            cluster,
            commits,
        }
    }

    fn path(&self, machine: usize, name: &str) -> PathBuf {
        self.cluster
            .mounted_on(machine)
            .path()
            .join(REPO)
            .join(name)
    }

    fn lock(&self, machine: usize, name: &str) -> PathBuf {
        self.path(machine, &format!("{name}.lock"))
    }

    fn take(&self, machine: usize, name: &str, content: &[u8]) -> PathBuf {
        let lock = self.lock(machine, name);
        File::create_new(&lock).unwrap_or_else(|error| panic!("{name}: {error}"));
        fs::write(&lock, content).expect("write");
        lock
    }

    /// Until somebody else has had the locks of these names, and given them back.
    fn freeze_while_others_take(&self, names: &[&str]) {
        self.cluster.signal(self.frozen, Signal::SIGSTOP);
        for name in names {
            let lock = self.lock(self.other, name);
            wait::until("the lease is over", BOUND, || {
                File::create_new(&lock).is_ok()
            });
            fs::remove_file(&lock).expect("unlink");
        }
    }

    fn thaw(&self) {
        self.cluster.signal(self.frozen, Signal::SIGCONT);
    }

    /// Writes packed-refs as `edit` has it, by way of the other machine, with no regard for locks.
    fn rewrite_packed(&self, edit: impl Fn(String) -> String) {
        let packed = self.path(self.other, "packed-refs");
        let text = edit(fs::read_to_string(&packed).expect("packed-refs"));
        let new = self.path(self.other, "packed-refs.new");
        fs::write(&new, text).expect("write");
        fs::rename(&new, &packed).expect("commits");
    }

    fn everywhere(&self, name: &str, value: Option<&str>) {
        for machine in MACHINES {
            let repo = self.cluster.repo(machine, REPO);
            match value {
                Some(value) => assert_eq!(repo.oid(name), value, "machine {machine}"),
                None => assert!(!repo.is(&*format!("rev-parse --verify --quiet {name}"))),
            }
        }
    }
}

#[track_caller]
fn stale(result: io::Result<()>) {
    let error = result.expect_err("it rests on what is not so any more");
    assert_eq!(error.raw_os_error(), Some(libc::ESTALE), "{error}");
}

/// A git that has taken all its locks, and waits for a word.
struct Prepared {
    git: Child,
    word: PathBuf,
}

impl Prepared {
    fn new(machines: &Machines, command: &str) -> Prepared {
        let dir = machines.cluster.scratch("hooks");
        let (ready, word) = (dir.join("ready"), dir.join("word"));
        let hook = dir.join("reference-transaction");
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = prepared ] || exit 0\ncd {}\n: >ready\nwhile [ ! -e word ]; do sleep 0.1; done\n",
            dir.display()
        );
        fs::write(&hook, script).expect("write");
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("chmod");
        let args = format!("-c core.hooksPath={} {command}", dir.display());
        let args: Vec<_> = args.split(' ').map(Into::into).collect();
        let repo = machines.path(machines.frozen, "");
        let mut git = machines.cluster.git.command(&repo, &args);
        let git = git.stderr(Stdio::piped()).spawn().expect("git");
        wait::until("it has its locks", BOUND, || ready.exists());
        Prepared { git, word }
    }

    fn go_on(self) -> std::process::Output {
        File::create(self.word).expect("the word");
        self.git.wait_with_output().expect("git ends")
    }
}

#[track_caller]
fn refused(output: &std::process::Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "git reports it as done; {said}");
}

/// Packed by another machine meanwhile, the ref would show again.
#[test]
fn a_deletion_under_a_lost_lock_is_refused() {
    let machines = Machines::new();
    let deletion = Prepared::new(&machines, "update-ref -d refs/heads/gone");
    machines.freeze_while_others_take(&["packed-refs"]);
    let other = machines.cluster.repo(machines.other, REPO);
    other.ok("pack-refs --all --no-prune");
    machines.thaw();
    refused(&deletion.go_on());
    machines.everywhere("refs/heads/gone", Some(&machines.commits[0]));
    // Nothing is in the way of another attempt.
    let again = machines.cluster.repo(machines.frozen, REPO);
    again.ok("update-ref -d refs/heads/gone");
    machines.everywhere("refs/heads/gone", None);
}

/// Moved, packed and pruned by another machine meanwhile, the ref has no loose value, as before.
#[test]
fn an_update_under_a_lost_lock_is_refused() {
    let machines = Machines::new();
    let [first, second, third] = &machines.commits;
    let other = machines.cluster.repo(machines.other, REPO);
    other.ok("pack-refs --all --prune");
    let update = format!("update-ref refs/heads/gone {third} {first}");
    let update = Prepared::new(&machines, &update);
    machines.freeze_while_others_take(&["refs/heads/gone"]);
    other.ok(format!("update-ref refs/heads/gone {second} {first}"));
    other.ok("pack-refs --all --prune");
    machines.thaw();
    refused(&update.go_on());
    machines.everywhere("refs/heads/gone", Some(second));
}

/// Even where every value is what it was: another may have read it under the lock, and gone by it.
#[test]
fn every_step_under_a_lost_lock_is_refused() {
    every_step_is_refused(&Machines::new());
}

#[test]
fn every_step_of_a_client_under_a_lost_lock_is_refused() {
    let mut machines = Machines::new();
    machines.frozen = machines.cluster.mount_client();
    machines.cluster.repo(machines.frozen, REPO).refs();
    every_step_is_refused(&machines);
}

fn every_step_is_refused(machines: &Machines) {
    let [first, second, _] = &machines.commits;
    let names = [
        "HEAD",
        "shallow",
        "packed-refs",
        "refs/heads/main",
        "refs/heads/new",
    ];
    let (branch, id) = (b"ref: refs/heads/second\n".to_vec(), format!("{second}\n"));
    let contents = [&branch, id.as_bytes(), b"", id.as_bytes(), id.as_bytes()];
    let held: Vec<_> = names
        .iter()
        .zip(contents)
        .map(|(name, content)| machines.take(machines.frozen, name, content))
        .collect();
    machines.freeze_while_others_take(&names);
    machines.thaw();
    for lock in &held {
        stale(fs::rename(lock, lock.with_extension("")));
    }
    stale(fs::remove_file(
        machines.path(machines.frozen, "refs/heads/main"),
    ));
    // Not locked itself, but deleted under the lock of packed-refs.
    stale(fs::remove_file(
        machines.path(machines.frozen, "refs/heads/second"),
    ));
    for lock in &held {
        fs::remove_file(lock).expect("a lock can always be given up");
    }
    machines.everywhere("refs/heads/main", Some(first));
    // Locks that are taken anew are good.
    let update = format!("update-ref refs/heads/main {second}");
    machines.cluster.repo(machines.frozen, REPO).ok(&*update);
    machines.everywhere("refs/heads/main", Some(second));
}

#[test]
fn a_loose_ref_is_not_removed_over_a_packed_one_that_came_past_the_lock() {
    let machines = Machines::new();
    let first = &machines.commits[0];
    machines
        .cluster
        .repo(machines.other, REPO)
        .ok("pack-refs --no-all");
    let held =
        ["packed-refs", "refs/heads/gone"].map(|name| machines.take(machines.frozen, name, b""));
    let line = format!("{first} refs/heads/gone\n");
    let new = machines.path(machines.other, "packed-refs.new");
    fs::write(
        &new,
        format!("# pack-refs with: peeled fully-peeled sorted \n{line}"),
    )
    .expect("write");
    fs::rename(&new, machines.path(machines.other, "packed-refs")).expect("commits");
    let gone = machines.path(machines.frozen, "refs/heads/gone");
    stale(fs::remove_file(&gone));
    machines.everywhere("refs/heads/gone", Some(first));
    for lock in held {
        fs::remove_file(lock).expect("unlink");
    }
}

#[test]
fn a_ref_is_not_written_over_a_packed_line_that_moved_past_the_lock() {
    let machines = Machines::new();
    let [first, second, _] = &machines.commits;
    let other = machines.cluster.repo(machines.other, REPO);
    other.ok("pack-refs --all --prune");
    let id = format!("{second}\n");
    let gone = machines.take(machines.frozen, "refs/heads/gone", id.as_bytes());
    let main = machines.take(machines.frozen, "refs/heads/main", id.as_bytes());
    machines.rewrite_packed(|text| {
        let [old, new] = [first, second].map(|id| format!("{id} refs/heads/gone\n"));
        text.replace(&old, &new)
    });
    stale(fs::rename(&gone, gone.with_extension("")));
    fs::remove_file(&gone).expect("unlink");
    // Of another ref the line may move.
    fs::rename(&main, main.with_extension("")).expect("commits");
    machines.everywhere("refs/heads/main", Some(second));
}

#[test]
fn a_packed_line_is_not_removed_under_a_ref_that_moved_past_the_lock() {
    let machines = Machines::new();
    let second = &machines.commits[1];
    let other = machines.cluster.repo(machines.other, REPO);
    other.ok("pack-refs --all --prune");
    let gone = machines.take(machines.frozen, "refs/heads/gone", b"");
    let packed = machines.path(machines.frozen, "packed-refs");
    let text = fs::read_to_string(&packed).expect("packed-refs");
    let without: String = text
        .split_inclusive('\n')
        .filter(|line| !line.ends_with(" refs/heads/gone\n"))
        .collect();
    let lock = machines.take(machines.frozen, "packed-refs", without.as_bytes());
    let loose = machines.path(machines.other, "refs/heads/gone");
    fs::write(&loose, format!("{second}\n")).expect("written directly");
    stale(fs::rename(&lock, &packed));
    for lock in [lock, gone] {
        fs::remove_file(lock).expect("unlink");
    }
    machines.everywhere("refs/heads/gone", Some(second));
    assert_eq!(
        fs::read_to_string(Path::new(&packed)).expect("packed-refs"),
        text
    );
}
