//! The network between nodes, over real sockets and real TLS: who is let in, and what arrives.

mod admission;
mod messages;
mod snapshots;
mod strangers;
mod support;
