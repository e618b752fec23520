//! The threads for calls that may wait: for the store, the cluster, a lock.
//!
//! Each user has a share of them ([`Shares`]), so that a user's calls wait for no other's, whatever
//! those wait for. Calls beyond a user's share stand in a line of the user's own. A call in a line
//! is answered EINTR when its process is told to end. The line has a bound, again with a share for each user:
//! beyond that the answer is EAGAIN. The daemon's own processes (git of a maintenance that runs as the owner of the
//! repository) have a share and a line of their own, so that no user holds up the maintenance.
//!
//! The kernel has a bound too, on requests that no process waits for (readahead, releases). That one
//! knows no users, so it is larger than all that stand here ([`BACKGROUND`]).

use crate::error::{FsError, FsResult};
use crate::process::descends_from;
use crate::shares::Shares;
use fuser::Request;
use gitmoor_store::wait::{POLL, is_ending};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;

/// Calls that may wait on threads at the same time.
const THREADS: u16 = 512;

/// Calls that may stand in lines.
const LINES: u16 = 2048;

/// The kernel's bound, as high as it can be.
pub(super) const BACKGROUND: u16 = u16::MAX;

/// Whose share a call counts for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Whose {
    User(u32),
    /// A process that this daemon started.
    Own,
}

pub(super) struct Requester {
    user: u32,
    /// The thread, as FUSE names it.
    caller: u32,
    can_be_refused: bool,
}

impl Requester {
    pub(super) fn of(request: &Request) -> Self {
        Self {
            user: request.uid(),
            caller: request.pid(),
            can_be_refused: true,
        }
    }

    /// The kernel, which asks only once to release what it holds no longer. That counts for the user
    /// who opened the file.
    pub(super) fn kernel(user: u32) -> Self {
        Self {
            user,
            caller: 0,
            can_be_refused: false,
        }
    }
}

/// A call that may wait.
pub(super) struct Call {
    pub(super) requester: Requester,
    /// Does it, or says why it is not done.
    pub(super) answer: Box<dyn FnOnce(FsResult<()>) + Send>,
}

pub(super) struct Waiting {
    lines: Arc<Lines>,
    /// Ends the threads when it is dropped.
    _threads: Runtime,
}

struct Lines {
    threads: Handle,
    state: Mutex<State>,
    /// Somebody stands in a line.
    standing: Notify,
}

struct State {
    running: Shares<Whose>,
    standing: Shares<Whose>,
    /// None is empty.
    lines: HashMap<Whose, VecDeque<Standing>>,
}

struct Standing {
    call: Call,
    /// Whether it is one of [`State::standing`].
    counted: bool,
}

impl Waiting {
    pub(super) fn new() -> io::Result<Self> {
        let threads = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(THREADS.into())
            .thread_name("fuse-wait")
            .enable_time()
            .build()?;
        let lines = Arc::new(Lines {
            threads: threads.handle().clone(),
            state: Mutex::new(State {
                running: Shares::of(THREADS.into()),
                standing: Shares::of(LINES.into()),
                lines: HashMap::new(),
            }),
            standing: Notify::new(),
        });
        threads.spawn(look_for_interrupted(lines.clone()));
        Ok(Self {
            lines,
            _threads: threads,
        })
    }

    /// Has a thread do it, as soon as its user's share allows.
    pub(super) fn begin(&self, call: Call) {
        let mut whose = Whose::User(call.requester.user);
        if !self.lines.state.lock().would_begin(whose) && is_own(call.requester.caller) {
            whose = Whose::Own;
        }
        let mut state = self.lines.state.lock();
        let refused = state.line_up(whose, call);
        let ready = state.ready();
        let all_begin = state.lines.is_empty();
        drop(state);
        if !all_begin {
            self.lines.standing.notify_one();
        }
        self.lines.start(ready);
        if let Some(call) = refused {
            let user = call.requester.user;
            (call.answer)(Err(FsError::TooManyWaiting { user }));
        }
    }
}

