//! A cluster of real processes, made and kept by commands.

use crate::backend::{Kind, Store};
use crate::clocks::Clocks;
use crate::git::{Git, Installed, Repo};
use crate::mount::{Mounted, Settings, gitmoor_in};
use crate::namespaces::Namespaces;
use crate::process::{self, loopback, report};
use crate::wait;
use crate::watched::Watched;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// More than an election takes on a busy machine.
pub const BOUND: Duration = Duration::from_secs(60);

/// Nodes on loopback addresses of their own, run by the binary under test.
pub struct Cluster {
    /// Of everything.
    pub dir: TempDir,
    /// Of its addresses.
    first: u8,
    /// In the order of their joining.
    pub machines: Vec<Machine>,
    /// Whose git clients are.
    pub git: Git,
    /// Settings of every mount, but for what is each machine's own.
    mounts: Option<Settings>,
    /// Where each machine is, if not on loopback.
    pub namespaces: Option<Namespaces>,
    /// Whether their mounts have ports of metrics.
    watched: bool,
    /// What time they think it is, if they do not ask the machine of the test.
    pub clocks: Option<Clocks>,
    // After the mounts, which use it.
    _store: Option<Store>,
}

/// One of them.
pub struct Machine {
    number: usize,
    /// Its id.
    pub node: u64,
    /// While it runs without a mount.
    pub process: Option<Child>,
    /// While it runs with one.
    pub mount: Option<Mounted>,
}

impl Machine {
    fn new(number: usize, node: u64) -> Machine {
        Machine {
            number,
            node,
            process: None,
            mount: None,
        }
    }

    fn pid(&self) -> Option<u32> {
        let node = self.process.as_ref().map(Child::id);
        node.or_else(|| self.mount.as_ref()?.pid())
    }
}

impl Cluster {
    /// The first node runs.
    #[allow(clippy::new_without_default, reason = "it starts a process")]
    pub fn new() -> Cluster {
        let mut cluster = Cluster::prepared(None, None);
        cluster.start(0);
        cluster
    }

    /// Three voters without mounts.
    pub fn of_three() -> Cluster {
        let mut cluster = Cluster::new();
        for machine in 1..3 {
            cluster.join();
            cluster.start(machine);
            cluster.promote(machine);
        }
        cluster
    }

    /// Three voters with a mount each, over one store.
    pub fn mounted(kind: Kind) -> Cluster {
        Cluster::mounted_with(kind, |_| {})
    }

    /// The same, with ports of metrics.
    pub fn watched(kind: Kind) -> Cluster {
        let store = Store::start(kind).expect("a store");
        let mut cluster = Cluster::prepared(Some(store), None);
        cluster.watched = true;
        cluster.mount_three();
        cluster
    }

    /// The metrics of a machine's mount.
    pub fn metrics(&self, machine: usize) -> Watched {
        let address = self.address(machine);
        let (host, _) = address.split_once(':').expect("host and port");
        Watched::at(format!("{host}:7401"))
    }

    /// The same with other settings.
    pub fn mounted_with(kind: Kind, change: impl FnOnce(&mut Settings)) -> Cluster {
        let store = Store::start(kind).expect("a store");
        let mut cluster = Cluster::prepared(Some(store), None);
        change(cluster.mounts.as_mut().expect("just made"));
        cluster.mount_three();
        cluster
    }

    /// Three voters with a mount each, on machines of their own. Their store is a directory.
    pub fn apart() -> Cluster {
        let store = Store::start(Kind::Dir).expect("a store");
        let mut cluster = Cluster::prepared(Some(store), Some(Namespaces::new(3)));
        cluster.mount_three();
        cluster
    }

    /// Three voters with a mount each and clocks of their own, which are right. Their store is a directory.
    pub fn with_clocks() -> Cluster {
        let store = Store::start(Kind::Dir).expect("a store");
        let mut cluster = Cluster::prepared(Some(store), None);
        cluster.clocks = Some(Clocks::right(&cluster.dir.path().join("clocks")));
        cluster.mount_three();
        cluster
    }

    fn mount_three(&mut self) {
        self.mount(0);
        for machine in 1..3 {
            self.join();
            self.mount(machine);
            self.promote(machine);
        }
    }

