//! The pages of the manual name what exists: links lead somewhere, and files, functions, tests, metrics,
//! settings and invariants are found in the tree. A page that falls behind the code fails here.

mod pages;
mod sources;

use pages::{Page, pages};
use sources::Sources;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Columns of a line, but for table rows, code blocks and words that cannot be broken.
const COLUMNS: usize = 100;

/// The folders at the top that a path in the docs may begin with.
const FOLDERS: [&str; 10] = [
    "fs/",
    "serve/",
    "replicator/",
    "daemon/",
    "tests/",
    "fuzz/",
    "scripts/",
    "docs/",
    "packaging/",
    "dashboards/",
];

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("a crate below the root").to_owned()
}

/// Fails with all findings at once.
fn none(what: &str, findings: BTreeSet<String>) {
    let list: Vec<_> = findings.into_iter().collect();
    assert!(list.is_empty(), "{what}:\n{}", list.join("\n"));
}

#[test]
fn links_lead_to_pages_and_headings() {
    let root = root();
    let pages = pages(&root);
    let mut findings = BTreeSet::new();
    for page in &pages {
        for link in page.links() {
            if let Some(fault) = broken(&root, &pages, page, &link) {
                findings.insert(format!("{}: {link}: {fault}", page.name));
            }
        }
    }
    none("links that lead nowhere", findings);
}

/// What is wrong with a link of a page.
fn broken(root: &Path, pages: &[Page], page: &Page, link: &str) -> Option<&'static str> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let name = match file {
        "" => page.name.clone(),
        file => page.beside(file),
    };
    if !root.join(&name).exists() {
        return Some("no such file");
    }
    if anchor.is_empty() {
        return None;
    }
    match pages.iter().find(|other| other.name == name) {
        Some(target) if target.anchors().contains(anchor) => None,
        Some(_) => Some("no such heading"),
        None => Some("not a page"),
    }
}

#[test]
fn named_files_and_functions_exist() {
    let sources = Sources::of(&root());
    let mut findings = BTreeSet::new();
    for page in pages(&root()) {
        for span in page.spans() {
            let (path, names) = span.split_once(": ").unwrap_or((&span, ""));
            if !is_path(path) {
                continue;
            }
            for path in sources::expand(path) {
                let files = sources.named(&path);
                if files.is_empty() && !sources.is_folder(&path) {
                    findings.insert(format!("{}: {path}: no such file", page.name));
                } else if let Some(name) = missing(&files, names) {
                    findings.insert(format!("{}: {path}: {name}: not in it", page.name));
                }
            }
        }
    }
    none("files and functions that are not there", findings);
}

#[test]
fn named_types_exist() {
    let sources = Sources::of(&root());
    let mut findings = BTreeSet::new();
    let inside = pages(&root())
        .into_iter()
        .filter(|page| page.is_of_engineers());
    for page in inside {
        for span in page.spans().into_iter().filter(|span| is_type(span)) {
            if !sources.has_item(&span) {
                findings.insert(format!("{}: {span}", page.name));
            }
        }
    }
    none("types and methods that are not there", findings);
}

/// Whether a code span is a type or an item of one, such as `Peer` or `Stage::swap`.
fn is_type(span: &str) -> bool {
    let mut letters = span.chars();
    let capital = letters.next().is_some_and(|c| c.is_ascii_uppercase());
    let second = letters.next().is_some_and(|c| c.is_ascii_lowercase());
    capital && second && all(span, |c| c.is_ascii_alphanumeric() || "_:".contains(c))
}

/// Whether a code span is the path of a file or folder of this repository.
fn is_path(text: &str) -> bool {
    let placeholder = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase());
    let plain = !text.contains([' ', '<', '*', '$', '…']) && !text.split('/').any(placeholder);
    plain && (text.ends_with(".rs") || FOLDERS.iter().any(|folder| text.starts_with(folder)))
}

/// The first of these names that no file has.
fn missing<'a>(files: &[&sources::Source], names: &'a str) -> Option<&'a str> {
    let names = names.split([',', '/']).map(str::trim);
    let last = |name: &'a str| {
        name.rsplit("::")
            .next()
            .unwrap_or(name)
            .trim_end_matches("()")
    };
    let mut names = names.map(last).filter(|name| !name.is_empty());
    names.find(|name| !files.iter().any(|file| file.has(name)))
}

#[test]
fn named_tests_exist() {
    let sources = Sources::of(&root());
    let mut findings = BTreeSet::new();
    for page in pages(&root()) {
        let named = page.tests().into_iter();
        let anywhere = page.spans().into_iter().filter(|span| is_module(span));
        for span in named
            .filter(|span| !is_path(before_colon(span)))
            .chain(anywhere)
        {
            for name in sources::expand(&span) {
                if !sources.has_test(&name) {
                    findings.insert(format!("{}: {name}", page.name));
                }
            }
        }
    }
    none("tests that are not there", findings);
}

fn before_colon(span: &str) -> &str {
    span.split(": ").next().unwrap_or(span)
}

/// Whether a code span is a path of modules, such as `prune::after::*`.
fn is_module(span: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:*{}, ".contains(c);
    let example = ["std::", "file::"]
        .iter()
        .any(|start| span.starts_with(start));
    span.contains("::") && !example && span.chars().all(allowed)
}