/// Whether this daemon started the process. Whoever is in another pid namespace is none of them.
fn is_own(caller: u32) -> bool {
    caller != 0 && descends_from(caller, std::process::id())
}

impl State {
    fn would_begin(&self, whose: Whose) -> bool {
        !self.lines.contains_key(&whose) && self.running.allows(whose, 1)
    }

    /// Gives the call back if there is no room for it.
    fn line_up(&mut self, whose: Whose, call: Call) -> Option<Call> {
        let counted = self.standing.take(whose, 1);
        if !counted && call.requester.can_be_refused {
            return Some(call);
        }
        let standing = Standing { call, counted };
        self.lines.entry(whose).or_default().push_back(standing);
        None
    }

    /// Takes those out of the lines that may begin. Who has least running comes first: when that user may have no
    /// more, nobody may.
    fn ready(&mut self) -> Vec<(Whose, Call)> {
        let mut ready = Vec::new();
        while let Some(whose) = self.next()
            && self.running.take(whose, 1)
        {
            let line = self.lines.get_mut(&whose);
            if let Some(first) = line.and_then(VecDeque::pop_front) {
                ready.push((whose, self.out(whose, first)));
            }
        }
        ready
    }

    fn next(&self) -> Option<Whose> {
        let whose = self.lines.keys().copied();
        whose.min_by_key(|whose| self.running.held(*whose))
    }

    /// One is out of its line.
    fn out(&mut self, whose: Whose, standing: Standing) -> Call {
        if standing.counted {
            self.standing.give_back(whose, 1);
        }
        if self.lines.get(&whose).is_some_and(VecDeque::is_empty) {
            self.lines.remove(&whose);
        }
        standing.call
    }

    fn callers(&self) -> HashSet<u32> {
        let all = self.lines.values().flatten();
        let requesters = all.map(|it| &it.call.requester);
        let refusable = requesters.filter(|it| it.can_be_refused);
        refusable.map(|it| it.caller).collect()
    }

    /// Takes out those of some callers.
    fn of(&mut self, callers: &HashSet<u32>) -> Vec<Call> {
        let mut found = Vec::new();
        for (whose, line) in &mut self.lines {
            let is_theirs = |it: &Standing| {
                let by = &it.call.requester;
                by.can_be_refused && callers.contains(&by.caller)
            };
            let (theirs, others): (Vec<_>, Vec<_>) = line.drain(..).partition(is_theirs);
            line.extend(others);
            found.extend(theirs.into_iter().map(|it| (*whose, it)));
        }
        let out = |(whose, standing)| self.out(whose, standing);
        found.into_iter().map(out).collect()
    }
}

impl Lines {
    fn start(self: &Arc<Self>, ready: Vec<(Whose, Call)>) {
        for (whose, call) in ready {
            let place = Place {
                lines: self.clone(),
                whose,
            };
            self.threads.spawn_blocking(move || {
                let _place = place;
                (call.answer)(Ok(()));
            });
        }
    }

    /// Answers calls whose processes are told to end; whether any others stand in line.
    fn end_interrupted(&self) -> bool {
        let mut callers = self.state.lock().callers();
        // 0 is whoever is in another pid namespace.
        callers.retain(|caller| *caller != 0 && is_ending(*caller));
        let mut state = self.state.lock();
        let ended = state.of(&callers);
        let others = !state.lines.is_empty();
        drop(state);
        for call in ended {
            (call.answer)(Err(FsError::Interrupted));
        }
        others
    }
}

/// While there is a line.
async fn look_for_interrupted(lines: Arc<Lines>) {
    loop {
        match lines.end_interrupted() {
            true => tokio::time::sleep(POLL).await,
            false => lines.standing.notified().await,
        }
    }
}

/// A thread that works for somebody; dropped when it is done, also by a panic.
struct Place {
    lines: Arc<Lines>,
    whose: Whose,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.lines.state.lock();
        state.running.give_back(self.whose, 1);
        let ready = state.ready();
        drop(state);
        self.lines.start(ready);
    }
}
