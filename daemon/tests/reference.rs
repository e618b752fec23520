//! The pages of `docs/reference/` say what the code says. With `GITMOOR_WRITE_REFERENCE=1` this test writes them:
//!
//! ```text
//! GITMOOR_WRITE_REFERENCE=1 cargo nextest run --release --workspace -E 'binary(reference)'
//! ```

use std::path::Path;

#[test]
fn pages_are_current() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
    let is_written = std::env::var_os("GITMOOR_WRITE_REFERENCE").is_some();
    for (name, text) in gitmoor::reference::pages() {
        let page = dir.join(name);
        if is_written {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(&page, &text).unwrap();
        }
        let there = std::fs::read_to_string(&page).unwrap_or_default();
        assert!(
            there == text,
            "docs/reference/{name} is not current: run this test with GITMOOR_WRITE_REFERENCE=1"
        );
    }
}

#[test]
fn lines_are_short() {
    for (name, text) in gitmoor::reference::pages() {
        // Between the fences stands code, on lines as long as it takes.
        let prose = text.split("```").step_by(2);
        let lines = prose.flat_map(str::lines);
        for line in lines.filter(|line| !line.contains('`')) {
            assert!(line.chars().count() <= 100, "{name}: {line}");
        }
    }
}

#[test]
fn every_request_has_an_example() {
    let pages = gitmoor::reference::pages();
    let page = pages.iter().find(|(name, _)| *name == "admin-socket.md");
    let (_, text) = page.expect("it is one of the pages");
    let examples = text.matches("```json").count();
    assert_eq!(examples, gitmoor::command::Request::DOCS.len());
}
