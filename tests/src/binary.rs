//! The binary under test: that of the tree in which the tests stand, built from its sources as they are now.
//!
//! cargo does not know that these tests run `gitmoor`, so it does not build `gitmoor` for them. What cargo
//! wrote beside the binary, `gitmoor.d`, lists the sources that the binary was built from. A source of
//! another tree, or one that changed since, means that the binary is not the one to test: every test
//! fails, and says the command that builds it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

/// Of this tree, and of every `gitmoor` that is built here.
const MAIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../daemon/src/main.rs");

const REMEDY: &str = "build it, or name another binary in GITMOOR_BIN:\n    \
                      cargo build --locked --release --workspace --bin gitmoor";

/// `GITMOOR_BIN`, whatever it is; else the one that cargo put where it put the test.
#[track_caller]
pub fn path() -> &'static Path {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOUND.get_or_init(find) {
        Ok(path) => path,
        Err(why) => panic!("{why}: {REMEDY}"),
    }
}

fn find() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("GITMOOR_BIN") {
        return Ok(path.into());
    }
    let test = std::env::current_exe().expect("the test's own path");
    let near = test.ancestors().skip(1).take(2);
    let binary = near
        .map(|dir| dir.join("gitmoor"))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("there is no gitmoor near {}", test.display()))?;
    let list = binary.with_extension("d");
    let list = fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    let main = Path::new(MAIN)
        .canonicalize()
        .expect("this tree's own file");
    match is_current(&sources(&list), &main, modified(&binary)) {
        Ok(()) => Ok(binary),
        Err(why) => Err(format!("{} {why}", binary.display())),
    }
}

/// Whether a binary of that age has been built from these sources as they are now, `main` among them.
fn is_current(sources: &[PathBuf], main: &Path, built: Option<SystemTime>) -> Result<(), String> {
    if !sources.iter().any(|source| source == main) {
        return Err(format!(
            "was built from another tree, without {}",
            main.display()
        ));
    }
    match sources
        .iter()
        .find(|source| modified(source) > built || !source.exists())
    {
        Some(changed) => Err(format!("is older than {}", changed.display())),
        None => Ok(()),
    }
}

/// What stands after the colon of a line that cargo wrote for make: paths, in which a space is `\ `.
fn sources(list: &str) -> Vec<PathBuf> {
    let (_, paths) = list.split_once(": ").unwrap_or_default();
    let paths = paths.trim_end().replace("\\ ", "\0");
    let paths = paths.split(' ').filter(|path| !path.is_empty());
    paths.map(|path| path.replace('\0', " ").into()).collect()
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::Duration;

    #[test]
    fn a_list_of_sources() {
        let found = sources("/t/gitmoor: /a/x.rs /a/with\\ space.rs\n");
        assert_eq!(found, [Path::new("/a/x.rs"), Path::new("/a/with space.rs")]);
        assert!(sources("").is_empty());
    }

    #[test]
    fn only_the_binary_of_these_sources_is_tested() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let [main, other] = ["main.rs", "other.rs"].map(|name| dir.path().join(name));
        let now = SystemTime::now();
        for source in [&main, &other] {
            let file = File::create(source).expect("a source");
            file.set_modified(now).expect("its time");
        }
        let both = [main.clone(), other.clone()];
        let (before, after) = (now - Duration::from_secs(1), now + Duration::from_secs(1));
        assert_eq!(is_current(&both, &main, Some(after)), Ok(()));
        let older = is_current(&both, &main, Some(before)).expect_err("it is older");
        assert!(older.contains("is older than"), "{older}");
        let elsewhere = is_current(&both[1..], &main, Some(after)).expect_err("no main.rs");
        assert!(elsewhere.contains("another tree"), "{elsewhere}");
        fs::remove_file(&other).expect("removed");
        is_current(&both, &main, Some(after)).expect_err("a source is gone");
    }
}
