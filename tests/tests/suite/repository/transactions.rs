//! Transactions of the files backend: few entries of the log for many refs, nothing is shown before it is durable, and
//! nobody is told of success that was none (docs/design/0025-durable-once-per-transaction.md).
//!
//! A step by step git is perl under git's name: the daemon knows git by the program that a process runs.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::Repo;
use gitmoor_tests::history;
use gitmoor_tests::place::Place;
use gitmoor_tests::wait;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Entries that a transaction of any number of refs may cost.
const FEW: u64 = 8;
/// What waits is committed within this time by itself: 1 s, the publisher's turn, and a busy machine.
const BY_ITSELF: Duration = Duration::from_secs(20);
/// A few looks of a second, on a busy machine; two times less than a commit is made to take.
const LOOKS: Duration = Duration::from_secs(7);

const ACTOR: &str = r#"
    $| = 1;
    while (<STDIN>) {
        chomp;
        my ($do, $ref, $value) = split / /;
        my $ok;
        if ($do eq "lock") {
            # O_CREAT | O_EXCL | O_WRONLY
            $ok = sysopen(my $file, "$ref.lock", 0301, 0666);
            if ($ok && defined $value) { $ok = syswrite($file, "$value\n"); }
            $ok = close($file) && $ok if $file;
        }
        if ($do eq "rename") { $ok = rename("$ref.lock", $ref); }
        if ($do eq "delete") { $ok = unlink($ref); }
        if ($do eq "release") { $ok = unlink("$ref.lock"); }
        print $ok ? "ok\n" : "failed $!\n";
    }
"#;

