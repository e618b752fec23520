//! The marker of a store that may not be ours: opened exactly when it says so.

use gitmoor_store::object_store::{self, S3Settings, StoreOpenError, StoreUrl};
use std::fs;
use std::sync::OnceLock;
use tokio::runtime::Runtime;

/// The bytes under `gitmoor-format`.
pub fn run(data: &[u8]) {
    static PLACE: OnceLock<(tempfile::TempDir, Runtime)> = OnceLock::new();
    let (dir, runtime) = PLACE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let dir = tempfile::tempdir().expect("a temporary directory");
        (dir, runtime.expect("a runtime"))
    });
    let path = dir.path().join("gitmoor-format");
    // A file system syncs what is truncated and written again.
    let _ = fs::remove_file(&path);
    fs::write(&path, data).expect("writes");
    let url = StoreUrl::Dir(dir.path().to_path_buf());
    match object_store::open(&url, S3Settings::default(), runtime.handle().clone()) {
        Ok(_) => assert!(data.len() <= 4096, "more than a marker has"),
        Err(StoreOpenError::UnknownFormat { found, known, .. }) => assert_ne!(found, known),
        Err(StoreOpenError::BadMarker { .. }) => assert!(!is_ours(data), "ours"),
        Err(other) => panic!("{other}"),
    }
}

fn is_ours(data: &[u8]) -> bool {
    let Ok(marker) = serde_json::from_slice::<serde_json::Value>(data) else {
        return false;
    };
    let id = marker["store"].as_str().unwrap_or_default();
    // Of a key that comes twice another parser sees another value.
    let text = String::from_utf8_lossy(data);
    let once = ["format", "store"].map(|key| text.matches(key).count()) == [1, 1];
    data.len() <= 4096 && once && marker["format"] == 1 && uuid::Uuid::parse_str(id).is_ok()
}
