//! Failpoints, at which a drill ends the process ([`failpoint`]), and the spans of traces ([`trace`]): every crate
//! has some.

pub mod failpoint;
pub mod trace;
