//! A daemon with an HTTP door, and those who come to it.

use crate::backend::Kind;
use crate::git::{Installed, Repo};
use crate::mount::{Mounted, Settings};
use crate::place::{Place, let_others_through};
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

/// As whom git serves: a number that no user of the machine has.
pub const SERVER: u32 = 47_474;

/// How long a test waits for an answer.
const ANSWER: Duration = Duration::from_secs(60);

/// An address that is free now.
pub fn free_address() -> String {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    free.local_addr().expect("is bound").to_string()
}

/// Settings of a daemon with a door.
pub fn toml(address: &str) -> String {
    format!("[serve]\nhttp = \"{address}\"\nuser = {SERVER}\ndrain = \"20s\"\n")
}

/// A mount with a door.
pub struct Served {
    /// The mount, a git, a scratch directory.
    pub place: Place,
    /// Where the door is, host:port.
    pub address: String,
}

impl Served {
    /// With no repository and no user.
    #[allow(clippy::new_without_default, reason = "it starts a daemon")]
    pub fn new() -> Self {
        Self::with("")
    }

    /// The same with more settings of `[serve]`.
    pub fn with(more: &str) -> Self {
        Self::with_settings(|_| (String::new(), more.to_owned()))
    }

    /// The same with settings before those of `[serve]`, and more of those, by what the daemon starts with.
    pub fn with_settings(settings: impl FnOnce(&Settings) -> (String, String)) -> Self {
        Self::at(free_address(), settings, None)
    }

    /// On a socket that the daemon is started with.
    pub fn on(socket: &Arc<TcpListener>) -> Self {
        let address = socket.local_addr().expect("is bound").to_string();
        let nothing = |_: &Settings| (String::new(), String::new());
        Self::at(address, nothing, Some(Arc::clone(socket)))
    }

    fn at(
        address: String,
        settings: impl FnOnce(&Settings) -> (String, String),
        socket: Option<Arc<TcpListener>>,
    ) -> Self {
        let place = Place::with(Kind::Dir, &Installed::newest(), |daemon| {
            let above = daemon.at.parent().expect("a directory of the test's own");
            let_others_through();
            fs::set_permissions(above, Permissions::from_mode(0o755)).expect("it is root's");
            let (before, more) = settings(&daemon);
            Settings {
                toml: before + &toml(&address) + &more,
                socket,
                ..daemon
            }
        });
        Self { place, address }
    }

    /// With `team/app.git`, in which `alice` may write, and her token.
    pub fn with_alice() -> (Self, String) {
        let served = Self::new();
        let token = served.alice();
        (served, token)
    }

    /// Makes `team/app.git`, in which `alice` may write; her token.
    pub fn alice(&self) -> String {
        self.ok("repo create team/app.git");
        let token = self.user("alice");
        self.ok("access grant team alice write");
        token
    }

    /// A new user with a token for everything that the user may.
    pub fn user(&self, name: &str) -> String {
        self.ok(&format!("user add {name}"));
        self.ok(&format!("token create --user {name} --role force"))
            .trim()
            .to_owned()
    }

    /// A `gitmoor` command that must succeed; what it prints.
    #[track_caller]
    pub fn ok(&self, line: &str) -> String {
        let words: Vec<_> = line.split(' ').collect();
        self.daemon_settings().gitmoor_ok(&words)
    }

    /// How the daemon was started.
    pub fn daemon_settings(&self) -> Settings {
        self.place.daemon().settings().clone()
    }

    /// The daemon.
    pub fn daemon(&self) -> std::sync::MutexGuard<'_, Mounted> {
        self.place.daemon()
    }

    /// Of a repository, as somebody.
    pub fn url(&self, who: &str, repo: &str) -> String {
        match who {
            "" => format!("http://{}/{repo}", self.address),
            who => format!("http://{who}@{}/{repo}", self.address),
        }
    }

    /// A repository with a commit on the plain disk, whose `origin` is there.
    #[track_caller]
    pub fn work(&self, name: &str, url: &str) -> Repo {
        let work = self.place.work(name);
        work.commit("one");
        work.ok(format!("remote add origin {url}"));
        work
    }

    /// A clone on the plain disk; options before the URL.
    #[track_caller]
    pub fn clone(&self, options: &str, url: &str, name: &str) -> Repo {
        let copy = self.place.git.at(self.place.scratch(name));
        let at = self.place.git.at(&self.place.scratch);
        at.ok(format!("clone --quiet {options} {url} {}", copy.path()));
        copy
    }

    /// A connection that asks nothing.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the door is open");
        stream.set_read_timeout(Some(ANSWER)).expect("a time");
        stream
    }

    /// What is answered to a request as it stands, until the connection is closed; nothing when it is cut.
    pub fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        // A server that has refused it need not read it all.
        let _ = stream.write_all(request.as_ref());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// What is answered to a GET of a path.
    pub fn get(&self, path: &str) -> String {
        self.raw(format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ))
    }
}

/// The status of an answer; 0 of none.
pub fn status(answer: &str) -> u16 {
    let status = answer.split(' ').nth(1);
    status.and_then(|code| code.parse().ok()).unwrap_or(0)
}
