//! Which object store a data directory belongs to. The catalog in it is a list of
//! keys of one store; mounted with another one, every read would fail, and worse,
//! new objects would go where the old ones are not. The first mount writes the URL
//! down; later ones may leave it out, and must not contradict it.

use super::{DataDir, DataDirError, failed, write_durably};
use std::io::ErrorKind;

/// Stands for the default store, so that a data directory can be moved with it.
const DEFAULT: &str = "default";

/// `store.url` of a data directory.
pub(crate) struct StoreRecord<'a>(pub(super) &'a DataDir);

impl StoreRecord<'_> {
    /// The URL to open: the one given, else the recorded one, else the default.
    /// Contradiction is an error.
    pub(crate) fn url(&self, given: Option<&str>) -> Result<String, DataDirError> {
        let default = format!("dir:{}", self.0.default_store().display());
        let recorded = self.recorded()?.map(|url| match url.as_str() {
            DEFAULT => default.clone(),
            _ => url,
        });
        match (given, recorded) {
            (Some(given), Some(recorded)) if given != recorded => Err(DataDirError::OtherStore {
                path: self.0.path().into(),
                given: given.into(),
                recorded,
            }),
            (_, Some(recorded)) => Ok(recorded),
            (Some(given), None) => Ok(given.into()),
            (None, None) => Ok(default),
        }
    }

    /// The same for a node of a cluster: one whose store nobody has said takes the cluster's.
    pub(crate) fn url_in_cluster(
        &self,
        given: Option<&str>,
        clusters: Option<String>,
    ) -> Result<String, DataDirError> {
        if self.recorded()?.is_some() {
            return self.url(given);
        }
        let url = given.map(str::to_owned).or(clusters);
        url.ok_or_else(|| DataDirError::NoStore(self.0.path().into()))
    }

    /// Writes down the store that was opened. Done only once opening succeeded, so
    /// that a mistyped URL does not stick.
    pub(crate) fn write(&self, url: &str) -> Result<(), DataDirError> {
        if self.recorded()?.is_some() {
            return Ok(());
        }
        let default = format!("dir:{}", self.0.default_store().display());
        let url = if url == default { DEFAULT } else { url };
        write_durably(
            &self.0.path().join("store.url"),
            format!("{url}\n").as_bytes(),
        )
    }

    /// Without a store there is nothing to begin a data directory with.
    pub(crate) fn check_mounted_before(&self) -> Result<(), DataDirError> {
        match self.recorded()? {
            Some(_) => Ok(()),
            None => Err(DataDirError::NeverMounted(self.0.path().into())),
        }
    }

    /// Whether the store lies in the data directory: whoever copies one copies both.
    pub(crate) fn is_own(&self) -> Result<bool, DataDirError> {
        Ok(self.recorded()?.as_deref() == Some(DEFAULT))
    }

    fn recorded(&self) -> Result<Option<String>, DataDirError> {
        let path = self.0.path().join("store.url");
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim_end().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(|| format!("reading {}", path.display()))(error)),
        }
    }
}
