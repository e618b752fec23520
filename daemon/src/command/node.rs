//! `gitmoor node`.

use super::Failure;
use super::environment;
use crate::config::{NodeArgs, NodeSettings, Place};
use crate::traces::Traces;
use crate::{logging, service};

/// Becomes the daemon of a node without a mount. It stays in the foreground: a service
/// manager starts it, or a shell.
pub(super) fn run(place: &Place, args: &NodeArgs) -> Result<(), Failure> {
    let settings = NodeSettings::resolve(place, args, &environment)?;
    let traces = settings.traces.as_ref().map(Traces::start).transpose()?;
    logging::start(&settings.log, traces.as_ref());
    Ok(service::run_node(&settings)?)
}
