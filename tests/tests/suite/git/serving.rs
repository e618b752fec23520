//! The mount as a server's disk.

use crate::{everywhere, local};
use gitmoor_tests::git::Repo;
use gitmoor_tests::place::Place;
use gitmoor_tests::wait;
use std::ffi::OsString;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::Duration;

everywhere!(git_daemon);
local!(explicit_programs, stateless_http, protocol_versions);

/// A `git daemon` over the place's root, on a free port of the loopback.
struct Daemon {
    child: Child,
    port: u16,
}

impl Daemon {
    fn start(place: &Place) -> Daemon {
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = free.local_addr().expect("address").port();
        drop(free);
        let root = place.root.display();
        let line = format!(
            "daemon --export-all --enable=receive-pack --reuseaddr --listen=127.0.0.1 --port={port} --base-path={root} {root}"
        );
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let mut command = place.git.command(&place.scratch, &words);
        // `git` starts `git-daemon` as a child: both must go at the end.
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .spawn()
            .expect("git daemon");
        let daemon = Daemon { child, port };
        wait::until("git daemon listens", Duration::from_secs(20), || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        daemon
    }

    fn url(&self, name: &str) -> String {
        format!("git://127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(self.child.id().try_into().expect("a pid"));
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

fn git_daemon(place: &Place) {
    let (bare, work) = place.pushed("app.git", 10);
    let daemon = Daemon::start(place);
    let url = daemon.url("app.git");
    let copy = place.git.at(place.scratch("copy"));
    place
        .git
        .at(&place.scratch)
        .ok(format!("clone --quiet {url} {}", copy.path()));
    assert_eq!(copy.oid("HEAD"), work.oid("HEAD"));
    let tip = copy.commit("over-the-wire");
    copy.ok("push --quiet origin main");
    assert_eq!(bare.oid("main"), tip);
    work.ok(format!("fetch --quiet {url} main"));
    assert_eq!(work.oid("FETCH_HEAD"), tip);
    let gone = work.fail(format!("ls-remote {}", daemon.url("none.git")));
    assert!(
        !gone.contains("hung up unexpectedly") || gone.contains("access denied"),
        "{gone}"
    );
}

fn explicit_programs(place: &Place) {
    let (bare, work) = place.pushed("app.git", 4);
    let advertised = bare.bytes("upload-pack --advertise-refs .", "");
    let advertised = String::from_utf8_lossy(&advertised).into_owned();
    assert!(advertised.contains(&work.oid("main")), "{advertised}");
    work.ok("config remote.origin.receivepack git-receive-pack");
    work.ok("config remote.origin.uploadpack git-upload-pack");
    let path = work.oid("HEAD");
    work.ok(format!(
        "push --quiet {} {path}:refs/heads/by-path",
        bare.path()
    ));
    assert_eq!(bare.oid("by-path"), path);
    assert_eq!(
        work.ok(format!("ls-remote {} refs/heads/by-path", bare.path())),
        format!("{path}\trefs/heads/by-path")
    );
}

fn protocol_versions(place: &Place) {
    let (bare, work) = place.pushed("app.git", 4);
    for version in [0, 1, 2] {
        let copy = place.git.at(place.scratch(format!("v{version}")));
        place.git.at(&place.scratch).ok(format!(
            "-c protocol.version={version} clone --quiet {} {}",
            bare.url(),
            copy.path()
        ));
        assert_eq!(copy.oid("HEAD"), work.oid("HEAD"));
    }
}

/// One request of the smart HTTP protocol as a web server hands it to `git http-backend`.
fn request(place: &Place, env: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let root = place.root.to_str().expect("UTF-8");
    let mut git = place
        .git
        .with_env("GIT_PROJECT_ROOT", root)
        .with_env("GIT_HTTP_EXPORT_ALL", "1");
    for (key, value) in env {
        git = git.with_env(key, value);
    }
    git.at(&place.scratch).bytes("http-backend", body)
}

fn stateless_http(place: &Place) {
    let (bare, work) = place.pushed("app.git", 4);
    bare.ok("config http.receivepack true");
    let refs = request(
        place,
        &[
            ("REQUEST_METHOD", "GET"),
            ("PATH_INFO", "/app.git/info/refs"),
            ("QUERY_STRING", "service=git-upload-pack"),
        ],
        b"",
    );
    assert!(String::from_utf8_lossy(&refs).contains(&work.oid("main")));
    let answer = post_push(place, &work, "refs/heads/posted");
    assert!(answer.contains("ok refs/heads/posted"), "{answer}");
    assert_eq!(bare.oid("posted"), work.oid("HEAD"));
    place.crash();
    assert_eq!(bare.oid("posted"), work.oid("HEAD"));
    bare.fsck();
}

fn post_push(place: &Place, work: &Repo, name: &str) -> String {
    let tip = work.commit("posted");
    let pack = work.bytes(
        "pack-objects --quiet --stdout --revs --thin",
        format!("{tip}\n^{tip}~1\n"),
    );
    let command = format!("{} {tip} {name}\0report-status\n", "0".repeat(40));
    let mut body = format!("{:04x}{command}0000", command.len() + 4).into_bytes();
    body.extend(pack);
    let length = body.len().to_string();
    let answer = request(
        place,
        &[
            ("REQUEST_METHOD", "POST"),
            ("PATH_INFO", "/app.git/git-receive-pack"),
            ("CONTENT_TYPE", "application/x-git-receive-pack-request"),
            ("CONTENT_LENGTH", &length),
        ],
        &body,
    );
    String::from_utf8_lossy(&answer).into_owned()
}
