//! The mount table of the kernel.

use gitmoor::mount_point::{MountInfo, mounts_at, parse_mount_info};
use std::path::Path;

#[test]
fn reads_optional_fields_and_escapes() {
    let table =
        b"36 35 98:0 /mnt1 /mnt/with\\040space\\134 rw,noatime master:1 - fuse.gitmoor x rw\n\
        22 27 0:21 / /proc rw - proc proc rw\n";
    let mounts: Vec<MountInfo> = parse_mount_info(table).collect();
    assert_eq!(mounts.len(), 2);
    assert_eq!(mounts[0].at, Path::new("/mnt/with space\\"));
    assert_eq!(mounts[0].kind, "fuse.gitmoor");
    assert_eq!(mounts[1].at, Path::new("/proc"));
    assert_eq!(mounts[1].kind, "proc");
}

#[test]
fn skips_what_it_does_not_understand() {
    assert_eq!(
        parse_mount_info(b"\nshort line\n1 2 3:4 / /x rw\n").count(),
        0
    );
}

#[test]
fn finds_a_real_mount() {
    let found = mounts_at(Path::new("/proc")).unwrap();
    assert_eq!(found.last().map(|mount| mount.kind.as_str()), Some("proc"));
    assert!(mounts_at(Path::new("/nonexistent")).unwrap().is_empty());
}
