//! Where RocksDB's own logs end, found out before RocksDB reads them.
//!
//! Its write-ahead logs and its manifest are records with checksums. A power failure may
//! leave a part of the last write, which nobody was promised: cut short, or with zeros for
//! the sectors that were not written yet. RocksDB passes over what is cut short, but it takes
//! too much for that: one flipped bit in a length near the end hides all that was acknowledged
//! after it, one in a type makes it read the same record for ever. And zeros inside a record
//! it refuses, though they are as innocent.
//!
//! So this decides. What follows the whole records is a torn write, and cut off, if no whole
//! record comes after it and it is either cut short by the end of the file or zero from the
//! beginning of a sector on. Everything else is damage: also a last record that would be
//! whole if its length did not reach beyond the file.
//!
//! The format is that of RocksDB's `db/log_format.h`: blocks of 32 KiB; in them records of a
//! masked CRC-32C of type and payload (4 bytes), the length of the payload (2), the type
//! (1) and the payload; zeros where a block has no room for another head.

use super::OpenError;
use super::database::ADVICE;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

const BLOCK: usize = 32 << 10;
const HEAD: usize = 7;
/// Disks write this much whole or not at all.
const SECTOR: usize = 512;

/// What follows the whole records of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rest {
    Nothing,
    Torn,
    Damage,
}

/// Refuses a database directory whose logs are damaged, and cuts torn writes off. The directory
/// must be locked.
pub(super) fn settle(dir: &Path) -> Result<(), OpenError> {
    let logs = logs(dir)?;
    if let Some(manifest) = manifest(dir, &logs)? {
        settle_log(dir, &manifest)?;
    }
    let mut torn = false;
    for log in &logs {
        let (whole, rest) = settle_log(dir, log)?;
        // Syncing a log syncs those before it first.
        if torn && whole > 0 {
            return Err(damaged(dir, log, "the log before it is cut short"));
        }
        torn |= rest == Rest::Torn;
    }
    Ok(())
}

/// The write-ahead logs, in order.
fn logs(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir)?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    let mut paths = paths.collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    // Numbers of the same width, until there are a million.
    paths.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    Ok(paths)
}

/// The manifest that CURRENT names; `None` in a new directory.
fn manifest(dir: &Path, logs: &[PathBuf]) -> Result<Option<PathBuf>, OpenError> {
    let current = dir.join("CURRENT");
    let named = match fs::read(&current) {
        Ok(named) => named,
        // RocksDB would begin anew.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !logs.is_empty() => {
            return Err(damaged(dir, &current, "it is missing"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let name = std::str::from_utf8(&named).ok();
    let name = name.and_then(|name| name.strip_suffix('\n'));
    let path = name
        .filter(|name| name.starts_with("MANIFEST-"))
        .map(|name| dir.join(name));
    match path.filter(|path| path.is_file()) {
        Some(path) => Ok(Some(path)),
        None => Err(damaged(dir, &current, "it names no manifest")),
    }
}

fn settle_log(dir: &Path, path: &Path) -> Result<(u64, Rest), OpenError> {
    let (whole, rest) = measure(&mut File::open(path)?)?;
    match rest {
        Rest::Nothing => {}
        Rest::Torn => {
            tracing::info!(path = %path.display(), at = whole, "cutting off a write that a power failure tore");
            let file = OpenOptions::new().write(true).open(path)?;
            file.set_len(whole)?;
            file.sync_all()?;
        }
        Rest::Damage => {
            let what = format!("the record at byte {whole} is not as it was written");
            return Err(damaged(dir, path, &what));
        }
    }
    Ok((whole, rest))
}

fn damaged(dir: &Path, file: &Path, what: &str) -> OpenError {
    OpenError::Damaged {
        dir: dir.to_owned(),
        what: format!("{}: {what}; {ADVICE}", file.display()),
    }
}

/// Bytes of whole records at the beginning of a log, and what follows them.
fn measure(log: &mut impl Read) -> io::Result<(u64, Rest)> {
    let mut whole = 0;
    let mut block = Vec::with_capacity(BLOCK);
    loop {
        block.clear();
        log.take(BLOCK as u64).read_to_end(&mut block)?;
        let end = whole_records(&block);
        whole += end as u64;
        if end < block.len() {
            let (last, empty) = what_follows(log)?;
            let torn = empty && is_torn(&block, end, last);
            return Ok((whole, if torn { Rest::Torn } else { Rest::Damage }));
        }
        if block.len() < BLOCK {
            return Ok((whole, Rest::Nothing));
        }
    }
}

/// Whether a log ends here, and whether it holds nothing but zeros from here on.
fn what_follows(log: &mut impl Read) -> io::Result<(bool, bool)> {
    let mut ends = true;
    let mut bytes = [0; BLOCK];
    loop {
        let read = log.read(&mut bytes)?;
        if read == 0 {
            return Ok((ends, true));
        }
        ends = false;
        if bytes[..read].iter().any(|byte| *byte != 0) {
            return Ok((ends, false));
        }
    }
}

/// Bytes of whole records at the beginning of a block, with the padding behind the last.
fn whole_records(block: &[u8]) -> usize {
    let mut at = 0;
    while let Some(size) = whole_record(&block[at..]) {
        at += size;
    }
    let padding = BLOCK - at < HEAD && block[at..].iter().all(|byte| *byte == 0);
    if padding { block.len() } else { at }
}

/// The size of the record that these bytes begin with, if all of it is there and right.
fn whole_record(bytes: &[u8]) -> Option<usize> {
    let size = claimed_size(bytes)?;
    is_record(bytes.get(..size)?).then_some(size)
}

fn claimed_size(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(4..)?.first_chunk()?;
    (bytes.len() >= HEAD).then(|| HEAD + usize::from(u16::from_le_bytes(*length)))
}

/// Whether the checksum in front is that of all the rest.
fn is_record(bytes: &[u8]) -> bool {
    let stated = bytes.first_chunk().copied().map(u32::from_le_bytes);
    let covered = bytes.get(HEAD - 1..).filter(|covered| !covered.is_empty());
    covered.is_some_and(|covered| stated == Some(masked(crc32c::crc32c(covered))))
}

/// As in RocksDB's `util/crc32c.h`.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Whether what stands in a block from `at` on is what a power failure leaves of a write.
/// `last`: the file ends with the block.
fn is_torn(block: &[u8], at: usize, last: bool) -> bool {
    let rest = &block[at..];
    let followed = (1..rest.len()).any(|next| whole_record(&rest[next..]).is_some());
    if followed || is_record(rest) {
        return false;
    }
    let Some(claimed) = claimed_size(rest) else {
        return true;
    };
    let written = rest.iter().rposition(|byte| *byte != 0);
    let written = at + written.map_or(0, |last| last + 1);
    let zero_from = written.next_multiple_of(SECTOR);
    last && claimed > rest.len() || written == at || zero_from < at + claimed.min(rest.len())
}
