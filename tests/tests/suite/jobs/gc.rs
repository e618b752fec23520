//! `gitmoor gc` repacks a repository in a private view, beside everything that goes on in it.

use crate::replicator::cluster::mounts;
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::Cluster;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::history::{History, noise};
use gitmoor_tests::mount::Settings;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use gitmoor_tests::s3::Counts;
use gitmoor_tests::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(60);

fn place(kind: Kind, toml: &str) -> Place {
    Place::set(kind, &format!("idle-publish = \"50ms\"\n{toml}"))
}

#[track_caller]
fn gc(settings: &Settings, options: &[&str]) -> Value {
    let text = settings.gitmoor_ok(&[&["gc", "app.git", "--json"], options].concat());
    let done: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}"));
    done["maintenance"][0].clone()
}

#[track_caller]
fn repacked(place: &Place, options: &[&str]) -> Value {
    let settings = place.daemon().settings().clone();
    let done = gc(&settings, options);
    assert_eq!(done["unchanged"], Value::Null, "{done:#}");
    done
}

/// Many pushes: packs, and objects that are stored one by one.
fn busy(place: &Place, format: &str, refs: &str) -> (Repo, Repo) {
    let bare = place.init("app.git", &format!("{format} {refs}"));
    let path = place.scratch("work");
    let disk = place.git.at(&place.scratch);
    disk.ok(format!("init --quiet {format} {}", path.display()));
    let work = place.git.at(path);
    work.ok(format!("remote add origin {}", bare.url()));
    for round in 0..8 {
        let history = History::seeded(round).commits(&format!("r{round}"), 15);
        work.import(&history.stream());
        work.ok(format!("push --quiet origin r{round}"));
    }
    for number in 0..4 {
        work.commit(&format!("loose-{number}"));
        work.ok("push --quiet origin HEAD:main");
    }
    (bare, work)
}

fn objects(bare: &Repo) -> Vec<String> {
    let all = bare.ok("cat-file --batch-check --batch-all-objects");
    all.lines().map(str::to_owned).collect()
}

fn reachable(bare: &Repo) -> String {
    bare.ok("rev-list --all --objects")
}

/// Sound, and with the same objects, also for who has nothing cached.
#[track_caller]
fn intact(place: &Place, bare: &Repo, refs: &str, all: &[String]) {
    for _ in 0..2 {
        bare.fsck();
        assert_eq!(bare.refs(), refs);
        assert_eq!(objects(bare), all);
        place.cool();
    }
}

fn ends(bare: &Repo, suffix: &str) -> usize {
    let names = bare.names("objects/pack").into_iter();
    names.filter(|name| name.ends_with(suffix)).count()
}

fn many_pushes(place: &Place, format: &str, refs: &str) {
    let (bare, work) = busy(place, format, refs);
    let (packs, loose) = (bare.counted("packs"), bare.counted("count"));
    assert!(packs >= 8 && loose >= 12, "{packs} {loose}");
    let (shown, all, walked) = (bare.refs(), objects(&bare), reachable(&bare));
    let done = repacked(place, &[]);
    assert_eq!(done["before"]["packs"], packs, "{done:#}");
    assert_eq!(done["before"]["loose"], loose);
    assert_eq!(done["after"]["packs"], bare.counted("packs"));
    assert!(bare.counted("packs") <= 3, "{done:#}");
    assert_eq!(bare.counted("count"), 0);
    assert_eq!(ends(&bare, ".bitmap"), 1);
    let midx = bare.dir.join("objects/pack/multi-pack-index");
    let mode = fs::metadata(midx).expect("stat").permissions().mode();
    assert_eq!(mode & 0o777, 0o444);
    bare.ok("multi-pack-index verify");
    bare.ok("commit-graph verify");
    assert_eq!(reachable(&bare), walked);
    intact(place, &bare, &shown, &all);
    let settings = place.daemon().settings().clone();
    let again = gc(&settings, &[]);
    assert!(again["unchanged"].is_string(), "{again:#}");
    // And it goes on.
    work.commit("after");
    work.ok("push --quiet origin HEAD:main");
    repacked(place, &["--full"]);
    assert_eq!(bare.counted("packs"), 1);
    assert_eq!(bare.oid("main"), work.oid("HEAD"));
    bare.fsck();
    let left = fs::read_dir(settings.data.join("maintenance")).expect("its home");
    assert_eq!(left.count(), 0, "the view is removed");
}

