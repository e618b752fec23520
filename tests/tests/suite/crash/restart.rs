//! What survives a kill -9: everything acknowledged, and nothing half done.

use crate::{everywhere, mounted};
use gitmoor_tests::git::{Args, Repo};
use gitmoor_tests::place::Place;
use gitmoor_tests::{process, wait};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What is to happen by itself has happened by then.
const BOUND: Duration = Duration::from_secs(30);

everywhere!(acknowledged_pushes, unreferenced_objects, local_files);
mounted!(
    kill_in_the_middle_of_pushes,
    stop_publishes_everything,
    leftovers_of_a_dead_push,
    locks_of_a_dead_mount,
    killed_and_held,
);

fn acknowledged_pushes(place: &Place) {
    let (bare, work) = place.pushed("app.git", 3);
    for round in 0..4 {
        let tip = work.commit(&format!("round-{round}"));
        work.ok(format!("push --quiet origin main main:refs/heads/r{round}"));
        place.crash();
        assert_eq!(bare.oid("main"), tip);
        assert_eq!(bare.oid(&format!("r{round}")), tip);
        bare.fsck();
    }
    place.cool();
    bare.fsck();
    assert_eq!(bare.ok("rev-list --count main"), "7");
}

/// Objects that no ref names yet are not in the store, but they are finished.
fn unreferenced_objects(place: &Place) {
    let bare = place.bare("app.git");
    let blobs: Vec<_> = (0..30)
        .map(|number| bare.feed("hash-object -w --stdin", format!("blob {number}\n")))
        .collect();
    place.crash();
    for (number, blob) in blobs.iter().enumerate() {
        assert_eq!(
            bare.ok(format!("cat-file -p {blob}")),
            format!("blob {number}")
        );
    }
    let tree = bare.feed("mktree", format!("100644 blob {}\tfile\n", blobs[7]));
    let commit = bare.ok(format!("commit-tree -m one {tree}"));
    bare.ok(format!("update-ref refs/heads/main {commit}"));
    place.cool();
    assert_eq!(bare.ok("cat-file -p main:file"), "blob 7");
    bare.fsck();
}

fn local_files(place: &Place) {
    let (bare, _) = place.pushed("app.git", 2);
    bare.write("hooks/post-receive", "#!/bin/sh\n");
    bare.write("description", "described\n");
    bare.ok("config gitweb.owner somebody");
    bare.ok("config core.logAllRefUpdates always");
    bare.ok("update-ref -m moved refs/heads/main main~1");
    place.crash();
    assert_eq!(bare.read("hooks/post-receive"), "#!/bin/sh\n");
    assert_eq!(bare.read("description"), "described\n");
    assert_eq!(bare.ok("config gitweb.owner"), "somebody");
    assert_eq!(bare.ok("reflog show --format=%gs main"), "moved");
}

/// Pushes one branch after another until told to stop; the branches that were acknowledged.
fn push_until(stop: &AtomicBool, work: &Repo, acknowledged: &Mutex<Vec<(String, String)>>) {
    for number in 0.. {
        let tip = work.commit(&format!("n{number}"));
        let name = format!("refs/heads/{}/n{number}", tip);
        let output = work.run(format!("push --quiet origin HEAD:{name}"), b"");
        match output.status.success() {
            true => acknowledged.lock().expect("list").push((name, tip)),
            false if stop.load(Ordering::SeqCst) => return,
            false => panic!("{}", process::report(&output)),
        }
    }
}

fn kill_in_the_middle_of_pushes(place: &Place) {
    let (bare, work) = place.pushed("app.git", 3);
    let acknowledged = Mutex::new(Vec::new());
    for goal in [5, 12, 17] {
        let stop = AtomicBool::new(false);
        let writer = place.clone("", &bare, &format!("until-{goal}"));
        std::thread::scope(|scope| {
            scope.spawn(|| push_until(&stop, &writer, &acknowledged));
            wait::until("pushes arrive", process::LIMIT, || {
                acknowledged.lock().expect("list").len() >= goal
            });
            stop.store(true, Ordering::SeqCst);
            place.daemon().kill9();
        });
        place.daemon().launch();
        check(&bare, &acknowledged.lock().expect("list"));
    }
    work.commit("after");
    work.ok("push --quiet origin main");
    bare.fsck();
}

