//! The command line.

use std::path::PathBuf;

/// What to measure, and where to write it.
pub(crate) struct Options {
    pub(crate) repository: Option<PathBuf>,
    pub(crate) rounds: usize,
    pub(crate) json: Option<PathBuf>,
    /// Whether to keep the ratios for later checks.
    pub(crate) record: bool,
    /// Whether to compare the ratios with the last that were kept.
    pub(crate) check: bool,
    /// Parts of the names of what to measure; everything when empty.
    pub(crate) only: Vec<String>,
}

impl Options {
    /// Whether something of this name is to be measured.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part))
    }

    /// Whether anything but these may be to be measured.
    pub(crate) fn wants_other_than(&self, names: &[&str]) -> bool {
        let other = |part: &String| !names.iter().any(|name| name.contains(part.as_str()));
        self.only.is_empty() || self.only.iter().any(other)
    }
}

/// From the command line; ends the process when that makes no sense.
pub(crate) fn options() -> Options {
    let mut options = Options {
        repository: None,
        rounds: 7,
        json: None,
        record: false,
        check: false,
        only: Vec::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .unwrap_or_else(|| usage(&format!("{word} needs a value")))
        };
        match word.as_str() {
            "--rounds" => match value().parse() {
                Ok(rounds) if rounds > 0 => options.rounds = rounds,
                _ => usage("--rounds expects a number"),
            },
            "--json" => options.json = Some(value().into()),
            "--record" => options.record = true,
            "--check" => options.check = true,
            "--only" => options.only.push(value()),
            _ if word.starts_with('-') => usage(&format!("unknown option {word}")),
            _ => options.repository = Some(word.into()),
        }
    }
    options
}

/// Says what is wrong and ends the process.
pub(crate) fn usage(problem: &str) -> ! {
    eprintln!(
        "{problem}\nusage: bench [REPOSITORY] [--rounds N] [--json FILE] [--check] [--record] [--only NAME]..."
    );
    std::process::exit(2)
}
