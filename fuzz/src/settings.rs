//! Settings of people: the settings file, URLs of stores, and values of replicated
//! settings. What is refused is refused with a sentence; what is accepted stays
//! what it is when it is written down and read again.

use crate::{config, fields};
use gitmoor::config::{ByteSize, LogFilter, RepoName, Seconds, StoreUrl, read_file};
use gitmoor_model::setting::SETTINGS;
use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;

/// Bytes of a settings file, of a URL, of a value.
pub fn run(data: &[u8]) {
    read(data);
    for field in fields(data) {
        let text = String::from_utf8_lossy(field);
        parse(&text);
        set_all(&text);
    }
}

fn read(file: &[u8]) {
    static DIR: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = DIR.get_or_init(|| tempfile::tempdir().expect("a temporary directory"));
    let path = dir.path().join("gitmoor.toml");
    // A file system syncs what is truncated and written again.
    let _ = fs::remove_file(&path);
    fs::write(&path, file).expect("writes");
    if let Err(error) = read_file(&path) {
        assert!(error.to_string().contains("gitmoor.toml"), "{error}");
    }
}

fn parse(text: &str) {
    if let Ok(url) = text.parse::<StoreUrl>() {
        assert_eq!(url.to_string().parse(), Ok(url));
    }
    if let Ok(name) = text.parse::<RepoName>() {
        assert_eq!(name.as_str(), text);
        assert_eq!(name.path().as_bytes(), text.as_bytes());
    }
    let _ = text.parse::<ByteSize>();
    let _ = text.parse::<Seconds>();
    let _ = text.parse::<LogFilter>();
}

/// The value under every key that takes it.
fn set_all(value: &str) {
    let taking = SETTINGS.iter().filter(|s| s.check(value).is_ok());
    let settings: BTreeMap<_, _> = taking
        .map(|setting| (setting.key.to_owned(), value.to_owned()))
        .collect();
    config::check_settings(&settings);
}
