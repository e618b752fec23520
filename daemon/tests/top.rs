//! `gitmoor top`: rates of two looks, and how they are drawn.

use gitmoor::command::status::{Cache, Pending, Staging, State, Status};
use gitmoor::command::top::{Counters, Frame, Metric, Traffic, draw};
use gitmoor_fs::Staged;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::time::Duration;

fn metric(name: &str, labels: &[(&str, &str)], value: f64) -> Metric {
    let labels = labels
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()));
    Metric {
        name: name.to_owned(),
        labels: labels.collect(),
        value,
    }
}

fn traffic(name: &str, operations: u64, received_bytes: u64, sent_bytes: u64) -> Traffic {
    Traffic {
        id: format!("id of {name}"),
        name: name.to_owned(),
        operations,
        received_bytes,
        sent_bytes,
    }
}

fn status() -> Status {
    Status {
        pid: 1,
        version: String::new(),
        state: State::Serving,
        uptime_seconds: 1,
        data: "/data".into(),
        store: "dir:/store".to_owned(),
        offline: false,
        read_only: false,
        owner: None,
        refused: Vec::new(),
        not_allowed: Vec::new(),
        mounts: Vec::new(),
        doors: Vec::new(),
        replicator: gitmoor_replicator::Status {
            term: 7,
            leader: Some(1),
            lag: [(1, 0), (2, 12)].into(),
            ..Default::default()
        },
        asks: None,
        confirmed_seconds_ago: None,
        pending: Pending {
            files: 3,
            bytes: 2048,
            failure: Some("the store is down".to_owned()),
        },
        staging: Staging {
            staged: Staged {
                finished: 3,
                making: 0,
                bytes: 2048,
            },
            limit: None,
        },
        cache: Cache {
            bytes: 1 << 20,
            limit: 4 << 20,
        },
        waits: vec!["a ref change in app.git waits for the store".to_owned()],
    }
}

fn counters(repositories: Vec<Traffic>, metrics: Vec<Metric>) -> Counters {
    Counters {
        status: status(),
        repositories,
        metrics,
    }
}

fn frame() -> Frame {
    let get = |outcome| [("kind", "get"), ("outcome", outcome)];
    let requests = "gitmoor_s3_requests_total";
    let before = counters(
        vec![
            traffic("idle.git", 5, 100, 100),
            traffic("app.git", 10, 0, 0),
        ],
        vec![
            metric("gitmoor_cache_hits_total", &[], 10.0),
            metric("gitmoor_cache_misses_total", &[], 10.0),
            metric(requests, &get("ok"), 4.0),
        ],
    );
    let after = counters(
        vec![
            traffic("idle.git", 5, 100, 100),
            traffic("app.git", 30, 4096, 0),
            traffic("new.git", 8, 0, 2048),
        ],
        vec![
            metric("gitmoor_cache_hits_total", &[], 16.0),
            metric("gitmoor_cache_misses_total", &[], 12.0),
            metric(requests, &get("ok"), 10.0),
            metric(requests, &get("not_found"), 2.0),
            metric(requests, &get("unavailable"), 4.0),
            metric("gitmoor_s3_in_flight_requests", &[("kind", "get")], 3.0),
            metric("gitmoor_s3_request_seconds_count", &[("kind", "get")], 12.0),
            metric("gitmoor_s3_request_seconds_sum", &[("kind", "get")], 6.0),
        ],
    );
    Frame::between(&before, after, Duration::from_secs(2))
}

#[test]
fn rates_are_differences() {
    let frame = frame();
    let names: Vec<_> = frame.repositories.iter().map(|it| &it.name[..]).collect();
    assert_eq!(names, ["app.git", "new.git", "idle.git"], "by traffic");
    let app = &frame.repositories[0];
    assert_eq!((app.operations, app.received_bytes), (10.0, 2048.0));
    assert_eq!(frame.repositories[1].sent_bytes, 1024.0, "new: from 0");
    assert_eq!(frame.repositories[2].operations, 0.0);
    assert_eq!(frame.cache.hit_ratio, Some(0.75));
    let [get] = &frame.store[..] else {
        panic!("{:?}", frame.store);
    };
    assert_eq!((get.requests, get.errors, get.in_flight), (6.0, 2.0, 3));
    assert_eq!(get.mean_seconds, Some(0.5));
}

/// A daemon that was started anew counts from 0.
#[test]
fn nothing_runs_backwards() {
    let before = counters(
        vec![traffic("app.git", 9, 9, 9)],
        vec![metric("gitmoor_cache_hits_total", &[], 9.0)],
    );
    let after = counters(
        vec![traffic("app.git", 1, 1, 1)],
        vec![metric("gitmoor_cache_hits_total", &[], 1.0)],
    );
    let frame = Frame::between(&before, after, Duration::from_secs(1));
    assert_eq!(frame.repositories[0].operations, 0.0);
    assert_eq!(frame.cache.hit_ratio, None);
}

#[test]
fn all_of_it_is_drawn() {
    let mut terminal = Terminal::new(TestBackend::new(100, 36)).expect("a terminal");
    let frame = frame();
    let drawn = terminal
        .draw(|on| draw(&frame, "/data", on))
        .expect("drawn");
    let width = usize::from(drawn.area.width);
    let cells: Vec<_> = drawn
        .buffer
        .content()
        .iter()
        .map(|cell| cell.symbol())
        .collect();
    let lines: Vec<_> = cells.chunks(width).map(|line| line.concat()).collect();
    let shown = |words: &[&str]| {
        let has_all = |line: &&String| words.iter().all(|word| line.contains(word));
        lines.iter().filter(has_all).count()
    };
    for words in [
        &["gitmoor top: /data"][..],
        &["cache 1.0 MiB of 4.0 MiB"],
        &["75 % hits, 0 evictions/s"],
        &["pending 3 files, 2.0 KiB"],
        &["follower, term 7, node 1 leads"],
        &["entries behind: 1: 0, 2: 12"],
        &["get", "6.0", "2.0", "3", "500.0 ms"],
        &["a ref change in app.git waits for the store"],
        &["publishing fails: the store is down"],
        &["app.git", "10", "2.0 KiB"],
        &["new.git", "4", "1.0 KiB"],
        &["q quits"],
    ] {
        assert_eq!(shown(words), 1, "{words:?} in\n{}", lines.join("\n"));
    }
}

#[test]
fn a_small_terminal_is_no_reason_to_fall_over() {
    for (width, height) in [(1, 1), (10, 3), (40, 12)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        let frame = frame();
        terminal
            .draw(|on| draw(&frame, "/data", on))
            .expect("drawn");
    }
}
