//! A cluster of real processes, made and kept by commands.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::Installed;
use gitmoor_tests::mount::gitmoor;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::{self, report};
use gitmoor_tests::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// More than an election takes on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

struct Cluster {
    dir: TempDir,
    /// Of its addresses.
    first: u8,
    machines: Vec<Machine>,
}

struct Machine {
    number: usize,
    node: u64,
    process: Option<Child>,
}

impl Cluster {
    /// The first node runs.
    fn new() -> Cluster {
        static USED: AtomicU8 = AtomicU8::new(1);
        let mut cluster = Cluster {
            first: USED.fetch_add(10, Ordering::Relaxed),
            dir: tempfile::tempdir().expect("a directory"),
            machines: Vec::new(),
        };
        let listen = cluster.address(0);
        cluster.ok(0, &["cluster", "init", "--listen", &listen]);
        cluster.machines.push(Machine {
            number: 0,
            node: 1,
            process: None,
        });
        cluster.start(0);
        cluster
    }

    fn of_three() -> Cluster {
        let mut cluster = Cluster::new();
        for machine in 1..3 {
            cluster.join();
            cluster.start(machine);
            cluster.promote(machine);
        }
        cluster
    }

    /// A loopback address of this cluster in this test process alone.
    fn address(&self, machine: usize) -> String {
        let [.., high, low] = std::process::id().to_be_bytes();
        let number = self.first + u8::try_from(machine).expect("few");
        SocketAddr::from((Ipv4Addr::new(127, high, low, number), 7400)).to_string()
    }

    fn data(&self, machine: usize) -> PathBuf {
        self.dir.path().join(machine.to_string())
    }

    fn log(&self, machine: usize) -> PathBuf {
        self.dir.path().join(format!("{machine}.log"))
    }

    fn gitmoor(&self, machine: usize, args: &[&str]) -> Output {
        self.told(machine, args, "")
    }

    /// The same with standard input.
    fn told(&self, machine: usize, args: &[&str], input: &str) -> Output {
        let mut command = gitmoor();
        command.args(args).arg("--data").arg(self.data(machine));
        process::run(&mut command, input.as_bytes(), BOUND)
    }

    #[track_caller]
    fn ok(&self, machine: usize, args: &[&str]) -> String {
        let output = self.gitmoor(machine, args);
        assert!(output.status.success(), "{args:?}: {}", report(&output));
        String::from_utf8(output.stdout)
            .expect("text")
            .trim()
            .to_owned()
    }

