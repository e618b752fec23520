//! What users share has a bound, and a share for each: threads that wait, open files, listings. A user
//! who takes all that there is to take is alone in having to wait.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::hostile::{BOUND, Ground, as_intruder};
use gitmoor_tests::mount::Settings;
use gitmoor_tests::place::Place;
use gitmoor_tests::s3::{Fault, Kind as S3};
use gitmoor_tests::{git::Installed, history::noise, process, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File, ReadDir};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

/// Threads that read the same page of a file past the kernel's cache; says when all have begun, and how many
/// were refused when all are done.
const READERS: &str = r#"
import collections, errno, mmap, os, sys, threading
threading.stack_size(1 << 16)
path, number, done = sys.argv[1], int(sys.argv[2]), collections.Counter()
file = os.open(path, os.O_RDONLY | os.O_DIRECT)
def read():
    try:
        os.preadv(file, [mmap.mmap(-1, 4096)], 0)
        done['read'] += 1
    except OSError as error:
        done[errno.errorcode[error.errno]] += 1
threads = [threading.Thread(target=read) for _ in range(number)]
for thread in threads: thread.start()
print('begun', flush=True)
for thread in threads: thread.join()
print(done['read'], done['EAGAIN'], flush=True)
"#;

/// More than the daemon has threads, and than one user's line is long.
const MANY: usize = 1400;

/// Reads of the intruder that the store does not answer.
struct Stuck {
    ground: Ground,
    readers: Child,
    says: BufReader<std::process::ChildStdout>,
}

impl Stuck {
    fn new(number: usize) -> Stuck {
        let ground = Ground::new(Kind::S3s, "read-timeout = \"1h\"\n");
        let blob = ground.home.join("noise");
        fs::write(&blob, noise(1 << 20, 1)).expect("write");
        let oid = ground.sh_ok("git hash-object -w $HOME/noise");
        ground.sh_ok(&format!("git update-ref refs/blobs/noise {oid}"));
        ground.place.cool();
        // What others need is here.
        ground.other.fsck();
        let path = format!("objects/{}/{}", &oid[..2], &oid[2..]);
        ground.place.server().fail(S3::Get, Fault::Hold, 100_000);
        let mut command = ground.command("python3");
        command.args(["-c", READERS, &path, &number.to_string()]);
        let mut readers = command.stdout(Stdio::piped()).spawn().expect("python3");
        let says = BufReader::new(readers.stdout.take().expect("piped"));
        let mut stuck = Stuck {
            ground,
            readers,
            says,
        };
        assert_eq!(stuck.line(), "begun");
        stuck.until_waiting(256);
        stuck
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.says.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }

    fn until_waiting(&self, number: usize) {
        let settings = self.ground.place.daemon().settings().clone();
        wait::until("the reads wait", BOUND, || {
            let status = settings.status();
            status["waits"].as_array().map_or(0, Vec::len) >= number
        });
    }

    /// Others change, read and wait as if nothing was.
    fn others_are_served(&self) {
        self.ground.other.ok("update-ref refs/heads/two main");
        self.ground.other.ok("config gitmoor.test one");
        self.ground.other.ok("update-ref -d refs/heads/two");
        self.ground.unharmed();
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.ground.place.server().heal();
        self.ground.place.server().release();
        let _ = self.readers.kill();
        let _ = self.readers.wait();
    }
}

#[test]
fn a_user_whose_calls_are_all_stuck_holds_up_nobody() {
    let mut stuck = Stuck::new(MANY);
    stuck.others_are_served();
    stuck.ground.place.server().heal();
    stuck.ground.place.server().release();
    let line = stuck.line();
    let (read, refused) = line.split_once(' ').expect("two numbers");
    let number = |text: &str| text.parse::<usize>().expect("a number");
    assert_eq!(number(read) + number(refused), MANY, "{line}");
    assert!(number(refused) > 0, "the line is longer than that: {line}");
    assert!(number(read) >= 1000, "{line}");
}

/// Those that run, and those that stand in line.
#[test]
fn stuck_calls_end_with_their_process() {
    let mut stuck = Stuck::new(600);
    stuck.readers.kill().expect("SIGKILL");
    let ended = wait::poll(BOUND, || stuck.readers.try_wait().expect("wait"));
    assert!(ended.is_some(), "it is held in the kernel");
    let settings = stuck.ground.place.daemon().settings().clone();
    wait::until("nobody waits", BOUND, || {
        settings.status()["waits"]
            .as_array()
            .is_some_and(Vec::is_empty)
    });
}

