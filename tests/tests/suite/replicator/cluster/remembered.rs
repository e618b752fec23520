//! Kernels remember names that other machines change, and are told of each change before a process that asks is
//! shown anything.

use super::mounts::{MACHINES, init};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::Cluster;
use gitmoor_tests::git::Repo;
use gitmoor_tests::history;
use gitmoor_tests::requests::{self, Requests};
use gitmoor_tests::wait;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(10);

/// Who works in a directory is shown an absent name for so long.
const LIFE_OF_A_NAME: Duration = Duration::from_secs(10);

/// A cluster with a repository that is packed, and its three nodes and a client.
fn packed(watched: bool) -> (Cluster, [usize; 4]) {
    let mut cluster = match watched {
        true => Cluster::watched(Kind::Dir),
        false => Cluster::mounted(Kind::Dir),
    };
    let client = cluster.mount_client();
    let bare = init(&cluster, 0, "app.git", "");
    bare.import(&history::commits(4));
    bare.ok("gc --quiet");
    // Until then the machine has files of its own, which it reads otherwise.
    wait::until("all is published", BOUND, || {
        cluster.settings(0).status()["pending"]["files"] == 0
    });
    let [one, two, three] = MACHINES;
    (cluster, [one, two, three, client])
}

/// Whether a new process finds something at a path.
fn exists(path: &Path) -> bool {
    let test = Command::new("test").arg("-e").arg(path).status();
    test.expect("test(1)").success()
}

/// The text that a new process reads there.
fn text(path: &Path) -> String {
    let cat = Command::new("cat").arg(path).output().expect("cat(1)");
    String::from_utf8_lossy(&cat.stdout).trim().to_owned()
}

/// What one more run of a command asks the daemon of a machine, once the kernel has what it keeps.
fn asks(cluster: &Cluster, machine: usize, command: &str) -> Requests {
    let repo = cluster.repo(machine, "app.git");
    requests::of(&cluster.metrics(machine), || drop(repo.ok(command)))
}

/// What one run of a command asks.
fn once(cluster: &Cluster, machine: usize, command: &str) -> Requests {
    let watched = cluster.metrics(machine);
    let before = requests::settled(&watched);
    cluster.repo(machine, "app.git").ok(command);
    requests::waited_for_since(&watched, &before)
}

/// But for the name of the repository, which git looks up eleven times before it opens the first file: each
/// process that comes from outside asks.
#[test]
fn a_short_command_looks_few_names_up() {
    let (cluster, machines) = packed(true);
    for machine in machines {
        for (command, most) in [
            ("rev-parse HEAD", 17),
            ("cat-file -p HEAD", 23),
            ("log -1", 26),
            ("for-each-ref", 24),
        ] {
            let asked = asks(&cluster, machine, command);
            println!("{machine}: {command}: {asked:?}");
            let lookups = asked.get("lookup").copied().unwrap_or_default();
            assert!(lookups <= 12, "{machine}: {command}: {asked:?}");
            let all: u64 = asked.values().sum();
            assert!(all <= most, "{machine}: {command}: {asked:?}");
        }
    }
}

/// Each name is known to the kernels of all machines before it changes on one of them.
#[test]
fn a_change_elsewhere_is_seen_by_the_next_process() {
    let (cluster, machines) = packed(false);
    let at = |machine: usize, name: &str| cluster.repo(machine, "app.git").dir.join(name);
    let oids = ["main", "main~1"].map(|name| cluster.repo(0, "app.git").oid(name));
    for round in 0..12 {
        let writer = machines[round % machines.len()];
        let bare = cluster.repo(writer, "app.git");
        let name = format!("refs/heads/team-{}/{}", round % 3, round % 5);
        let before = cluster.repo(machines[0], "app.git").refs();
        let see = |what: &str, value: Option<&String>| {
            for &machine in &machines {
                let path = at(machine, &name);
                let said = format!("round {round}, {what} by {writer}, seen by {machine}");
                assert_eq!(exists(&path), value.is_some(), "{said}");
                assert_eq!(text(&path), value.map_or("", String::as_str), "{said}");
                assert_eq!(
                    exists(path.parent().expect("a team")),
                    value.is_some(),
                    "{said}"
                );
            }
        };
        see("not yet", None);
        for oid in &oids {
            bare.ok(format!("update-ref {name} {oid}"));
            see("written", Some(oid));
        }
        bare.ok(format!("update-ref -d {name}"));
        see("removed", None);
        let after = cluster.repo(machines[1], "app.git").refs();
        assert_eq!(before, after);
    }
}

