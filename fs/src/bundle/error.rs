//! What is wrong with an object file.

use std::io;
use std::path::Path;

/// An object file cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// There was nothing to bundle.
    #[error("a pack of no objects was asked for")]
    Empty,
    /// Not an object id of the repository's format.
    #[error("{name:?} is no object id of this repository")]
    BadName {
        /// The text that was given.
        name: String,
    },
    /// A loose object is damaged, or is not what its name says.
    #[error("loose object {oid} is corrupt: {reason}")]
    BadObject {
        /// Its name, in hex.
        oid: String,
        /// What is wrong with the object.
        reason: String,
    },
    /// A file of Git LFS is damaged, or is not what its name says.
    #[error("file {oid} of Git LFS is corrupt: its content is {actual}")]
    BadFile {
        /// Its name, in hex.
        oid: String,
        /// What its name should be.
        actual: String,
    },
    /// A type that packs do not have.
    #[error("loose object {oid} has a type that no pack can hold")]
    NoPackType {
        /// Its name, in hex.
        oid: String,
    },
    /// The checksum at the end of a pack or index is not the one of its content.
    #[error("it ends in checksum {stated}, its content has {actual}")]
    BadTrailer {
        /// The last bytes of the file, in hex.
        stated: String,
        /// What they should be.
        actual: String,
    },
    /// The disk failed, or the file is not there.
    #[error("{context}: {source}")]
    Local {
        /// What was being done, with the path.
        context: String,
        /// What the system call returned.
        source: io::Error,
    },
}

pub(super) fn local(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> BundleError {
    let context = format!("{doing} {}", path.display());
    move |source| BundleError::Local { context, source }
}
