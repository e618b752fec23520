//! The ratios of former runs, a line for each commit that was measured, so that a later loss is seen.
//!
//! Ratios of one machine say little about another: a check compares with the last run of the same repository, and is
//! for people, on a machine that has nothing else to do.

use crate::report::Report;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How much larger a ratio may be than in the last run.
const NOISE: f64 = 1.15;

/// The commit that is checked out, and its date; nothing where there is no repository.
fn described() -> String {
    let mut git = Command::new("git");
    let git = git
        .current_dir(workspace())
        .args(["log", "-1", "--format=%h %cs"]);
    let said = git.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&said).trim().to_owned()
}

/// One run.
#[derive(Serialize, Deserialize)]
pub(crate) struct Run {
    commit: String,
    /// Of the commit.
    date: String,
    repository: String,
    rounds: usize,
    /// By command or pair.
    ratios: BTreeMap<String, f64>,
}

fn workspace() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("it lies in the workspace")
}

fn file() -> PathBuf {
    workspace().join("docs/performance/history.jsonl")
}

impl Run {
    pub(crate) fn of(report: &Report) -> Self {
        let described = described();
        let (commit, date) = described.split_once(' ').unwrap_or((&described, ""));
        // Where it lies says nothing elsewhere.
        let repository = Path::new(&report.repository).file_name();
        let results = report.compared.iter().flat_map(|it| &it.results);
        let pairs = report.sections.iter().flat_map(|section| &section.pairs);
        let ratios = results
            .map(|it| (it.name.clone(), it.ratio))
            .chain(pairs.map(|pair| (pair.name.clone(), pair.ratio)));
        Self {
            commit: commit.to_owned(),
            date: date.to_owned(),
            repository: repository.map_or_else(String::new, |it| it.to_string_lossy().into_owned()),
            rounds: report.rounds,
            ratios: ratios.map(|(name, ratio)| (name, rounded(ratio))).collect(),
        }
    }

    /// Appends it.
    pub(crate) fn record(&self) {
        let path = file();
        let line = serde_json::to_string(self).expect("a plain structure");
        fs::create_dir_all(path.parent().expect("a folder")).expect("docs/performance");
        let file = OpenOptions::new().append(true).create(true).open(&path);
        writeln!(file.expect("the history"), "{line}").expect("written");
    }

    /// Says what is slower than in the last run of the same repository. Answers whether nothing is.
    pub(crate) fn check(&self) -> bool {
        let text = fs::read_to_string(file()).unwrap_or_default();
        let runs = text.lines().map(|line| {
            let run: Run = serde_json::from_str(line).expect("a line of the history");
            run
        });
        let mut of_this = runs.filter(|run| run.repository == self.repository);
        let Some(last) = of_this.next_back() else {
            println!("no former run of {}: --record makes one", self.repository);
            return true;
        };
        let slower = self.slower_than(&last);
        for (name, before, now) in &slower {
            let (commit, date) = (&last.commit, &last.date);
            println!("slower: {name} {now:.2}, and {before:.2} at {commit} ({date})");
        }
        slower.is_empty()
    }

    fn slower_than<'a>(&'a self, last: &Run) -> Vec<(&'a str, f64, f64)> {
        let both = self.ratios.iter().filter_map(|(name, &now)| {
            let before = *last.ratios.get(name)?;
            Some((name.as_str(), before, now))
        });
        both.filter(|(_, before, now)| *now > before * NOISE)
            .collect()
    }
}

fn rounded(ratio: f64) -> f64 {
    (ratio * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ratios: &[(&str, f64)]) -> Run {
        let ratios = ratios
            .iter()
            .map(|(name, ratio)| ((*name).to_owned(), *ratio));
        Run {
            commit: "abc".to_owned(),
            date: "2026-01-01".to_owned(),
            repository: "generated".to_owned(),
            rounds: 7,
            ratios: ratios.collect(),
        }
    }

    #[test]
    fn a_loss_beyond_noise_is_seen() {
        let last = run(&[("log -1", 1.4), ("fsck", 1.0), ("gone", 1.0)]);
        let now = run(&[("log -1", 1.7), ("fsck", 1.1), ("new", 9.0)]);
        assert_eq!(now.slower_than(&last), [("log -1", 1.4, 1.7)]);
        assert!(last.slower_than(&now).is_empty(), "a gain is none");
    }
}
