//! `gitmoor top`: how fast a daemon works, at what, and what waits for what.
//!
//! The daemon only counts. [`Frame::between`] makes rates of two of its counts, which [`draw`]
//! shows in a terminal.

mod frame;
mod view;

pub use frame::{CacheRates, Frame, FuseRates, Gauge, RaftRates, RepoRates, StoreRates};
pub use view::draw;
