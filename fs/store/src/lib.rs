//! Where bytes are kept: object stores, the block cache over them, and who waits for them. Nothing here knows
//! git, raft or FUSE.
//!
//! - [`object_store`]: S3 or a directory, behind one trait; retries, pace, hedged requests.
//! - [`block_cache`]: blocks of stored objects on the disk, proved by their digests.
//! - [`wait`]: every wait has a bound and a name, and ends with the process that it is for.
//! - [`durable`]: directories that survive a power failure.

#![warn(clippy::disallowed_methods)]

pub mod block_cache;
pub mod durable;
pub mod failpoint;
pub mod object_store;
pub mod wait;

use std::error::Error;

/// Makes metrics appear before anything has happened, at 0: a rate has a beginning then, and an alert something to look
/// at. Not those whose labels say what happened.
pub fn register_metrics() {
    block_cache::register_metrics();
    object_store::register_metrics();
}

/// An error with all its causes.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
