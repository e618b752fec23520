//! The units for systemd, by systemd's own check.

use gitmoor_tests::binary;
use gitmoor_tests::process;
use gitmoor_tests::requirement::{Requirement, need, program};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn are_sound() {
    let Some(analyze) = need(Requirement::Systemd, program("systemd-analyze")) else {
        return;
    };
    let dir = tempfile::tempdir().expect("temporary directory");
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    let gitmoor = binary::path().to_str().expect("UTF-8");
    for unit in [
        "gitmoor@.service",
        "gitmoor-node.service",
        "gitmoor-serve.service",
        "gitmoor-serve.socket",
    ] {
        let text = fs::read_to_string(packaging.join(unit)).expect("a unit");
        let text = text.replace("/usr/bin/gitmoor", gitmoor);
        fs::write(dir.path().join(unit), text).expect("written");
    }
    let mut verify = Command::new(analyze);
    verify.args([
        "verify",
        "--man=no",
        "gitmoor@mnt-git.service",
        "gitmoor-node.service",
        "gitmoor-serve.service",
        "gitmoor-serve.socket",
    ]);
    // And where systemd has its own.
    verify.env("SYSTEMD_UNIT_PATH", format!("{}:", dir.path().display()));
    let output = process::run(&mut verify, b"", process::LIMIT);
    assert!(output.status.success(), "{}", process::report(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("gitmoor"), "{said}");
}
