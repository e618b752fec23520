//! The commands whose requests come in, each the root of a trace. It begins with the first request
//! of any of its processes, and ends when the outermost has ended or nothing has come for a while.

use crate::process::{self, Processes, lineage};
use gitmoor_instrument::trace::{self, TARGET};
use parking_lot::Mutex;
use rand::Rng;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tracing::{Span, field, trace_span};

/// A process that lives on, such as `cat-file --batch`, begins another trace after so long.
const IDLE: Duration = Duration::from_secs(30);

/// How soon the end of a process is noticed.
const TICK: Duration = Duration::from_millis(100);

pub(super) struct Commands {
    /// The command of a thread, by its number.
    of: Processes<u64>,
    running: Arc<Mutex<Running>>,
    /// The part of all commands that is traced.
    ratio: f64,
}

#[derive(Default)]
struct Running {
    last: u64,
    commands: HashMap<u64, Command>,
}

struct Command {
    /// Its outermost process …
    root: u32,
    /// … which was there then, in time since the machine started.
    seen: Duration,
    /// None if it is not among those that are traced.
    span: Span,
    used: Instant,
    has_session: bool,
}

impl Commands {
    pub(super) fn new(ratio: f64) -> io::Result<Self> {
        let running = Arc::default();
        if trace::is_on() {
            let watched = Arc::downgrade(&running);
            let watch = move || watch(&watched);
            std::thread::Builder::new()
                .name("traces".into())
                .spawn(watch)?;
        }
        Ok(Self {
            of: Processes::new(),
            running,
            ratio,
        })
    }

    /// The span of the command that a thread works for; none if it is not traced.
    pub(super) fn span_of(&self, user: u32, tid: u32) -> Span {
        // 0 is whoever is in another pid namespace: not one command.
        if !trace::is_on() || tid == 0 {
            return Span::none();
        }
        self.known(tid).unwrap_or_else(|| self.begin(user, tid))
    }

    fn known(&self, tid: u32) -> Option<Span> {
        let number = self.of.get(tid)?;
        let mut running = self.running.lock();
        let command = running.commands.get_mut(&number)?;
        command.used = Instant::now();
        Some(command.span.clone())
    }

    /// A thread that is new: of a command that is known, or the first of its own.
    fn begin(&self, user: u32, tid: u32) -> Span {
        let pid = process::of_thread(tid);
        let root = lineage::command_of(pid);
        // Before others wait for the lock: it may take a moment.
        let is_new = self.running.lock().number(root).is_none();
        let title = if is_new {
            lineage::title(user, root)
        } else {
            String::new()
        };
        let session = lineage::session(user, pid);
        let mut running = self.running.lock();
        let known = running.number(root);
        let number = known.unwrap_or_else(|| running.add(root, &title, self.ratio));
        let command = running.commands.get_mut(&number).expect("found or added");
        command.used = Instant::now();
        if !command.span.is_none() && !command.has_session {
            command.has_session = session.is_some();
            command.span.record("session", session);
        }
        self.of.insert(tid, number);
        command.span.clone()
    }
}

impl Running {
    fn number(&self, root: u32) -> Option<u64> {
        let known = self.commands.iter().find(|(_, it)| it.root == root);
        known.map(|(number, _)| *number)
    }

    fn add(&mut self, root: u32, title: &str, ratio: f64) -> u64 {
        let span = match rand::rng().random_bool(ratio) {
            true => {
                trace_span!(target: TARGET, parent: None, "command", otel.name = title, pid = root, session = field::Empty)
            }
            false => Span::none(),
        };
        self.last += 1;
        let command = Command {
            root,
            seen: process::now(),
            span,
            used: Instant::now(),
            has_session: false,
        };
        self.commands.insert(self.last, command);
        self.last
    }
}

/// Ends commands until the mount is gone.
fn watch(running: &Weak<Mutex<Running>>) {
    while let Some(running) = running.upgrade() {
        let is_over = |command: &Command| {
            command.used.elapsed() > IDLE || process::has_ended(command.root, command.seen)
        };
        let mut all = running.lock();
        let over: Vec<_> = all.commands.extract_if(|_, it| is_over(it)).collect();
        drop(all);
        // Dropping a span exports it.
        drop(over);
        drop(running);
        std::thread::sleep(TICK);
    }
}
