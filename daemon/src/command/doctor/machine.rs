//! Kernel and FUSE.

use super::{Check, Finding, Patient};
use crate::service::preflight;
use gitmoor_fs::program::{Confinement, confinement};
use std::io;

/// The oldest kernel that mounts as we do; the one that has passthrough.
const OLDEST: (u32, u32) = (5, 4);
const PASSTHROUGH: (u32, u32) = (6, 9);

pub(super) fn kernel() -> io::Result<Check> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(of_release(release.trim(), confinement()))
}

fn of_release(release: &str, confinement: Confinement) -> Check {
    let (wanted, passthrough) = (OLDEST, PASSTHROUGH);
    let too_old = |problem: String| {
        let mend = format!("use Linux {}.{} or newer", wanted.0, wanted.1);
        vec![Finding::new(problem, mend)]
    };
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let version = match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => {
            let unknown = format!("Linux {release:?} has no version that we know");
            return Check::new("kernel", "", too_old(unknown));
        }
    };
    if version < wanted {
        return Check::new("kernel", "", too_old(format!("Linux {release} is too old")));
    }
    let note = match version >= passthrough {
        true => "with FUSE passthrough",
        false => "without FUSE passthrough: warm reads go through the daemon",
    };
    let landlock = match confinement {
        Confinement::Whole => "with Landlock",
        Confinement::Partial => "with a part of Landlock",
        Confinement::None => {
            "without Landlock: git is kept to its job by its user, settings and limits alone"
        }
    };
    Check::new(
        "kernel",
        format!("Linux {release}, {note}, {landlock}"),
        Vec::new(),
    )
}

/// What a mount would be refused for.
pub(super) fn fuse(patient: &Patient) -> Check {
    let lacking = preflight::lacking(&patient.settings.mount);
    let findings = lacking
        .into_iter()
        .map(|(problem, mend)| Finding::new(problem, mend));
    Check::new("fuse", "/dev/fuse can be opened", findings.collect())
}

#[cfg(test)]
mod tests {
    use super::{Confinement, of_release};

    #[test]
    fn kernels() {
        for (release, findings) in [
            ("6.18.44-x", 0),
            ("5.4.0", 0),
            ("5.3.18-150300", 1),
            ("4.19.0", 1),
            ("none", 1),
        ] {
            let check = of_release(release, Confinement::Whole);
            assert_eq!(check.findings.len(), findings, "{release}");
        }
        for (release, confinement, note) in [
            (
                "6.9",
                Confinement::Partial,
                ", with FUSE passthrough, with a part of Landlock",
            ),
            ("6.8", Confinement::None, ", without FUSE passthrough"),
            ("6.12", Confinement::Whole, "with Landlock"),
            ("5.4", Confinement::None, "without Landlock"),
        ] {
            let told = of_release(release, confinement).note;
            assert!(told.contains(note), "{told}");
        }
    }
}