/// Each kernel holds the listing before it changes on one of the machines.
#[test]
fn a_listing_is_seen_as_it_is_by_the_next_process() {
    let (cluster, machines) = packed(false);
    let oid = cluster.repo(0, "app.git").oid("main");
    let listed = |machine: usize| {
        let dir = cluster.repo(machine, "app.git").dir.join("refs/heads/team");
        let ls = Command::new("ls").arg(dir).output().expect("ls(1)");
        String::from_utf8_lossy(&ls.stdout).into_owned()
    };
    let mut there = BTreeSet::from([0]);
    cluster
        .repo(0, "app.git")
        .ok(format!("update-ref refs/heads/team/0 {oid}"));
    for round in 1..16 {
        let writer = machines[round % machines.len()];
        let bare = cluster.repo(writer, "app.git");
        let n = 1 + round % 3;
        match there.remove(&n) {
            true => bare.ok(format!("update-ref -d refs/heads/team/{n}")),
            false => bare.ok(format!("update-ref refs/heads/team/{n} {oid}")),
        };
        if bare.is(format!("rev-parse --verify --quiet refs/heads/team/{n}").as_str()) {
            there.insert(n);
        }
        let expected: String = there.iter().map(|n| format!("{n}\n")).collect();
        for &machine in &machines {
            for look in 0..=round % 4 {
                let said = format!("round {round}: look {look} of {machine} after {writer}");
                assert_eq!(listed(machine), expected, "{said}");
            }
        }
    }
}

/// A process that stays, with a table of packed refs that it has read.
struct Batch {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Batch {
    fn of(repo: &Repo) -> Batch {
        let args = ["cat-file", "--batch-check=%(objectname)"].map(OsString::from);
        let mut command = repo.git.command(&repo.dir, &args);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("git starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let input = child.stdin.take().expect("piped");
        Batch {
            child,
            input,
            output,
        }
    }

    fn oid(&mut self, name: &str) -> String {
        writeln!(self.input, "{name}").expect("it reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        line.trim().to_owned()
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_process_that_stays_sees_it_a_moment_later() {
    let (cluster, machines) = packed(false);
    let [new, old] = ["main", "main~1"].map(|name| cluster.repo(0, "app.git").oid(name));
    let mut batches: Vec<_> = machines
        .iter()
        .map(|&machine| Batch::of(&cluster.repo(machine, "app.git")))
        .collect();
    for round in 0..6 {
        let bare = cluster.repo(machines[round % machines.len()], "app.git");
        let value = if round % 2 == 0 { &old } else { &new };
        bare.ok(format!("update-ref refs/heads/moves {value}"));
        if round % 3 == 1 {
            bare.ok("pack-refs --all");
        }
        for batch in &mut batches {
            wait::until("it is seen", BOUND, || {
                batch.oid("refs/heads/moves") == *value
            });
        }
    }
}

/// The directory becomes another inode for all but those who are in it.
#[test]
fn who_works_in_a_directory_of_refs_goes_on() {
    let (cluster, machines) = packed(false);
    let oid = cluster.repo(0, "app.git").oid("main");
    let dir = cluster.repo(machines[1], "app.git").dir.join("refs/heads");
    let mut shell = Command::new("sh")
        .current_dir(&dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh(1) starts");
    let mut input = shell.stdin.take().expect("piped");
    let mut output = BufReader::new(shell.stdout.take().expect("piped"));
    let mut say = |command: &str| {
        writeln!(input, "{command}").expect("it reads");
        let mut line = String::new();
        output.read_line(&mut line).expect("it answers");
        line.trim().to_owned()
    };
    for n in 0..2 {
        assert_eq!(say(&format!("test -e new-{n}; echo $?")), "1");
        let bare = cluster.repo(machines[n % 2 * 2], "app.git");
        bare.ok(format!("update-ref refs/heads/new-{n} {oid}"));
        let there = || say(&format!("cat new-{n} || echo none")) == oid;
        wait::until("it is there", LIFE_OF_A_NAME * 6, there);
        assert_eq!(say(&format!("ls | grep -c new-{n}")), "1");
        let top = dir.parent().and_then(Path::parent).expect("a repository");
        let top = top.to_str().expect("text");
        assert_eq!(say(&format!("(cd {top} && /bin/pwd)")), top);
    }
    drop(input);
    shell.wait().expect("it ends");
}

/// What happens in one repository is nothing to another. A name that has lived for ten seconds just then is asked for
/// again, but not three times in a row.
#[test]
fn nothing_is_forgotten_while_others_change() {
    let (cluster, machines) = packed(true);
    init(&cluster, 0, "other.git", "").import(&history::commits(2));
    let oid = cluster.repo(0, "other.git").oid("main");
    for machine in machines {
        for writer in machines.into_iter().filter(|writer| *writer != machine) {
            let other = cluster.repo(writer, "other.git");
            let is_as_before = |round: u32| {
                let quiet = asks(&cluster, machine, "log -1");
                other.ok(format!(
                    "update-ref refs/heads/{machine}-{writer}-{round} {oid}"
                ));
                let now = once(&cluster, machine, "log -1");
                println!("{machine}: {writer} changes another: {quiet:?}, then {now:?}");
                now == quiet
            };
            assert!((0..3).any(is_as_before), "{machine}, {writer}");
        }
    }
}
