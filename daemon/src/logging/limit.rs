//! How many lines each place in the code may write.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

/// Lines of one place in the code, in each [`PERIOD`].
pub(super) const LINES: u64 = 100;

/// See [`LINES`].
const PERIOD: Duration = Duration::from_secs(60);

/// See the module. Debug lines are for those who asked for all of them, and are not counted; nor are requests at a door by
/// those who have shown a token.
#[derive(Clone, Default)]
pub(super) struct Limit {
    /// Lines of this period.
    written: Arc<Mutex<HashMap<Identifier, CallSite>>>,
}

struct CallSite {
    lines: u64,
    metadata: &'static Metadata<'static>,
}

/// Lines of one place that were left out.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct LeftOut {
    /// As in `fs/src/fuse/calls.rs:55`.
    pub(super) place: String,
    pub(super) lines: u64,
}

impl Limit {
    /// Whether one more line may be written.
    fn allows(&self, metadata: &'static Metadata<'static>) -> bool {
        let is_access = metadata.target() == gitmoor_serve::ACCESS;
        if is_access || *metadata.level() > Level::INFO {
            return true;
        }
        let mut written = self.written.lock();
        let place = written
            .entry(metadata.callsite())
            .or_insert(CallSite { lines: 0, metadata });
        place.lines += 1;
        place.lines <= LINES
    }

    /// A period ends: what was left out in it.
    pub(super) fn renew(&self) -> Vec<LeftOut> {
        let written = std::mem::take(&mut *self.written.lock());
        let too_many = written.into_values().filter(|place| place.lines > LINES);
        let left_out = too_many.map(|CallSite { lines, metadata }| LeftOut {
            place: format!(
                "{}:{}",
                metadata.file().unwrap_or(metadata.target()),
                metadata.line().unwrap_or_default()
            ),
            lines: lines - LINES,
        });
        left_out.collect()
    }

    /// Begins a period after the other, for as long as the process lives.
    pub(super) fn keep_renewing(&self) -> std::io::Result<()> {
        let limit = self.clone();
        let run = move || {
            loop {
                std::thread::sleep(PERIOD);
                for LeftOut { place, lines } in limit.renew() {
                    tracing::warn!(
                        place,
                        lines,
                        "more lines of this place were left out: it wrote {LINES} within a minute"
                    );
                }
            }
        };
        let thread = std::thread::Builder::new().name("log".to_owned());
        thread.spawn(run).map(drop)
    }
}

impl<S: Subscriber> Filter<S> for Limit {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        self.allows(event.metadata())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Write};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::{Layer, Registry, fmt};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<u64>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            *self.0.lock() += bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_place_writes_so_many_lines_and_the_rest_is_counted() {
        let (lines, limit) = (Lines::default(), Limit::default());
        let writer = lines.clone();
        let layer = fmt::layer().with_writer(move || writer.clone());
        let log = Registry::default().with(layer.with_filter(limit.clone()));
        tracing::subscriber::with_default(log, || {
            let user = || tracing::error!("a file is damaged");
            (0..LINES + 5).for_each(|_| user());
            tracing::error!("another place");
            assert_eq!(*lines.0.lock(), LINES + 1);
            let left_out = limit.renew();
            assert_eq!(left_out.len(), 1);
            assert_eq!(left_out[0].lines, 5);
            assert!(left_out[0].place.contains("limit.rs:"), "{left_out:?}");
            user();
            assert_eq!(*lines.0.lock(), LINES + 2);
            (0..2 * LINES).for_each(|_| tracing::debug!("asked for"));
            assert_eq!(*lines.0.lock(), 3 * LINES + 2);
            assert_eq!(limit.renew(), []);
        });
    }
}
