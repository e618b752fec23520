//! A directory of the data directory, which only root may pass, as a program of another user's sees it: mounted
//! elsewhere, in a mount namespace of the program's own.

use super::{Program, Scratch};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

/// See the module. The place where it is seen is empty for everybody else.
#[derive(Clone, Debug)]
pub struct Stage {
    from: CString,
    at: CString,
}

impl Stage {
    /// Everybody may pass the place.
    pub fn new(from: &Path, at: &Path) -> io::Result<Self> {
        let c_string = |path: &Path| CString::new(path.as_os_str().as_bytes());
        Ok(Self {
            from: c_string(from)?,
            at: c_string(at)?,
        })
    }

    /// Whether this process may do so: in a container it may lack the right.
    pub fn works() -> bool {
        static WORKS: OnceLock<bool> = OnceLock::new();
        *WORKS.get_or_init(|| {
            let tried = || {
                let place = Scratch::new()?;
                let stage = Self::new(place.path(), place.path())?;
                let git = Program::git(&["version"]).on_stage(Some(stage));
                git.ask(b"", &|| false).map_err(io::Error::other)
            };
            match tried() {
                Ok(said) => said.status.success(),
                Err(error) => {
                    tracing::warn!(%error, "no mount namespaces can be made here: git maintains repositories as this daemon's user, not as their owners");
                    false
                }
            }
        })
    }

    /// Of a child, between fork and exec.
    pub(super) fn enter(&self) -> io::Result<()> {
        const NONE: Option<&CStr> = None;
        unshare(CloneFlags::CLONE_NEWNS)?;
        // Unmounting elsewhere is seen here, and nothing of this is seen elsewhere.
        mount(NONE, c"/", NONE, MsFlags::MS_SLAVE | MsFlags::MS_REC, NONE)?;
        let (from, at) = (self.from.as_c_str(), self.at.as_c_str());
        mount(Some(from), at, NONE, MsFlags::MS_BIND, NONE)?;
        nix::unistd::chdir(at)?;
        Ok(())
    }
}
