//! Whether anybody works on a connection: one on which nobody has for a while is closed. The peer may say that it is alive
//! (pings of HTTP/2), or not take what it was told: neither keeps the connection.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// See the module.
#[derive(Clone)]
pub(super) struct Activity(Arc<Mutex<State>>);

struct State {
    working: usize,
    /// When somebody last began or ended.
    last: Instant,
}

/// Somebody works until this is dropped.
pub(super) struct Working(Activity);

impl Activity {
    pub(super) fn new() -> Self {
        let (working, last) = (0, Instant::now());
        Self(Arc::new(Mutex::new(State { working, last })))
    }

    pub(super) fn begin(&self) -> Working {
        self.change(|working| working + 1);
        Working(self.clone())
    }

    fn change(&self, change: impl FnOnce(usize) -> usize) {
        let mut state = self.0.lock();
        state.working = change(state.working);
        state.last = Instant::now();
    }

    /// Ends when nobody has worked for so long.
    pub(super) async fn idle(&self, time: Duration) {
        loop {
            let left = self.left(time);
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    fn left(&self, time: Duration) -> Duration {
        let state = self.0.lock();
        match state.working {
            0 => time.saturating_sub(state.last.elapsed()),
            _ => time.max(Duration::from_millis(1)),
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.change(|working| working - 1);
    }
}