#[test]
fn many_pushes_become_few_packs() {
    many_pushes(&place(Kind::Dir, ""), "", "");
}

#[test]
fn many_pushes_become_few_packs_in_s3() {
    many_pushes(&place(Kind::S3s, ""), "", "");
}

#[test]
fn with_sha256() {
    many_pushes(&place(Kind::Dir, ""), "--object-format=sha256", "");
}

#[test]
fn with_reftables() {
    if Installed::newest().has((2, 45), "reftable") {
        many_pushes(&place(Kind::Dir, ""), "", "--ref-format=reftable");
    }
}

/// What a command costs that finds nothing cached.
fn cold(place: &Place, command: impl FnOnce()) -> Counts {
    place.cool();
    place.server().reset();
    command();
    place.server().counts()
}

#[test]
fn a_fetch_asks_for_less() {
    let place = place(Kind::S3s, "");
    let (bare, _) = busy(&place, "", "");
    let clone = |name: &str| {
        cold(&place, || {
            place.clone("--mirror", &bare, name);
        })
    };
    let before = clone("before");
    assert!(before.get >= 8 * 2 + 12, "{before:?}");
    repacked(&place, &["--full"]);
    let after = clone("after");
    // The pack, its index and reverse index, the multi-pack-index and its bitmap.
    assert!(after.get <= 6, "{after:?}");
    assert_eq!(after.requests(), after.get);
}

#[test]
fn split_blobs_leave_history_small() {
    let place = place(Kind::S3s, "");
    if !place.git.has((2, 43), "repack --filter") {
        return;
    }
    let (bare, work) = busy(&place, "", "");
    work.write("large", noise(4 << 20, 1));
    work.commit("with something large");
    work.ok("push --quiet origin HEAD:main");
    let (shown, all) = (bare.refs(), objects(&bare));
    let done = repacked(&place, &["--full", "--split-blobs"]);
    assert_eq!(done["after"]["packs"], 2, "{done:#}");
    assert_eq!(ends(&bare, ".mtimes"), 0, "no blob passes for cruft");
    intact(&place, &bare, &shown, &all);
    let history = cold(&place, || {
        bare.ok("rev-list --all --objects --filter=blob:none");
    });
    assert!(history.bytes_out < 1 << 20, "{history:?}");
}

/// A commit that no ref reaches.
fn orphan(bare: &Repo) -> String {
    let tree = bare.oid("main^{tree}");
    bare.ok(format!("commit-tree -m orphan {tree}"))
}

#[test]
fn what_nothing_reaches_is_kept_for_two_weeks() {
    let place = place(Kind::Dir, "");
    let (bare, _) = busy(&place, "", "");
    let orphan = orphan(&bare);
    let (shown, all) = (bare.refs(), objects(&bare));
    repacked(&place, &[]);
    intact(&place, &bare, &shown, &all);
    let done = repacked(&place, &["--full"]);
    assert_eq!(done["expired_objects"], 0);
    assert_eq!(ends(&bare, ".mtimes"), 1, "a cruft pack");
    bare.ok(format!("cat-file -e {orphan}"));
    intact(&place, &bare, &shown, &all);
}

#[test]
fn what_expired_is_in_the_trash() {
    let place = place(Kind::Dir, "cruft-expiration = \"0s\"\n");
    let (bare, _) = busy(&place, "", "");
    let orphan = orphan(&bare);
    let shown = bare.refs();
    let done = repacked(&place, &["--full"]);
    assert_eq!(done["expired_objects"], 1, "{done:#}");
    bare.fail(format!("cat-file -e {orphan}"));
    bare.fsck();
    let settings = place.daemon().settings().clone();
    settings.gitmoor_ok(&["repo", "restore", "app.git", "--objects"]);
    bare.ok(format!("cat-file -e {orphan}"));
    assert_eq!(bare.refs(), shown);
    bare.fsck();
}

/// The repository's reflogs and work trees on this machine reach objects too.
#[test]
fn a_work_tree_reaches_objects() {
    let place = place(Kind::Dir, "cruft-expiration = \"0s\"\n");
    let (bare, _) = busy(&place, "", "");
    let tree = place.scratch("tree");
    bare.ok(format!(
        "worktree add --quiet --detach {} main",
        tree.display()
    ));
    let tree = place.git.at(tree);
    tree.commit("on no branch");
    tree.write("staged.txt", "only in the index\n");
    tree.ok("add staged.txt");
    let done = repacked(&place, &["--full"]);
    assert_eq!(done["expired_objects"], 0, "{done:#}");
    tree.ok(format!("cat-file -e {}", tree.oid("HEAD")));
    tree.ok("commit --quiet -m staged");
    tree.ok("log --stat");
    bare.fsck();
}

