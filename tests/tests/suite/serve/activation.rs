//! The socket is the service manager's: it is there before the daemon and after it.

use gitmoor_tests::door::Served;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

/// A client that comes while the daemon is started anew is not refused: it waits.
#[test]
fn who_comes_between_two_daemons_is_served() {
    let socket = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a port"));
    let served = Served::on(&socket);
    let token = served.alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    work.ok("push --quiet origin HEAD:refs/heads/main");
    served.daemon().umount();
    let mut early = served.connect();
    let request = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    early.write_all(request.as_bytes()).expect("it is taken");
    served.daemon().launch();
    let mut answer = String::new();
    early.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains("200 OK"), "{answer}");
    assert!(work.is("ls-remote --exit-code origin refs/heads/main"));
}

/// A daemon that was given a socket opens no other beside it.
#[test]
fn another_address_than_that_of_the_socket_is_refused() {
    let socket = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a port"));
    let at = socket.local_addr().expect("is bound").to_string();
    let served = Served::new();
    let mut daemon = served.daemon();
    daemon.umount();
    daemon.activate(&socket);
    assert!(!daemon.try_launch());
    let told = fs::read_to_string(&daemon.settings().log).expect("a log");
    let line = told.lines().find(|line| line.contains("ListenStream="));
    let line = line.expect("it says what to do");
    assert!(
        line.contains(&at) && line.contains(&served.address),
        "{line}"
    );
}
