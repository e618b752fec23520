//! A deletion that is not published yet, and ref changes that come after it: of processes
//! that began when it was over, and of those that may have seen what it took.

use super::{object, prune, unreachable, whole};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::Repo;
use gitmoor_tests::history::History;
use gitmoor_tests::place::Place;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Where only a ref change publishes deletions.
fn place() -> Place {
    Place::set(Kind::Dir, "idle-publish = \"1h\"\n")
}

/// A process that does one thing per line, and says when it is done.
struct Puppet {
    process: Child,
    hand: ChildStdin,
    mouth: BufReader<ChildStdout>,
}

/// Its words: `look` at HEAD, `unlink` a file, `move` a ref to an oid by hand as git does; `thread` before
/// any of them has it done by a new thread.
const PUPPET: &str = r#"
import os, sys, threading
repo = sys.argv[1]
def look():
    with open(repo + '/HEAD') as head: head.read()
    return 'looked'
def unlink(path):
    try: os.unlink(path)
    except OSError as e: return 'errno %d' % e.errno
    return 'unlinked'
def move(ref, oid):
    lock = os.open(repo + '/' + ref + '.lock', os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    os.write(lock, (oid + '\n').encode())
    os.close(lock)
    os.rename(repo + '/' + ref + '.lock', repo + '/' + ref)
    return 'moved'
def act(words):
    said.append({'look': look, 'unlink': unlink, 'move': move}[words[0]](*words[1:]))
for line in sys.stdin:
    said, words = [], line.split()
    if words[0] == 'thread':
        thread = threading.Thread(target=act, args=(words[1:],))
        thread.start()
        thread.join()
    else:
        act(words)
    print(said[0], flush=True)
"#;

impl Puppet {
    fn of(bare: &Repo) -> Puppet {
        let mut command = Command::new("python3");
        command.args(["-c", PUPPET, bare.path()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("python3");
        let hand = process.stdin.take().expect("piped");
        let mouth = BufReader::new(process.stdout.take().expect("piped"));
        Puppet {
            process,
            hand,
            mouth,
        }
    }

    fn does(&mut self, words: &str) -> String {
        writeln!(self.hand, "{words}").expect("it reads");
        let mut said = String::new();
        self.mouth.read_line(&mut said).expect("it answers");
        said.trim().to_owned()
    }

    fn unlinks(&mut self, path: &Path) -> String {
        self.does(&format!("unlink {}", path.display()))
    }

    fn ends(mut self) {
        drop(self.hand);
        assert!(self.process.wait().expect("it ends").success());
    }
}

fn packs(bare: &Repo) -> Vec<String> {
    let mut packs = bare.names("objects/pack");
    packs.retain(|name| name.ends_with(".pack"));
    packs
}

/// Two packs, and with them what a repack has to do.
fn two_packs(place: &Place) -> Repo {
    let (bare, work) = place.pushed("app.git", 3);
    bare.ok("repack -d --quiet");
    work.commit("more");
    work.ok("push --quiet origin main");
    bare.ok("repack -d --quiet");
    assert_eq!(packs(&bare).len(), 2, "{:?}", packs(&bare));
    bare
}

/// As anybody works: the old packs must not come back with the next commit.
#[test]
fn repacked_and_then_committed() {
    let place = place();
    let bare = two_packs(&place);
    bare.ok("repack -a -d --quiet");
    let one = packs(&bare);
    assert_eq!(one.len(), 1);
    let tip = bare.ok("commit-tree -m next -p main main^{tree}");
    bare.ok(format!("update-ref refs/heads/main {tip}"));
    assert_eq!(packs(&bare), one, "not undone");
    place.restart();
    assert_eq!(packs(&bare), one, "and published");
    whole(&place, &bare);
}

/// The first of them publishes the deletion: the second must not take it for one that
/// came while it was under way.
#[test]
fn two_ref_changes_of_a_process_that_came_after() {
    let place = place();
    let bare = two_packs(&place);
    bare.ok("repack -a -d --quiet");
    let one = packs(&bare);
    let mut later = Puppet::of(&bare);
    let tip = bare.oid("main");
    for name in ["first", "second"] {
        assert_eq!(
            later.does(&format!("move refs/heads/{name} {tip}")),
            "moved"
        );
        assert_eq!(packs(&bare), one);
    }
    later.ends();
    whole(&place, &bare);
}

/// The deleting process is not done: who looks now may find a commit whose tree is gone.
fn moved_while_the_pruner_runs(unlink: &str) {
    let place = place();
    let (bare, _, oids) = unreachable(&place);
    let (commit, blob) = (&oids[0], object(&bare, &oids[oids.len() - 1]));
    let mut pruner = Puppet::of(&bare);
    pruner.does("look");
    let said = pruner.does(&format!("{unlink} {}", blob.display()));
    assert_eq!(said, "unlinked");
    bare.ok(format!("update-ref refs/heads/rescued {commit}"));
    assert_eq!(pruner.unlinks(&object(&bare, commit)), "errno 116");
    pruner.ends();
    assert!(blob.exists(), "what hangs on the rescued commit is back");
    whole(&place, &bare);
}

#[test]
fn moved_by_who_looked_while_the_pruner_ran() {
    moved_while_the_pruner_runs("unlink");
}

/// Its process may not be done.
#[test]
fn deleted_by_a_thread_that_ended() {
    moved_while_the_pruner_runs("thread unlink");
}

/// Whoever looks when it is done finds neither.
#[test]
fn moved_by_who_looked_when_the_pruner_had_ended() {
    let place = place();
    let (bare, work, oids) = unreachable(&place);
    for oid in &oids {
        prune(&bare, oid);
    }
    bare.refuse(format!("update-ref refs/heads/lost {}", oids[0]), "");
    // It sends what is missing.
    work.ok("push --quiet origin reuse");
    assert_eq!(bare.oid("reuse"), oids[0]);
    whole(&place, &bare);
}

/// What one thread of a process has read, the others know.
fn looked_before_a_prune(look: &str, change: &str) {
    let place = place();
    let (bare, _, oids) = unreachable(&place);
    let mut server = Puppet::of(&bare);
    server.does(look);
    prune(&bare, &oids[oids.len() - 1]);
    let moved = server.does(&format!("{change} refs/heads/reuse {}", oids[0]));
    assert_eq!(moved, "moved");
    server.ends();
    assert!(object(&bare, &oids[oids.len() - 1]).exists(), "undone");
    whole(&place, &bare);
}

#[test]
fn moved_by_a_new_thread_of_an_old_process() {
    looked_before_a_prune("look", "thread move");
}

#[test]
fn looked_by_a_thread_that_ended() {
    looked_before_a_prune("thread look", "move");
}

/// The same objects come again and become the same pack, of which the kernel remembers that
/// there is none.
#[test]
fn bundled_again_under_the_same_name() {
    let place = place();
    let (bare, work) = place.pushed("app.git", 3);
    let before = packs(&bare);
    work.import(&History::seeded(7).commits("again", 4).stream());
    work.ok("push --quiet origin again");
    let mut made = packs(&bare);
    made.retain(|name| !before.contains(name));
    let [bundle] = made.as_slice() else {
        panic!("one pack, not {made:?}");
    };
    work.ok("push --quiet origin :again");
    bare.ok("repack -a -d --quiet");
    let path = bare.dir.join("objects/pack").join(bundle);
    assert!(!path.exists());
    work.ok("push --quiet origin again");
    assert!(path.exists(), "{:?}", packs(&bare));
    whole(&place, &bare);
}