    /// A refusal with this exit code and these words.
    #[track_caller]
    fn refused(&self, machine: usize, args: &[&str], code: i32, words: &[&str]) {
        let output = self.gitmoor(machine, args);
        assert_eq!(output.status.code(), Some(code), "{}", report(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        for word in words {
            assert!(said.contains(word), "{word:?} missing in: {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
    }

    fn start(&mut self, machine: usize) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(machine));
        let log = log.expect("log");
        let mut command = gitmoor();
        command.args(["node", "--data"]).arg(self.data(machine));
        command.stdin(Stdio::null()).stderr(log);
        self.machines[machine].process = Some(command.spawn().expect("it starts"));
        wait::until("it answers", BOUND, || {
            let process = self.machines[machine].process.as_mut().expect("started");
            let ended = process.try_wait().expect("a child");
            assert_eq!(ended, None, "{}", read(&self.log(machine)));
            self.gitmoor(machine, &["cluster", "status"])
                .status
                .success()
        });
    }

    fn join(&mut self) -> usize {
        let (machine, asked) = (self.machines.len(), self.running());
        let token = self.ok(asked, &["cluster", "token"]);
        let listen = self.address(machine);
        let said = self.ok(machine, &["cluster", "join", &token, "--listen", &listen]);
        let node = said
            .split_whitespace()
            .nth(3)
            .and_then(|id| id.parse().ok());
        self.machines.push(Machine {
            number: machine,
            node: node.unwrap_or_else(|| panic!("{said}")),
            process: None,
        });
        machine
    }

    fn promote(&self, machine: usize) {
        let node = self.machines[machine].node.to_string();
        wait::until("it has caught up", BOUND, || {
            self.gitmoor(machine, &["cluster", "promote", &node])
                .status
                .success()
        });
    }

    /// Any that runs.
    fn running(&self) -> usize {
        let running = self.machines.iter().find(|it| it.process.is_some());
        running.expect("one").number
    }

    fn signal(&self, machine: usize, signal: Signal) {
        let process = self.machines[machine].process.as_ref().expect("it runs");
        let pid = Pid::from_raw(process.id().try_into().expect("a pid"));
        kill(pid, signal).expect("it is there");
    }

    fn kill9(&mut self, machine: usize) {
        self.signal(machine, Signal::SIGKILL);
        let mut process = self.machines[machine].process.take().expect("it runs");
        process.wait().expect("it ends");
    }

    fn status(&self, machine: usize) -> Value {
        let status = self.ok(machine, &["cluster", "status", "--json"]);
        serde_json::from_str(&status).expect("JSON")
    }

    /// Which machine leads, by the word of one of them; not one of `except`.
    fn leader(&self, asked: usize, except: &[usize]) -> usize {
        let mut leader = None;
        wait::until("there is a leader", BOUND, || {
            let named = self.status(asked)["leader"].as_u64();
            leader = self.machines.iter().position(|it| Some(it.node) == named);
            leader.is_some_and(|leader| !except.contains(&leader))
        });
        leader.expect("found")
    }

    fn member(&self, asked: usize, machine: usize) -> Option<Value> {
        let status = self.status(asked);
        let members = status["members"].as_array().expect("a list");
        let node = self.machines[machine].node;
        members
            .iter()
            .find(|member| member["node"] == node)
            .cloned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for machine in 0..self.machines.len() {
            let Some(mut process) = self.machines[machine].process.take() else {
                continue;
            };
            let _ = process.kill();
            let _ = process.wait();
            if std::thread::panicking() {
                println!("--- log of {machine}\n{}", read(&self.log(machine)));
            }
        }
    }
}

fn read(path: &std::path::Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

#[test]
fn the_leader_is_killed_and_comes_back() {
    let mut cluster = Cluster::of_three();
    let leader = cluster.leader(0, &[]);
    cluster.kill9(leader);
    let other = (leader + 1) % 3;
    let next = cluster.leader(other, &[leader]);
    let dead = cluster.member(other, leader).expect("still a member");
    assert_eq!(dead["role"], "voter");
    assert!(
        dead["error"].as_str().is_some_and(|why| !why.is_empty()),
        "{dead}"
    );
    cluster.start(leader);
    wait::until("it has caught up", BOUND, || {
        let status = cluster.status(leader);
        let member = cluster.member(next, leader).expect("a member");
        status["leader"] == cluster.machines[next].node && member["lag"] == 0
    });
    for machine in 0..3 {
        cluster.signal(machine, Signal::SIGTERM);
        let mut process = cluster.machines[machine].process.take().expect("it runs");
        let left = wait::poll(BOUND, || process.try_wait().expect("a child"));
        assert!(left.expect("it leaves").success());
    }
}

/// It wakes up in a term that is over.
#[test]
fn a_leader_that_was_frozen() {
    let cluster = Cluster::of_three();
    let leader = cluster.leader(0, &[]);
    cluster.signal(leader, Signal::SIGSTOP);
    let other = (leader + 1) % 3;
    let next = cluster.leader(other, &[leader]);
    cluster.signal(leader, Signal::SIGCONT);
    wait::until("it follows", BOUND, || {
        cluster.status(leader)["leader"] == cluster.machines[next].node
    });
    let frozen = cluster.machines[leader].node.to_string();
    cluster.ok(other, &["cluster", "transfer-leader", &frozen]);
    assert_eq!(cluster.leader(leader, &[next]), leader);
}

#[test]
fn a_dead_node_is_removed() {
    let mut cluster = Cluster::of_three();
    let dead = (cluster.leader(0, &[]) + 1) % 3;
    let node = cluster.machines[dead].node.to_string();
    cluster.kill9(dead);
    let asked = cluster.running();
    cluster.ok(asked, &["cluster", "remove", &node]);
    assert!(cluster.member(asked, dead).is_none());
    cluster.refused(
        asked,
        &["cluster", "remove", &node],
        2,
        &["not in this cluster"],
    );
    let new = cluster.join();
    cluster.start(new);
    cluster.promote(new);
    let member = cluster.member(asked, new).expect("a member");
    assert_eq!(member["role"], "voter", "{member}");
}

#[test]
fn wrong_use_of_a_cluster() {
    let mut cluster = Cluster::new();
    let at = cluster.address(9);
    let listen = ["--listen", at.as_str()];
    let with = |args: &[&'static str]| [args, &listen].concat();
    cluster.refused(
        0,
        &with(&["cluster", "init"]),
        1,
        &["in use", "a node of a cluster"],
    );
    cluster.refused(1, &["node"], 2, &["cluster init", "cluster join"]);
    cluster.refused(1, &["cluster", "status"], 1, &["gitmoor mount"]);
    cluster.refused(
        1,
        &with(&["cluster", "join", "gitmoor-join-x"]),
        2,
        &["cluster token"],
    );
    let anywhere = ["cluster", "init", "--listen", "0.0.0.0:7400"];
    cluster.refused(1, &anywhere, 2, &["--advertise"]);
    let nowhere = [&anywhere[..], &["--advertise", "here"]].concat();
    cluster.refused(1, &nowhere, 2, &["host:port"]);
    assert!(!cluster.data(1).join("cluster").exists());

    let token = cluster.ok(0, &["cluster", "token"]);
    let join = ["cluster", "join", &token, "--listen", &at];
    cluster.ok(1, &join);
    cluster.refused(2, &join, 1, &["cluster token"]);
    cluster.refused(1, &join, 2, &["already"]);
    let other = cluster.dir.path().join("mnt");
    fs::create_dir(&other).expect("mkdir");
    let other = other.to_str().expect("text");
    cluster.refused(1, &["mount", other], 2, &["gitmoor node"]);
    for (command, words) in [
        ("promote", "not a learner"),
        ("transfer-leader", "not a voter"),
        ("remove", "not in this cluster"),
    ] {
        cluster.refused(0, &["cluster", command, "77"], 2, &[words]);
    }
    cluster.refused(
        0,
        &["cluster", "remove", "1"],
        1,
        &["transfer the leadership"],
    );
    cluster.refused(0, &["status"], 2, &["gitmoor cluster"]);
    cluster.refused(0, &["node"], 1, &["in use"]);

    cluster.kill9(0);
    cluster.refused(0, &with(&["cluster", "init"]), 2, &["already"]);
    cluster.refused(0, &["cluster", "status"], 1, &["gitmoor node"]);
    let taken = TcpListener::bind(cluster.address(0)).expect("it is free");
    cluster.refused(0, &["node"], 1, &["listening on"]);
    drop(taken);
    let replica = cluster.data(0).join("replica");
    fs::rename(&replica, cluster.dir.path().join("away")).expect("rename");
    cluster.refused(0, &["node"], 1, &["join anew"]);
}

/// A cluster serves no mounts yet.
#[test]
fn repositories_stay_in_reach() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    place.pushed("app.git", 1);
    let mut daemon = place.daemon();
    daemon.umount();
    let settings = daemon.settings().clone();
    let listen = ["cluster", "init", "--listen", "127.0.0.1:1"];
    let output = settings.gitmoor(&listen);
    assert_eq!(output.status.code(), Some(2), "{}", report(&output));
    daemon.launch();
}

/// Whoever has them is the cluster.
#[test]
fn secrets_stay_where_they_are() {
    let mut cluster = Cluster::new();
    let token = cluster.ok(0, &["cluster", "token", "--expires", "10m"]);
    let listen = cluster.address(1);
    let join = ["cluster", "join", "-", "--listen", &listen];
    let joined = cluster.told(1, &join, &format!("{token}\n"));
    assert!(joined.status.success(), "{}", report(&joined));
    let again = cluster.told(2, &join, &token);
    assert_eq!(again.status.code(), Some(1), "{}", report(&again));
    cluster.kill9(0);
    for machine in 0..2 {
        for name in ["authority.key", "node.key"] {
            let path = cluster.data(machine).join("cluster").join(name);
            let mode = fs::metadata(&path).expect("a key").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
    }
    let log = read(&cluster.log(0));
    assert!(
        log.contains("admitted a node") && log.contains("refused to admit"),
        "{log}"
    );
    assert!(!log.contains(&token), "{log}");
}
