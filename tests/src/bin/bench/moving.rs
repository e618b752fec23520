//! Moving in: an import against a mirror that git clones onto this disk, and forks of what was
//! imported against forks of an empty repository.

use crate::compare::{mirrored, source, within};
use crate::options::Options;
use crate::report::{Pair, Section, median};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::place::Place;
use std::fs;
use std::time::{Duration, Instant};

/// An import stores all of it anew each time.
const ROUNDS: usize = 3;

const STORES: [(&str, Kind); 2] = [("a directory", Kind::Dir), ("Garage", Kind::Garage)];

/// With each store.
pub(crate) fn measure(options: &Options) -> [Section; 2] {
    let (mut imports, mut forks) = (Vec::new(), Vec::new());
    for (store, kind) in STORES {
        if options.wants("moving") {
            let place = Place::new(kind, &Installed::newest());
            let source = mirror(&place, options);
            imports.push(imported(&place, &source, store));
            forks.push(forked(&place, options, store));
        }
    }
    [
        Section {
            title: "import into",
            sides: ["import ms", "clone ms"],
            pairs: imports,
        },
        Section {
            title: "fork in",
            sides: ["large ms", "empty ms"],
            pairs: forks,
        },
    ]
}

/// The given repository as it is, or a generated one.
fn mirror(place: &Place, options: &Options) -> Repo {
    let Some(from) = &options.repository else {
        return source(place, options);
    };
    let to = place.scratch("source.git");
    mirrored(&place.git.at(&place.scratch), from, to.clone());
    place.git.at(to)
}

fn imported(place: &Place, source: &Repo, store: &str) -> Pair {
    let (mut imports, mut clones) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let times = (import(place, source, round), clone(place, source));
        if round > 0 {
            imports.push(times.0);
            clones.push(times.1);
        }
    }
    Pair::new(store, median(imports), median(clones))
}

fn import(place: &Place, source: &Repo, round: usize) -> Duration {
    let settings = place.daemon().settings().clone();
    let began = Instant::now();
    settings.gitmoor_ok(&["import", source.path(), &format!("import-{round}.git")]);
    began.elapsed()
}

/// Through git's transport: a clone that links the files of the source copies nothing.
fn clone(place: &Place, source: &Repo) -> Duration {
    let at = place.git.at(&place.scratch);
    let mirror = place.scratch("mirror.git");
    let line = format!(
        "clone --quiet --mirror {} {}",
        source.url(),
        mirror.display()
    );
    let took = within(&at, line);
    fs::remove_dir_all(&mirror).expect("the mirror goes");
    took
}

fn forked(place: &Place, options: &Options, store: &str) -> Pair {
    place.bare("empty.git");
    let settings = place.daemon().settings().clone();
    let fork = |name: &str, round: usize| {
        let began = Instant::now();
        settings.gitmoor_ok(&["repo", "fork", name, &format!("fork-{round}-of-{name}")]);
        began.elapsed()
    };
    let rounds = 1..=options.rounds * 3;
    let (large, empty) = rounds
        .map(|round| (fork("import-1.git", round), fork("empty.git", round)))
        .unzip();
    Pair::new(store, median(large), median(empty))
}
