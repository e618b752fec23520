//! The files of the tree, by path, module and content.

use crate::pages::citations;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What the docs may speak of.
pub(crate) struct Sources {
    files: Vec<Source>,
}

/// A file of the tree.
pub(crate) struct Source {
    /// Its path from the root.
    name: String,
    text: String,
}

/// Extensions of files whose contents are searched.
const TEXTS: [&str; 8] = [
    "rs", "sh", "toml", "proto", "json", "service", "yml", "conf",
];

impl Sources {
    pub(crate) fn of(root: &Path) -> Self {
        let mut files = Vec::new();
        collect(root, "", &mut files);
        Self { files }
    }

    /// The files of this path: from the root, or below some folder.
    pub(crate) fn named(&self, path: &str) -> Vec<&Source> {
        let below = format!("/{path}");
        let is = |file: &&Source| file.name == path || file.name.ends_with(&below);
        self.files.iter().filter(is).collect()
    }

    pub(crate) fn is_folder(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.files.iter().any(|file| file.name.starts_with(&folder))
    }

    /// The folders at the top of the crates that the program is made of.
    pub(crate) fn folders_of_crates(&self) -> BTreeSet<String> {
        let folder = |file: &Source| {
            let (krate, path) = file.name.split_once("/src/")?;
            let of_the_program = !["tests", "fuzz"].contains(&krate);
            let (folder, _) = path.split_once('/')?;
            of_the_program.then(|| folder.to_owned())
        };
        self.files.iter().filter_map(folder).collect()
    }

    /// Whether a test, or a module of tests, is there: `file::function`, `file::*`, `file::start_*`.
    pub(crate) fn has_test(&self, name: &str) -> bool {
        let name = name.trim_end_matches("::*");
        let parts: Vec<_> = name.split("::").collect();
        (1..=parts.len()).any(|n| {
            let (module, rest) = parts.split_at(n);
            let of_module = |file: &&Source| file.modules().ends_with(module);
            let mut files = self.files.iter().filter(of_module);
            files.any(|file| rest.iter().all(|part| file.declares(part)))
        })
    }

    /// Whether some source has all parts of `Type` or `Type::item`.
    pub(crate) fn has_item(&self, name: &str) -> bool {
        let has = |file: &Source| {
            file.name.ends_with(".rs") && name.split("::").all(|word| file.has(word))
        };
        self.files.iter().any(has)
    }

    /// Whether any source says this, as it stands or as the identifier that serde makes it from.
    pub(crate) fn mention(&self, name: &str) -> bool {
        let words = name.split('-');
        let variant: String = words.map(capitalized).collect();
        let spellings = [name, &name.replace('-', "_"), &variant];
        let mut files = self.files.iter();
        files.any(|file| spellings.iter().any(|name| file.text.contains(name)))
    }

    /// The invariants that sources cite.
    pub(crate) fn citations(&self) -> Vec<(String, String)> {
        let of = |file: &Source| {
            let name = file.name.clone();
            citations(&file.text)
                .into_iter()
                .map(move |cited| (name.clone(), cited))
        };
        self.files.iter().flat_map(of).collect()
    }
}

fn collect(root: &Path, folder: &str, files: &mut Vec<Source>) {
    for entry in fs::read_dir(root.join(folder)).expect("a folder can be listed") {
        let entry = entry.expect("an entry can be read");
        let name = format!("{folder}{}", entry.file_name().to_string_lossy());
        let hidden = name.starts_with('.') && name != ".ci";
        if hidden || name == "target" || name == "fuzz/corpus" {
            continue;
        }
        if entry.path().is_dir() {
            collect(root, &format!("{name}/"), files);
            continue;
        }
        let extension = name.rsplit('.').next().unwrap_or_default();
        let text = match TEXTS.contains(&extension) && !name.starts_with("tests/tests/docs/") {
            true => fs::read_to_string(entry.path()).unwrap_or_default(),
            false => String::new(),
        };
        files.push(Source { name, text });
    }
}

impl Source {
    /// Whether it has this word.
    pub(crate) fn has(&self, word: &str) -> bool {
        let in_word = |c: char| c.is_alphanumeric() || c == '_';
        self.text.match_indices(word).any(|(at, _)| {
            let before = self.text[..at].chars().next_back();
            let after = self.text[at + word.len()..].chars().next();
            !before.is_some_and(in_word) && !after.is_some_and(in_word)
        })
    }

    /// The modules down to this file, such as `suite`, `crash`, `power`.
    fn modules(&self) -> Vec<&str> {
        let Some(path) = self.name.strip_suffix(".rs") else {
            return Vec::new();
        };
        let parts = path.split('/');
        let is_module = |part: &&str| !["src", "mod", "main", "lib"].contains(part);
        parts.filter(is_module).collect()
    }

    /// Whether it declares a function or module of this name, or of this beginning with `*` behind it.
    fn declares(&self, name: &str) -> bool {
        let whole = !name.ends_with('*');
        let name = name.trim_end_matches('*');
        ["fn ", "mod "].iter().any(|keyword| {
            let declared = format!("{keyword}{name}");
            self.text.match_indices(&declared).any(|(at, _)| {
                let next = self.text[at + declared.len()..].chars().next();
                !whole || !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
            })
        })
    }
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    first.to_uppercase() + rest
}

/// `a/{b,c}.rs` as `a/b.rs` and `a/c.rs`; without braces the text itself.
pub(crate) fn expand(text: &str) -> Vec<String> {
    let Some((before, rest)) = text.split_once('{') else {
        return vec![text.to_owned()];
    };
    let Some((inside, after)) = rest.split_once('}') else {
        return vec![text.to_owned()];
    };
    let each = inside
        .split(',')
        .map(|part| format!("{before}{}{after}", part.trim()));
    each.collect()
}
