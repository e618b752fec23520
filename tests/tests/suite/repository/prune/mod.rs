//! Pruning against pushing (INV-6): no ref ever points to a missing object,
//! whoever looks first and whoever acts last.
//!
//! The steps of git are stopped where they matter: a push in its pre-receive hook or just
//! before it moves the ref, after git has looked which objects are there;
//! a prune by hand, as git does it: look at the refs, then unlink.

mod after;
mod puppet;
mod stays;

use crate::mounted;
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::Repo;
use gitmoor_tests::history::History;
use gitmoor_tests::place::Place;
use gitmoor_tests::wait;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

mounted!(
    pruned_before_the_ref_moves,
    pruned_and_published_before_the_ref_moves,
    pruned_after_the_ref_moved,
    pruned_before_it_was_stored,
    gc_while_pushes_reuse_the_pruned,
    a_process_number_used_again,
    pruned_in_quarantine,
);

/// Stops a push in a hook, when git has taken its objects in and found that all of them are
/// there; goes on when `go` appears. Before `update` it has moved them to their names.
struct Gate {
    reached: PathBuf,
    go: PathBuf,
}

impl Gate {
    fn in_hook(place: &Place, bare: &Repo, hook: &str) -> Gate {
        let gate = Gate {
            reached: place.scratch("reached"),
            go: place.scratch("go"),
        };
        let script = format!(
            "#!/bin/sh\ntouch {}\nfor i in $(seq 600); do [ -e {} ] && exit 0; sleep 0.05; done\nexit 1\n",
            gate.reached.display(),
            gate.go.display()
        );
        let hook = format!("hooks/{hook}");
        bare.write(&hook, script);
        let hook = bare.dir.join(hook);
        fs::set_permissions(hook, fs::Permissions::from_mode(0o755)).expect("chmod");
        gate
    }

    /// Runs `between` while the push stands still.
    fn hold(&self, work: &Repo, between: impl FnOnce()) -> bool {
        std::thread::scope(|scope| {
            let push = scope.spawn(|| work.run("push --quiet origin reuse", b""));
            wait::until("the push has looked", Duration::from_secs(30), || {
                self.reached.exists()
            });
            between();
            fs::write(&self.go, "").expect("go");
            push.join().expect("the push").status.success()
        })
    }
}

/// A commit whose tree and blob lie unreachable in the repository, and a work tree that
/// is about to push it.
fn about_to_reuse(place: &Place) -> (Repo, Repo, Vec<String>) {
    let all = unreachable(place);
    published(place, &all.0);
    all
}

/// The same, without the idle publisher's doing.
fn unreachable(place: &Place) -> (Repo, Repo, Vec<String>) {
    let (bare, work) = place.pushed("app.git", 3);
    work.ok("checkout --quiet -b reuse");
    work.commit("reused");
    work.ok("push --quiet origin reuse");
    bare.ok("update-ref -d refs/heads/reuse");
    let objects = work.ok("rev-list --objects reuse ^main");
    let oids = objects.lines().map(|line| line[..40].to_owned()).collect();
    (bare, work, oids)
}

/// Nothing is pending and no deletion waits: the pause of the idle publisher is over.
fn published(place: &Place, bare: &Repo) {
    let settings = place.daemon().settings().clone();
    // An object that is finished now is published no earlier than all of that.
    bare.feed(
        "hash-object -w --stdin",
        format!("marker {:?}", std::time::Instant::now()),
    );
    wait::until("everything is published", Duration::from_secs(30), || {
        settings.status()["pending"]["files"] == 0
    });
}

fn object(bare: &Repo, oid: &str) -> PathBuf {
    bare.dir.join("objects").join(&oid[..2]).join(&oid[2..])
}

/// What `git prune` does to one object, by a process of its own. Were the commit gone
/// too, git itself would notice and refuse to move the ref.
#[track_caller]
fn prune(bare: &Repo, oid: &str) {
    let removed = Command::new("rm").arg(object(bare, oid)).status();
    assert!(removed.expect("rm").success());
    assert!(!object(bare, oid).exists(), "pruned");
}

