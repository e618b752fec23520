//! One file per command: its arguments, what it asks, what is answered, and what it prints. `mount` and `node`
//! become a daemon; nearly all others ask one, by a [`Request`] on its admin socket, and print its [`Reply`].

pub(crate) mod access;
pub(crate) mod audit;
mod backup;
pub(crate) mod bench;
mod cli;
pub(crate) mod cluster;
mod confirm;
pub(crate) mod doctor;
mod documented;
mod export;
mod failure;
pub(crate) mod fsck;
pub(crate) mod gc;
mod generate;
pub(crate) mod hooks;
pub(crate) mod import;
mod mount;
pub(crate) mod mount_helper;
mod mounted;
mod node;
mod output;
mod progress;
mod reply;
pub mod repo;
mod request;
mod restore;
mod serve;
pub mod status;
mod take_over;
pub(crate) mod token;
pub mod top;
pub mod umount;
pub(crate) mod user;
mod warm;

pub use cli::{Cli, Command};
pub use failure::Failure;
pub use reply::Reply;
pub use request::Request;

use crate::admin::{AdminError, Client};
use crate::config::{ConfigError, Place, locate};
use crate::data_dir::DataDir;

/// Runs what was typed.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Mount(args) => mount::run(&cli.place, &args),
        Command::Umount(args) => umount::run(&cli.place, &args),
        Command::Status(args) => status::run(&cli.place, &args),
        Command::Repo { command } => repo::run(&cli.place, command),
        Command::Serve(args) => serve::run(&cli.place, *args),
        Command::Node(args) => node::run(&cli.place, &args),
        Command::Cluster { command } => cluster::run(&cli.place, command),
        Command::Fsck(args) => fsck::run(&cli.place, &args),
        Command::Backup(args) => backup::run(&cli.place, &args),
        Command::Restore(args) => restore::run(&cli.place, &args),
        Command::TakeOver(args) => take_over::run(&cli.place, &args),
        Command::Gc(args) => gc::run(&cli.place, args),
        Command::Import(args) => import::run(&cli.place, &args),
        Command::Export(args) => export::run(&cli.place, &args),
        Command::Warm(args) => warm::run(&cli.place, &args),
        Command::Doctor(args) => doctor::run(&cli.place, &args),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { dir } => generate::man(&dir),
        Command::Hooks { command } => hooks::run(&cli.place, command),
        Command::User { command } => user::run(&cli.place, command),
        Command::Token { command } => token::run(&cli.place, command),
        Command::Access { command } => access::run(&cli.place, command),
        Command::Audit(args) => audit::run(&cli.place, args),
        Command::Top(args) => top::run(&cli.place, &args),
        Command::Bench(args) => bench::run(&cli.place, &args),
    }
}

/// The environment of this process.
fn environment(key: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(key)
}

fn data_dir(place: &Place) -> Result<DataDir, ConfigError> {
    Ok(DataDir::new(locate(place, &environment)?.data))
}

/// Asks the daemon one thing.
fn ask(place: &Place, request: &Request) -> Result<Reply, Failure> {
    let mut client = Client::connect(&data_dir(place)?)?;
    Ok(client.ask(request)??)
}

/// For a reply that does not belong to the request.
fn unexpected(place: &Place, reply: &Reply) -> Failure {
    match data_dir(place) {
        Ok(dir) => Failure::Admin(AdminError::Misunderstood {
            data: dir.path().to_owned(),
            reason: format!("unexpected reply {reply:?}"),
        }),
        Err(error) => error.into(),
    }
}
