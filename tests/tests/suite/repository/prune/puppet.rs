//! A process that stays, as a server does.

use gitmoor_tests::git::Repo;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A process that does one thing per line, and says when it is done.
pub(super) struct Puppet {
    process: Child,
    hand: ChildStdin,
    mouth: BufReader<ChildStdout>,
}

/// Its words: `look` at HEAD, `unlink` a file, `move` a ref to an oid by hand as git does,
/// `remove` the repository; `thread` before
/// any of them has it done by a new thread.
const PUPPET: &str = r#"
import os, shutil, sys, threading
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
def remove():
    try: shutil.rmtree(repo)
    except OSError as e: return 'errno %d' % e.errno
    return 'removed'
def act(words):
    said.append({'look': look, 'unlink': unlink, 'move': move, 'remove': remove}[words[0]](*words[1:]))
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
    pub(super) fn of(bare: &Repo) -> Puppet {
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

    pub(super) fn does(&mut self, words: &str) -> String {
        writeln!(self.hand, "{words}").expect("it reads");
        let mut said = String::new();
        self.mouth.read_line(&mut said).expect("it answers");
        said.trim().to_owned()
    }

    pub(super) fn unlinks(&mut self, path: &Path) -> String {
        self.does(&format!("unlink {}", path.display()))
    }

    pub(super) fn ends(mut self) {
        drop(self.hand);
        assert!(self.process.wait().expect("it ends").success());
    }
}
