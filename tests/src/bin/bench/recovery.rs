//! How long it takes to be there again after kill -9, with very many finished objects that
//! were not stored yet, against the same with none.

use crate::options::Options;
use crate::report::{Pair, Section, median};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::history::noise;
use gitmoor_tests::mount::Settings;
use gitmoor_tests::place::Place;
use std::fmt::Write;
use std::time::{Duration, Instant};

const STAGED: usize = 10_000;
const ROUNDS: usize = 3;

/// Until the mount answers, and until git has had an answer from the repository: from
/// starting the daemon.
pub(crate) fn measure(options: &Options) -> Section {
    Section {
        title: "start after kill -9",
        sides: ["10000 staged", "none"],
        pairs: pairs(options),
    }
}

fn pairs(options: &Options) -> Vec<Pair> {
    if !options.wants("recovery") {
        return Vec::new();
    }
    // Nothing goes up by itself.
    let place = Place::with(Kind::Dir, &Installed::newest(), |settings| Settings {
        toml: "idle-publish = \"1h\"\n".to_owned(),
        ..settings
    });
    let (bare, _) = place.pushed("app.git", 10);
    let none = restart(&place, &bare);
    stage(&place, &bare);
    let staged = restart(&place, &bare);
    let status = place.daemon().settings().status();
    assert_eq!(status["pending"]["files"], STAGED, "all are staged again");
    vec![
        Pair::new("until the mount answers", staged[0], none[0]),
        Pair::new("until git has an answer", staged[1], none[1]),
    ]
}

/// Medians of a few.
fn restart(place: &Place, bare: &Repo) -> [Duration; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        place.daemon().kill9();
        let began = Instant::now();
        place.daemon().launch();
        times[0].push(began.elapsed());
        bare.ok("rev-parse main");
        times[1].push(began.elapsed());
    }
    times.map(median)
}

/// Loose objects, written by one git process.
fn stage(place: &Place, bare: &Repo) {
    let source = place.work("source");
    let mut stream = String::new();
    for number in 0..STAGED {
        let content = noise(100, number as u64);
        let text: String = content.iter().map(|byte| format!("{byte:02x}")).collect();
        write!(stream, "blob\ndata {}\n{text}\n", text.len()).expect("writing to a String");
    }
    source.import(stream.as_bytes());
    let packs = source.names(".git/objects/pack");
    let pack = packs.iter().find(|name| name.ends_with(".pack"));
    let pack = pack.expect("fast-import makes one");
    let pack = std::fs::read(source.dir.join(".git/objects/pack").join(pack)).expect("reads");
    bare.bytes("unpack-objects -q", pack);
}