#[test]
fn each_promise_names_its_tests() {
    let mut findings = BTreeSet::new();
    for page in pages(&root()) {
        if !page.name.starts_with("docs/semantics/") {
            continue;
        }
        for promise in page.items().filter(|item| item.starts_with("- **")) {
            let tells = ["Tests:", "No test", "See ["]
                .iter()
                .any(|word| promise.contains(word));
            if !tells {
                let first = promise.lines().next().unwrap_or_default();
                findings.insert(format!("{}: {first}", page.name));
            }
        }
    }
    none("promises that say nothing of a test", findings);
}

#[test]
fn named_metrics_settings_and_variables_exist() {
    let sources = Sources::of(&root());
    let mut findings = BTreeSet::new();
    for page in pages(&root()).iter().filter(|page| page.is_of_today()) {
        for span in page.spans() {
            if is_name(&span) && !sources.mention(&span) {
                findings.insert(format!("{}: {span}", page.name));
            }
        }
    }
    none("names that no source has", findings);
}

/// Whether a code span looks like a metric, an environment variable or a setting.
fn is_name(span: &str) -> bool {
    let metric = span.starts_with("gitmoor_") && all(span, |c| c.is_ascii_lowercase() || c == '_');
    let variable =
        span.starts_with("GITMOOR_") && all(span, |c| c.is_ascii_uppercase() || c == '_');
    let first = |c: char| c.is_ascii_lowercase();
    let setting = span.contains('-')
        && span.starts_with(first)
        && span.ends_with(first)
        && all(span, |c| c.is_ascii_lowercase() || "-.".contains(c));
    metric || variable || setting
}

fn all(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    text.chars().all(allowed)
}

#[test]
fn cited_invariants_exist() {
    let sources = Sources::of(&root());
    let pages = pages(&root());
    let list = pages
        .iter()
        .find(|page| page.name == "docs/internals/invariants.md");
    let list = list.expect("the page of the invariants");
    let headings = list
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("## "));
    let known: BTreeSet<_> = headings.filter_map(|line| line.split(' ').next()).collect();
    let cited = sources.citations().into_iter();
    let cited = cited.chain(pages.iter().flat_map(Page::citations));
    let unknown = cited.filter(|(_, name)| !known.contains(name.as_str()));
    none(
        "invariants that are not in docs/internals/invariants.md",
        unknown
            .map(|(file, name)| format!("{file}: {name}"))
            .collect(),
    );
}

#[test]
fn lines_have_at_most_100_columns() {
    let mut findings = BTreeSet::new();
    for page in pages(&root()) {
        for (number, line) in page.prose() {
            let breakable = line.trim_start().trim_start_matches("- ").contains(' ');
            let has_url = line.contains("://");
            if line.chars().count() > COLUMNS && breakable && !has_url && !line.starts_with('|') {
                findings.insert(format!("{}:{number}", page.name));
            }
        }
    }
    none("lines that are too long", findings);
}

#[test]
fn the_map_of_the_code_has_every_folder() {
    let pages = pages(&root());
    let map = pages
        .iter()
        .find(|page| page.name == "docs/internals/architecture.md");
    let map = map.expect("the page of the architecture");
    let sources = Sources::of(&root());
    let folders = sources.folders_of_crates().into_iter();
    let unknown = folders.filter(|folder| !map.text.contains(&format!("{folder}/")));
    none(
        "folders that docs/internals/architecture.md leaves out",
        unknown.collect(),
    );
}

#[test]
fn every_page_is_in_the_summary() {
    let pages = pages(&root());
    let summary = pages.iter().find(|page| page.name == "docs/SUMMARY.md");
    let summary = summary.expect("the table of contents");
    let linked: BTreeSet<_> = summary
        .links()
        .iter()
        .map(|link| summary.beside(link))
        .collect();
    let names = pages.iter().map(|page| &page.name);
    let of_the_book = names.filter(|name| name.starts_with("docs/") && **name != summary.name);
    let left_out = of_the_book.filter(|name| !linked.contains(*name));
    none(
        "pages that docs/SUMMARY.md leaves out",
        left_out.cloned().collect(),
    );
}

#[test]
fn these_checks_notice() {
    let sources = Sources::of(&root());
    assert!(sources.has_test("prune::a_process_number_used_again"));
    assert!(sources.has_test("prune::pruned_*") && sources.has_test("crash::points"));
    assert!(!sources.has_test("prune::no_such_test") && !sources.has_test("no_such_file::*"));
    assert!(sources.named("fs/src/no_such_file.rs").is_empty() && !sources.is_folder("fs/no_such"));
    let place = sources.named("tests/src/place.rs");
    assert_eq!(
        missing(&place, "Place, no_such_function"),
        Some("no_such_function")
    );
    assert!(!sources.mention("gitmoor_no_such_metric") && !sources.mention("no-such-setting"));
    let all = pages(&root());
    let glossary = all
        .iter()
        .find(|page| page.name == "docs/glossary.md")
        .expect("a page");
    for link in ["no-such-page.md", "semantics/refs.md#no-such-heading"] {
        assert!(broken(&root(), &all, glossary, link).is_some(), "{link}");
    }
    assert_eq!(
        broken(&root(), &all, glossary, "semantics/refs.md#locks"),
        None
    );
}
