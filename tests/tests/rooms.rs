//! The walls of the house, read from the sources: which rooms of a crate use each other in a circle, and over how many
//! files the methods of a type are spread. A room is a module at the top of a crate, with all that is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms that use each other in a circle, at most.
const CIRCLE: usize = 2;

/// Files over which the methods of one type may be spread.
const SPREAD: usize = 3;

/// The sources of each crate.
const CRATES: &[&str] = &[
    "replicator/instrument/src",
    "replicator/model/src",
    "fs/store/src",
    "replicator/src",
    "fs/src",
    "fs/jobs/src",
    "serve/src",
    "daemon/src",
];

#[test]
fn no_rooms_use_each_other_in_a_circle() {
    for sources in CRATES {
        let uses = uses(&files(&root().join(sources)));
        let mut circles = circles(&uses);
        circles.retain(|circle| circle.len() > CIRCLE);
        assert!(circles.is_empty(), "{sources}: {circles:?}");
    }
}

#[test]
fn the_methods_of_a_type_stand_together() {
    for sources in CRATES {
        let files = files(&root().join(sources));
        let mut spread: BTreeMap<String, BTreeSet<&Path>> = BTreeMap::new();
        for file in &files {
            for name in file.implements() {
                let name = format!("{}::{name}", defined_in(&files, file, name));
                spread.entry(name).or_default().insert(&file.at);
            }
        }
        spread.retain(|_, files| files.len() > SPREAD);
        assert!(spread.is_empty(), "{sources}: {spread:?}");
    }
}

/// The rooms that this test knows are those that there are.
#[test]
fn every_crate_is_looked_at() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace");
    let members = manifest
        .lines()
        .find_map(|line| line.strip_prefix("members = "))
        .expect("members");
    for member in members.split('"').skip(1).step_by(2) {
        let of_tests = matches!(member, "tests" | "fuzz");
        let known = CRATES.contains(&format!("{member}/src").as_str());
        assert!(of_tests || known, "{member} is not in CRATES");
    }
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("tests/ is in the workspace").into()
}

/// A source file without its comments and tests.
struct Source {
    at: PathBuf,
    /// `None` of the crate's root.
    room: Option<String>,
    text: String,
}

fn files(sources: &Path) -> Vec<Source> {
    let (mut files, mut dirs) = (Vec::new(), vec![sources.to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("sources") {
            let at = entry.expect("an entry").path();
            if at.is_dir() {
                dirs.push(at);
            } else if at.extension().is_some_and(|ext| ext == "rs")
                && at.file_name().is_some_and(|name| name != "tests.rs")
            {
                let text = fs::read_to_string(&at).expect("a source file");
                let text = without_tests(&without_comments(&text));
                let room = room(at.strip_prefix(sources).expect("beneath"));
                files.push(Source { at, room, text });
            }
        }
    }
    files
}

fn room(at: &Path) -> Option<String> {
    let first = at.components().next().expect("a name");
    let first = Path::new(first.as_os_str()).file_stem().expect("a name");
    let first = first.to_str().expect("UTF-8").to_owned();
    (first != "lib" && first != "main").then_some(first)
}

/// The room of the type whose methods these are: this one, if it has a type of the name.
fn defined_in<'a>(files: &'a [Source], here: &'a Source, name: &str) -> &'a str {
    let defines = |file: &&Source| {
        ["struct ", "enum "].iter().any(|kind| {
            let after = file.text.split(kind).skip(1);
            after.map(word).any(|defined| defined == name)
        })
    };
    let in_room = |file: &&Source| file.room == here.room;
    let home = files.iter().filter(in_room).find(defines);
    let home = home.or_else(|| files.iter().find(defines));
    let room = home.unwrap_or(here).room.as_deref();
    room.unwrap_or_default()
}

fn without_comments(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""));
    lines.collect::<Vec<_>>().join("\n")
}

/// Without modules that are for tests alone.
fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        kept.push_str(before);
        rest = after;
        let is_module = after.trim_start().starts_with("mod ");
        let braced = after.find(['{', ';']).map(|at| (at, &after[at..=at]));
        if let (true, Some((open, "{"))) = (is_module, braced) {
            rest = &after[open + closing(&after[open..])..];
        }
    }
    kept + rest
}