#[track_caller]
fn whole(place: &Place, bare: &Repo) {
    bare.ok("rev-list --objects --all --quiet");
    bare.fsck();
    place.cool();
    bare.ok("rev-list --objects --all --quiet");
    bare.fsck();
}

/// The deletion is not published when the ref moves.
fn pruned_before_the_ref_moves(place: &Place) {
    let (bare, work, oids) = about_to_reuse(place);
    let moved = Gate::in_hook(place, &bare, "update").hold(&work, || {
        prune(&bare, oids.last().expect("a blob"));
    });
    assert!(moved);
    assert_eq!(bare.oid("reuse"), work.oid("reuse"));
    whole(place, &bare);
}

/// The deletion is published, and only then the ref moves.
fn pruned_and_published_before_the_ref_moves(place: &Place) {
    let (bare, work, oids) = about_to_reuse(place);
    let moved = Gate::in_hook(place, &bare, "update").hold(&work, || {
        prune(&bare, oids.last().expect("a blob"));
        let settings = place.daemon().settings().clone();
        wait::until("the trash has it", Duration::from_secs(30), || {
            let trash = settings.gitmoor_ok(&["repo", "trash"]);
            trash.contains("app.git")
        });
    });
    assert!(moved);
    assert_eq!(bare.oid("reuse"), work.oid("reuse"));
    whole(place, &bare);
}

/// The deletion is published, and the trash is emptied, before the ref moves. Nothing can be brought back then.
#[test]
fn pruned_for_good_before_the_ref_moves() {
    let toml =
        "trash-keep = \"0s\"\ngc-grace = \"0s\"\ngc-period = \"1h\"\nidle-publish = \"50ms\"\n";
    let place = Place::set(Kind::Dir, toml);
    let (bare, work, oids) = about_to_reuse(&place);
    let settings = place.daemon().settings().clone();
    let gate = Gate::in_hook(&place, &bare, "update");
    let moved = gate.hold(&work, || {
        prune(&bare, oids.last().expect("a blob"));
        wait::until("gc has deleted it", Duration::from_secs(30), || {
            let done = settings.gitmoor_ok(&["gc", "--trash-only", "--json"]);
            let done: Value = serde_json::from_str(&done).expect("JSON");
            done["objects"] == 1
        });
    });
    assert!(!moved, "the push would refer to what is gone");
    bare.fail("rev-parse --verify --quiet refs/heads/reuse");
    fs::remove_file(bare.dir.join("hooks/update")).expect("unlink");
    // A push that begins now sends what is missing.
    work.ok("push --quiet origin reuse");
    whole(&place, &bare);
}

