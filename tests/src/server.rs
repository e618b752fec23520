//! A program that listens on the loopback, and ends with its guard.

use crate::process;
use crate::wait;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(60);

/// See the module. What the program has started ends with it.
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts a program, and waits until it is ready.
    #[track_caller]
    pub fn start(command: &mut Command, is_ready: impl Fn() -> bool) -> Server {
        let line = process::describe(command);
        let child = command.process_group(0).stdin(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
        let server = Server { child };
        wait::until(&format!("{line} is ready"), BOUND, is_ready);
        server
    }

    /// The same of one that listens on a port of the loopback.
    #[track_caller]
    pub fn listening(command: &mut Command, port: u16) -> Server {
        Server::start(command, || TcpStream::connect(("127.0.0.1", port)).is_ok())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.child.id().try_into().expect("a pid"));
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// A port of the loopback that is free now.
pub fn free_port() -> u16 {
    let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    free.local_addr().expect("address").port()
}

/// What a web server answers to a GET: the head and the body.
#[track_caller]
pub fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(BOUND)).expect("a time limit");
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}
