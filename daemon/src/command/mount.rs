//! `gitmoor mount`.

use super::{Failure, environment, output};
use crate::config::{ConfigError, MountArgs, Place, Settings};
use crate::data_dir::DataDir;
use crate::service::{self, Readiness};
use crate::traces::Traces;
use crate::{logging, mount_point};

/// Resolves the settings and becomes, or starts, the daemon.
pub(super) fn run(place: &Place, args: &MountArgs) -> Result<(), Failure> {
    let settings = Settings::resolve(place, args, &environment)?;
    if settings.store.offline {
        DataDir::new(settings.data.clone())
            .store()
            .check_mounted_before()?;
    }
    let readiness = Readiness::of_this_process()?;
    match readiness {
        Readiness::Foreground if !args.foreground => start(&settings),
        Readiness::Foreground | Readiness::Background => become_daemon(&settings, &readiness),
    }
}

/// Becomes the daemon, wherever that runs.
pub(super) fn run_in_foreground(settings: &Settings) -> Result<(), Failure> {
    become_daemon(settings, &Readiness::of_this_process()?)
}

/// The mount point is checked here as well: a mistake there should not have begun a
/// data directory.
fn start(settings: &Settings) -> Result<(), Failure> {
    let mountpoint = mount_point::check(&settings.mount.mountpoint, &settings.data)?;
    service::start_in_background(&DataDir::new(settings.data.clone()))?;
    output::line(format_args!("mounted at {}", mountpoint.display()))?;
    Ok(())
}

/// For drills only, see [`gitmoor_jobs::failpoint`]. No setting: nobody should find it in a file.
fn arm_failpoints() -> Result<(), ConfigError> {
    let key = "GITMOOR_FAILPOINTS";
    let text = environment(key).filter(|text| !text.is_empty());
    let armed = text.map(|text| gitmoor_jobs::failpoint::arm(&text.to_string_lossy()));
    armed
        .unwrap_or(Ok(()))
        .map_err(|reason| ConfigError::Environment { key, reason })
}

fn become_daemon(settings: &Settings, readiness: &Readiness) -> Result<(), Failure> {
    let traces = settings.traces.as_ref().map(Traces::start).transpose()?;
    logging::start(&settings.log, traces.as_ref());
    arm_failpoints()?;
    // Whatever directory we were started in must stay free to be unmounted.
    std::env::set_current_dir("/")?;
    service::run(settings, readiness)
        .map_err(Failure::from)
        .inspect_err(|failure| readiness.announce_failure(failure.to_string(), failure.code()))
}
