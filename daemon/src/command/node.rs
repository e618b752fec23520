//! `gitmoor node`.

use super::environment;
use crate::Failure;
use crate::cli::{NodeArgs, Place};
use crate::config::NodeSettings;
use crate::{logging, service};

/// Becomes the daemon of a node without a mount. It stays in the foreground: a service
/// manager starts it, or a shell.
pub(super) fn run(place: &Place, args: &NodeArgs) -> Result<(), Failure> {
    let settings = NodeSettings::resolve(place, args, &environment)?;
    logging::start(&settings.log);
    service::run_node(&settings)
}
