//! Room on the disk of the data directory.

use super::{Check, Finding, Patient};
use crate::config::ByteSize;
use std::path::Path;

pub(super) fn room(patient: &Patient) -> Check {
    let dir = existing(&patient.settings.data);
    let (free, total) = match rustix::fs::statvfs(dir) {
        Ok(disk) => (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize),
        Err(error) => {
            let problem = format!("{}: {error}", dir.display());
            let mend = "name a directory on a disk that works with --data";
            return Check::new("disk", "", vec![Finding::new(problem, mend)]);
        }
    };
    let (floor, cache) = (
        patient.settings.fs.cache_free_floor,
        patient.settings.fs.cache_bytes,
    );
    let mut findings = Vec::new();
    if free < floor {
        let problem = format!(
            "{} of {} are free on the disk of {}, less than cache-free-floor ({}): nothing stays in \
             the cache, and git's writes may find the disk full",
            ByteSize(free),
            ByteSize(total),
            dir.display(),
            ByteSize(floor)
        );
        findings.push(Finding::new(
            problem,
            "make room there, or lower cache-free-floor",
        ));
    } else if cache.saturating_add(floor) > total {
        let problem = format!(
            "cache-size ({}) and cache-free-floor ({}) are more than the disk of {} has ({})",
            ByteSize(cache),
            ByteSize(floor),
            dir.display(),
            ByteSize(total)
        );
        findings.push(Finding::new(
            problem,
            "lower cache-size, or give it a larger disk",
        ));
    }
    Check::new(
        "disk",
        format!("{} of {} are free", ByteSize(free), ByteSize(total)),
        findings,
    )
}

/// Itself, or what it will be made in.
fn existing(path: &Path) -> &Path {
    let mut above = path.ancestors();
    above.find(|dir| dir.exists()).unwrap_or(Path::new("/"))
}
