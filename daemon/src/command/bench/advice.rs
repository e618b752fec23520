//! What stands out of what was measured, and what can be done about it.

use super::Compared;
use super::pair::{PUSH, READS};
use crate::command::status::Status;
use gitmoor_store::object_store::StoreTimes;

/// A short command that takes so many times as long as on the disk is felt.
const SLOW_READ: f64 = 2.5;
/// The same of a push.
const SLOW_PUSH: f64 = 2.5;
/// Milliseconds that a disk takes to sync, above which commits are felt.
const SLOW_SYNC: f64 = 10.0;
/// Milliseconds of a small request.
const FAR: f64 = 50.0;
/// Bytes in a second, below which a cold clone is felt.
const NARROW: f64 = 20e6;
const LARGE: f64 = (4 << 20) as f64;

/// One sentence or two for each.
pub(super) fn of(
    status: &Status,
    commands: &[Compared],
    sync: f64,
    store: Option<&StoreTimes>,
) -> Vec<String> {
    let slowest = commands.iter().filter(|it| READS.contains(&it.command));
    let slowest = slowest.max_by(|a, b| a.ratio.total_cmp(&b.ratio));
    let push = commands.iter().find(|it| it.command == PUSH);
    let mut advice = Vec::new();
    advice.extend(slowest.and_then(|read| of_reads(read, status)));
    advice.extend(store.into_iter().flat_map(of_store));
    if sync > SLOW_SYNC {
        advice.push(format!(
            "the disk of the data directory takes {sync:.0} ms to sync, and a push waits for that more than once: a \
             disk with a write cache that survives a power failure is quicker"
        ));
    }
    let is_explained = !advice.is_empty();
    advice.extend(push.filter(|push| push.ratio > SLOW_PUSH && !is_explained).map(|push| {
        format!(
            "a push takes {:.1} times as long as on the disk, which does not sync what it acknowledges: gitmoor \
             status and the log (slow operations) say what a push waits for",
            push.ratio
        )
    }));
    advice
}

fn of_reads(slowest: &Compared, status: &Status) -> Option<String> {
    let (command, ratio) = (slowest.command, slowest.ratio);
    (ratio > SLOW_READ).then(|| match &status.asks {
        Some(node) => format!(
            "{command} takes {ratio:.1} times as long as on the disk: this mount is a client, and asks {node}; a mount \
             on a node asks over a shorter way"
        ),
        None => format!(
            "{command} takes {ratio:.1} times as long as on the disk: most of a short command is the way of each open(2) \
             to the daemon, which a busy machine makes longer; measure again when nothing else runs"
        ),
    })
}

fn of_store(times: &StoreTimes) -> Vec<String> {
    let milliseconds = |micros: u64| micros as f64 / 1000.0;
    let (put, get) = (milliseconds(times.small_put), milliseconds(times.small_get));
    let mut advice = Vec::new();
    if put > FAR {
        advice.push(format!(
            "the store takes {put:.0} ms to put a small object, and a push waits for that once: a store that is nearer \
             makes pushes quicker"
        ));
    }
    if get > FAR {
        advice.push(format!(
            "the store takes {get:.0} ms to answer a read: gitmoor warm before work, and a cache-size that holds what \
             is worked on, save most of these"
        ));
    }
    let each_second = LARGE / (times.large_get.max(1) as f64 / 1e6);
    if each_second < NARROW {
        advice.push(format!(
            "one read of the store gives {:.1} MB in a second: a clone of what is not cached takes as long as its bytes \
             take; download-limit may be set",
            each_second / 1e6
        ));
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(small: u64, large: u64) -> StoreTimes {
        StoreTimes {
            small_put: small,
            small_get: small,
            large_put: large,
            large_get: large,
        }
    }

    #[test]
    fn a_store_that_is_near_and_wide_is_no_matter() {
        assert_eq!(of_store(&times(2_000, 20_000)), [""; 0]);
    }

    #[test]
    fn a_store_that_is_far_or_narrow_is() {
        assert_eq!(of_store(&times(80_000, 20_000)).len(), 2);
        let narrow = of_store(&times(2_000, 2_000_000));
        assert!(narrow[0].contains("2.1 MB"), "{narrow:?}");
    }
}