/// `gitmoor umount` says that the mount is in use, and detaches it when told to; a signal ends the daemon.
#[test]
fn stuck_calls_do_not_hold_the_daemon() {
    let stuck = Stuck::new(600);
    let settings = stuck.ground.place.daemon().settings().clone();
    let at = settings.at.to_str().expect("UTF-8");
    let refused = settings.gitmoor(&["umount", at]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("--lazy"), "{said}");
    settings.gitmoor_ok(&["umount", "--lazy", at]);
    let mut daemon = stuck.ground.place.daemon();
    let pid = Pid::from_raw(daemon.pid().expect("it runs").try_into().expect("a pid"));
    kill(pid, Signal::SIGTERM).expect("SIGTERM");
    assert!(daemon.death(BOUND).is_some(), "the daemon does not leave");
    stuck.ground.place.server().heal();
    daemon.launch();
}

/// execve(2) closes what is close-on-exec with a lock held that whoever reads the process's environment waits for, and
/// the daemon reads that for the audit trail when a close commits a ref.
#[test]
fn a_ref_that_is_closed_by_exec_is_committed() {
    let ground = Ground::new(Kind::Dir, "");
    let script = "import os, sys\n\
                  ref = os.open('refs/heads/closed', os.O_WRONLY | os.O_CREAT)\n\
                  os.write(ref, sys.argv[1].encode() + b'\\n')\n\
                  os.execv('/bin/true', ['true'])\n";
    let mut command = ground.command("python3");
    let value = ground.sh_ok("git rev-parse main");
    command.args(["-c", script, &value]);
    let mut writer = command.spawn().expect("python3");
    let ended = wait::poll(BOUND, || writer.try_wait().expect("wait"));
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    assert_eq!(ground.sh_ok("git rev-parse closed"), value);
    ground.unharmed();
}

/// A repository that takes long to be opened is waited for by those who want it, and by no others.
#[test]
fn a_repository_that_is_being_opened_holds_up_no_other() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let (slow, _) = place.pushed("slow.git", 1);
    let (other, _) = place.pushed("other.git", 1);
    let settings = place.daemon().settings().clone();
    let info = settings.gitmoor_ok(&["repo", "info", "slow.git", "--json"]);
    let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    let id = info["id"].as_str().expect("an id");
    place.daemon().umount();
    fs::remove_dir_all(settings.data.join("repos").join(id)).expect("rm");
    place.daemon().arm("repository::unfurnished=sleep(600000)");
    place.daemon().launch();
    // More than there are threads that read requests.
    let look = |_| {
        let mut command = slow.git.command(&place.scratch, &[]);
        command.arg("ls-remote").arg(&slow.dir);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("git")
    };
    let mut lookers: Vec<_> = (0..8).map(look).collect();
    let home = settings.data.join("repos").join(id);
    wait::until("it is being opened", BOUND, || home.exists());
    other.ok("update-ref refs/heads/two main");
    assert_eq!(other.oid("two"), other.oid("main"));
    settings.gitmoor_ok(&["status"]);
    let still = |child: &mut Child| child.try_wait().expect("wait").is_none();
    assert!(lookers.iter_mut().all(still), "all of them wait");
    place.daemon().kill9();
    for mut looker in lookers {
        let _ = looker.wait();
    }
    place.daemon().arm("");
    place.daemon().launch();
    slow.fsck();
}

/// With room for 200 open files.
#[test]
fn one_user_does_not_open_all_files_that_there_may_be() {
    let ground = Ground::with(Kind::Dir, "", |settings| Settings {
        open_files: Some(656),
        ..settings
    });
    let (mine, other) = (ground.mine.dir.join("HEAD"), ground.other.dir.join("HEAD"));
    let open = |path: &Path, number: usize| -> Vec<_> {
        let all = (0..number).map(|_| File::open(path));
        all.collect()
    };
    let mut held = as_intruder(|| open(&mine, 300));
    let refused = held.extract_if(.., |file| file.is_err()).count();
    assert!((50..150).contains(&held.len()), "{}", held.len());
    assert_eq!(held.len() + refused, 300);
    let mut others = open(&other, 50);
    assert!(others.iter().all(Result::is_ok), "others have room");
    others.clear();
    ground.unharmed();
    held.clear();
    // The kernel tells of closed files when it has told who closed them.
    wait::until("there is room again", BOUND, || {
        as_intruder(|| open(&mine, 50)).iter().all(Result::is_ok)
    });
}

