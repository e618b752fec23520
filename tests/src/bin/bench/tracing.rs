//! What traces cost: the same command on two warm mounts, one of which sends every span to a collector.

use crate::compare::{source, within};
use crate::options::Options;
use crate::report::{Pair, Section, median};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::mount::Settings;
use gitmoor_tests::otlp::Collector;
use gitmoor_tests::place::Place;

const COMMAND: &str = "rev-list --all --objects --quiet";

pub(crate) fn measure(options: &Options) -> Section {
    Section {
        title: "price of traces",
        sides: ["traced ms", "not ms"],
        pairs: pairs(options),
    }
}

fn pairs(options: &Options) -> Vec<Pair> {
    if !options.wants("tracing") {
        return Vec::new();
    }
    let collector = Collector::start();
    let places = [collector.toml(), String::new()].map(|toml| {
        Place::with(Kind::Dir, &Installed::newest(), |settings| Settings {
            toml,
            ..settings
        })
    });
    let sides = places.each_ref().map(|place| mirrored(place, options));
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=options.rounds * 3 {
        for (side, times) in sides.iter().zip(&mut times) {
            let took = within(side, COMMAND);
            if round > 0 {
                times.push(took);
            }
        }
    }
    let [with, without] = times.map(median);
    assert!(!collector.spans().is_empty(), "spans are sent");
    vec![Pair::new(COMMAND, with, without)]
}

fn mirrored(place: &Place, options: &Options) -> Repo {
    let source = source(place, options);
    let mount = place.repo("traced.git");
    let at = place.git.at(&place.scratch);
    within(
        &at,
        format!("clone --quiet --mirror {} {}", source.url(), mount.path()),
    );
    mount
}
