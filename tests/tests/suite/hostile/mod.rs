//! An unprivileged user against a daemon of root's that lets other users in: each kind of attack,
//! with root's files outside as canaries and another repository that must answer all the while.

mod ground;
mod modes;
mod names;
mod paths;
mod peers;
mod programs;
mod random;
mod sealed;
mod shares;
mod sizes;
mod sources;
mod store;
mod values;