fn memory(ground: &Ground, line: &str) -> u64 {
    let pid = ground.place.daemon().pid();
    process::memory(pid.expect("it runs"), line)
}

/// Holds so many descriptors of a file.
const HOLD: &str = r#"
import os, sys
held = [os.open(sys.argv[1], os.O_RDONLY) for _ in range(int(sys.argv[2]))]
last = os.pread(held[-1], 4, os.fstat(held[-1]).st_size - 4)
print(len(held), last.decode())
"#;

/// What is open is not in memory once for each who has it open.
#[test]
fn one_large_value_that_is_open_often_is_in_memory_once() {
    let ground = Ground::new(Kind::Dir, "");
    let table = "reftable/0x000000000001-0x000000000001-00000001.ref";
    ground.sh_ok(&format!(
        "mkdir -p reftable && head -c 16M /dev/zero >$HOME/table && printf last >>$HOME/table && cp $HOME/table {table}"
    ));
    let before = memory(&ground, "VmHWM");
    let mut command = ground.command("python3");
    command.args(["-c", HOLD, table, "100"]);
    let output = command.output().expect("python3");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.trim(), "100 last", "{}", process::report(&output));
    let grown = memory(&ground, "VmHWM") - before;
    // The version before held it a hundred times.
    assert!(grown < 200 << 20, "it grew by {grown} bytes");
    ground.unharmed();
}

/// Sizes are the users' to choose, and so is how many are committed at once.
#[test]
fn large_values_of_one_user_are_committed_by_turns() {
    let ground = Ground::new(Kind::Dir, "");
    ground.sh_ok("mkdir -p reftable");
    let before = memory(&ground, "VmHWM");
    // None of them is a list of refs, which shows when it has been read.
    let script = "for n in 1 2 3 4 5 6; do
            truncate -s 500M packed-refs.$n && mv packed-refs.$n packed-refs &
        done; wait";
    ground.sh(script);
    let grown = memory(&ground, "VmHWM") - before;
    assert!(grown < 1200 << 20, "it grew by {grown} bytes");
    ground.unharmed();
}

/// The length of a file in the making is its writer's to choose; what counts is what it takes of the disk.
#[test]
fn a_sparse_file_keeps_nobody_from_writing() {
    let ground = Ground::new(
        Kind::S3s,
        "staging-size = \"4MiB\"\nidle-publish = \"1h\"\n",
    );
    let server = ground.place.server();
    server.set_down(true);
    ground.sh_ok("echo mine | git hash-object -w --stdin");
    ground.sh_ok(": >objects/tmp_obj_x; truncate -s 8T objects/tmp_obj_x");
    let began = std::time::Instant::now();
    ground.other.feed("hash-object -w --stdin", "other's");
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    ground.sh_ok("rm objects/tmp_obj_x");
    server.set_down(false);
    ground.unharmed();
}

/// A directory of many names, open many times: whole listings would be 180 MB.
#[test]
fn listings_that_are_kept_have_a_bound() {
    const NAMES: usize = 2000;
    const OPEN: usize = 300;
    let ground = Ground::new(Kind::Dir, "");
    let dir = ground.mine.dir.join("many");
    let name = |n: usize| format!("{n:05}-{}", "x".repeat(240));
    as_intruder(|| {
        fs::create_dir(&dir).expect("mkdir");
        let make = |n| fs::write(dir.join(name(n)), "").expect("a file");
        (0..NAMES).for_each(make);
    });
    let before = memory(&ground, "VmRSS");
    let begin = |_| -> (ReadDir, String) {
        let mut listing = fs::read_dir(&dir).expect("opendir");
        let first = listing.next().expect("a name").expect("readdir");
        (listing, first.file_name().into_string().expect("UTF-8"))
    };
    let open: Vec<_> = as_intruder(|| (0..OPEN).map(begin).collect());
    let grown = memory(&ground, "VmRSS").saturating_sub(before);
    assert!(
        grown < 96 << 20,
        "{grown} bytes for {OPEN} open directories"
    );
    // Whatever became of its listing, an open directory tells each name once.
    for (listing, first) in open.into_iter().step_by(OPEN / 5) {
        let others = listing.map(|entry| entry.expect("readdir").file_name());
        let others = others.map(|name| name.into_string().expect("UTF-8"));
        let mut told: Vec<_> = std::iter::once(first).chain(others).collect();
        told.sort();
        assert!(told.into_iter().eq((0..NAMES).map(name)));
    }
    ground.unharmed();
}
