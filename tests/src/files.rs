//! Files on a disk, behind the back of whoever keeps them: all of them, and damage.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// All files below a directory; none when it is not there.
pub fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("entry").path());
    let files = |path: PathBuf| match path.is_dir() {
        true => below(&path),
        false => vec![path],
    };
    paths.flat_map(files).collect()
}

/// Turns a bit of the byte at an offset over. git leaves its files read-only, which root does not mind.
pub fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    byte[0] ^= 0x10;
    file.write_all_at(&byte, at).expect("write");
}

/// The same in the middle of the file.
pub fn flip_middle(path: &Path) {
    let size = fs::metadata(path).expect("stat").len();
    flip(path, size / 2);
}
