//! A frame, drawn.

use super::{Frame, StoreRates};
use crate::config::ByteSize;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row, Table};

/// Shows a frame; `of` says which daemon it is.
pub fn draw(frame: &Frame, of: &str, terminal: &mut ratatui::Frame<'_>) {
    let store = frame.store.len().max(1) as u16 + 3;
    let waiting = waiting(frame);
    let waits = (waiting.len() as u16 + 2).min(8);
    let rows = [
        Constraint::Length(1),
        Constraint::Length(7),
        Constraint::Length(store),
        Constraint::Length(waits),
        Constraint::Min(4),
        Constraint::Length(1),
    ];
    let areas = Layout::vertical(rows).split(terminal.area());
    let title = Style::new().add_modifier(Modifier::BOLD);
    terminal.render_widget(Line::styled(format!("gitmoor top: {of}"), title), areas[0]);
    let halves = Layout::horizontal([Constraint::Percentage(50); 2]).split(areas[1]);
    lines(terminal, halves[0], "files and cache", files(frame));
    lines(terminal, halves[1], "replicator", replicator(frame));
    requests(terminal, areas[2], &frame.store);
    lines(terminal, areas[3], "what waits for what", waiting);
    repositories(terminal, areas[4], frame);
    terminal.render_widget(Line::raw("q quits"), areas[5]);
}

fn lines(terminal: &mut ratatui::Frame<'_>, area: Rect, title: &str, lines: Vec<String>) {
    let lines: Vec<_> = lines.into_iter().map(Line::raw).collect();
    let block = Block::bordered().title(title.to_owned());
    terminal.render_widget(Paragraph::new(lines).block(block), area);
}

fn files(frame: &Frame) -> Vec<String> {
    let (fuse, cache) = (&frame.fuse, &frame.cache);
    let ratio = cache.hit_ratio;
    let hits = ratio.map_or("no reads".to_owned(), |ratio| {
        format!("{:.0} % hits", ratio * 100.0)
    });
    let limit = frame.staging.limit;
    let limit = limit.map_or("unlimited".to_owned(), |limit| ByteSize(limit).to_string());
    vec![
        format!(
            "{:.0} operations/s, {:.0} errors/s, {} each",
            fuse.operations,
            fuse.errors,
            time(fuse.mean_seconds)
        ),
        format!(
            "cache {} of {}",
            ByteSize(cache.size.bytes),
            ByteSize(cache.size.limit)
        ),
        format!("{hits}, {:.0} evictions/s", cache.evictions),
        format!("staged {} of {limit}", ByteSize(frame.staging.staged.bytes)),
        format!(
            "pending {} files, {}",
            frame.pending.files,
            ByteSize(frame.pending.bytes)
        ),
    ]
}

fn replicator(frame: &Frame) -> Vec<String> {
    let raft = &frame.replicator;
    let status = &raft.status;
    let role = status.role;
    let leader = status
        .leader
        .map_or("nobody".to_owned(), |node| format!("node {node}"));
    let lag = status
        .lag
        .iter()
        .map(|(node, lag)| format!("{node}: {lag}"));
    vec![
        format!("{role}, term {}, {leader} leads", status.term),
        format!("committed {}, applied {}", status.commit, status.applied),
        format!("entries behind: {}", lag.collect::<Vec<_>>().join(", ")),
        format!(
            "{:.0} proposals/s, {} each, {} wait",
            raft.proposals,
            time(raft.mean_commit_seconds),
            status.pending
        ),
    ]
}

fn waiting(frame: &Frame) -> Vec<String> {
    let mut waits = frame.waits.clone();
    let failure = frame.pending.failure.iter();
    waits.extend(failure.map(|why| format!("publishing fails: {why}")));
    if waits.is_empty() {
        waits.push("nothing".to_owned());
    }
    waits
}

fn requests(terminal: &mut ratatui::Frame<'_>, area: Rect, store: &[StoreRates]) {
    let rows = store.iter().map(|it| {
        Row::new([
            it.kind.clone(),
            format!("{:.1}", it.requests),
            format!("{:.1}", it.errors),
            it.in_flight.to_string(),
            time(it.mean_seconds),
        ])
    });
    let header = ["request", "per second", "errors", "in flight", "time"];
    table(terminal, area, "store", &header, rows.collect());
}

fn repositories(terminal: &mut ratatui::Frame<'_>, area: Rect, frame: &Frame) {
    let bytes = |rate: f64| ByteSize(rate as u64).to_string();
    let rows = frame.repositories.iter().map(|it| {
        Row::new([
            it.name.clone(),
            format!("{:.0}", it.operations),
            bytes(it.received_bytes),
            bytes(it.sent_bytes),
        ])
    });
    let header = ["repository", "operations/s", "from store/s", "to store/s"];
    table(terminal, area, "repositories", &header, rows.collect());
}

fn table(
    terminal: &mut ratatui::Frame<'_>,
    area: Rect,
    title: &str,
    header: &[&'static str],
    rows: Vec<Row<'_>>,
) {
    let mut widths = vec![Constraint::Min(16)];
    widths.resize(header.len(), Constraint::Length(13));
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let table = Table::new(rows, widths).header(Row::new(header.to_vec()).style(bold));
    let block = Block::bordered().title(title.to_owned());
    terminal.render_widget(table.block(block), area);
}

fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds < 0.001 => format!("{:.0} us", seconds * 1e6),
        Some(seconds) if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        Some(seconds) => format!("{seconds:.1} s"),
    }
}
