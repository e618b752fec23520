//! What stock git does over HTTP: clone, fetch, shallow, partial, push, with every version of the protocol.

use crate::daemon::metrics::exposition::{OF_DOORS, manual};
use gitmoor_tests::door::{Served, status};
use gitmoor_tests::history;
use gitmoor_tests::wait;
use gitmoor_tests::watched::Watched;
use std::io::{Read, Write};
use std::process::Command;
use std::time::Duration;

#[test]
fn push_clone_and_fetch() {
    let (served, token) = Served::with_alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    work.ok("push --quiet origin HEAD:refs/heads/main");
    for version in [0, 1, 2] {
        let options = format!("-c protocol.version={version} --branch main");
        let copy = served.clone(&options, &url, &format!("v{version}"));
        assert_eq!(copy.oid("HEAD"), work.oid("HEAD"));
        let tip = work.commit(&format!("after {version}"));
        work.ok("push --quiet origin HEAD:refs/heads/main");
        copy.ok("fetch --quiet origin");
        assert_eq!(copy.oid("origin/main"), tip);
    }
}

#[test]
fn shallow_and_partial_clones() {
    let (served, token) = Served::with_alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.place.work("work");
    work.import(&history::commits(20));
    work.ok(format!("push --quiet {url} main"));
    let shallow = served.clone("--depth=3 --branch main", &url, "shallow");
    assert_eq!(shallow.ok("rev-list --count HEAD"), "3");
    shallow.ok("fetch --quiet --deepen=4");
    assert_eq!(shallow.ok("rev-list --count HEAD"), "7");
    shallow.ok("fetch --quiet --unshallow");
    assert_eq!(shallow.ok("rev-list --count HEAD"), "20");
    let partial = served.clone("--filter=blob:none --branch main", &url, "partial");
    partial.fsck();
    assert_eq!(partial.oid("HEAD"), work.oid("main"));
}

#[test]
fn pushes_of_all_kinds() {
    let (served, token) = Served::with_alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    work.ok("push --quiet --atomic -o ci.skip origin HEAD:refs/heads/main HEAD:refs/heads/two");
    work.ok("tag -a -m one v1");
    work.ok("push --quiet origin v1");
    // More than http.postBuffer: sent in chunks, after a probe.
    work.write(
        "big",
        (0..6_000_000_u32)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect::<Vec<_>>(),
    );
    work.ok("add big");
    let tip = work.commit("big");
    work.ok("push --quiet origin HEAD:refs/heads/main");
    let copy = served.clone("--branch main", &url, "copy");
    assert_eq!(copy.oid("HEAD"), tip);
    copy.fsck();
    // The repository on the mount is whole, too.
    let bare = served.place.repo("team/app.git");
    bare.ok("-c safe.directory=* fsck --strict");
}

/// A tree that would write into `.git` of everybody who checks it out does not come in.
#[test]
fn what_is_pushed_is_checked() {
    let (served, token) = Served::with_alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    let blob = work.feed("hash-object -w --stdin", "content");
    let tree = work.feed("mktree", format!("100644 blob {blob}\t.git\n"));
    let commit = work.feed(format!("commit-tree {tree}"), "bad");
    let push = format!("push origin {commit}:refs/heads/bad");
    let told = work.fail(&push);
    assert!(told.contains("hasDotgit"), "{told}");
    served.ok("repo config team/app.git receive.fsckObjects false");
    work.ok(&push);
}

/// Many of one user at once wait for their turn: none is refused.
#[test]
fn many_clones_at_once() {
    let (served, token) = Served::with_alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    work.ok("push --quiet origin HEAD:refs/heads/main");
    let many = 0..40;
    std::thread::scope(|scope| {
        for number in many.clone() {
            let (served, url) = (&served, &url);
            scope.spawn(move || {
                served.clone("--branch main", url, &format!("copy-{number}"));
            });
        }
    });
    let settings = served.daemon_settings();
    let log = std::fs::read_to_string(&settings.log).expect("the log");
    let clones = log
        .lines()
        .filter(|line| line.contains("advertise") && line.contains("status=200"));
    assert!(clones.count() > many.count(), "each is in the log");
}

/// Who is over the quota is told so, and not that the connection is gone.
#[test]
fn a_push_beyond_the_quota() {
    let (served, token) = Served::with_alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    served.ok("repo limit team/app.git bytes 4MB");
    work.write("big", history::noise(40 << 20, 1));
    work.ok("add big");
    work.commit("big");
    let told = work.fail("push origin HEAD:refs/heads/main");
    assert!(told.contains("quota exceeded"), "{told}");
    assert!(!told.contains("RPC failed"), "{told}");
}

/// A fetch that names many commits is compressed by git.
#[test]
fn a_compressed_fetch() {
    let (served, token) = Served::with_alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.place.work("work");
    work.import(&history::commits(300));
    work.ok(format!("push --quiet {url} main"));
    let copy = served.clone("--branch main", &url, "copy");
    copy.import(&history::commits(300));
    for number in 0..40 {
        copy.commit(&format!("mine {number}"));
    }
    work.ok("reset --quiet --hard main");
    let tip = work.commit("theirs");
    work.ok(format!("push --quiet {url} HEAD:refs/heads/main"));
    copy.ok("fetch --quiet origin");
    assert_eq!(copy.oid("origin/main"), tip);
}