/// A git for the daemon that stands still before one of its steps until it is let go. It may write nowhere but
/// in the view that it works in.
struct Gate {
    views: PathBuf,
    go: PathBuf,
}

impl Gate {
    fn before(place: &Place, step: &str) -> Gate {
        let gate = Gate {
            views: place.daemon().settings().data.join("maintenance"),
            go: place.scratch("go-on"),
        };
        let script = format!(
            "case \" $* \" in *' {step} '*) touch objects/at-gate; for i in $(seq 1200); do [ -e {} ] && break; sleep 0.05; done;; esac\n",
            gate.go.display()
        );
        wrap_git(place, &script, "exec git \"$@\"\n");
        gate
    }

    /// The same when the step is done.
    fn after(place: &Place, step: &str) -> Gate {
        let gate = Gate::before(place, "nothing");
        let script = format!(
            "case \" $* \" in *' {step} '*) git \"$@\" || exit 1; touch objects/at-gate; for i in $(seq 1200); do [ -e {} ] && exit 0; sleep 0.05; done;; esac\n",
            gate.go.display()
        );
        wrap_git(place, &script, "exec git \"$@\"\n");
        gate
    }

    fn is_reached(&self) -> bool {
        let mut views = fs::read_dir(&self.views).into_iter().flatten().flatten();
        views.any(|view| view.path().join("objects/at-gate").exists())
    }

    /// Runs `between` while the gc stands still; what it said.
    #[track_caller]
    fn hold(&self, settings: &Settings, options: &[&str], between: impl FnOnce()) -> Value {
        std::thread::scope(|scope| {
            let running = scope.spawn(|| gc(settings, options));
            wait::until("git is at the gate", BOUND, || self.is_reached());
            between();
            fs::write(&self.go, "").expect("go");
            running.join().expect("the gc")
        })
    }
}

/// The daemon finds this git from now on.
fn wrap_git(place: &Place, before: &str, then: &str) {
    let path = std::env::var("PATH").expect("a PATH");
    let bin = place.scratch("bin");
    fs::create_dir_all(&bin).expect("bin");
    let script = format!("#!/bin/sh\nPATH='{path}'\n{before}{then}");
    fs::write(bin.join("git"), script).expect("a script");
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).expect("chmod");
    let mut daemon = place.daemon();
    daemon.umount();
    daemon.set("PATH", &format!("{}:{path}", bin.display()));
    daemon.launch();
}

#[test]
fn refs_move_while_git_works() {
    for options in [&[] as &[&str], &["--full"]] {
        let place = place(Kind::Dir, "");
        let (bare, work) = busy(&place, "", "");
        let gate = Gate::before(&place, "multi-pack-index");
        let settings = place.daemon().settings().clone();
        let before = objects(&bare);
        let done = gate.hold(&settings, options, || {
            work.commit("meanwhile");
            work.ok("push --quiet origin HEAD:main");
            work.ok("push --quiet origin :r1 HEAD~1:refs/heads/side");
            bare.ok("pack-refs --all");
        });
        assert_eq!(done["unchanged"], Value::Null, "{done:#}");
        assert!(done["removed"].as_u64() >= Some(8 * 2 + 12), "{done:#}");
        assert!(bare.counted("packs") <= 3, "{done:#}");
        let after = objects(&bare);
        assert!(before.iter().all(|object| after.contains(object)));
        assert_eq!(bare.oid("main"), work.oid("HEAD"));
        bare.fsck();
        place.cool();
        assert_eq!(objects(&bare), after);
        bare.fsck();
    }
}

/// All that git made, the files that it rewrites too, comes with one commit.
#[test]
fn nothing_is_seen_before_all_is() {
    let place = place(Kind::Dir, "");
    let (bare, work) = busy(&place, "", "");
    repacked(&place, &[]);
    work.commit("one more");
    work.ok("push --quiet origin HEAD:main");
    let read = |name: &str| fs::read(bare.dir.join("objects").join(name)).expect("it is there");
    let rewritten = || [read("pack/multi-pack-index"), read("info/commit-graph")];
    let (names, before) = (bare.names("objects/pack"), rewritten());
    let gate = Gate::after(&place, "commit-graph");
    let settings = place.daemon().settings().clone();
    let done = gate.hold(&settings, &[], || {
        assert_eq!(bare.names("objects/pack"), names);
        assert!(rewritten() == before);
    });
    assert_eq!(done["unchanged"], Value::Null, "{done:#}");
    assert!(rewritten()[0] != before[0] && rewritten()[1] != before[1]);
    bare.ok("multi-pack-index verify");
    bare.fsck();
}

