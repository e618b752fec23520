//! The jobs of `gitmoor`, beside everything that git does meanwhile.

mod export;
pub(crate) mod fork;
mod fsck;
mod gc;
mod import;
mod trash;
mod warm;
