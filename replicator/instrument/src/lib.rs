//! What every floor of the house carries: points at which a drill lets the process die
//! ([`failpoint`]), and the spans of a trace ([`trace`]).

pub mod failpoint;
pub mod trace;
