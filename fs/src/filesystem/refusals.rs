//! Why operations were refused of which a program only has the errno, for `gitmoor status`.

use crate::error::FsError;
use parking_lot::Mutex;

/// Refusals that are remembered: the last ones, each once.
const REMEMBERED: usize = 8;

/// The last refusals that a sentence says more of than the errno.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<Vec<String>>);

impl Refusals {
    /// Notes why an operation on a path was refused.
    pub(crate) fn note(&self, path: &str, error: &FsError) {
        // Any user may have chosen the path, and it is printed on a terminal.
        let refusal = format!("{}: {error}", path.escape_debug());
        let mut refusals = self.0.lock();
        refusals.retain(|known| *known != refusal);
        if refusals.len() == REMEMBERED {
            refusals.remove(0);
        }
        refusals.push(refusal);
    }

    /// Sentences, oldest first.
    pub(super) fn sentences(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}
