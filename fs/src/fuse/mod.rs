//! FUSE: decode → one call → reply.

use crate::FileSystem;
use gitmoor_replicator::model::NamePath;
use std::path::Path;
use std::sync::Arc;

/// How to mount.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// Mount this repository alone, its top at the mount point, instead of the namespace.
    pub repo: Option<NamePath>,
    /// Let other users in.
    pub allow_other: bool,
}

/// A live mount. Dropping it unmounts.
pub struct Mount {}

impl Mount {
    /// Mounts; the mount answers when this returns.
    pub fn new(_fs: Arc<FileSystem>, _at: &Path, _options: MountOptions) -> std::io::Result<Self> {
        todo!()
    }

    /// Waits until somebody unmounts (umount(8), fusermount3 -u).
    pub fn wait(&self) {
        todo!()
    }

    /// Unmounts; with `lazy` even while files are open (they go on until closed).
    pub fn unmount(&self, _lazy: bool) -> std::io::Result<()> {
        todo!()
    }
}
