//! A git child that serves one request, on the mount.
//!
//! git is started in the repository's directory and told `.`: nothing of the request is in its command line. Whose
//! settings it reads, as whom it runs and what it may reach is [`Program`]'s matter; what is set here comes before what
//! the repository's own `config` says, so that it can run nothing for whoever asks.
//!
//! The thread that starts a child waits for it: it is killed with that thread (`PR_SET_PDEATHSIG`), and when nobody
//! wants it any more.

use crate::metrics::Running;
use crate::request::Work;
use crate::route::Service;
use gitmoor_fs::program::{Program, Started, User, ended};
use gitmoor_model::{Repo, Role};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};

/// How often it is looked whether a child has ended, and whether anybody wants it.
const POLL: Duration = Duration::from_millis(20);
/// Bytes that are kept of what git says to the administrator.
const COMPLAINTS: u64 = 4096;

/// No program of the repository's choosing checks signatures or fills a work tree, and no job begins behind a push.
const CONFIG: [&str; 7] = [
    // The environment names a file without any, which git takes for one of its old ones.
    "advice.graftFileDeprecated=false",
    "receive.denyCurrentBranch=refuse",
    "gpg.program=false",
    "gpg.ssh.program=false",
    "gpg.x509.program=false",
    "receive.autogc=false",
    "receive.advertisePushOptions=true",
];

/// The hooks that the mount shows, whatever the repository says.
const HOOKS: &str = "core.hooksPath=hooks";
/// Otherwise no directory has any ([`Program`]), and none by configuration (git 2.54) are run at these events.
const EVENTS: [&str; 7] = [
    "pre-receive",
    "update",
    "proc-receive",
    "post-receive",
    "post-update",
    "push-to-checkout",
    "reference-transaction",
];

/// Memory that one git takes for a clone …
const OF_CLONE: [&str; 2] = ["pack.windowMemory=256m", "pack.deltaCacheSize=128m"];
/// … and for a fetch, of which there may be more.
const OF_FETCH: [&str; 2] = ["pack.windowMemory=64m", "pack.deltaCacheSize=32m"];

/// A larger object is not held in memory while it is taken in: a few bytes of a push may become very many.
const STREAMED: &str = "core.bigFileThreshold=16m";

/// Whether objects that are pushed are checked: they come from whoever may write, and go to all who read.
const CHECKS: [&str; 2] = ["receive.fsckObjects", "transfer.fsckObjects"];

/// Whoever may write and no more: branches only go forward, and stay.
const FORWARD: [&str; 2] = [
    "receive.denyNonFastForwards=true",
    "receive.denyDeletes=true",
];

/// A certificate of a push is good for five minutes after its nonce: between the two requests of a push a person may
/// type a passphrase, and the requests may come to two nodes.
const NONCE_SLOP: &str = "receive.certNonceSlop";
const SLOP: u32 = 300;

/// What a child is started for.
pub(crate) struct Job<'a> {
    pub(crate) service: Service,
    pub(crate) work: Work,
    /// Refs and capabilities only.
    pub(crate) advertise: bool,
    pub(crate) repo: &'a Repo,
    pub(crate) role: Role,
    /// Settings that hide refs from a push ([`crate::guard`]).
    pub(crate) hidden: &'a [String],
    /// Whether the hooks in the repository are the administrator's, and are run.
    pub(crate) runs_hooks: bool,
    /// Where signed pushes are asked for: hooks judge them, so without hooks they are not.
    pub(crate) nonce_seed: Option<&'a str>,
    /// Where the repository is on the mount.
    pub(crate) path: &'a Path,
    pub(crate) user: Option<User>,
    pub(crate) umask: u32,
    /// What the client said of the protocol; checked.
    pub(crate) protocol: Option<&'a str>,
    /// Variables that say whom it serves.
    pub(crate) served: &'a [(&'static str, String)],
}

