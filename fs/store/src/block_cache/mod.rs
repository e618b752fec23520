//! The block cache: bytes of stored objects on this machine's disk, proved
//! before anyone sees them.
//!
//! A stored object is a sparse file of fixed blocks. A read takes the blocks that are
//! there and fetches the others: one fetch per block at a time, neighbours in one
//! GET, twice as many when misses follow each other. A block is checked against
//! its digest when it arrives, and again the first time this process reads it
//! from the disk; so whatever a crash left in the files is harmless, and nothing
//! here needs fsync. A file that this process adopts counts as checked: its digests were
//! computed from these bytes. What is bad on the disk is fetched again; what the store
//! twice gives wrong is an error, never data (INV-5).
//!
//! Files are evicted by segments of a few megabytes, least recently used first:
//! a hole is punched, or the file removed once nothing is left of it. A file
//! handed out for FUSE passthrough is never punched (the kernel would read
//! zeros): it goes when its last holder lets go.
//!
//! Lock order: `CacheEntries::entries`, then `Entry::gate`. The index (moka) runs its
//! eviction listener, which takes both, inside any call; so no call to the index
//! is made while one of them is held.

mod bits;
mod blocks;
mod cached_file;
mod digest;
mod disk;
mod entries;
mod entry;
mod error;
mod fetch;
pub mod idx;
mod index;
mod layout;
mod metrics;
mod readahead;
mod single_flight;

pub use blocks::{BlockCache, CacheConfig, CacheObject};
pub use cached_file::CachedFile;
pub use digest::{Digester, block_size_for, digest_file};
pub use error::{CacheError, CacheReadError};
pub use metrics::register as register_metrics;
