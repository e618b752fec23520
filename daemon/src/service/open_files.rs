//! How many files the daemon may have open. Each file that git has open on the mount is one or
//! two here, and the usual soft limit of 1024 is for programs that use select(2), which we
//! do not: it is raised to the hard one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as it may be. With a low one the mount works still, until it answers ENFILE.
pub(super) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, ?current, "the limit of open files stays as it is");
    }
}
