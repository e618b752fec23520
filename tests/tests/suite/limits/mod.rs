//! Few descriptors, many clients.

mod clients;

use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::Installed;
use gitmoor_tests::mount::Settings;
use gitmoor_tests::place::Place;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// What is to happen by itself has happened by then.
const BOUND: Duration = Duration::from_secs(60);

/// A mount over the server that counts, with these settings.
fn place(toml: &str) -> Place {
    Place::with(Kind::S3s, &Installed::newest(), |settings| Settings {
        toml: toml.to_owned(),
        ..settings
    })
}
