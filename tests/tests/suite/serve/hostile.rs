//! Whoever is not let in, and whoever is and wants more: paths, headers, bodies.

use gitmoor_tests::door::{Served, status};
use gitmoor_tests::git::Repo;
use gitmoor_tests::history;
use gitmoor_tests::process::memory;
use gitmoor_tests::wait;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// A POST as a user, whose body is what it is.
fn post(token: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

const FETCH: &str = "Content-Type: application/x-git-upload-pack-request\r\n";

#[test]
fn paths_stay_in_the_namespace() {
    let (served, token) = Served::with_alice();
    let secret = served.place.scratch.join("outside.git");
    std::fs::create_dir(&secret).expect("a directory");
    served.ok("access grant / alice force");
    let link = served.place.root.join("team/link.git");
    std::os::unix::fs::symlink("app.git", link).expect("a link beside repositories");
    for path in [
        "/../scratch/outside.git",
        "/team/../../scratch/outside.git",
        "/team/%2e%2e/%2e%2e/scratch/outside.git",
        "/team%2fapp.git",
        "/team/app.git%00",
        "//team/app.git",
        "/team//app.git",
        "/team/./app.git",
        "/--upload-pack=touch%20x",
        "/-c/app.git",
        "/team/link.git",
        "/team",
        "/",
        "",
    ] {
        for request in [
            format!("GET {path}/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes(),
            post(&token, &format!("{path}/git-upload-pack"), FETCH, b"0000"),
        ] {
            let answer = served.raw(request);
            assert!(matches!(status(&answer), 400 | 404), "{path}: {answer}");
        }
    }
}

#[test]
fn the_dumb_protocol_is_refused_with_a_reason() {
    let (served, _) = Served::with_alice();
    for path in [
        "/team/app.git/info/refs",
        "/team/app.git/HEAD",
        "/team/app.git/objects/info/packs",
        "/team/app.git/info/refs?service=git-upload-archive",
    ] {
        let answer = served.get(path);
        assert_eq!(status(&answer), 403, "{path}: {answer}");
    }
    assert!(served.get("/team/app.git/HEAD").contains("smart HTTP"));
    let answer = served.get("/team/app.git/git-upload-pack");
    assert_eq!(status(&answer), 405, "{answer}");
}

/// A client is told before it has sent anything.
#[test]
fn nobody_sends_a_body_that_is_refused() {
    let (served, token) = Served::with_alice();
    let mut stream = served.connect();
    let head = |authorization: &str| {
        format!(
            "POST /team/app.git/git-receive-pack HTTP/1.1\r\nHost: x\r\n{authorization}Content-Type: application/x-git-receive-pack-request\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    stream.write_all(head("").as_bytes()).expect("asks");
    let mut first = [0; 12];
    stream.read_exact(&mut first).expect("answers");
    assert_eq!(&first, b"HTTP/1.1 401");
    let mut stream = served.connect();
    let authorization = format!("Authorization: Bearer {token}\r\n");
    stream
        .write_all(head(&authorization).as_bytes())
        .expect("asks");
    stream.read_exact(&mut first).expect("answers");
    assert_eq!(&first, b"HTTP/1.1 100");
}

#[test]
fn bodies_are_bounded() {
    let (served, token) = Served::with_alice();
    let path = "/team/app.git/git-upload-pack";
    let packed = format!("{FETCH}Content-Encoding: gzip\r\n");
    let wrong = served.raw(post(&token, path, &packed, b"this is no gzip"));
    assert_eq!(status(&wrong), 400, "{wrong}");
    let wrong = served.raw(post(&token, path, "Content-Type: text/plain\r\n", b"0000"));
    assert_eq!(status(&wrong), 415, "{wrong}");
    let other = format!("{FETCH}Content-Encoding: br\r\n");
    let wrong = served.raw(post(&token, path, &other, b"0000"));
    assert_eq!(status(&wrong), 415, "{wrong}");
    // 200 MiB of flushes shrink to 200 KiB. git ends at the first of them.
    let bomb = bomb(200 << 20);
    assert!(bomb.len() < 1 << 20);
    let pid = served.daemon().pid().expect("it runs");
    let before = memory(pid, "VmRSS");
    let answer = served.raw(post(&token, path, &packed, &bomb));
    assert!(matches!(status(&answer), 200 | 413), "{answer}");
    let grown = memory(pid, "VmRSS").saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    // Lines that are none, and one that never ends.
    for body in [&b"zzzz"[..], b"ffff", b"0003", b"0032want 1234"] {
        let answer = served.raw(post(&token, path, FETCH, body));
        assert!(matches!(status(&answer), 200 | 400 | 500), "{answer}");
    }
    assert_eq!(status(&served.get("/healthz")), 200);
}

fn bomb(size: usize) -> Vec<u8> {
    let mut packed = std::process::Command::new("sh")
        .args([
            "-c",
            &format!("head -c {size} /dev/zero | tr '\\0' 0 | gzip -9"),
        ])
        .output()
        .expect("gzip")
        .stdout;
    packed.shrink_to_fit();
    packed
}

#[test]
fn headers_are_bounded_in_size_and_time() {
    let (served, _) = Served::with_alice();
    let huge = format!(
        "GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "a".repeat(200_000)
    );
    assert!(matches!(status(&served.raw(huge)), 0 | 400 | 431));
    let many = "X: a\r\n".repeat(1000);
    let many = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    assert!(matches!(status(&served.raw(many)), 0 | 400 | 431));
    let mut slow = served.connect();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHos")
        .expect("a beginning");
    let began = Instant::now();
    let mut rest = Vec::new();
    // It is cut, with or without a status.
    let _ = slow.read_to_end(&mut rest);
    assert!(
        began.elapsed() < Duration::from_secs(40),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(status(&served.get("/healthz")), 200);
}

/// A repository's own config runs nothing, and git is not root.
#[test]
fn a_repositorys_config_runs_nothing() {
    let (served, token) = Served::with_alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    work.ok("push --quiet origin HEAD:refs/heads/main");
    let mark = served.place.scratch.join("ran");
    let bare = served.place.repo("team/app.git");
    let run = format!("touch {}", mark.display());
    for key in [
        "core.fsmonitor",
        "uploadpack.packObjectsHook",
        "core.alternateRefsCommand",
        "gpg.program",
    ] {
        let words = ["-c", "safe.directory=*", "config", key, &run];
        let words: Vec<std::ffi::OsString> = words.iter().map(Into::into).collect();
        let mut config = served.place.git.command(bare.path().as_ref(), &words);
        assert!(config.status().expect("git").success());
    }
    work.commit("two");
    work.ok("push --quiet origin HEAD:refs/heads/main");
    served.clone("--branch main", &url, "copy");
    assert!(!mark.exists());
}

/// A repository that says it has a work tree gets none filled, by filters of its choosing.
#[test]
fn a_work_tree_is_not_filled() {
    let (served, token) = Served::with_alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    work.ok("push --quiet origin HEAD:refs/heads/main");
    let bare = served.place.repo("team/app.git");
    let mark = served.place.scratch.join("ran");
    let tree = bare.dir.join("tree");
    std::fs::create_dir(&tree).expect("mkdir");
    std::fs::create_dir_all(bare.dir.join("info")).expect("mkdir");
    std::fs::write(bare.dir.join("info/attributes"), "* filter=x\n").expect("written");
    let settings = [
        ("core.bare", "false".to_owned()),
        ("core.worktree", tree.display().to_string()),
        ("receive.denyCurrentBranch", "updateInstead".to_owned()),
        ("filter.x.smudge", format!("touch {}; cat", mark.display())),
    ];
    for (key, value) in settings {
        let words = ["-c", "safe.directory=*", "config", key, &value];
        let words: Vec<std::ffi::OsString> = words.iter().map(Into::into).collect();
        let mut config = served.place.git.command(bare.path().as_ref(), &words);
        assert!(config.status().expect("git").success());
    }
    work.write("file", "content");
    work.ok("add file");
    work.commit("two");
    work.fail("push --quiet origin HEAD:refs/heads/main");
    work.ok("push --quiet origin HEAD:refs/heads/other");
    assert!(!mark.exists());
}

/// A push that sends a beginning, and then what `more` sends; what is answered.
fn stalled(
    served: &Served,
    token: &str,
    more: impl Fn(&mut TcpStream) -> std::io::Result<()>,
) -> String {
    let mut stream = served.connect();
    let head = format!(
        "POST /team/app.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/x-git-receive-pack-request\r\nContent-Length: 1000000\r\n\r\n00"
    );
    stream.write_all(head.as_bytes()).expect("asks");
    stream
        .set_read_timeout(Some(Duration::from_millis(250)))
        .expect("a time");
    let began = Instant::now();
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "it is never cut off"
        );
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        if more(&mut stream).is_err() {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// One that stops to send, and one that sends a byte now and then, are cut off.
#[test]
fn who_hardly_sends_has_gone() {
    let served = Served::with("idle-timeout = \"2s\"\n");
    let token = served.alice();
    let nothing = stalled(&served, &token, |_| Ok(()));
    assert_eq!(status(&nothing), 408, "{nothing}");
    let bytes = stalled(&served, &token, |stream| stream.write_all(b"a"));
    assert!(matches!(status(&bytes), 0 | 408), "{bytes}");
    no_git_is_left(&served);
}

/// git is killed when the client goes, and what it has taken in so far goes with it.
#[test]
fn a_push_that_is_cut_off_leaves_nothing() {
    let (served, token) = Served::with_alice();
    let objects = served.place.root.join("team/app.git/objects");
    let quarantines = || {
        let mut names = gitmoor_tests::git::names(&objects);
        names.retain(|name| name.contains("incoming"));
        names.len()
    };
    let (none, some) = ("0".repeat(40), "1".repeat(40));
    let line = format!("{none} {some} refs/heads/cut\0report-status");
    let mut begin = format!("{:04x}{line}0000", line.len() + 4).into_bytes();
    // One that is unpacked, and one that is kept.
    for objects in [1_u32, 65_536] {
        begin.extend(b"PACK\0\0\0\x02");
        begin.extend(objects.to_be_bytes());
        let head = format!(
            "POST /team/app.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/x-git-receive-pack-request\r\nContent-Length: 1000000\r\n\r\n"
        );
        let mut stream = served.connect();
        stream.write_all(head.as_bytes()).expect("asks");
        stream.write_all(&begin).expect("sends");
        begin.truncate(begin.len() - 12);
        let bound = Duration::from_secs(30);
        wait::until("git takes it in", bound, || quarantines() == 1);
        drop(stream);
        wait::until("nothing is left", bound, || quarantines() == 0);
    }
}

/// Alice's work tree, from which more was pushed than sockets and pipes hold.
fn with_noise(served: &Served, token: &str) -> Repo {
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    work.write("noise", history::noise(24 << 20, 1));
    work.ok("add noise");
    work.commit("noise");
    work.ok("-c core.compression=0 push --quiet origin HEAD:refs/heads/main");
    work
}

/// One that stops to read is, too, and git with it.
#[test]
fn who_does_not_read_has_gone() {
    let served = Served::with("idle-timeout = \"2s\"\n");
    let token = served.alice();
    let tip = with_noise(&served, &token).oid("HEAD");
    let mut stream = served.connect();
    let body = format!("0032want {tip}\n00000009done\n");
    let request = post(
        &token,
        "/team/app.git/git-upload-pack",
        FETCH,
        body.as_bytes(),
    );
    stream.write_all(&request).expect("asks");
    let mut first = [0; 12];
    stream.read_exact(&mut first).expect("answers");
    assert_eq!(&first, b"HTTP/1.1 200");
    no_git_is_left(&served);
}

/// A stranger who takes all clones and fetches, and reads hardly anything of any, holds up nobody else.
#[test]
fn who_does_not_read_holds_up_nobody_else() {
    let served = Served::with("clones = 2\n");
    let token = served.alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = with_noise(&served, &token);
    let tip = work.oid("HEAD");
    // What everybody may read is another repository than the one that alice works in.
    served.ok("repo fork team/app.git pub/app.git");
    served.ok("access grant pub everyone read");
    let have = "1".repeat(40);
    let clone = format!("0032want {tip}\n00000009done\n");
    let fetch = format!("0032want {tip}\n00000032have {have}\n0009done\n");
    let ask = |body: &String| {
        let head = format!(
            "POST /pub/app.git/git-upload-pack HTTP/1.1\r\nHost: x\r\n{FETCH}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = served.connect();
        stream.write_all(head.as_bytes()).expect("asks");
        stream
    };
    let held: Vec<_> = [vec![clone; 4], vec![fetch; 16]]
        .concat()
        .iter()
        .map(ask)
        .collect();
    std::thread::sleep(Duration::from_secs(2));
    let began = Instant::now();
    let copy = served.clone("--branch main", &url, "copy");
    let tip = work.commit("more");
    work.ok("push --quiet origin HEAD:refs/heads/main");
    copy.ok("fetch --quiet origin");
    assert_eq!(copy.oid("origin/main"), tip);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(45), "{took:?}");
    drop(held);
}

/// Who asks without an end, and takes no answer.
#[test]
fn who_takes_no_answers_has_gone() {
    let served = Served::with("idle-timeout = \"1s\"\n");
    let mut stream = served.connect();
    let second = Some(Duration::from_secs(1));
    stream.set_write_timeout(second).expect("a time");
    let asks = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    let began = Instant::now();
    loop {
        match stream.write(asks.as_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => break,
            Ok(_) | Err(_) => {}
        }
        let bound = Duration::from_secs(60);
        assert!(began.elapsed() < bound, "it is never cut off");
    }
}

/// Who is there, and only keeps a place.
#[test]
fn who_takes_little_for_long_has_gone() {
    let served = Served::with("least-bytes = \"8MiB\"\nleast-time = \"3s\"\n");
    let token = served.alice();
    let tip = with_noise(&served, &token).oid("HEAD");
    let mut stream = served.connect();
    let body = format!("0032want {tip}\n00000009done\n");
    let path = "/team/app.git/git-upload-pack";
    let request = post(&token, path, FETCH, body.as_bytes());
    stream.write_all(&request).expect("asks");
    let (began, mut piece) = (Instant::now(), vec![0; 64 << 10]);
    let mut taken = 0;
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        taken += length;
        // Far more than the 64 KiB of a client that is there.
        std::thread::sleep(Duration::from_millis(100));
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "it is never cut off"
        );
    }
    assert!(taken < 24 << 20, "{taken}");
    no_git_is_left(&served);
}

/// Of those that serve requests, within a moment.
#[track_caller]
fn no_git_is_left(served: &Served) {
    let pid = served.daemon().pid().expect("it runs");
    let none = wait::poll(Duration::from_secs(30), || {
        let found = Command::new("pgrep")
            .args(["-P", &pid.to_string(), "git"])
            .output();
        found.expect("pgrep").stdout.is_empty().then_some(())
    });
    assert!(none.is_some(), "a git is left");
}

/// A connection that was let in with a token is asked for it again with each request.
#[test]
fn a_token_that_is_revoked_is_refused_on_a_running_connection() {
    let (served, token) = Served::with_alice();
    let mut stream = served.connect();
    let request = format!(
        "GET /team/app.git/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let mut asked = || {
        stream.write_all(request.as_bytes()).expect("asks");
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        // The refs of a repository without any, and the last chunk; a refusal has no chunks.
        loop {
            let length = stream.read(&mut piece).expect("answers");
            answer.extend_from_slice(&piece[..length]);
            let text = String::from_utf8_lossy(&answer);
            if length == 0 || text.ends_with("0\r\n\r\n") || text.ends_with("user's\n") {
                return status(&text);
            }
        }
    };
    assert_eq!(asked(), 200);
    let id = token.split('_').nth(1).expect("an id");
    served.ok(&format!("token revoke {id}"));
    assert_eq!(asked(), 401);
}

#[test]
fn who_asks_too_often_waits() {
    let served = Served::with("token-rate = 1\nrepository-rate = 2\n");
    let token = served.alice();
    served.ok("access grant team everyone read");
    let asked = |token: &str| {
        let authorization = match token {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        let path = "/team/app.git/info/refs?service=git-upload-pack";
        served.raw(format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{authorization}\r\n"
        ))
    };
    let refused = (0..60)
        .map(|_| asked(&token))
        .find(|answer| status(answer) == 429);
    let refused = refused.expect("with one token").to_lowercase();
    assert!(
        refused.contains("retry-after: 1") && refused.contains("with one token"),
        "{refused}"
    );
    let refused = (0..60)
        .map(|_| asked(""))
        .find(|answer| status(answer) == 429);
    assert!(
        refused
            .expect("of one repository")
            .contains("for one repository")
    );
}

/// Those who were first are served while others ask.
#[test]
fn connections_are_bounded() {
    let (served, token) = Served::with_alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    let pid = served.daemon().pid().expect("it runs");
    let before = memory(pid, "VmRSS");
    let held: Vec<_> = (0..2000)
        .filter_map(|_| TcpStream::connect(&served.address).ok())
        .collect();
    let open = held.iter().filter(|stream| {
        stream
            .set_read_timeout(Some(Duration::from_millis(5)))
            .expect("a time");
        let read = (&mut &**stream).read(&mut [0; 1]);
        // Nothing to read, and not closed.
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    });
    assert!(open.count() <= 512);
    let grown = memory(pid, "VmRSS").saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    drop(held);
    let pushed = wait::poll(Duration::from_secs(30), || {
        work.is("push --quiet origin HEAD:refs/heads/main")
            .then_some(())
    });
    assert!(pushed.is_some());
}
