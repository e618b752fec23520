//! `gitmoor top`: how fast a daemon works, at what, and what waits for what.
//!
//! The daemon only counts. [`Frame::between`] makes rates of two of its counts, which [`draw`]
//! shows in a terminal.

mod frame;
mod view;

pub use crate::metrics::Metric;
pub use frame::Frame;
use frame::StoreRates;
pub use view::draw;

use super::status::Status;
use super::{Failure, Reply, Request, data_dir, output};
use crate::admin::Client;
use crate::config::{ByteSize, Place, Seconds};
use clap::Args;
pub use gitmoor_fs::Traffic;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use serde::{Deserialize, Serialize};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// `gitmoor top`.
#[derive(Args, Debug)]
pub struct TopArgs {
    /// Print one frame as lines, and end
    #[arg(long)]
    pub once: bool,
    /// Print one frame as JSON, and end
    #[arg(long)]
    pub json: bool,
    /// Time between two frames
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub interval: Seconds,
}

/// What a daemon counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counters {
    /// How it is now.
    pub status: Status,
    /// By repository, since the daemon started.
    pub repositories: Vec<Traffic>,
    /// Its metrics: of a histogram the count and the sum.
    pub metrics: Vec<Metric>,
}

/// Shows frames until somebody quits, or prints one.
pub(super) fn run(place: &Place, args: &TopArgs) -> Result<(), Failure> {
    let mut source = Source::open(place)?;
    let interval = args.interval.0;
    if args.json || args.once {
        std::thread::sleep(interval);
        let frame = source.frame()?;
        match args.json {
            true => output::json(&frame)?,
            false => output::fields(&facts(&frame))?,
        }
        return Ok(());
    }
    if !std::io::stdout().is_terminal() {
        let wrong = "standard output is no terminal: --once or --json prints one frame";
        return Err(Failure::Usage(wrong.to_owned()));
    }
    // A panic restores the terminal as well.
    let mut terminal = ratatui::try_init()?;
    let shown = show(&mut terminal, &mut source, interval);
    ratatui::try_restore()?;
    shown
}

/// A daemon's counters, as of the last look.
struct Source {
    client: Client,
    of: String,
    last: (Instant, Counters),
}

impl Source {
    fn open(place: &Place) -> Result<Self, Failure> {
        let dir = data_dir(place)?;
        let mut client = Client::connect(&dir)?;
        let last = (Instant::now(), look(&mut client)?);
        Ok(Self {
            client,
            of: dir.path().display().to_string(),
            last,
        })
    }

    /// What happened since the last one.
    fn frame(&mut self) -> Result<Frame, Failure> {
        let (now, counters) = (Instant::now(), look(&mut self.client)?);
        let (then, before) = std::mem::replace(&mut self.last, (now, counters.clone()));
        Ok(Frame::between(&before, counters, now - then))
    }
}

fn look(client: &mut Client) -> Result<Counters, Failure> {
    match client.ask(&Request::Counters)?? {
        Reply::Counters(counters) => Ok(*counters),
        other => Err(client
            .misunderstood(format!("unexpected reply {other:?}"))
            .into()),
    }
}

fn show(
    terminal: &mut DefaultTerminal,
    source: &mut Source,
    interval: Duration,
) -> Result<(), Failure> {
    let mut frame = source.frame()?;
    loop {
        terminal.draw(|on| draw(&frame, &source.of, on))?;
        let next = Instant::now() + interval;
        while let Some(left) = next.checked_duration_since(Instant::now()) {
            match event::poll(left)?.then(event::read).transpose()? {
                Some(event) if quits(&event) => return Ok(()),
                // A new size, perhaps.
                Some(_) => {
                    terminal.draw(|on| draw(&frame, &source.of, on))?;
                }
                None => {}
            }
        }
        frame = source.frame()?;
    }
}

/// In a terminal that is drawn on, Ctrl-C is a key.
fn quits(event: &Event) -> bool {
    event
        .as_key_press_event()
        .is_some_and(|key| match key.code {
            KeyCode::Char('q') | KeyCode::Esc => true,
            KeyCode::Char('c') => key.modifiers.contains(KeyModifiers::CONTROL),
            _ => false,
        })
}

fn facts(frame: &Frame) -> Vec<(&'static str, String)> {
    let (fuse, cache, raft) = (&frame.fuse, &frame.cache, &frame.replicator);
    let ratio = cache.hit_ratio;
    let mut facts = vec![
        ("operations/s", format!("{:.1}", fuse.operations)),
        ("errors/s", format!("{:.1}", fuse.errors)),
        (
            "cache",
            format!(
                "{} of {}",
                ByteSize(cache.size.bytes),
                ByteSize(cache.size.limit)
            ),
        ),
        (
            "hits",
            ratio.map_or("no reads".to_owned(), |ratio| {
                format!("{:.0} %", ratio * 100.0)
            }),
        ),
        ("pending", format!("{} files", frame.pending.files)),
        ("proposals/s", format!("{:.1}", raft.proposals)),
    ];
    for it in &frame.store {
        let said = format!(
            "{} {:.1}/s, {:.1} errors/s",
            it.kind, it.requests, it.errors
        );
        facts.push(("store", said));
    }
    for it in &frame.repositories {
        let bytes = |rate: f64| ByteSize(rate as u64);
        let said = format!(
            "{}: {:.1} operations/s, {}/s from the store, {}/s to it",
            it.name,
            it.operations,
            bytes(it.received_bytes),
            bytes(it.sent_bytes)
        );
        facts.push(("repository", said));
    }
    facts.extend(frame.waits.iter().map(|wait| ("waiting", wait.clone())));
    facts
}
