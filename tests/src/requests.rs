//! What kernels ask a daemon for: FUSE requests, counted by its metrics.

use crate::wait;
use crate::watched::Watched;
use std::collections::BTreeMap;
use std::time::Duration;

/// Requests of each kind.
pub type Requests = BTreeMap<&'static str, u64>;

/// All that a git sends which only reads.
const KINDS: [&str; 10] = [
    "lookup",
    "getattr",
    "open",
    "read",
    "opendir",
    "readdir",
    "flush",
    "access",
    "release",
    "releasedir",
];

/// Those that no process waits for.
const IN_THE_BACKGROUND: [&str; 2] = ["release", "releasedir"];

const BOUND: Duration = Duration::from_secs(60);

/// Between the last answer and a release.
const PAUSE: Duration = Duration::from_millis(30);

/// See [`of`].
const IN_A_ROW: usize = 3;

/// How many there were.
pub fn so_far(watched: &Watched) -> Requests {
    let metrics = watched.metrics();
    let count = |op: &'static str| {
        let series = format!("gitmoor_fuse_operation_seconds_count{{op=\"{op}\"}}");
        (op, metrics.value(&series) as u64)
    };
    KINDS.into_iter().map(count).collect()
}

/// The same, when the last one has come of which nobody waits for the answer.
#[track_caller]
pub fn settled(watched: &Watched) -> Requests {
    let mut last = so_far(watched);
    wait::until("the last request has come", BOUND, || {
        std::thread::sleep(PAUSE);
        let before = std::mem::replace(&mut last, so_far(watched));
        last == before
    });
    last
}

/// How many more there are for which a process waits. A request is counted after its answer, which the process may have
/// before.
#[track_caller]
pub fn waited_for_since(watched: &Watched, before: &Requests) -> Requests {
    let grown = settled(watched)
        .into_iter()
        .map(|(op, count)| (op, count - before[op]));
    grown
        .filter(|(op, count)| *count > 0 && !IN_THE_BACKGROUND.contains(op))
        .collect()
}

/// What one more run asks for, once three in a row ask for the same: the kernel knows the names and their attributes,
/// listings have come to rest, and it was told of what was published before.
#[track_caller]
pub fn of(watched: &Watched, run: impl Fn()) -> Requests {
    let (mut asked, mut same) = (Requests::new(), 0);
    wait::until("the kernel has what it keeps", BOUND, || {
        let before = settled(watched);
        run();
        let now = waited_for_since(watched, &before);
        same = if now == asked { same + 1 } else { 1 };
        asked = now;
        same == IN_A_ROW
    });
    asked
}
