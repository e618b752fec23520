//! What a process keeps in its own memory: its command line and its environment.
//!
//! Reading that takes locks of the process, which may wait for this daemon: execve(2) closes what is close-on-exec with a
//! lock held that /proc/PID/environ asks for, and such a close waits for the answer to FLUSH. A process may also
//! keep its memory where nobody answers (userfaultfd(2)). So a thread of its own reads, which is waited for a moment; each user
//! has a share of such threads. Who cannot be read in time has said nothing.

use crate::shares::Shares;
use parking_lot::Mutex;
use std::fs::File;
use std::io::Read;
use std::sync::LazyLock;
use std::time::Duration;

/// How much of a command line and of an environment is read, bytes.
const READ: u64 = 64 << 10;

/// How long it may take: a process that is not held up answers within microseconds.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Threads that read at a time.
const READERS: u64 = 64;

static READING: LazyLock<Mutex<Shares<u32>>> = LazyLock::new(|| Mutex::new(Shares::of(READERS)));

/// Both of them, as /proc has them.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Words that end in zero bytes.
    pub(super) command_line: Option<Vec<u8>>,
    /// The same. `None` also where it is another user's, and the daemon is not root.
    pub(super) environment: Option<Vec<u8>>,
}

/// Of a process of a user.
pub(super) fn of(user: u32, pid: u32) -> Memory {
    let Some(reader) = Reader::of(user) else {
        return Memory::default();
    };
    let (told, tells) = crossbeam_channel::bounded(1);
    let read = move || {
        let _reader = reader;
        let memory = Memory {
            command_line: file(pid, "cmdline"),
            environment: file(pid, "environ"),
        };
        // Nobody may be waiting any more.
        let _ = told.send(memory);
    };
    match std::thread::Builder::new()
        .name("origin".into())
        .spawn(read)
    {
        Ok(_) => tells.recv_timeout(TIMEOUT).unwrap_or_default(),
        Err(_) => Memory::default(),
    }
}

fn file(pid: u32, name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(format!("/proc/{pid}/{name}")).ok()?;
    file.take(READ).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// One of a user's threads; another's when it is dropped.
struct Reader(u32);

impl Reader {
    fn of(user: u32) -> Option<Self> {
        READING.lock().take(user, 1).then_some(Self(user))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        READING.lock().give_back(self.0, 1);
    }
}
