//! A daemon's life on a real mount: how it begins, who finds it, and every way in
//! which it ends.

#![allow(
    clippy::disallowed_methods,
    reason = "tests start what they test, and git to compare with"
)]

mod support;

use nix::sys::signal::{Signal, kill};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant};
use support::{Place, expect};

#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn mounted(args: &[&str]) -> Place {
    let place = Place::new();
    expect(&place.mount(args), 0, &[]);
    place
}

fn lives(pid: nix::unistd::Pid) -> bool {
    kill(pid, None).is_ok()
}

#[test]
fn mount_returns_when_it_answers_and_umount_when_it_is_gone() {
    let place = mounted(&[]);
    assert!(place.is_mounted());
    assert_eq!(place.status()["state"], "serving");
    assert_eq!(place.status()["replicator"]["role"], "leader");
    expect(&place.umount(&[]), 0, &[]);
    assert!(!place.is_mounted());
    expect(&place.mount(&[]), 0, &[]);
    expect(&place.umount(&[]), 0, &[]);
}

#[test]
fn status_for_people() {
    let place = mounted(&[]);
    let text = place.ok(&["status"]);
    for word in [
        "serving",
        &place.mnt(),
        "dir:",
        "leader",
        "nothing",
        "10.0 GiB",
    ] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[test]
fn a_busy_mount_stays_unless_detached_lazily() {
    let place = mounted(&[]);
    place.ok(&["repo", "create", "a.git"]);
    let open = File::open(place.at().join("a.git/HEAD")).unwrap();
    expect(&place.umount(&[]), 1, &["busy", "--lazy"]);
    assert_eq!(place.status()["state"], "serving");
    let pid = place.pid();
    expect(&place.umount(&["--lazy"]), 0, &[]);
    assert!(!place.is_mounted());
    assert!(lives(pid), "the open file is still served");
    let mut head = String::new();
    (&open).read_to_string(&mut head).unwrap();
    assert_eq!(head, "ref: refs/heads/main\n");
    drop(open);
    eventually("the daemon ends with the last file", || !lives(pid));
}

#[test]
fn unmounting_from_outside_ends_the_daemon() {
    let place = mounted(&[]);
    let pid = place.pid();
    nix::mount::umount(&place.at()).unwrap();
    eventually("the daemon ends", || !lives(pid));
    expect(&place.mount(&[]), 0, &[]);
}

#[test]
fn sigterm_detaches_a_busy_mount_in_the_end() {
    let place = mounted(&[]);
    place.ok(&["repo", "create", "a.git"]);
    let pid = place.pid();
    let _open = File::open(place.at().join("a.git/HEAD")).unwrap();
    kill(pid, Signal::SIGTERM).unwrap();
    eventually("the daemon ends", || !lives(pid));
    assert!(!place.is_mounted());
}

#[test]
fn a_second_signal_does_not_wait_and_leaves_no_dead_mount() {
    let place = mounted(&[]);
    place.ok(&["repo", "create", "a.git"]);
    let pid = place.pid();
    let _open = File::open(place.at().join("a.git/HEAD")).unwrap();
    let begun = Instant::now();
    kill(pid, Signal::SIGTERM).unwrap();
    eventually("it is leaving", || place.status()["state"] == "leaving");
    kill(pid, Signal::SIGTERM).unwrap();
    eventually("the daemon ends", || !lives(pid));
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    assert!(!place.is_mounted());
}

#[test]
fn a_dead_mount_is_explained_and_cleared() {
    let place = mounted(&[]);
    let pid = place.pid();
    // The kernel remembers what its top is like.
    std::fs::metadata(place.at()).unwrap();
    kill(pid, Signal::SIGKILL).unwrap();
    eventually("it is dead", || !lives(pid));
    expect(&place.mount(&[]), 1, &["dead mount", "gitmoor umount"]);
    let cleared = place.umount(&[]);
    expect(&cleared, 0, &[]);
    assert!(String::from_utf8_lossy(&cleared.stdout).contains("cleared a dead mount"));
    expect(&place.mount(&[]), 0, &[]);
}

#[test]
fn the_foreground_daemon_logs_to_standard_error_and_leaves_with_0() {
    let place = Place::new();
    let mut command = support::command(&place.data());
    let socket = place.dir.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    command.env("NOTIFY_SOCKET", &socket);
    command.args([
        "mount",
        "--foreground",
        "--log-format",
        "json",
        &place.mnt(),
    ]);
    let child = command
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    eventually("it is mounted", || place.is_mounted());
    let heard = || {
        let mut state = [0; 4096];
        let length = manager.recv(&mut state).unwrap();
        String::from_utf8(state[..length].to_vec()).unwrap()
    };
    let ready = heard();
    assert!(ready.starts_with("READY=1\nSTATUS="), "{ready}");
    assert!(ready.contains(&place.mnt()), "{ready}");
    // Found from the moment the mount is there.
    assert_eq!(place.status()["pid"], child.id());
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    let open = File::open(place.at()).unwrap();
    expect(&place.umount(&[]), 1, &["busy"]);
    assert_eq!(heard(), "STATUS=publishing what is pending\n");
    assert_eq!(heard(), ready.replace("READY=1\n", ""), "it stays");
    drop(open);
    kill(pid, Signal::SIGINT).unwrap();
    let stopping = heard();
    assert!(stopping.starts_with("STOPPING=1\n"), "{stopping}");
    let output = child.wait_with_output().unwrap();
    expect(&output, 0, &["mounted"]);
    for line in output
        .stderr
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let line: serde_json::Value = serde_json::from_slice(line).expect("JSON lines");
        assert!(line["level"].is_string());
    }
}

