//! The names that the kernel sees: directories, repositories, files, and what stat(2) says of them.

mod any_name;
mod beside;
mod copying;
pub(crate) mod hooks;
mod immutable;
mod init;
mod local_names;
mod modules;
mod namespace;
mod open_files;
mod requests;
mod still;
