//! Nodes of one cluster, with disks and a network of their own, in one process.

mod away;
mod clients;
mod harness;
mod hostile;
mod membership;
mod refusals;
mod serving;
