//! Which data directory is meant: all a command needs that talks to a daemon, and
//! the first thing the daemon must know, for its settings file may lie there.

use super::{ConfigError, Environment, Layer, Place, read_file};
use std::path::{Path, PathBuf};

/// Name of the settings file in the data directory.
const FILE: &str = "gitmoor.toml";

/// The data directory, and what environment and file say beyond it.
pub(crate) struct Located {
    /// Absolute; may not exist.
    pub data: PathBuf,
    /// Environment over file.
    pub layer: Layer,
}

/// Finds the data directory and reads environment and settings file.
pub(crate) fn locate(place: &Place, env: &Environment<'_>) -> Result<Located, ConfigError> {
    let from_env = Layer::from_environment(env)?;
    let given = place.config.as_deref().map(read_file).transpose()?;
    let data = place
        .data
        .as_ref()
        .or(from_env.data.as_ref())
        .or(given.as_ref().and_then(|file| file.data.as_ref()))
        .cloned()
        .or_else(|| default_data(env))
        .ok_or(ConfigError::NoData)?;
    let data = absolute("--data", &data)?;
    let from_file = match given {
        Some(layer) => layer,
        None => file_in(&data)?,
    };
    Ok(Located {
        data,
        layer: from_env.over(from_file),
    })
}

fn file_in(data: &Path) -> Result<Layer, ConfigError> {
    let file = data.join(FILE);
    let layer = match read_file(&file) {
        Err(ConfigError::Unreadable { source, .. }) if is_absent(&source) => Layer::default(),
        other => other?,
    };
    if layer.data.is_some() {
        return Err(ConfigError::DataInDataDir { file });
    }
    Ok(layer)
}

/// A data "directory" that is a file is reported with more sense by whoever opens it.
fn is_absent(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}

fn default_data(env: &Environment<'_>) -> Option<PathBuf> {
    if nix::unistd::geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/gitmoor"));
    }
    let set = |key| {
        env(key)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let share = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")));
    share.map(|share| share.join("gitmoor"))
}

pub(super) fn absolute(key: &'static str, path: &Path) -> Result<PathBuf, ConfigError> {
    std::path::absolute(path).map_err(|source| ConfigError::Path {
        key,
        path: path.to_owned(),
        source,
    })
}
