//! Lock files of a dead mount. Who held one lost it with the mount (whatever it
//! does next it does to another file system), so it is nobody's, and every
//! command that needs it would fail for ever.

use super::quarantine::is_quarantine;
use crate::error::FsResult;
use crate::repository::local::Files;
use gitmoor_model::RepoPath;
use gitmoor_model::name;

/// Removes them, in all rooms. Only before anybody can use the repository.
pub(super) fn clear_locks(files: &Files) -> FsResult<()> {
    clear_locks_in(files, &RepoPath::root())
}

fn clear_locks_in(files: &Files, dir: &RepoPath) -> FsResult<()> {
    let names = match files.list(dir) {
        // Deeper than a path is long: whoever uses it cannot name the locks either.
        Err(error) if !dir.is_root() => {
            tracing::debug!(%error, "locks of a dead mount are not looked for in a directory");
            return Ok(());
        }
        names => names?,
    };
    for (name, kind) in names {
        let Some(path) = dir.join(&name) else {
            continue;
        };
        if kind.is_dir() && holds_locks(&path) {
            clear_locks_in(files, &path)?;
        } else if kind.is_file() && name.ends_with(b".lock") {
            tracing::info!(%path, "removing a lock of a dead mount");
            files.unlink_if_there(&path)?;
        }
    }
    Ok(())
}

/// Hooks are their owner's, whatever they are called; and there may be very many
/// staged objects. A quarantine goes as a whole.
fn holds_locks(dir: &RepoPath) -> bool {
    dir.as_bytes() != b"hooks" && !name::is_fan_out(dir) && !is_quarantine(dir)
}
