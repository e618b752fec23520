//! Histories of a wanted shape as `git fast-import` streams: a thousand times
//! faster than as many `git commit`s. Content is random but the same in every run.

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use std::fmt::Write as _;
use std::io::Write as _;

/// The commit date of every commit.
const WHEN: &str = "1700000000 +0000";

/// A stream under construction.
#[derive(Debug)]
pub struct History {
    bytes: Vec<u8>,
    random: StdRng,
    commits: u32,
}

impl Default for History {
    fn default() -> Self {
        History::seeded(0)
    }
}

impl History {
    /// Content of its own: the same shape with another seed has no blob in common.
    pub fn seeded(seed: u64) -> Self {
        History {
            bytes: Vec::new(),
            random: StdRng::seed_from_u64(seed),
            commits: 0,
        }
    }

    /// `count` commits on a branch, each with one new blob and one new tree: three objects a
    /// commit, counted exactly.
    pub fn commits(mut self, branch: &str, count: usize) -> Self {
        for _ in 0..count {
            self.begin_commit(branch);
            self.file("file.txt", 120);
        }
        self
    }

    /// One commit with `count` files of `size` random (so incompressible) bytes, `width` to a directory.
    pub fn files(mut self, branch: &str, count: usize, size: usize, width: usize) -> Self {
        self.begin_commit(branch);
        for number in 0..count {
            let name = format!("d{}/f{}", number / width, number % width);
            self.file(&name, size);
        }
        self
    }

    /// `count` branches with the given prefix on the last commit.
    pub fn refs(mut self, prefix: &str, count: usize) -> Self {
        for number in 0..count {
            let from = self.commits;
            self.text(&format!("reset {prefix}{number}\nfrom :{from}\n\n"));
        }
        self
    }

    /// The stream.
    pub fn stream(self) -> Vec<u8> {
        self.bytes
    }

    fn begin_commit(&mut self, branch: &str) {
        self.commits += 1;
        let (mark, message) = (self.commits, format!("commit {}", self.commits));
        let mut text = format!("commit refs/heads/{branch}\nmark :{mark}\n");
        let _ = writeln!(text, "committer Test <test@example.com> {WHEN}");
        let _ = writeln!(text, "data {}\n{message}", message.len());
        self.text(&text);
    }

    fn file(&mut self, name: &str, size: usize) {
        let mut content = vec![0; size];
        self.random.fill_bytes(&mut content);
        self.text(&format!("M 100644 inline {name}\ndata {size}\n"));
        self.bytes.extend(content);
        self.text("\n");
    }

    fn text(&mut self, text: &str) {
        self.bytes
            .write_all(text.as_bytes())
            .expect("a vector takes everything");
    }
}

/// `count` commits on `main`, three objects each.
pub fn commits(count: usize) -> Vec<u8> {
    History::default().commits("main", count).stream()
}

/// Two commits on `main` and that many branches.
pub fn refs(count: usize) -> Vec<u8> {
    let history = History::default().commits("main", 2);
    history.refs("refs/heads/branch-", count).stream()
}

/// Incompressible bytes.
pub fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; size];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}