    /// The first node is there and does not run.
    fn prepared(store: Option<Store>, namespaces: Option<Namespaces>) -> Cluster {
        static USED: AtomicU8 = AtomicU8::new(1);
        let dir = tempfile::Builder::new().prefix("gitmoor-test-").tempdir();
        let dir = dir.expect("a directory");
        let mut cluster = Cluster {
            first: USED.fetch_add(10, Ordering::Relaxed),
            git: Installed::newest().with_home(&dir.path().join("home")),
            mounts: store.as_ref().map(|store| store.settings(dir.path())),
            namespaces,
            watched: false,
            clocks: None,
            _store: store,
            dir,
            machines: Vec::new(),
        };
        let listen = cluster.address(0);
        cluster.ok(0, &["cluster", "init", "--listen", &listen]);
        cluster.machines.push(Machine::new(0, 1));
        cluster
    }

    /// How a mount of this machine is started.
    pub fn settings(&self, machine: usize) -> Settings {
        let mut mounts = self.mounts.clone().expect("a cluster with a store");
        mounts.env.extend(self.clock(machine));
        if self.watched {
            mounts.toml.push_str(&self.metrics(machine).toml());
        }
        Settings {
            data: self.data(machine),
            at: self.dir.path().join(format!("mnt-{machine}")),
            log: self.log(machine),
            netns: self.netns(machine),
            ..mounts
        }
    }

    /// From now on a machine's clock is off by this.
    pub fn set_clock(&self, machine: usize, offset: &str) {
        let clocks = self.clocks.as_ref().expect("clocks of their own");
        clocks.set(machine, offset);
    }

    fn clock(&self, machine: usize) -> Vec<(String, String)> {
        let clocks = self.clocks.as_ref();
        clocks.map_or_else(Vec::new, |clocks| clocks.env(machine))
    }

    fn netns(&self, machine: usize) -> Option<String> {
        Some(self.namespaces.as_ref()?.of(machine))
    }

    /// Starts a machine with a mount.
    #[track_caller]
    pub fn mount(&mut self, machine: usize) {
        let mounted = Mounted::start(self.settings(machine));
        self.machines[machine].mount = Some(mounted);
    }

    /// Its mount.
    #[track_caller]
    pub fn mounted_on(&self, machine: usize) -> &Mounted {
        let mount = self.machines[machine].mount.as_ref();
        mount.expect("it runs with a mount")
    }

    /// A repository by way of one machine's mount.
    pub fn repo(&self, machine: usize, name: &str) -> Repo {
        self.git.at(self.mounted_on(machine).path().join(name))
    }

    /// A directory of this machine's disk.
    pub fn scratch(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join("scratch").join(name);
        fs::create_dir_all(&path).expect("a directory");
        path
    }

    /// A loopback address of this cluster in this test process alone.
    pub fn address(&self, machine: usize) -> String {
        if let Some(namespaces) = &self.namespaces {
            return format!("{}:7400", namespaces.ip(machine));
        }
        let number = self.first + u8::try_from(machine).expect("few");
        SocketAddr::from((loopback(number), 7400)).to_string()
    }

    /// Its data directory.
    pub fn data(&self, machine: usize) -> PathBuf {
        self.dir.path().join(machine.to_string())
    }

    /// What it logs.
    pub fn log(&self, machine: usize) -> PathBuf {
        self.dir.path().join(format!("{machine}.log"))
    }

    /// A command on its data directory.
    pub fn gitmoor(&self, machine: usize, args: &[&str]) -> Output {
        self.told(machine, args, "")
    }

    /// The same with standard input.
    pub fn told(&self, machine: usize, args: &[&str], input: &str) -> Output {
        let mut command = gitmoor_in(self.netns(machine).as_deref());
        command.args(args).arg("--data").arg(self.data(machine));
        process::run(&mut command, input.as_bytes(), BOUND)
    }

    /// One that succeeds; what it prints.
    #[track_caller]
    pub fn ok(&self, machine: usize, args: &[&str]) -> String {
        let output = self.gitmoor(machine, args);
        assert!(output.status.success(), "{args:?}: {}", report(&output));
        String::from_utf8(output.stdout)
            .expect("text")
            .trim()
            .to_owned()
    }

