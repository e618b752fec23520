//! Requests for several files at the same time.

use crate::error::{FsError, FsResult};
use gitmoor_store::wait::{self, profile};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// At the same time, per publication.
const REQUESTS: usize = 8;

/// Does it with each, and gives what came of it in no particular order; the first error stops the rest. What is waited for
/// counts as the caller's.
pub(in crate::repository) fn each<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> FsResult<R> + Sync,
) -> FsResult<Vec<R>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new((Vec::new(), None::<FsError>));
    let span = tracing::Span::current();
    let budget = wait::current();
    let worker = || {
        let _in_span = span.enter();
        let _waiting = budget.as_ref().map(|budget| budget.enter());
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            let done = work(item);
            let mut results = results
                .lock()
                .expect("no worker panics while it holds this");
            match done {
                Ok(done) => results.0.push(done),
                Err(error) => {
                    results.1.get_or_insert(error);
                    next.store(items.len(), Ordering::Relaxed);
                }
            }
        }
    };
    match items.len() {
        0 => {}
        1 => worker(),
        n => std::thread::scope(|scope| {
            let helper = || {
                worker();
                profile::take()
            };
            let helpers: Vec<_> = (0..n.min(REQUESTS)).map(|_| scope.spawn(helper)).collect();
            for helper in helpers {
                let helped = helper.join();
                profile::absorb(helped.expect("a panic is a defect, and logged as one"));
            }
        }),
    }
    let (done, error) = results
        .into_inner()
        .expect("no worker panics while it holds this");
    error.map_or(Ok(done), Err)
}