/// A push that looked before, and moves its ref after: what it found is elsewhere now, and nothing has to come
/// back for it.
#[test]
fn a_push_around_a_gc() {
    let place = place(Kind::Dir, "");
    let (bare, work) = busy(&place, "", "");
    let settings = place.daemon().settings().clone();
    let (reached, go) = (place.scratch("reached"), place.scratch("go"));
    let script = format!(
        "#!/bin/sh\ntouch {}\nfor i in $(seq 1200); do [ -e {} ] && exit 0; sleep 0.05; done\nexit 1\n",
        reached.display(),
        go.display()
    );
    bare.write("hooks/update", script);
    let hook = bare.dir.join("hooks/update");
    fs::set_permissions(hook, fs::Permissions::from_mode(0o755)).expect("chmod");
    work.commit("around");
    std::thread::scope(|scope| {
        let push = scope.spawn(|| work.ok("push --quiet origin HEAD:main"));
        wait::until("the push has looked", BOUND, || reached.exists());
        let done = gc(&settings, &["--full"]);
        assert_eq!(done["unchanged"], Value::Null, "{done:#}");
        fs::write(&go, "").expect("go");
        push.join().expect("the push");
    });
    assert_eq!(bare.oid("main"), work.oid("HEAD"));
    assert!(
        bare.counted("packs") <= 2,
        "nothing came back: {:?}",
        bare.names("objects/pack")
    );
    bare.fsck();
}

/// An unreachable commit becomes reachable while git works: it had expired, and is kept.
#[test]
fn what_expired_is_reached_again_meanwhile() {
    let place = place(Kind::Dir, "cruft-expiration = \"0s\"\n");
    let (bare, _) = busy(&place, "", "");
    let orphan = orphan(&bare);
    let gate = Gate::before(&place, "multi-pack-index");
    let settings = place.daemon().settings().clone();
    let done = gate.hold(&settings, &["--full"], || {
        bare.ok(format!("update-ref refs/heads/found {orphan}"));
    });
    assert_eq!(done["unchanged"], Value::Null, "{done:#}");
    assert_eq!(done["expired_objects"], 0, "{done:#}");
    bare.fsck();
    place.cool();
    assert_eq!(bare.oid("found"), orphan);
    bare.fsck();
    assert!(bare.counted("count") <= 1, "all the rest is packed");
}

/// A deletion that was decided on before the gc may rely on what is gone.
#[test]
fn a_deletion_from_before_is_refused() {
    let place = place(Kind::Dir, "");
    let (bare, work) = busy(&place, "", "");
    repacked(&place, &["--full"]);
    let kept = bare.names("objects/pack");
    let kept = kept
        .iter()
        .find(|name| name.ends_with(".pack"))
        .expect("a pack");
    work.commit("one more");
    work.ok("push --quiet origin HEAD:main");
    let pack = bare.dir.join("objects/pack").join(kept);
    let (looked, go) = (place.scratch("looked"), place.scratch("go"));
    // One process, which looks and then deletes.
    let script = format!(
        "import os, time\nos.listdir(os.path.dirname('{pack}'))\nopen('{looked}', 'w')\nwhile not os.path.exists('{go}'): time.sleep(0.05)\nos.unlink('{pack}')\n",
        pack = pack.display(),
        looked = looked.display(),
        go = go.display()
    );
    let pruner = Command::new("python3")
        .args(["-c", &script])
        .stderr(Stdio::piped())
        .spawn();
    let pruner = pruner.expect("python3");
    wait::until("it has looked", BOUND, || looked.exists());
    repacked(&place, &[]);
    fs::write(&go, "").expect("go");
    let output = pruner.wait_with_output().expect("it ends");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("Stale file handle"),
        "{}",
        report(&output)
    );
    assert!(pack.exists());
    bare.fsck();
}

