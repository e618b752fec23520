//! Markdown, as far as these checks need it: lines outside of code blocks, code spans, links,
//! headings, list items.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A page, by its path from the root.
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// The pages of the root, of `docs` and of `tests`.
pub(crate) fn pages(root: &Path) -> Vec<Page> {
    let mut names = Vec::new();
    collect(root, "", false, &mut names);
    collect(root, "docs/", true, &mut names);
    collect(root, "tests/", false, &mut names);
    names.sort();
    let read = |name: String| {
        let text = fs::read_to_string(root.join(&name)).expect("a page can be read");
        Page { name, text }
    };
    names.into_iter().map(read).collect()
}

fn collect(root: &Path, folder: &str, deep: bool, names: &mut Vec<String>) {
    for entry in fs::read_dir(root.join(folder)).expect("a folder can be listed") {
        let entry = entry.expect("an entry can be read");
        let name = format!("{folder}{}", entry.file_name().to_string_lossy());
        if name.ends_with(".md") {
            names.push(name);
        } else if deep && entry.path().is_dir() {
            collect(root, &format!("{name}/"), deep, names);
        }
    }
}

impl Page {
    /// A path as this page's links name it, from the root.
    pub(crate) fn beside(&self, file: &str) -> String {
        let mut path: Vec<_> = self.name.split('/').collect();
        path.pop();
        for part in file.split('/') {
            match part {
                ".." => drop(path.pop()),
                "." | "" => {}
                part => path.push(part),
            }
        }
        path.join("/")
    }

    /// Whether it speaks of this version: a changelog and known issues name what is gone.
    pub(crate) fn is_of_today(&self) -> bool {
        self.name != "CHANGELOG.md" && !self.name.starts_with("docs/known-issues")
    }

    /// Whether it speaks of the code.
    pub(crate) fn is_of_engineers(&self) -> bool {
        let mut folders = ["docs/internals/", "docs/design/", "docs/semantics/"].iter();
        folders.any(|folder| self.name.starts_with(folder))
    }

    /// The lines outside of code blocks, with their numbers.
    pub(crate) fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut in_code = false;
        self.text.lines().enumerate().filter_map(move |(at, line)| {
            let fence = line.trim_start().starts_with("```");
            in_code ^= fence;
            (!in_code && !fence).then_some((at + 1, line))
        })
    }

    /// Paragraphs, list items, headings and tables, each with its lines.
    pub(crate) fn items(&self) -> impl Iterator<Item = String> {
        let mut items = vec![String::new()];
        for (_, line) in self.prose() {
            let text = line.trim_start();
            let marker = text.split(' ').next().unwrap_or_default();
            let number = marker
                .strip_suffix('.')
                .is_some_and(|n| n.parse::<u32>().is_ok());
            if text.is_empty() || matches!(marker, "-" | "*") || number {
                items.push(String::new());
            }
            let item = items.last_mut().expect("never empty");
            item.push_str(text);
            item.push('\n');
        }
        items.into_iter()
    }

    /// What stands in backticks.
    pub(crate) fn spans(&self) -> Vec<String> {
        self.items().flat_map(|item| spans(&item)).collect()
    }

    /// What stands in backticks where tests are named.
    pub(crate) fn tests(&self) -> Vec<String> {
        let named = |item: String| match item.split_once("Tests: ") {
            Some((_, tests)) => spans(tests),
            None => Vec::new(),
        };
        self.items().flat_map(named).collect()
    }

    /// Where links lead.
    pub(crate) fn links(&self) -> Vec<String> {
        let mut links = Vec::new();
        for item in self.items() {
            let text = without_spans(&item);
            let parts = text.split("](").skip(1);
            let targets = parts.filter_map(|part| part.split_once(')').map(|(link, _)| link));
            links.extend(targets.map(str::to_owned));
        }
        links
    }

    /// The anchors of the headings, as GitHub and mdBook make them.
    pub(crate) fn anchors(&self) -> BTreeSet<String> {
        let headings = self
            .prose()
            .map(|(_, line)| line)
            .filter(|line| line.starts_with('#'));
        headings
            .map(|line| anchor(line.trim_start_matches('#').trim()))
            .collect()
    }

    /// The invariants that it cites.
    pub(crate) fn citations(&self) -> Vec<(String, String)> {
        let name = |cited| (self.name.clone(), cited);
        citations(&self.text).into_iter().map(name).collect()
    }
}

fn spans(item: &str) -> Vec<String> {
    let inside = item.split('`').skip(1).step_by(2);
    inside
        .map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

fn without_spans(item: &str) -> String {
    item.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Each `INV-n` in a text.
pub(crate) fn citations(text: &str) -> Vec<String> {
    let parts = text.split("INV-").skip(1);
    let number = |part: &str| {
        part.chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
    };
    let numbers = parts.map(number).filter(|number| !number.is_empty());
    numbers.map(|number| format!("INV-{number}")).collect()
}