/// A process that makes the calls of a transaction one by one.
struct Actor {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Actor {
    /// Its program has this name.
    fn new(place: &Place, bare: &Repo, name: &str) -> Actor {
        let program = place.scratch.join(name);
        if !program.exists() {
            fs::copy("/usr/bin/perl", &program).expect("git needs perl, so it is there");
        }
        let mut child = Command::new(program)
            .args(["-e", ACTOR])
            .current_dir(&bare.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("perl");
        Actor {
            asks: child.stdin.take().expect("piped"),
            answers: BufReader::new(child.stdout.take().expect("piped")),
            child,
        }
    }

    fn git(place: &Place, bare: &Repo) -> Actor {
        Actor::new(place, bare, "git")
    }

    /// Makes one call; what came of it, and nothing when the process has ended.
    fn does(&mut self, call: &str) -> String {
        writeln!(self.asks, "{call}").expect("it reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("it writes");
        answer.trim_end().to_owned()
    }

    #[track_caller]
    fn ok(&mut self, call: &str) {
        assert_eq!(self.does(call), "ok", "{call}");
    }

    #[track_caller]
    fn fails(&mut self, call: &str, why: &str) {
        assert_eq!(self.does(call), format!("failed {why}"), "{call}");
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn place() -> Place {
    Place::set(Kind::Dir, "")
}

fn repository(place: &Place) -> Repo {
    let bare = place.bare("app.git");
    bare.import(&history::commits(4));
    bare
}

/// How many entries the log has.
fn entries(place: &Place) -> u64 {
    let status = place.daemon().settings().status();
    status["replicator"]["commit"].as_u64().expect("a number")
}

/// Does something, which may cost few entries.
#[track_caller]
fn few(place: &Place, what: &str, does: impl FnOnce()) {
    let before = entries(place);
    does();
    let cost = entries(place) - before;
    println!("{what}: {cost} entries");
    assert!(cost <= FEW, "{what}: {cost} entries");
}

fn each(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

fn count(bare: &Repo) -> usize {
    bare.refs().lines().count()
}

#[test]
fn many_refs_are_few_entries() {
    let place = place();
    let bare = repository(&place);
    let (new, old) = (bare.oid("main"), bare.oid("main~1"));
    let feed = |lines: String| {
        bare.feed("update-ref --stdin", lines);
    };
    few(&place, "1,000 refs created", || {
        feed(each(1000, |n| format!("create refs/heads/t/{n} {old}\n")));
    });
    few(&place, "1,000 refs moved", || {
        feed(each(1000, |n| {
            format!("update refs/heads/t/{n} {new} {old}\n")
        }));
    });
    assert_eq!(count(&bare), 1001);
    few(&place, "1,000 loose refs removed", || {
        feed(each(1000, |n| format!("delete refs/heads/t/{n} {new}\n")));
    });
    assert_eq!(count(&bare), 1);
    feed(each(1000, |n| format!("create refs/heads/p/{n} {old}\n")));
    bare.ok("pack-refs --all");
    few(&place, "1,000 packed refs moved", || {
        feed(each(1000, |n| {
            format!("update refs/heads/p/{n} {new} {old}\n")
        }));
    });
    few(&place, "1,000 packed and loose refs removed", || {
        feed(each(1000, |n| format!("delete refs/heads/p/{n} {new}\n")));
    });
    assert_eq!(count(&bare), 1);
    place.restart();
    assert_eq!(count(&bare), 1);
    bare.fsck();
}

#[test]
fn updates_removals_and_checks_in_one() {
    let place = place();
    let bare = repository(&place);
    let (new, old) = (bare.oid("main"), bare.oid("main~1"));
    let lines = each(200, |n| format!("create refs/heads/t/{n} {old}\n"));
    bare.feed("update-ref --stdin", lines);
    let mixed = each(200, |n| match n % 4 {
        0 => format!("update refs/heads/t/{n} {new} {old}\n"),
        1 => format!("delete refs/heads/t/{n} {old}\n"),
        2 => format!("verify refs/heads/t/{n} {old}\n"),
        _ => format!("create refs/heads/new/{n} {new}\n"),
    });
    few(&place, "200 refs of all kinds", || {
        bare.feed("update-ref --stdin", &mixed);
    });
    let refs = bare.refs();
    assert_eq!(refs.lines().count(), 1 + 150 + 50);
    assert!(refs.contains(&format!("{new} refs/heads/t/196")));
    assert!(!refs.contains("refs/heads/t/197"));
    place.restart();
    assert_eq!(bare.refs(), refs);
}

#[test]
fn a_mirror_of_ten_thousand_refs_is_few_entries() {
    let place = place();
    let bare = place.bare("app.git");
    let work = place.work("work");
    work.commit("first");
    let tip = work.oid("HEAD");
    let refs = each(10_000, |n| format!("create refs/heads/m/{n} {tip}\n"));
    work.feed("update-ref --stdin", refs);
    work.ok(format!("remote add origin {}", bare.url()));
    // A push makes refs of its own here.
    let refs = work.refs();
    few(&place, "push --mirror --atomic", || {
        work.ok("push --quiet --mirror --atomic origin");
    });
    assert!(bare.refs() == refs, "all refs, and no others");
}

/// Each transaction of one git is durable when git says so.
#[test]
fn one_transaction_after_the_other() {
    let place = place();
    let bare = repository(&place);
    let tip = bare.oid("main");
    let transaction = |n: usize| {
        let refs = each(10, |at| format!("create refs/heads/s/{n}-{at} {tip}\n"));
        format!("start\n{refs}prepare\ncommit\n")
    };
    few(&place, "three transactions of ten refs", || {
        bare.feed("update-ref --stdin", each(3, transaction));
    });
    place.crash();
    assert_eq!(count(&bare), 31);
}

/// Three refs are locked, and one is moved, which is committed by itself.
fn begun(place: &Place, bare: &Repo) -> (Actor, u64) {
    let tip = bare.oid("main");
    let mut git = Actor::git(place, bare);
    for name in ["a", "b", "c", "d"] {
        git.ok(&format!("lock refs/heads/{name} {tip}"));
    }
    let before = entries(place);
    git.ok("rename refs/heads/a");
    assert_eq!(entries(place), before + 1);
    git.ok("rename refs/heads/b");
    assert_eq!(entries(place), before + 1, "it waits");
    (git, before + 1)
}

#[test]
fn who_looks_waits_for_the_commit() {
    for look in 0..4 {
        let place = place();
        let bare = repository(&place);
        let (mut git, before) = begun(&place, &bare);
        assert_eq!(bare.oid("main").len(), 40, "another ref");
        assert_eq!(entries(&place), before, "waits for nothing");
        let b = bare.dir.join("refs/heads/b");
        let tip = bare.oid("main");
        match look {
            0 => assert_eq!(fs::read_to_string(&b).expect("b"), format!("{tip}\n")),
            1 => assert!(fs::metadata(&b).is_ok()),
            2 => assert!(bare.names("refs/heads").contains(&"b".to_owned())),
            _ => drop(fs::File::create_new(b.with_extension("lock")).expect("b's lock")),
        }
        assert_eq!(entries(&place), before + 1, "{look}");
        place.crash();
        assert_eq!(bare.oid("refs/heads/b"), tip);
        assert!(!bare.is("rev-parse --verify --quiet refs/heads/c"));
        git.does("rename refs/heads/c");
    }
}

#[test]
fn what_waits_is_lost_with_the_daemon_and_was_never_reported() {
    let place = place();
    let bare = repository(&place);
    let (_git, _) = begun(&place, &bare);
    place.crash();
    assert!(bare.is("rev-parse --verify --quiet refs/heads/a"));
    for name in ["b", "c", "d"] {
        assert!(!bare.is(format!("rev-parse --verify --quiet refs/heads/{name}")));
    }
    bare.ok("update-ref refs/heads/b main");
}

#[test]
fn the_last_step_commits_all() {
    let place = place();
    let bare = repository(&place);
    let (mut git, before) = begun(&place, &bare);
    git.ok("rename refs/heads/c");
    assert_eq!(entries(&place), before);
    git.ok("rename refs/heads/d");
    assert_eq!(entries(&place), before + 1);
    place.crash();
    assert_eq!(count(&bare), 5);
}

#[test]
fn a_git_that_rests_or_ends_leaves_nothing_waiting() {
    for ends in [false, true] {
        let place = place();
        let bare = repository(&place);
        let (mut git, before) = begun(&place, &bare);
        if ends {
            git.child.kill().expect("it runs");
        }
        wait::until("it is committed", BY_ITSELF, || entries(&place) > before);
        place.crash();
        assert!(bare.is("rev-parse --verify --quiet refs/heads/b"));
        assert!(!bare.is("rev-parse --verify --quiet refs/heads/c"));
    }
}

#[test]
fn giving_up_commits_what_was_made() {
    let place = place();
    let bare = repository(&place);
    let (mut git, before) = begun(&place, &bare);
    git.ok("release refs/heads/c");
    assert_eq!(entries(&place), before + 1);
    git.ok("release refs/heads/d");
    place.crash();
    assert!(bare.is("rev-parse --verify --quiet refs/heads/b"));
    assert_eq!(count(&bare), 3);
}

#[test]
fn another_program_waits_for_each_step() {
    let place = place();
    let bare = repository(&place);
    let tip = bare.oid("main");
    let mut other = Actor::new(&place, &bare, "gix");
    for name in ["a", "b", "c"] {
        other.ok(&format!("lock refs/heads/{name} {tip}"));
    }
    let before = entries(&place);
    for (at, name) in ["a", "b", "c"].iter().enumerate() {
        other.ok(&format!("rename refs/heads/{name}"));
        assert_eq!(entries(&place), before + 1 + at as u64);
    }
}

/// A lock of another process, or one that was taken in an earlier transaction, is no reason to wait.
#[test]
fn only_locks_of_the_same_transaction_count() {
    let place = place();
    let bare = repository(&place);
    let tip = bare.oid("main");
    let (mut git, mut other) = (Actor::git(&place, &bare), Actor::git(&place, &bare));
    other.ok(&format!("lock refs/heads/z {tip}"));
    for name in ["a", "b", "left"] {
        git.ok(&format!("lock refs/heads/{name} {tip}"));
    }
    git.ok("rename refs/heads/a");
    git.ok("rename refs/heads/b");
    let before = entries(&place);
    git.ok(&format!("lock refs/heads/c {tip}"));
    assert_eq!(
        entries(&place),
        before + 1,
        "the transaction before is whole"
    );
    for (at, name) in ["c", "d"].iter().enumerate() {
        if at > 0 {
            git.ok(&format!("lock refs/heads/{name} {tip}"));
        }
        git.ok(&format!("rename refs/heads/{name}"));
        assert_eq!(entries(&place), before + 2 + at as u64, "{name}");
    }
}

fn limit(place: &Place, refs: usize) {
    let settings = place.daemon().settings().clone();
    settings.gitmoor_ok(&["repo", "limit", "app.git", "refs", &refs.to_string()]);
}

/// A commit that is refused is an error of the step that made it, or of the next one.
#[test]
fn the_next_step_is_told() {
    for look in [false, true] {
        let place = place();
        let bare = repository(&place);
        let (mut git, _) = begun(&place, &bare);
        limit(&place, 2);
        if look {
            assert!(!bare.is("rev-parse --verify --quiet refs/heads/b"));
            git.fails("rename refs/heads/c", "Input/output error");
        } else {
            git.ok("rename refs/heads/c");
            git.fails("rename refs/heads/d", "Disk quota exceeded");
            git.ok("release refs/heads/d");
        }
        assert_eq!(count(&bare), 2);
        limit(&place, 100);
        bare.ok("update-ref refs/heads/b main");
    }
}

/// git does not look at errors there, and would report success.
#[test]
fn a_git_that_cannot_be_told_is_ended() {
    let place = place();
    let bare = repository(&place);
    let (mut git, _) = begun(&place, &bare);
    limit(&place, 2);
    assert_eq!(
        git.does("release refs/heads/c"),
        "",
        "it does not come back"
    );
    let ended = git.child.wait().expect("it ended");
    assert_eq!(ended.signal(), Some(libc::SIGKILL));
    assert_eq!(count(&bare), 2);
    limit(&place, 100);
    for name in ["b", "c", "d"] {
        bare.ok(format!("update-ref refs/heads/{name} main"));
    }
}

#[test]
fn removals_wait_as_well() {
    let place = place();
    let bare = repository(&place);
    let names = ["a", "b", "c", "d"];
    let lines: String = (names.iter())
        .map(|name| format!("create refs/heads/{name} {}\n", bare.oid("main")))
        .collect();
    bare.feed("update-ref --stdin", lines);
    let mut git = Actor::git(&place, &bare);
    for name in names {
        git.ok(&format!("lock refs/heads/{name}"));
    }
    let before = entries(&place);
    git.ok("delete refs/heads/a");
    git.ok("delete refs/heads/b");
    assert_eq!(entries(&place), before + 1);
    assert!(!bare.dir.join("refs/heads/b").exists(), "who looks waits");
    assert_eq!(entries(&place), before + 2);
    git.ok("delete refs/heads/c");
    assert_eq!(entries(&place), before + 2);
    // `d` was only to stay what it is.
    for name in names {
        git.ok(&format!("release refs/heads/{name}"));
        assert_eq!(entries(&place), before + 3, "with the first lock");
    }
    place.crash();
    assert_eq!(count(&bare), 2);
}

/// Looks wait for a commit a second at most, and no lock is given away meanwhile.
#[test]
fn a_commit_that_takes_long_holds_up_no_look() {
    let place = place();
    let bare = repository(&place);
    place.daemon().umount();
    place.daemon().arm("refs::written=1*off->1*sleep(15000)");
    place.daemon().launch();
    let (mut git, _) = begun(&place, &bare);
    for _ in 0..2 {
        let begin = Instant::now();
        let _ = fs::metadata(bare.dir.join("refs/heads/b"));
        let lock = fs::File::create_new(bare.dir.join("refs/heads/b.lock"));
        let error = lock.expect_err("it is held").kind();
        assert_eq!(error, std::io::ErrorKind::AlreadyExists);
        assert!(begin.elapsed() < LOOKS, "{:?}", begin.elapsed());
    }
    git.ok("rename refs/heads/c");
    git.ok("rename refs/heads/d");
    assert_eq!(count(&bare), 5);
}

/// Two at once in one repository.
#[test]
fn two_transactions_at_once() {
    let place = place();
    let bare = repository(&place);
    let tip = bare.oid("main");
    let git: Vec<_> = (0..2).map(|_| Actor::git(&place, &bare)).collect();
    let before = entries(&place);
    let mut both: Vec<_> = git.into_iter().zip(["x", "y"]).collect();
    for at in 0..20 {
        for (git, side) in &mut both {
            git.ok(&format!("lock refs/heads/{side}{at} {tip}"));
        }
    }
    for at in 0..20 {
        for (git, side) in &mut both {
            git.ok(&format!("rename refs/heads/{side}{at}"));
        }
    }
    assert_eq!(entries(&place) - before, 4, "two each");
    place.crash();
    assert_eq!(count(&bare), 41);
}

/// Real gits, killed at any moment beside readers: a prefix of each transaction is there, as readers saw it.
#[test]
fn killed_transactions_leave_a_prefix() {
    let place = place();
    let bare = repository(&place);
    let tip = bare.oid("main");
    for round in 0..15 {
        let lines = each(300, |n| {
            format!("create refs/heads/k/{round}-{n:03} {tip}\n")
        });
        let path: PathBuf = place.scratch.join("lines");
        fs::write(&path, lines).expect("written");
        let mut git = Command::new("git")
            .args(["update-ref", "--stdin"])
            .current_dir(&bare.dir)
            .stdin(fs::File::open(&path).expect("lines"))
            .stderr(Stdio::null())
            .spawn()
            .expect("git");
        std::thread::sleep(Duration::from_millis(10 * round));
        let seen = count(&bare);
        git.kill().expect("killed, or ended");
        git.wait().expect("it ends");
        assert!(count(&bare) >= seen, "what was seen stays");
        let refs = bare.refs();
        let mine = |n: &usize| refs.contains(&format!("refs/heads/k/{round}-{n:03}"));
        let moved = (0..300).take_while(mine).count();
        assert_eq!((moved..300).find(mine), None, "a prefix of {moved}");
        for lock in bare
            .names("refs/heads/k")
            .iter()
            .filter(|name| name.ends_with(".lock"))
        {
            fs::remove_file(bare.dir.join("refs/heads/k").join(lock)).expect("rm lock");
        }
    }
    place.crash();
    bare.fsck();
}