impl Job<'_> {
    pub(crate) fn program(self) -> Program {
        let settings = self.settings();
        let mut step = Vec::new();
        for setting in &settings {
            step.extend(["-c", setting]);
        }
        step.extend([self.service.name(), "--stateless-rpc"]);
        if self.advertise {
            step.push("--advertise-refs");
        }
        step.push(".");
        // Upload-pack writes there, too: what a shallow clone ends at.
        let mut program = Program::git(&step).on(self.path).writes(self.path);
        program = program.as_user(self.user).umask(self.umask);
        if self.runs_hooks {
            program = program.runs(&self.path.join("hooks"));
        }
        if let Some(seed) = self.nonce_seed {
            // Not with -c: whoever has an account on the machine may read command lines.
            program = program
                .env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", "receive.certNonceSeed")
                .env("GIT_CONFIG_VALUE_0", seed);
        }
        if let Some(protocol) = self.protocol {
            program = program.env("GIT_PROTOCOL", protocol);
        }
        for (key, value) in self.served {
            program = program.env(key, value);
        }
        program
    }

    fn settings(&self) -> Vec<String> {
        let owned = |settings: &[&str]| settings.iter().map(|it| (*it).to_owned()).collect();
        let mut settings: Vec<String> = owned(&CONFIG);
        settings.push(format!("pack.threads={}", threads()));
        match self.runs_hooks {
            true => settings.push(HOOKS.to_owned()),
            false => settings.extend(EVENTS.map(|event| format!("hook.{event}.enabled=false"))),
        }
        let memory = match self.work {
            Work::Clone => OF_CLONE,
            Work::Small | Work::Fetch | Work::Push => OF_FETCH,
        };
        settings.extend(memory.map(str::to_owned));
        // What is set for the repository stays.
        let is_set = |key: &&str| self.repo.settings.contains_key(*key);
        match self.service {
            Service::UploadPack if !is_set(&"uploadpack.allowFilter") => {
                settings.push("uploadpack.allowFilter=true".to_owned());
            }
            Service::UploadPack => {}
            Service::ReceivePack => {
                settings.push(STREAMED.to_owned());
                if !CHECKS.iter().any(is_set) {
                    settings.push("receive.fsckObjects=true".to_owned());
                }
                if self.nonce_seed.is_some() && !is_set(&NONCE_SLOP) {
                    settings.push(format!("{NONCE_SLOP}={SLOP}"));
                }
                if self.role < Role::Force {
                    settings.extend(FORWARD.map(str::to_owned));
                    settings.extend_from_slice(self.hidden);
                }
            }
        }
        settings
    }
}

/// Half of the machine's: others are served, too.
fn threads() -> usize {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    all.div_ceil(2)
}

/// A child that runs. It is ended when this is dropped.
pub(crate) struct Git {
    /// Taken by whoever feeds it.
    pub(crate) stdin: Option<pipe::Sender>,
    pub(crate) stdout: pipe::Receiver,
    ended: oneshot::Receiver<io::Result<ExitStatus>>,
    complaints: tokio::task::JoinHandle<String>,
    _wanted: Wanted,
}

/// Says so when it is dropped.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

type Pipes = [OwnedFd; 3];

impl Git {
    /// Starts one, with a thread of its own. `alive` is kept until it has ended.
    pub(crate) async fn start(
        program: Program,
        running: Running,
        alive: mpsc::Sender<()>,
    ) -> io::Result<Self> {
        let (tell_pipes, pipes) = oneshot::channel();
        let (tell_end, ended) = oneshot::channel();
        let is_wanted = Arc::new(AtomicBool::new(true));
        let wanted = Wanted(Arc::clone(&is_wanted));
        let run = move || {
            let (_running, _alive) = (running, alive);
            match started(program) {
                Ok((child, pipes)) => {
                    // Nobody waits: then nobody wants it either.
                    let _ = tell_pipes.send(Ok(pipes));
                    let _ = tell_end.send(wait(child, &is_wanted));
                }
                Err(error) => drop(tell_pipes.send(Err(error))),
            }
        };
        std::thread::Builder::new()
            .name("serve-git".to_owned())
            .spawn(run)?;
        let pipes: io::Result<Pipes> = pipes.await.map_err(io::Error::other)?;
        let [stdin, stdout, stderr] = pipes?;
        let stderr = pipe::Receiver::from_owned_fd(stderr)?;
        Ok(Self {
            stdin: Some(pipe::Sender::from_owned_fd(stdin)?),
            stdout: pipe::Receiver::from_owned_fd(stdout)?,
            ended,
            complaints: tokio::spawn(complaints(stderr)),
            _wanted: wanted,
        })
    }

    /// Waits until it has ended; in words, if it was not well.
    pub(crate) async fn end(self) -> Option<String> {
        let complaints = self.complaints.await.unwrap_or_default();
        match self.ended.await {
            Ok(Ok(status)) if status.success() => None,
            Ok(Ok(status)) => Some(format!("{} ({})", complaints.trim_end(), ended(status))),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("was ended".to_owned()),
        }
    }
}

fn started(program: Program) -> io::Result<(Started, Pipes)> {
    let piped = program.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.stderr(Stdio::piped()).start()?;
    let pipes = child.child();
    let missing = "it was asked to be a pipe";
    let stdin = pipes.stdin.take().expect(missing).into();
    let stdout = pipes.stdout.take().expect(missing).into();
    let stderr = pipes.stderr.take().expect(missing).into();
    Ok((child, [stdin, stdout, stderr]))
}

fn wait(mut child: Started, is_wanted: &AtomicBool) -> io::Result<ExitStatus> {
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.child().try_wait()? {
            return Ok(status);
        }
        if !is_wanted.load(Ordering::Relaxed) {
            child.kill();
            return child.child().wait();
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(POLL);
    }
}

/// The beginning of what it says; the rest is read and forgotten.
async fn complaints(mut stderr: pipe::Receiver) -> String {
    let mut kept = Vec::new();
    let mut beginning = (&mut stderr).take(COMPLAINTS);
    // What was read before an error is what there is.
    let _ = beginning.read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).replace(|c: char| c.is_control() && c != '\n', "?")
}
