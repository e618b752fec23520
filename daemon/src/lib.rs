//! The `gitmoor` command: reads the command line and the configuration, wires
//! replicator, object store and file system into a daemon, and talks to a running
//! daemon through its admin socket.
//!
//! ```text
//! command     the commands, one file each: arguments, request, reply, printing; all but a few ask a daemon
//! config      flags over environment over file, resolved once into Settings
//! service     the daemon: opens everything, mounts, answers, waits, leaves in order
//! admin       the socket between the two: lines of JSON; server, client
//! metrics     the port for Prometheus, health and readiness
//! data_dir    the directory with one owner: lock, version, layout
//! mount_point checks before mounting, and clearing what a dead daemon left
//! reference   the pages of docs/reference/ that are made of the code
//! ```
//!
//! Exit codes are a contract: 0 done, 1 failed, 2 wrong usage or configuration.
//! They are chosen in one place, [`Failure::exit_code`].

pub mod admin;
pub mod command;
pub mod config;
mod data_dir;
mod import_tree;
mod logging;
mod metrics;
pub mod mount_point;
pub mod reference;
mod repo_limit;
mod service;
mod traces;

pub use command::Failure;

use clap::Parser;
use std::process::ExitCode;

/// Runs the command line of this process. Wrong usage never returns: clap
/// prints it and exits with 2.
pub fn main() -> ExitCode {
    if command::mount_helper::is_called() {
        return command::mount_helper::main();
    }
    let cli = command::Cli::parse();
    match command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // It may quote a name that a user chose.
            let moves_cursor = |c: char| c.is_control() && c != '\n';
            let said = failure.to_string().replace(moves_cursor, "\u{fffd}");
            eprintln!("gitmoor: {said}");
            failure.exit_code()
        }
    }
}