/// Everything acknowledged is there, and every ref has all of its objects.
fn check(bare: &Repo, acknowledged: &[(String, String)]) {
    for (name, tip) in acknowledged {
        assert_eq!(&bare.oid(name), tip, "{name} was acknowledged");
    }
    bare.ok("rev-list --objects --all --quiet");
    bare.fsck();
}

/// SIGTERM publishes; the next life has nothing to do.
fn stop_publishes_everything(place: &Place) {
    let bare = place.bare("app.git");
    let blob = bare.feed("hash-object -w --stdin", "pending\n");
    place.restart();
    let status = place.daemon().settings().status();
    assert_eq!(status["pending"]["files"], 0, "{status:#}");
    assert_eq!(bare.ok(format!("cat-file -p {blob}")), "pending");
}

/// Nobody can release them any more, in whatever room they are.
fn locks_of_a_dead_mount(place: &Place) {
    let (bare, work) = place.pushed("app.git", 2);
    let locks = [
        "config.lock",
        "index.lock",
        "worktrees/w/index.lock",
        "HEAD.lock",
        "refs/heads/main.lock",
        "refs/bisect/bad.lock",
        "logs/refs/heads/main.lock",
        "objects/info/commit-graph.lock",
        "packed-refs.lock",
    ];
    let mine = "hooks/mine.lock";
    locks
        .iter()
        .chain([&mine])
        .for_each(|lock| bare.write(lock, ""));
    work.commit("locked-out");
    work.fail("push origin main");
    place.crash();
    for lock in locks {
        assert!(!bare.dir.join(lock).exists(), "{lock} is left");
    }
    assert!(bare.dir.join(mine).exists());
    work.ok("push --quiet origin main");
    bare.ok("pack-refs --all");
    bare.ok("config core.abbrev 12");
}

/// A push that died in its quarantine leaves nothing that a later one stumbles over.
fn leftovers_of_a_dead_push(place: &Place) {
    let (bare, work) = place.pushed("app.git", 2);
    bare.write("objects/tmp_objdir-incoming-dead/12/tmp_obj_x", "half");
    bare.write("objects/pack/tmp_pack_dead", "half");
    place.crash();
    work.commit("after");
    work.ok("push --quiet origin main");
    bare.ok("prune --expire=now");
    assert!(!bare.dir.join("objects/pack/tmp_pack_dead").exists());
    bare.fsck();
}

/// A daemon that is killed while it tells the kernel of a change in a directory, and a client
/// waits for an answer about the same directory: the kernel waits for the client's lock, the client
/// for the daemon. `gitmoor umount` ends both.
fn killed_and_held(place: &Place) {
    let (bare, _) = place.pushed("app.git", 1);
    let mut mount = place.daemon();
    mount.umount();
    mount.arm("repository::config-renamed=sleep(600000)");
    mount.launch();
    let settings = mount.settings().clone();
    let mut client = bare.git.command(&bare.dir, &"config a.b c".words());
    let mut client = client.stderr(Stdio::null()).spawn().expect("git");
    // Not through the mount: whoever looks there is held as well.
    wait::until("git waits for its rename", BOUND, || {
        let configs = std::fs::read_dir(settings.data.join("repos")).expect("one repository");
        let mut texts = configs
            .flatten()
            .map(|repo| repo.path().join("files/config"));
        texts.any(|path| std::fs::read_to_string(path).is_ok_and(|text| text.contains("b = c")))
    });
    let mut changing = settings.command(&["repo", "config", "app.git", "gc.auto", "7"]);
    let mut changing = changing.stderr(Stdio::null()).spawn().expect("gitmoor");
    let pid = mount.pid().expect("it runs");
    wait::until("the kernel is told", BOUND, || waits_in_the_kernel(pid));
    let mut daemon = mount.kill9_only();
    wait::until("it is killed", BOUND, || state(pid) == Some('Z'));
    assert!(client.try_wait().expect("git").is_none(), "held");
    let at = settings.at.to_str().expect("UTF-8").to_owned();
    settings.gitmoor_ok(&["umount", &at]);
    daemon.wait().expect("gone");
    client.wait().expect("git has ended");
    changing.wait().expect("the command has ended");
    mount.arm("");
    mount.launch();
    drop(mount);
    bare.fsck();
}

fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether the thread that tells the kernel of changes waits there for a lock.
fn waits_in_the_kernel(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    tasks.flatten().any(|task| {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        read("comm").trim() == "tell-kernel" && read("stat").contains(") D ")
    })
}