/// The pruner has looked at the refs, then the ref moves, then the pruner deletes.
fn pruned_after_the_ref_moved(place: &Place) {
    let (bare, work, oids) = about_to_reuse(place);
    // Looks as git does (it opens HEAD), waits for a line, deletes.
    let files: Vec<_> = oids.iter().map(|oid| object(&bare, oid)).collect();
    let mut pruner = pruner(&bare.dir, &files);
    let mut stdin = pruner.stdin.take().expect("piped");
    let mut looked = String::new();
    let stdout = pruner.stdout.take().expect("piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut looked).expect("a line");
    assert!(looked.starts_with("ref:"), "{looked}");
    work.ok("push --quiet origin reuse");
    writeln!(stdin, "go").expect("go");
    assert!(pruner.wait().expect("the pruner").success());
    assert!(files.iter().all(|file| file.exists()), "not even hidden");
    published(place, &bare);
    assert!(files.iter().all(|file| file.exists()));
    whole(place, &bare);
}

/// One process that reads HEAD, waits, and unlinks.
fn pruner(repo: &Path, files: &[PathBuf]) -> std::process::Child {
    let script = "import os,sys\nprint(open(sys.argv[1]+'/HEAD').read().strip(),flush=True)\n\
                  sys.stdin.readline()\nfor f in sys.argv[2:]:\n try: os.unlink(f)\n except OSError as e: \
                  assert e.errno == 116, e\n";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(repo).args(files);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("python3")
}

/// What is deleted is finished, but not stored yet.
fn pruned_before_it_was_stored(place: &Place) {
    let (bare, work) = place.pushed("app.git", 3);
    work.ok("checkout --quiet -b reuse");
    work.commit("reused");
    let blob = work.oid("reuse:reused.txt");
    let gate = Gate::in_hook(place, &bare, "update");
    assert_eq!(bare.feed("hash-object -w --stdin", "reused\n"), blob);
    let moved = gate.hold(&work, || {
        if object(&bare, &blob).exists() {
            fs::remove_file(object(&bare, &blob)).expect("unlink");
        }
    });
    assert!(moved);
    whole(place, &bare);
}

/// What a push sent lies in a directory that git prune takes for a leftover: without it a push
/// may still move its ref.
fn pruned_in_quarantine(place: &Place) {
    let (bare, work) = place.pushed("app.git", 3);
    work.ok("checkout --quiet -b reuse");
    let tip = work.commit("sent");
    let moved = Gate::in_hook(place, &bare, "pre-receive").hold(&work, || {
        bare.ok("prune --expire=now");
        let names = bare.names("objects");
        let quarantine = names.iter().find(|name| name.contains("incoming-"));
        let quarantine = bare
            .dir
            .join("objects")
            .join(quarantine.expect("a quarantine"));
        let removed = Command::new("rm").arg("-rf").arg(&quarantine).output();
        let told = String::from_utf8_lossy(&removed.expect("rm").stderr).into_owned();
        assert!(told.contains("Device or resource busy"), "{told}");
    });
    assert!(moved);
    assert_eq!(bare.oid("reuse"), tip);
    whole(place, &bare);
    let left = bare.names("objects");
    assert!(
        !left.iter().any(|name| name.contains("incoming-")),
        "{left:?}"
    );
}

/// Also when an assertion fails: or the scope would wait for ever.
struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The same without stops, many times over.
fn gc_while_pushes_reuse_the_pruned(place: &Place) {
    let (bare, work) = place.pushed("app.git", 20);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = StopWhenDropped(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                bare.run("gc --quiet --prune=now", b"");
            }
        });
        for round in 0..6 {
            let branch = format!("b{}", round % 3);
            work.import(&History::seeded(round % 3).commits(&branch, 4).stream());
            let pushed = work.run(format!("push --quiet --force origin {branch}"), b"");
            if pushed.status.success() {
                bare.ok("rev-list --objects --all --quiet");
            }
            work.run(format!("push --quiet origin :{branch}"), b"");
        }
        for branch in ["b0", "b1", "b2"] {
            work.run(format!("push --quiet --force origin {branch}"), b"");
        }
    });
    whole(place, &bare);
}

/// Numbers of processes come around, soon on a busy machine. Who has one now has not seen
/// what the one before has.
fn a_process_number_used_again(place: &Place) {
    let (bare, work) = place.pushed("app.git", 1);
    let oid = bare.feed("hash-object -w --stdin", "unreachable");
    published(place, &bare);
    let look = format!("read line < {}/HEAD", bare.path());
    let mut first = Command::new("sh").args(["-ec", &look]).spawn().expect("sh");
    assert!(first.wait().expect("it ends").success());
    work.commit("the refs move");
    work.ok("push --quiet origin main");
    // For one second a number is taken for the same process without asking.
    std::thread::sleep(Duration::from_millis(1100));
    let mut second = with_number(first.id(), || {
        let mut command = Command::new("sh");
        let path = object(&bare, oid.trim());
        command.args(["-ec", "read go && exec rm \"$0\""]).arg(path);
        command
    });
    let mut go = second.stdin.take().expect("a pipe");
    go.write_all(b"go\n").expect("it reads");
    assert!(second.wait().expect("it ends").success(), "removed");
    assert!(!object(&bare, oid.trim()).exists());
}

/// Starts a process with this number, before others take it.
fn with_number(number: u32, command: impl Fn() -> Command) -> std::process::Child {
    for _ in 0..1000 {
        let before = (number - 1).to_string();
        fs::write("/proc/sys/kernel/ns_last_pid", before).expect("root may choose numbers");
        let mut child = command().stdin(Stdio::piped()).spawn().expect("sh");
        if child.id() == number {
            return child;
        }
        drop(child.stdin.take());
        child.wait().expect("it ends");
    }
    panic!("no process got the number {number}");
}
