//! How far a command is, on standard error if that is a terminal, else nowhere.

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
