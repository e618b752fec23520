//! The mount table of this process: proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountInfo {
    /// Path of the mount point.
    pub at: PathBuf,
    /// Type of the file system, such as `ext4` or `fuse.gitmoor`.
    pub kind: String,
    /// Device number as `major:minor`.
    pub device: String,
}

/// The mounts at exactly this path, the visible one last.
pub fn mounts_at(path: &Path) -> io::Result<Vec<MountInfo>> {
    let mut mounts = all_mounts()?;
    mounts.retain(|mount| mount.at == path);
    Ok(mounts)
}

/// All mounts that this process sees.
pub(crate) fn all_mounts() -> io::Result<Vec<MountInfo>> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    Ok(parse_mount_info(&table).collect())
}

/// Reads the table: `36 35 98:0 /root /at options [optional …] - kind source options`.
pub fn parse_mount_info(table: &[u8]) -> impl Iterator<Item = MountInfo> + '_ {
    table.split(|&byte| byte == b'\n').filter_map(parse_line)
}

fn parse_line(line: &[u8]) -> Option<MountInfo> {
    let mut fields = line.split(|&byte| byte == b' ');
    let device = String::from_utf8_lossy(fields.nth(2)?).into_owned();
    let at = unescape(fields.nth(1)?);
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some(MountInfo {
        at: OsString::from_vec(at).into(),
        kind: String::from_utf8_lossy(kind).into_owned(),
        device,
    })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|_| first == b'\\')
            .and_then(octal_byte);
        plain.push(octal.unwrap_or(first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    plain
}

fn octal_byte(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}
