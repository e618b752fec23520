//! One `gitmoor` daemon and its mount point: started, killed, restarted, and gone
//! without a trace when the guard is dropped, however the test ended.

use crate::binary;
use crate::process;
use crate::wait;
use nix::mount::{MntFlags, umount2};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// From exec to a mount that answers.
const START_LIMIT: Duration = Duration::from_secs(30);
/// From SIGTERM to exit, including publishing what is pending.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Lines of the daemon's log that a failing test prints.
const LOG_LINES: usize = 200;

/// How to start a daemon.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Data directory.
    pub data: PathBuf,
    /// Where to mount; created if missing.
    pub at: PathBuf,
    /// `--store`.
    pub store: String,
    /// `--repo`: one repository instead of the namespace.
    pub repo: Option<String>,
    /// The settings file's text.
    pub toml: String,
    /// Where the daemon's messages go.
    pub log: PathBuf,
    /// Environment of the daemon and of its commands: the store's credentials.
    pub env: Vec<(String, String)>,
    /// The network namespace of the daemon and of its commands, if it is not that of the test.
    pub netns: Option<String>,
    /// The daemon's hard limit of open files, if it is not that of the test; the soft one is a quarter.
    pub open_files: Option<u64>,
    /// A socket that the daemon is started with, as systemd would.
    pub socket: Option<Arc<TcpListener>>,
}

impl Settings {
    /// A `gitmoor` command on this data directory: `["repo", "list"]`.
    #[track_caller]
    pub fn gitmoor(&self, args: &[&str]) -> Output {
        process::run(&mut self.command(args), b"", process::LIMIT)
    }

    /// [`Settings::gitmoor`] that must succeed; its standard output.
    #[track_caller]
    pub fn gitmoor_ok(&self, args: &[&str]) -> String {
        let output = self.gitmoor(args);
        let report = process::report(&output);
        assert!(output.status.success(), "gitmoor {args:?} {report}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `gitmoor status --json`.
    #[track_caller]
    pub fn status(&self) -> serde_json::Value {
        let text = self.gitmoor_ok(&["status", "--json"]);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in status: {text}"))
    }

    /// The same, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = gitmoor_in(self.netns.as_deref());
        command.args(args).env("GITMOOR_DATA", &self.data);
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command
    }

    fn foreground(&self) -> Command {
        let file = self.log.with_extension("toml");
        fs::write(&file, &self.toml).expect("settings file");
        let mut command = match &self.socket {
            None => gitmoor_in(self.netns.as_deref()),
            Some(socket) => activated(socket),
        };
        command.args(["mount", "--foreground", "--store", &self.store]);
        command.arg("--config").arg(file);
        command.arg("--data").arg(&self.data);
        command.args(self.repo.iter().flat_map(|name| ["--repo", name]));
        command.arg(&self.at);
        if let Some(limit) = self.open_files {
            limit_open_files(&mut command, limit);
        }
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command
    }
}

/// The binary under test with a socket as its descriptor 3, as sd_listen_fds(3) says.
fn activated(socket: &TcpListener) -> Command {
    let of_binary = gitmoor();
    let mut command = Command::new("sh");
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
    command
        .args(["-c", script, "sh"])
        .arg(of_binary.get_program());
    command.env_clear();
    let set = of_binary.get_envs();
    command.envs(set.filter_map(|(key, value)| Some((key, value?))));
    let socket = socket.try_clone().expect("a descriptor");
    command.stdin(OwnedFd::from(socket));
    command
}

fn limit_open_files(command: &mut Command, limit: u64) {
    let set = move || Ok(setrlimit(Resource::RLIMIT_NOFILE, limit / 4, limit)?);
    // SAFETY: setrlimit(2) is async-signal-safe and touches nothing of the parent.
    unsafe { command.pre_exec(set) };
}

/// The binary under test in a clean environment.
pub fn gitmoor() -> Command {
    gitmoor_in(None)
}

/// The same in a network namespace. The mount namespace stays, so that its mounts are seen here.
pub fn gitmoor_in(netns: Option<&str>) -> Command {
    let mut command = match netns {
        None => Command::new(binary::path()),
        Some(name) => {
            let mut command = Command::new("nsenter");
            command
                .arg(format!("--net=/run/netns/{name}"))
                .arg(binary::path());
            command
        }
    };
    command.env_clear();
    for key in ["PATH", "HOME", "RUST_LOG", "RUST_BACKTRACE"] {
        command.envs(std::env::var_os(key).map(|value| (key, value)));
    }
    command
}

/// A running daemon. Dropping it unmounts and ends the daemon.
#[derive(Debug)]
pub struct Mounted {
    settings: Settings,
    daemon: Option<Child>,
}

impl Mounted {
    /// Starts a daemon; its mount answers when this returns.
    #[track_caller]
    pub fn start(settings: Settings) -> Mounted {
        fs::create_dir_all(&settings.at).expect("mount point");
        let mut mounted = Mounted {
            settings,
            daemon: None,
        };
        mounted.launch();
        mounted
    }

