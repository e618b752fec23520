//! Which file stands under a name, where the name may get another one at any moment.

use super::{Body, Found, Opened};
use crate::error::FsResult;
use gitmoor_model::name::is_rewritable;
use gitmoor_model::room::{Room, Type, room};
use gitmoor_model::{Digest, RepoPath, Version};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

/// Tells a file from those that had its name before, or get it after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Identity {
    /// A real file: its device, its number there, and when it was made, since numbers are
    /// used again.
    Real(u64, u64, Option<SystemTime>),
    /// A replicated one: the commit that wrote it.
    Written(Version),
    Bytes(Digest),
}

impl Identity {
    /// Of a real file that is no directory.
    pub(crate) fn real(meta: &Metadata) -> Self {
        Self::Real(meta.dev(), meta.ino(), meta.created().ok())
    }

    /// What was found at a path; `None` for what stays the same while it moves: objects from
    /// staging into the store, directories from one room's to another's.
    pub(crate) fn of(path: &RepoPath, found: &Found) -> Option<Self> {
        match found {
            // Others may have put other bytes there.
            Found::Object(entry) if is_rewritable(path) => Some(Self::Bytes(entry.digest)),
            Found::Settings(bytes) => Some(Self::Bytes(Digest(blake3::hash(bytes).into()))),
            Found::Hook(node) if node.type_of() == Type::Directory => None,
            Found::Hook(node) => Some(Self::Bytes(node.digest)),
            _ if room(path) == Room::Objects => None,
            Found::Real(meta) if !meta.is_dir() => Some(Self::real(meta)),
            Found::Packed(rendered) => Some(Self::real(rendered.stat())),
            Found::Ref(entry) => Some(Self::Written(entry.version)),
            Found::Real(_) | Found::Object(_) | Found::Directory => None,
        }
    }

    /// The file that was opened where `found` was a moment before.
    pub(super) fn of_opened(opened: &Opened, found: Option<Self>) -> FsResult<Option<Self>> {
        match &opened.body {
            Body::Real(file) if found.is_some() => Ok(Some(Self::real(&file.metadata()?))),
            Body::Real(_) | Body::Draft(..) | Body::Bytes(_) | Body::Value(_) | Body::Stored(_) => {
                Ok(found)
            }
        }
    }
}
