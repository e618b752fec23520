//! The daemon's ear: a Unix socket in the data directory, mode 0600. One JSON line asks, one JSON line answers,
//! after some about its progress where that takes long; a connection may ask any number of times. What is asked and
//! answered are the types of those who ask, see [`Asked`] and [`Answers`].
//!
//! ```text
//! → {"request":"umount","mountpoint":"/mnt/git","lazy":false}
//! ← {"ok":{"reply":"done"}}
//! ← {"error":{"kind":"failed","message":"/mnt/git is busy …"}}
//! ```

mod answer;
mod answering;
mod asker;
mod client;
mod server;
mod socket;

pub(crate) use answer::RejectionKind;
pub use answer::{Answer, Rejection};
pub(crate) use answering::Answering;
pub(crate) use asker::Asker;
pub(crate) use client::{AdminError, Asked, Client};
pub(crate) use server::{Answers, Server};
pub(crate) use socket::socket_path;
