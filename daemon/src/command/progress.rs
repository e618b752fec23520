//! How far a command is, on standard error if that is a terminal, else nowhere.

use super::Failure;
use super::data_dir;
use super::{Reply, Request};
use crate::admin::Client;
use crate::config::Place;
use gitmoor_jobs::runner::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// A bar of this length.
pub(super) fn bar(template: &str, length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length).with_style(style(template));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

pub(super) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates here are right")
}

/// Asks the daemon for long work, and shows how far that is.
pub(super) fn ask_watching(place: &Place, request: &Request) -> Result<Reply, Failure> {
    let bar = bar(COUNTING, 0);
    let mut client = Client::connect(&data_dir(place)?)?;
    let answer = client.ask_watching(request, &mut |progress| show(&bar, progress));
    bar.finish_and_clear();
    Ok(answer??)
}

/// While it is not known how much there is to do.
const COUNTING: &str = "{spinner} {msg} {pos} {elapsed}";

fn show(bar: &ProgressBar, progress: &Progress) {
    bar.set_style(style(match progress.total {
        Some(_) => "{spinner} {msg} {percent:>3}% [{wide_bar}] {elapsed}",
        None => COUNTING,
    }));
    if let Some(total) = progress.total {
        bar.set_length(total);
    }
    bar.set_message(format!("{}: {}", progress.repository, progress.phase));
    bar.set_position(progress.done);
}
