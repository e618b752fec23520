//! A directory whose name leads to another inode: who is told so.

use crate::consistency::REUSE_WINDOW;
use std::collections::HashMap;
use std::time::Instant;

/// The threads that were told, and when.
#[derive(Default)]
pub(super) struct Retired(HashMap<u32, Instant>);

impl Retired {
    /// Whether a thread is to walk its path again. One that has just been told so and comes again holds the
    /// directory itself, by a descriptor or because it works there. 0, a thread of another pid namespace, could be any.
    pub(super) fn is_for(&mut self, tid: u32) -> bool {
        self.0.retain(|_, at| at.elapsed() < REUSE_WINDOW);
        if tid == 0 || self.0.contains_key(&tid) {
            return tid == 0;
        }
        self.0.insert(tid, Instant::now());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_told_once() {
        let mut retired = Retired::default();
        assert!(retired.is_for(7) && !retired.is_for(7) && !retired.is_for(7));
        assert!(retired.is_for(8));
        assert!(retired.is_for(0) && retired.is_for(0));
    }
}