    /// A refusal with this exit code and these words.
    #[track_caller]
    pub fn refused(&self, machine: usize, args: &[&str], code: i32, words: &[&str]) {
        let output = self.gitmoor(machine, args);
        assert_eq!(output.status.code(), Some(code), "{}", report(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        for word in words {
            assert!(said.contains(word), "{word:?} missing in: {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
    }

    /// Of the mounts that start from now on.
    pub fn set_env(&mut self, key: &str, value: &str) {
        let mounts = self.mounts.as_mut().expect("a cluster with a store");
        mounts.env.push((key.to_owned(), value.to_owned()));
    }

    /// Runs it without a mount.
    pub fn start(&mut self, machine: usize) {
        self.spawn(machine);
        wait::until("it answers", BOUND, || {
            let process = self.machines[machine].process.as_mut().expect("started");
            let ended = process.try_wait().expect("a child");
            assert_eq!(ended, None, "{}", read(&self.log(machine)));
            self.gitmoor(machine, &["cluster", "status"])
                .status
                .success()
        });
    }

    /// The same, without waiting for an answer.
    pub fn spawn(&mut self, machine: usize) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(machine));
        let log = log.expect("log");
        let mut command = gitmoor_in(self.netns(machine).as_deref());
        command.args(["node", "--data"]).arg(self.data(machine));
        command.stdin(Stdio::null()).stderr(log);
        command.envs(self.clock(machine));
        self.machines[machine].process = Some(command.spawn().expect("it starts"));
    }

    /// One more machine, not started; its number.
    pub fn join(&mut self) -> usize {
        let (machine, asked) = (self.machines.len(), self.running());
        let token = self.ok(asked, &["cluster", "token"]);
        let listen = self.address(machine);
        let said = self.ok(machine, &["cluster", "join", &token, "--listen", &listen]);
        let node = said
            .split_whitespace()
            .nth(3)
            .and_then(|id| id.parse().ok());
        let node = node.unwrap_or_else(|| panic!("{said}"));
        self.machines.push(Machine::new(machine, node));
        machine
    }

    /// One more machine, as a client, with its mount.
    pub fn mount_client(&mut self) -> usize {
        self.mount_limited_client(&[])
    }

    /// The same with these options of its token.
    pub fn mount_limited_client(&mut self, options: &[&str]) -> usize {
        let (machine, asked) = (self.machines.len(), self.running());
        let token = self.ok(
            asked,
            &[&["cluster", "token", "--client"], options].concat(),
        );
        let said = self.ok(machine, &["cluster", "join", &token]);
        let client = said
            .split_whitespace()
            .nth(3)
            .and_then(|id| id.parse().ok());
        let client = client.unwrap_or_else(|| panic!("{said}"));
        self.machines.push(Machine::new(machine, client));
        self.mount(machine);
        machine
    }

    /// Gives it a vote, once it has caught up.
    pub fn promote(&self, machine: usize) {
        let node = self.machines[machine].node.to_string();
        wait::until("it has caught up", BOUND, || {
            self.gitmoor(machine, &["cluster", "promote", &node])
                .status
                .success()
        });
    }

    /// Any that runs.
    pub fn running(&self) -> usize {
        let running = self.machines.iter().find(|it| it.pid().is_some());
        running.expect("one").number
    }

    /// To its process.
    pub fn signal(&self, machine: usize, signal: Signal) {
        let pid = self.machines[machine].pid().expect("it runs");
        let pid = Pid::from_raw(pid.try_into().expect("a pid"));
        kill(pid, signal).expect("it is there");
    }

    /// SIGKILL.
    pub fn kill9(&mut self, machine: usize) {
        if let Some(mut mount) = self.machines[machine].mount.take() {
            return mount.kill9();
        }
        self.signal(machine, Signal::SIGKILL);
        let mut process = self.machines[machine].process.take().expect("it runs");
        process.wait().expect("it ends");
    }

    /// What it says of the cluster.
    pub fn status(&self, machine: usize) -> Value {
        let status = self.ok(machine, &["cluster", "status", "--json"]);
        serde_json::from_str(&status).expect("JSON")
    }

    /// Which machine leads, by the word of one of them; not one of `except`.
    pub fn leader(&self, asked: usize, except: &[usize]) -> usize {
        let mut leader = None;
        wait::until("there is a leader", BOUND, || {
            let named = self.status(asked)["leader"].as_u64();
            leader = self.machines.iter().position(|it| Some(it.node) == named);
            leader.is_some_and(|leader| !except.contains(&leader))
        });
        leader.expect("found")
    }

    /// One machine by the word of another.
    pub fn member(&self, asked: usize, machine: usize) -> Option<Value> {
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
        // No politeness: those who leave last would wait for a majority.
        for machine in &mut self.machines {
            if let Some(process) = &mut machine.process {
                let _ = process.kill();
                let _ = process.wait();
            }
            if let Some(mount) = &mut machine.mount {
                mount.kill9();
            }
        }
        if std::thread::panicking() {
            for machine in 0..self.machines.len() {
                println!("--- log of {machine}\n{}", read(&self.log(machine)));
            }
        }
    }
}

/// The text of a file; none when it is not there.
pub fn read(path: &std::path::Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
