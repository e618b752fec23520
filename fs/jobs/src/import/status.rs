//! How far imports are, for `gitmoor import --status`.

use super::Imports;
use gitmoor_fs::{FsError, catalog};
use gitmoor_model::{Import, ImportStage};
use gitmoor_replicator::read;
use serde::{Deserialize, Serialize};

/// How far an import is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ImportStatus {
    /// The name that the repository gets.
    pub repository: String,
    /// The repository's permanent name.
    pub id: String,
    /// Where it comes from, without secrets.
    pub source: String,
    /// `pending`, `copying`, `verifying`, `done` or `failed`.
    pub stage: String,
    /// Why the import failed; `None` unless `stage` is `failed`.
    pub reason: Option<String>,
    /// Bytes of the source.
    pub bytes: u64,
    /// Objects of the source.
    pub objects: u64,
    /// Files that are to come, are stored, and were read back; none of one that is done.
    pub files: Vec<FileStatus>,
    /// When it began, seconds since 1970.
    pub began: i64,
    /// When it last came to a stage, seconds since 1970.
    pub changed: i64,
}

/// One object file of an import.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileStatus {
    /// Path of the file in the repository.
    pub path: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Whether it was read back; it is stored either way.
    pub verified: bool,
}

impl Imports {
    /// Every import that is known, the oldest first.
    pub fn list(&self) -> Result<Vec<ImportStatus>, FsError> {
        self.fs.sync_reads()?;
        let mut imports = read::imports(self.fs.replica().view())?;
        imports.sort_by_key(|import| (import.began, import.id));
        imports
            .into_iter()
            .map(|import| self.import_status(import))
            .collect()
    }

    fn import_status(&self, import: Import) -> Result<ImportStatus, FsError> {
        let files = match import.stage {
            ImportStage::Done => Vec::new(),
            _ => self.files_of(&import)?,
        };
        let (stage, reason) = match import.stage {
            ImportStage::Pending => ("pending", None),
            ImportStage::Copying => ("copying", None),
            ImportStage::Verifying => ("verifying", None),
            ImportStage::Done => ("done", None),
            ImportStage::Failed { reason } => ("failed", Some(reason)),
        };
        Ok(ImportStatus {
            repository: import.path.to_string(),
            id: import.id.to_string(),
            source: import.source,
            stage: stage.to_owned(),
            reason,
            bytes: import.plan.bytes,
            objects: import.plan.objects,
            files,
            began: import.began.secs,
            changed: import.changed.secs,
        })
    }

    fn files_of(&self, import: &Import) -> Result<Vec<FileStatus>, FsError> {
        let replica = self.fs.replica();
        let verified = read::verified(replica.view(), import.id)?;
        let files = catalog::files(replica, import.id)?.into_iter();
        let status = files.map(|(path, entry)| FileStatus {
            bytes: entry.size,
            verified: verified.iter().any(|(verified, _)| *verified == path),
            path: path.to_string(),
        });
        Ok(status.collect())
    }
}