#[test]
fn the_data_directory_is_private_and_keeps_its_store() {
    let place = mounted(&[]);
    let mode = |name: &str| {
        let path = place.data().join(name);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode(""), 0o700);
    assert_eq!(mode("admin.sock"), 0o600);
    expect(&place.umount(&[]), 0, &[]);
    assert!(!place.data().join("admin.sock").exists());
    let elsewhere = format!("dir:{}", place.dir.path().join("elsewhere").display());
    expect(
        &place.mount(&["--store", &elsewhere]),
        2,
        &["--store", "data/store"],
    );
}

#[test]
fn the_admin_socket_speaks_json_lines() {
    let place = mounted(&[]);
    let socket = UnixStream::connect(place.data().join("admin.sock")).unwrap();
    let mut lines = BufReader::new(&socket).lines();
    let mut ask = |request: &str| {
        (&socket).write_all(request.as_bytes()).unwrap();
        lines.next().unwrap().unwrap()
    };
    assert_eq!(
        ask("{\"request\":\"repo-list\"}\n"),
        r#"{"ok":{"reply":"repos","value":[]}}"#
    );
    assert!(ask("nonsense\n").contains(r#""kind":"usage""#));
    assert!(ask("{\"request\":\"status\"}\n").contains(r#""state":"serving""#));
}

#[test]
fn repositories_by_command() {
    let place = mounted(&[]);
    let path = place.ok(&[
        "repo",
        "create",
        "team/deep/a.git",
        "--default-branch",
        "trunk",
    ]);
    assert_eq!(
        path.trim_end(),
        place.at().join("team/deep/a.git").display().to_string()
    );
    let head = std::fs::read_to_string(place.at().join("team/deep/a.git/HEAD")).unwrap();
    assert_eq!(head, "ref: refs/heads/trunk\n");
    let mode = std::fs::metadata(place.at().join("team/deep/a.git/config")).unwrap();
    assert_eq!(
        mode.permissions().mode() & 0o022,
        0,
        "nobody else may write it"
    );

    let again = support::gitmoor(&place.data(), &["repo", "create", "team/deep/a.git"]);
    expect(&again, 1, &["exists already"]);
    place.ok(&["repo", "rename", "team/deep/a.git", "b.git"]);
    assert!(place.at().join("b.git/HEAD").exists());
    assert!(!place.at().join("team/deep/a.git").exists());

    place.ok(&["repo", "config", "b.git", "GC.auto", "7"]);
    assert_eq!(place.ok(&["repo", "config", "b.git", "gc.auto"]), "7\n");
    let json = place.ok(&["repo", "config", "b.git", "--json"]);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&json).unwrap()["gc.auto"],
        "7"
    );
    place.ok(&["repo", "config", "b.git", "pack.compression", "-1"]);
    place.ok(&["repo", "config", "b.git", "gc.auto", "--unset"]);
    let unset = support::gitmoor(&place.data(), &["repo", "config", "b.git", "gc.auto"]);
    expect(&unset, 1, &["does not set gc.auto"]);
    let wrong = support::gitmoor(&place.data(), &["repo", "config", "b.git", "gc.auto", "x"]);
    expect(&wrong, 2, &["gc.auto", "a number"]);

    place.ok(&["repo", "delete", "b.git", "--yes"]);
    assert!(!place.at().join("b.git").exists());
    assert_eq!(place.ok(&["repo", "list"]), "");
}

#[test]
fn metrics_are_served_where_asked() {
    // The kernel's choice of a free port, given back a moment before it is used.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let place = mounted(&["--metrics", &address]);
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(get("/metrics").contains("gitmoor_build_info{version="));
    assert!(get("/other").starts_with("HTTP/1.1 404"));
    let second = Place::new();
    expect(&second.mount(&["--metrics", &address]), 1, &[&address]);
    drop(place);
}

#[test]
fn one_repository_alone() {
    let place = mounted(&["--repo", "team/a.git"]);
    assert_eq!(place.status()["mounts"][0]["repo"], "team/a.git");
    let other = support::gitmoor(&place.data(), &["repo", "create", "b.git"]);
    expect(&other, 1, &["whole namespace"]);
}
