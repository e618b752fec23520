//! How long ago something happened.

use std::time::{Duration, SystemTime};

/// Whether something that happened then is at least this old.
pub(crate) fn is_older(then: impl Into<SystemTime>, age: Duration) -> bool {
    then.into()
        .checked_add(age)
        .is_some_and(|end| end <= SystemTime::now())
}