#[test]
fn who_pushed_is_on_record() {
    let (served, token) = Served::with_alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    work.ok("push --quiet origin HEAD:refs/heads/main");
    let id = token.split('_').nth(1).expect("an id").to_owned();
    let trail = served.ok("audit team/app.git --ref main --json");
    assert!(trail.contains(&format!("http alice token {id}")), "{trail}");
    assert!(trail.contains("127.0.0.1"), "{trail}");
    let secret = token.split('_').nth(2).expect("a secret");
    let namespace = served.ok("audit --json");
    assert!(namespace.contains(&format!("token {id}")), "{namespace}");
    let settings = served.daemon_settings();
    // A line is written when git has ended, which may be a moment later.
    let log = wait::poll(Duration::from_secs(10), || {
        let log = std::fs::read_to_string(&settings.log).expect("the log");
        (log.contains("receive-pack") && log.contains("alice")).then_some(log)
    });
    let log = log.expect("the push is in the log");
    for told in [trail, namespace, log] {
        assert!(!told.contains(secret));
    }
}

/// Who works on the mount may be called as a program likes, and not like one that a door has started.
#[test]
fn nobody_else_is_on_record_as_a_door() {
    let (served, _) = Served::with_alice();
    let (bare, work) = (served.place.repo("team/app.git"), served.place.work("work"));
    let tip = work.commit("one");
    bare.ok(format!(
        "-c safe.directory=* fetch --quiet {} HEAD:refs/heads/main",
        work.path()
    ));
    let script = "exec -a 'http bob token 0123456789abcdef: git' git -c safe.directory=* update-ref refs/heads/forged \"$1\"";
    let mut forged = Command::new("bash");
    forged
        .args(["-c", script, "bash", &tip])
        .current_dir(&bare.dir);
    forged.env("GITMOOR_SERVED", "http bob token 0123456789abcdef");
    assert!(forged.status().expect("bash").success());
    let trail = served.ok("audit team/app.git --ref forged --json");
    assert!(trail.contains("\"program http bob token"), "{trail}");
}

/// Of a proxy the last address is believed, and of nobody else.
#[test]
fn who_asks_through_a_proxy() {
    for (settings, address) in [
        ("proxy = \"127.0.0.1\"\n", "203.0.113.7"),
        ("", "127.0.0.1"),
    ] {
        let served = Served::with(settings);
        let token = served.alice();
        let url = served.url(&format!("alice:{token}"), "team/app.git");
        let work = served.work("work", &url);
        work.ok("config http.extraHeader X-Forwarded-For:9.9.9.9,203.0.113.7");
        work.ok("push --quiet origin HEAD:refs/heads/main");
        let trail = served.ok("audit team/app.git --ref main --json");
        assert!(
            trail.contains(address) && !trail.contains("9.9.9.9,"),
            "{trail}"
        );
    }
}

/// The manual has the metrics of the doors, with their labels.
#[test]
fn what_a_door_counts() {
    let watched = Watched::new();
    let served = Served::with(&watched.toml());
    served.ok("repo create app.git");
    served.ok("access grant app.git everyone read");
    served.clone("", &served.url("", "app.git"), "copy");
    let (now, manual) = (watched.metrics(), manual());
    let of_doors = |name: &&str| name.starts_with(OF_DOORS);
    let served: Vec<_> = now.names().into_iter().filter(of_doors).collect();
    let known: Vec<_> = manual.keys().map(String::as_str).filter(of_doors).collect();
    assert_eq!(served, known);
    for name in known {
        let sampled = match now.types[name].as_str() {
            "histogram" => format!("{name}_count"),
            _ => name.to_owned(),
        };
        let labels: Vec<_> = manual[name].iter().map(String::as_str).collect();
        assert_eq!(now.labels(&sampled).into_iter().collect::<Vec<_>>(), labels);
    }
    let advertised = "gitmoor_serve_requests_total{verb=\"advertise\",status=\"200\"}";
    assert_eq!(now.value(advertised), 1.0);
}

/// A client that was let in is served to its end; nobody else is let in.
#[test]
fn a_drain_lets_requests_end() {
    let (served, token) = Served::with_alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    work.ok("push --quiet origin HEAD:refs/heads/main");
    assert_eq!(status(&served.get("/readyz")), 200);
    let told = served.ok("status");
    assert!(told.contains(&format!("http {}", served.address)), "{told}");
    assert_eq!(status(&served.get("/healthz")), 200);
    // Half of a push that says nothing.
    let mut stream = served.connect();
    let head = format!(
        "POST /team/app.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/x-git-receive-pack-request\r\nContent-Length: 4\r\n\r\n00"
    );
    stream.write_all(head.as_bytes()).expect("asks");
    std::thread::sleep(Duration::from_secs(1));
    std::thread::scope(|scope| {
        scope.spawn(|| served.daemon().umount());
        let closed = wait::poll(Duration::from_secs(5), || {
            std::net::TcpStream::connect(&served.address)
                .is_err()
                .then_some(())
        });
        assert!(closed.is_some());
        stream.write_all(b"00").expect("goes on");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("is answered");
        assert_eq!(&answer, b"HTTP/1.1 200");
    });
    served.daemon().launch();
    let copy = served.clone("--branch main", &url, "copy");
    assert_eq!(copy.oid("HEAD"), work.oid("HEAD"));
}
