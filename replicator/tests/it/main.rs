//! Tests of the replicator, from the state machine up to a killed process.

mod audit;
mod crash;
mod damage;
mod data_directory;
mod failpoints;
mod fork;
mod imports;
mod log;
mod members;
mod memory_replica;
mod messages;
mod model;
mod namespace;
mod node;
mod overlay;
mod peers;
mod quota;
mod random_commands;
mod recovery;
mod refs;
mod repack;
mod scope;
mod sessions;
mod setting;
mod support;
mod trash;
