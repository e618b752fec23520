//! The parsers of what comes from outside, for property tests and fuzzing. Not an
//! interface: it changes with the rooms that these belong to.

pub use crate::git_config as config;
pub use crate::repository::objects::key;
pub use crate::repository::refs::packed;
pub use gitmoor_model::name;
pub use gitmoor_store::block_cache::idx;
