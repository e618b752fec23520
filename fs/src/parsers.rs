//! The parsers of what comes from outside, for property tests and fuzzing. Not an
//! interface: it changes with the rooms that these belong to.

pub use crate::fsck::lost::{objects_in, without_packed};
pub use crate::local::config;
pub use crate::objects::{idx, key};
pub use crate::refs::packed;
pub use gitmoor_model::name;
