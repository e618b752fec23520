//! What an operation waited for, so that the line about a slow one can say so.
//!
//! Each thread notes for the operation that it works for. Threads that store files for another
//! one hand over what they noted.

use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Shorter waits explain nothing.
const WORTH: Duration = Duration::from_millis(1);

/// Waits that are kept for one operation; those that follow are not.
const KEPT: usize = 256;

/// Waits that are named, the longest first.
const NAMED: usize = 3;

thread_local! {
    static SPENT: RefCell<Vec<Spent>> = const { RefCell::new(Vec::new()) };
}

/// One wait that is over.
pub struct Spent {
    what: String,
    time: Duration,
}

/// Does something that may take long, and notes how long it took.
pub fn timed<T>(what: impl FnOnce() -> String, work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = work();
    note(what, begin.elapsed());
    result
}

/// Notes a wait that is over.
pub fn note(what: impl FnOnce() -> String, time: Duration) {
    if time < WORTH {
        return;
    }
    SPENT.with_borrow_mut(|spent| {
        if spent.len() < KEPT {
            let what = what();
            spent.push(Spent { what, time });
        }
    });
}

/// What this thread noted since the last time.
pub fn take() -> Vec<Spent> {
    SPENT.take()
}

/// What another thread noted while this one waited for it.
pub fn absorb(more: Vec<Spent>) {
    SPENT.with_borrow_mut(|spent| spent.extend(more));
}

/// In words, the longest first.
pub fn sentence(mut spent: Vec<Spent>) -> String {
    if spent.is_empty() {
        return "nothing that is counted: a disk, or the processor".to_owned();
    }
    spent.sort_by_key(|spent| std::cmp::Reverse(spent.time));
    let others = spent.split_off(spent.len().min(NAMED));
    let named = spent.iter().map(|s| format!("{} ({:.1?})", s.what, s.time));
    let mut sentence = named.collect::<Vec<_>>().join(", ");
    if !others.is_empty() {
        let time: Duration = others.iter().map(|spent| spent.time).sum();
        sentence.push_str(&format!(", and {} more ({time:.1?})", others.len()));
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(waits: &[(&str, u64)]) -> Vec<Spent> {
        for (what, millis) in waits {
            note(|| (*what).to_owned(), Duration::from_millis(*millis));
        }
        take()
    }

    #[test]
    fn the_longest_come_first_and_the_rest_is_counted() {
        let waits = [("a", 20), ("b", 1_500), ("short", 0), ("c", 3), ("d", 7)];
        let said = sentence(spent(&waits));
        assert_eq!(said, "b (1.5s), a (20.0ms), d (7.0ms), and 1 more (3.0ms)");
        assert!(take().is_empty(), "what was taken is gone");
    }

    #[test]
    fn what_a_helper_waited_for_counts() {
        let helper = std::thread::spawn(|| spent(&[("PUT x", 5)]));
        absorb(helper.join().expect("no panic"));
        assert_eq!(sentence(take()), "PUT x (5.0ms)");
    }

    #[test]
    fn one_operation_keeps_a_bounded_number() {
        let waits = vec![("GET", 2); 2 * KEPT];
        assert_eq!(spent(&waits).len(), KEPT);
    }
}
