//! `gitmoor serve`: stock git through the HTTP door, and those who must not come in.

mod activation;
mod clients;
mod cluster;
mod hooks;
mod hostile;
mod rights;
mod tls;
mod transfer;
