//! The command line, the daemon, and what both tell an operator.

mod bench;
mod cli;
mod compatibility;
mod doctor;
pub(crate) mod metrics;
mod mount_helper;
mod mount_options;
mod slow;
mod top;
mod traces;
mod units;