#[test]
fn two_at_once() {
    let place = place(Kind::Dir, "");
    let (bare, _) = busy(&place, "", "");
    let (shown, all) = (bare.refs(), objects(&bare));
    let gate = Gate::before(&place, "repack");
    let settings = place.daemon().settings().clone();
    let done = gate.hold(&settings, &[], || {
        let other = gc(&settings, &["--full"]);
        let reason = other["unchanged"].as_str().expect("a reason");
        assert!(reason.contains("under way on this machine"), "{reason}");
        let waits = settings.status()["waits"].to_string();
        assert!(waits.contains("maintenance of app.git"), "{waits}");
    });
    assert_eq!(done["unchanged"], Value::Null, "{done:#}");
    intact(&place, &bare, &shown, &all);
}

#[test]
fn interrupted() {
    let place = place(Kind::Dir, "");
    let (bare, _) = busy(&place, "", "");
    let files = bare.names("objects/pack");
    let gate = Gate::before(&place, "repack");
    let settings = place.daemon().settings().clone();
    let home = settings.data.join("maintenance");
    let is_over = || {
        fs::read_dir(&home).is_ok_and(|mut left| left.next().is_none())
            && !settings.status()["waits"]
                .to_string()
                .contains("maintenance")
    };
    // By whoever asked for it.
    let mut command = settings.command(&["gc", "app.git"]);
    let mut asker = command.stdout(Stdio::null()).spawn().expect("gitmoor");
    wait::until("git is at the gate", BOUND, || gate.is_reached());
    let pid = Pid::from_raw(asker.id().try_into().expect("a pid"));
    kill(pid, Signal::SIGINT).expect("Ctrl-C");
    assert!(!asker.wait().expect("it ends").success());
    wait::until("the maintenance has ended", BOUND, is_over);
    assert_eq!(bare.names("objects/pack"), files);
    // By the daemon, which leaves although git has files of the mount open.
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| settings.gitmoor(&["gc", "app.git"]));
        wait::until("git is at the gate", BOUND, || gate.is_reached());
        place.daemon().umount();
        let output = asked.join().expect("gitmoor");
        assert_eq!(output.status.code(), Some(1), "{}", report(&output));
    });
    place.daemon().launch();
    assert_eq!(bare.names("objects/pack"), files);
    fs::write(&gate.go, "").expect("go");
    repacked(&place, &[]);
    bare.fsck();
}