    /// How it was started; for `gitmoor` commands.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The mount point.
    pub fn path(&self) -> &Path {
        &self.settings.at
    }

    /// The daemon's process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Child::id)
    }

    /// Whether the daemon still runs.
    pub fn is_alive(&mut self) -> bool {
        let ended = self.daemon.as_mut().map(|child| child.try_wait());
        matches!(ended, Some(Ok(None)))
    }

    /// Ends the daemon as a power cut would, and clears the dead mount point.
    pub fn kill9(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            // A client may hold a thread of it in the kernel, see `restart::killed_and_held`.
            let _ = umount2(&self.settings.at, MntFlags::MNT_FORCE);
            let _ = daemon.wait();
        }
        detach(&self.settings.at);
    }

    /// SIGKILL, and nothing else: neither process nor mount is gone when this returns.
    pub fn kill9_only(&mut self) -> Child {
        let mut daemon = self.daemon.take().expect("running");
        daemon.kill().expect("SIGKILL");
        daemon
    }

    /// The socket that the next [`Mounted::launch`] is started with.
    pub fn activate(&mut self, socket: &Arc<TcpListener>) {
        self.settings.socket = Some(Arc::clone(socket));
    }

    /// Failpoints of the next [`Mounted::launch`]; none when empty.
    pub fn arm(&mut self, failpoints: &str) {
        self.set("GITMOOR_FAILPOINTS", failpoints);
    }

    /// A setting of the next [`Mounted::launch`], from the environment; none when empty.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.env.retain(|(name, _)| name != key);
        self.settings.env.push((key.into(), value.into()));
    }

    /// The configuration file of the next [`Mounted::launch`].
    pub fn configure(&mut self, toml: String) {
        self.settings.toml = toml;
    }

    /// Empties the mount point, in which commands that outlived a mount may have
    /// gone on making directories. Only while nothing is mounted.
    pub fn sweep(&self) {
        assert!(!is_mount(&self.settings.at), "unmount first");
        fs::remove_dir_all(&self.settings.at).expect("rm -r mount point");
        fs::create_dir(&self.settings.at).expect("mount point");
    }

    /// Waits until the daemon has died by itself, and clears the dead mount point. `None` if it
    /// still runs after that time.
    pub fn death(&mut self, bound: Duration) -> Option<ExitStatus> {
        let daemon = self.daemon.as_mut()?;
        let status = wait::poll(bound, || daemon.try_wait().ok().flatten())?;
        self.daemon = None;
        detach(&self.settings.at);
        Some(status)
    }

    /// Unmounts as a user does; everything pending is published when this returns. Answers
    /// what the user was told.
    #[track_caller]
    pub fn umount(&mut self) -> String {
        let at = self.settings.at.clone();
        let at = at.to_str().expect("the tests' own paths are UTF-8");
        let told = self.settings.gitmoor_ok(&["umount", at]);
        let status = self.wait_for_exit();
        assert!(status.success(), "the daemon left with {status}");
        told
    }

    /// Mounts again after [`Mounted::kill9`] or [`Mounted::umount`].
    #[track_caller]
    pub fn launch(&mut self) {
        let mounted = self.try_launch();
        assert!(mounted, "the daemon ended before its mount answered");
    }

    /// The same; whether the mount answers. If not, the daemon has ended.
    #[track_caller]
    pub fn try_launch(&mut self) -> bool {
        assert!(self.daemon.is_none(), "already running");
        let log = open_log(&self.settings.log);
        let errors = log.try_clone().expect("log");
        let mut command = self.settings.foreground();
        if self.settings.socket.is_none() {
            command.stdin(Stdio::null());
        }
        let child = command.stdout(log).stderr(errors).spawn();
        self.daemon = Some(child.unwrap_or_else(|error| {
            panic!("cannot start {}: {error}", process::describe(&command))
        }));
        self.is_mounted_soon()
    }

    /// Removes cached blocks, so that the next read is cold. Only while not mounted.
    pub fn drop_cache(&self) {
        assert!(self.daemon.is_none(), "unmount first");
        let cache = self.settings.data.join("cache");
        if cache.exists() {
            fs::remove_dir_all(cache).expect("cache directory");
        }
    }

    #[track_caller]
    fn is_mounted_soon(&mut self) -> bool {
        let mounted = wait::poll(START_LIMIT, || {
            if !self.is_alive() {
                return Some(false);
            }
            is_mount(&self.settings.at).then_some(true)
        });
        let mounted = mounted.unwrap_or_else(|| {
            let waiting = process::waiting(None);
            panic!("no mount within {START_LIMIT:?}\n{waiting}")
        });
        if !mounted {
            self.kill9();
        }
        mounted
    }

    #[track_caller]
    fn wait_for_exit(&mut self) -> ExitStatus {
        let mut daemon = self.daemon.take().expect("running");
        let status = wait::poll(STOP_LIMIT, || daemon.try_wait().ok().flatten());
        status.unwrap_or_else(|| {
            let _ = daemon.kill();
            let _ = daemon.wait();
            panic!("the daemon did not leave within {STOP_LIMIT:?}")
        })
    }

    /// SIGTERM, and SIGKILL when that does not help; whether it was polite.
    fn stop(&mut self) -> bool {
        let Some(mut daemon) = self.daemon.take() else {
            return true;
        };
        let pid = Pid::from_raw(daemon.id().try_into().expect("a pid"));
        let _ = kill(pid, Signal::SIGTERM);
        let left = wait::poll(STOP_LIMIT, || daemon.try_wait().ok().flatten()).is_some();
        if !left {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        left
    }

    fn print_log(&self) {
        let bytes = fs::read(&self.settings.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_LINES)..];
        println!("--- daemon's log\n{}\n---", tail.join("\n"));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A test that failed may have left the mount in any state: no politeness.
        if std::thread::panicking() {
            self.kill9();
            self.print_log();
            return;
        }
        let left = self.stop();
        detach(&self.settings.at);
        if !left {
            self.print_log();
            panic!("the daemon ignored SIGTERM for {STOP_LIMIT:?}");
        }
    }
}

fn open_log(path: &Path) -> File {
    let log = File::options().create(true).append(true).open(path);
    log.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether something answers at that mount point.
pub fn is_mount(at: &Path) -> bool {
    let parent = at.parent().expect("not the root");
    match (fs::metadata(at), fs::metadata(parent)) {
        (Ok(own), Ok(above)) => own.dev() != above.dev(),
        _ => false,
    }
}

/// Takes whatever is mounted there away, even when it is dead or busy.
pub fn detach(at: &Path) {
    if umount2(at, MntFlags::MNT_DETACH).is_err() && !is_unprivileged_clean(at) {
        let mut fusermount = Command::new("fusermount3");
        let _ = fusermount.args(["-u", "-z"]).arg(at).output();
    }
}

/// Without privileges umount(2) is refused even where nothing is mounted.
fn is_unprivileged_clean(at: &Path) -> bool {
    fs::metadata(at).is_ok() && !is_mount(at)
}