/// How long the block is that begins here.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

impl Source {
    /// Rooms that it names: `crate::room`, `use crate::{room::…, other}`.
    fn named(&self) -> Vec<&str> {
        let mut named = Vec::new();
        for (at, found) in self.text.match_indices("crate::") {
            let rest = &self.text[at + found.len()..];
            match rest.strip_prefix('{') {
                None => named.push(word(rest)),
                Some(_) => named.extend(items(&rest[1..closing(rest) - 1])),
            }
        }
        named
    }

    /// Types that have methods of their own here.
    fn implements(&self) -> Vec<&str> {
        let heads = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("impl"));
        let heads = heads.filter(|head| head.starts_with([' ', '<']) && !head.contains(" for "));
        heads.map(|head| word(after_generics(head))).collect()
    }
}

fn after_generics(head: &str) -> &str {
    if !head.starts_with('<') {
        return head.trim_start();
    }
    let mut depth = 0;
    for (at, c) in head.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if !head[..at].ends_with('-') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return head[at + 1..].trim_start();
        }
    }
    head
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The first words of a list, whatever braces are in it.
fn items(list: &str) -> Vec<&str> {
    let (mut items, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices().chain([(list.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(word(list[begin..at].trim_start()));
                begin = at + 1;
            }
            _ => {}
        }
    }
    items
}

type Uses = BTreeMap<String, BTreeSet<String>>;

/// What each room uses of the others.
fn uses(files: &[Source]) -> Uses {
    let rooms = files.iter().filter_map(|file| file.room.clone());
    let mut uses: Uses = rooms.map(|room| (room, BTreeSet::new())).collect();
    for file in files {
        let Some(room) = &file.room else { continue };
        for named in file.named() {
            if named != room && uses.contains_key(named) {
                uses.get_mut(room)
                    .expect("a room of this crate")
                    .insert(named.to_owned());
            }
        }
    }
    uses
}

/// Rooms that reach each other, largest sets.
fn circles(uses: &Uses) -> Vec<BTreeSet<&str>> {
    let reach: BTreeMap<_, _> = uses.keys().map(|room| (room, reach(uses, room))).collect();
    let mut circles: Vec<BTreeSet<&str>> = Vec::new();
    for (room, reached) in &reach {
        let circle: BTreeSet<_> = reached
            .iter()
            .filter(|other| reach[**other].contains(room))
            .map(|other| other.as_str())
            .collect();
        if circle.len() > 1 && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

fn reach<'a>(uses: &'a Uses, from: &'a String) -> BTreeSet<&'a String> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(room) = next.pop() {
        for other in &uses[room] {
            if reached.insert(other) {
                next.push(other);
            }
        }
    }
    reached
}

#[test]
fn circles_are_found() {
    let uses = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "d")];
    let mut graph: Uses = BTreeMap::new();
    for (from, to) in uses {
        graph.entry(from.to_owned()).or_default();
        graph.entry(to.to_owned()).or_default();
        graph
            .get_mut(from)
            .expect("just made")
            .insert(to.to_owned());
    }
    assert_eq!(circles(&graph), [BTreeSet::from(["a", "b", "c"])]);
}

#[test]
fn what_is_named_is_read() {
    let text = "use crate::{a::B, c::{D, e}, f};\nuse crate::g::h;\n#[cfg(test)]\nmod tests { use crate::t; }\ncrate::i::J\n";
    let file = Source {
        at: PathBuf::new(),
        room: None,
        text: without_tests(&without_comments(text)),
    };
    assert_eq!(file.named(), ["a", "c", "f", "g", "i"]);
    let text = "impl A {\nimpl<'a, T: Fn() -> B> C<'a, T> {\nimpl D for E {\n".to_owned();
    let file = Source {
        at: PathBuf::new(),
        room: None,
        text,
    };
    assert_eq!(file.implements(), ["A", "C"]);
}