/// A git that loses objects is found out.
#[test]
fn git_is_not_taken_at_its_word() {
    let place = place(Kind::Dir, "");
    let (bare, _) = busy(&place, "", "");
    let orphan = orphan(&bare);
    let (shown, all) = (bare.refs(), objects(&bare));
    // All that is reachable, and nothing besides.
    let lossy = "case \" $* \" in *' repack '*)\n\
        git rev-list --all --objects | git pack-objects -q objects/pack/pack > /dev/null || exit 1\n\
        for f in objects/pack/* objects/??/*; do [ -h $f ] && rm -f $f; done\n\
        exit 0;; esac\n";
    wrap_git(&place, lossy, "exec git \"$@\"\n");
    let settings = place.daemon().settings().clone();
    let output = settings.gitmoor(&["gc", "app.git"]);
    assert_eq!(output.status.code(), Some(1), "{}", report(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    let words = ["lacks 1 objects", &orphan, "nothing was changed"];
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    intact(&place, &bare, &shown, &all);
}

#[test]
fn a_damaged_pack_is_named() {
    let place = place(Kind::S3s, "read-timeout = \"3s\"\n");
    let (bare, work) = busy(&place, "", "");
    work.write("large", noise(1 << 20, 1));
    work.commit("with something large");
    work.ok("push --quiet origin HEAD:main");
    repacked(&place, &["--full"]);
    work.commit("one more");
    work.ok("push --quiet origin HEAD:main");
    let names = bare.names("objects/pack");
    let pack = names
        .iter()
        .find(|name| name.ends_with(".pack"))
        .expect("a pack")
        .clone();
    place.daemon().umount();
    place.daemon().drop_cache();
    let stored = place.server().objects();
    let (key, bytes) = stored
        .iter()
        .find(|(key, _)| key.ends_with(&pack))
        .expect("its key");
    let mut wrong = bytes.to_vec();
    let middle = wrong.len() / 2;
    wrong[middle] ^= 1;
    place.server().plant(key, wrong);
    place.daemon().launch();
    let settings = place.daemon().settings().clone();
    // All objects anew, so that git reads every byte.
    let output = settings.gitmoor(&["gc", "app.git", "--full"]);
    assert_eq!(output.status.code(), Some(1), "{}", report(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains(&pack) && said.contains("nothing was changed"),
        "{said}"
    );
    assert_eq!(bare.names("objects/pack"), names);
    // The others are not kept waiting.
    place.server().plant(key, bytes.clone());
    repacked(&place, &["--full"]);
    bare.fsck();
}

#[test]
fn what_cannot_be_repacked_says_so() {
    let place = place(Kind::Dir, "");
    let (bare, _) = busy(&place, "", "");
    let fork = place.bare("fork.git");
    fork.write(
        "objects/info/alternates",
        format!("{}\n", bare.dir.join("objects").display()),
    );
    place.bare("empty.git");
    let settings = place.daemon().settings().clone();
    settings.gitmoor_ok(&["gc", "--all", "--dry-run"]);
    let done = settings.gitmoor_ok(&["gc", "--json"]);
    let done: Value = serde_json::from_str(&done).expect("JSON");
    let of = |name: &str| {
        let mut all = done["maintenance"].as_array().expect("a list").iter();
        let found = all.find(|one| one["repository"] == name);
        found.cloned().expect("it is there")
    };
    assert_eq!(of("app.git")["unchanged"], Value::Null, "{done:#}");
    assert!(
        of("fork.git")["unchanged"].to_string().contains("borrows"),
        "{done:#}"
    );
    assert!(
        of("empty.git")["unchanged"].to_string().contains("empty"),
        "{done:#}"
    );
    bare.fsck();
}

/// It may begin while pushes go on: what the last of them brought waits until it is due again. `is_over` is true when it has
/// been, and is not any more.
fn by_itself(due: &str, is_over: impl Fn(&Repo) -> bool) {
    let place = place(
        Kind::Dir,
        &format!("maintenance-period = \"100ms\"\n{due}\n"),
    );
    let (bare, _) = busy(&place, "", "");
    wait::until("it is repacked", BOUND, || is_over(&bare));
    assert!(bare.counted("packs") < 8);
    assert_eq!(ends(&bare, "multi-pack-index"), 1);
    bare.fsck();
}

#[test]
fn many_packs_are_due() {
    by_itself("maintenance-packs = 3", |bare| {
        bare.counted("packs") < 3 || bare.counted("count") == 0
    });
}

#[test]
fn loose_objects_are_due() {
    by_itself("maintenance-loose = 1", |bare| bare.counted("count") == 0);
}

/// A repository on three machines, pushed to through two while the third repacks it again and again.
#[test]
fn pushes_through_two_mounts() {
    let cluster = Cluster::mounted(Kind::Dir);
    mounts::init(&cluster, 0, "app.git", "");
    let settings = [0, 1, 2].map(|machine| cluster.settings(machine));
    let over = AtomicBool::new(false);
    let tips = std::thread::scope(|scope| {
        let pushers = [1, 2].map(|machine| {
            let work = mounts::work(&cluster, machine, "app.git");
            scope.spawn(move || {
                for round in 0..12 {
                    work.commit(&format!("{machine}-{round}"));
                    work.ok(format!("push --quiet origin HEAD:refs/heads/m{machine}"));
                    work.ok(format!(
                        "push --quiet origin HEAD:refs/heads/m{machine}-{round}"
                    ));
                }
                work.oid("HEAD")
            })
        });
        let collector = scope.spawn(|| {
            let mut changed = 0;
            while !over.load(Ordering::Relaxed) {
                let done = gc(
                    &settings[0],
                    if changed % 2 == 0 { &[] } else { &["--full"] },
                );
                changed += u32::from(done["unchanged"].is_null());
            }
            changed
        });
        let tips = pushers.map(|pusher| pusher.join().expect("a pusher"));
        over.store(true, Ordering::Relaxed);
        assert!(collector.join().expect("the gc") > 0);
        tips
    });
    for machine in [0, 1, 2] {
        let bare = cluster.repo(machine, "app.git");
        assert_eq!([bare.oid("m1"), bare.oid("m2")], tips, "machine {machine}");
        assert_eq!(bare.ok("for-each-ref").lines().count(), 26);
        bare.fsck();
    }
    let done = gc(&settings[2], &["--full"]);
    assert_eq!(done["after"]["packs"], 1, "{done:#}");
    for machine in [0, 1, 2] {
        let bare = cluster.repo(machine, "app.git");
        assert_eq!(bare.counted("packs"), 1, "machine {machine}");
        bare.fsck();
    }
}
