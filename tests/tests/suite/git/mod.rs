//! Stock git in all its forms, end to end.

mod extras;
mod reference;
mod serving;
mod transfer;
mod worktrees;
