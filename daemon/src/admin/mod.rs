//! The daemon's ear: a Unix socket in the data directory, mode 0600. One JSON line
//! asks, one JSON line answers, after some about its progress where that takes long; a connection may ask any number of times.

mod answering;
mod asker;
mod audit;
mod client;
pub mod protocol;
mod report;
mod server;
mod socket;

pub use answering::Answering;
pub use asker::Asker;
pub use client::{AdminError, Client};
pub use protocol::{Answer, Rejection, RejectionKind, Reply, Request};
pub use server::{Answers, Server};
pub(crate) use socket::socket_path;
