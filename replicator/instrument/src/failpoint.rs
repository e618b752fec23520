//! Named points at which a drill lets the process die, as by kill -9, or wait.
//!
//! They are compiled into every build, so that the binary that the drills kill is
//! the one that users run; a feature of their own would make it another. Nobody
//! pays for them: until [`arm`] is called, which only a variable of the daemon's
//! environment does, a point is one relaxed load and a branch that is never taken,
//! and every point stands beside a system call, an fsync or a request.
//!
//! A point is declared with [`failpoints!`](crate::failpoints), which also lists
//! it; a drill that goes through the list cannot overlook one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Whether any point does anything. Set once, before threads are started.
static ARMED: AtomicBool = AtomicBool::new(false);

/// A point in the code at which a drill can end the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failpoint(&'static str);

impl Failpoint {
    /// Names a point; see [`failpoints!`](crate::failpoints).
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// Its name, for [`arm`].
    pub fn name(self) -> &'static str {
        self.0
    }

    /// The process has come here.
    #[inline]
    pub fn hit(self) {
        if ARMED.load(Ordering::Relaxed) {
            self.act();
        }
    }

    #[cold]
    fn act(self) {
        fail::fail_point!(self.0);
    }
}

/// Declares a crate's failpoints as constants, and `ALL` of them.
#[macro_export]
macro_rules! failpoints {
    ($($(#[$doc:meta])* $point:ident = $name:literal;)*) => {
        $($(#[$doc])* pub const $point: $crate::failpoint::Failpoint =
            $crate::failpoint::Failpoint::new($name);)*

        /// Every point of this crate.
        pub const ALL: &[$crate::failpoint::Failpoint] = &[$($point),*];
    };
}

/// Gives points their actions: `NAME=ACTION`, separated by semicolons. `kill@N`
/// kills the process at the Nth time it comes there; everything else is the `fail`
/// crate's (`sleep(100)`, `pause`, `1*off->print(again)`). An error names the part
/// that makes no sense; nothing may be running yet.
pub fn arm(text: &str, known: &[Failpoint]) -> Result<(), String> {
    for part in text.split(';').filter(|part| !part.trim().is_empty()) {
        let (name, action) = part
            .trim()
            .split_once('=')
            .ok_or_else(|| format!("{part:?} is not NAME=ACTION"))?;
        let point = known.iter().find(|point| point.0 == name);
        let point = point.ok_or_else(|| format!("there is no failpoint {name:?}"))?;
        set(*point, action)?;
    }
    tracing::warn!(
        points = text,
        "failpoints are armed: this process will misbehave on purpose"
    );
    ARMED.store(true, Ordering::Relaxed);
    Ok(())
}

fn set(point: Failpoint, action: &str) -> Result<(), String> {
    let Some(count) = action.strip_prefix("kill@") else {
        return fail::cfg(point.0, action);
    };
    let left = count.parse::<u64>().ok().filter(|count| *count > 0);
    let left = AtomicU64::new(left.ok_or_else(|| format!("{count:?} in {action:?} is no count"))?);
    fail::cfg_callback(point.0, move || {
        // Threads that come too late find 0, wrap, and go on until they are dead.
        if left.fetch_sub(1, Ordering::Relaxed) == 1 {
            kill(point);
        }
    })
}

/// SIGKILL: no destructor runs, no buffer is flushed, and it cannot be mistaken
/// for the abort of a process that found its disk broken.
fn kill(point: Failpoint) {
    tracing::error!(point = point.0, "failpoint reached, killing this process");
    let killed =
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    killed.expect("a process may kill itself");
}
