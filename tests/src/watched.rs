//! The port of a daemon for those who watch it: metrics, health and readiness.

use prometheus_parse::{Sample, Scrape, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// Where a daemon answers.
pub struct Watched {
    address: String,
}

impl Watched {
    /// A port that is free now.
    #[allow(clippy::new_without_default, reason = "it looks for one")]
    pub fn new() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("is bound").to_string();
        Self { address }
    }

    /// An address, host:port, that nobody else uses.
    pub fn at(address: String) -> Self {
        Self { address }
    }

    /// What the daemon's settings say of it; a section, so the last of them.
    pub fn toml(&self) -> String {
        format!("[metrics]\nlisten = \"{}\"\n", self.address)
    }

    /// A connection that asks nothing.
    pub fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).expect("the daemon listens")
    }

    /// The status of the answer, and its text.
    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("asks");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answers");
        let (head, text) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.expect("a status"), text.to_owned())
    }

    /// All metrics as they are now.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200, "{text}");
        Metrics::parse(&text)
    }

    /// One value: of `name`, or of `name{label="value",…}`.
    #[track_caller]
    pub fn value(&self, series: &str) -> f64 {
        self.metrics().value(series)
    }
}

/// What was scraped.
pub struct Metrics {
    scrape: Scrape,
    /// The type of each.
    pub types: BTreeMap<String, String>,
}

impl Metrics {
    fn parse(text: &str) -> Self {
        let lines = text.lines().map(|line| Ok(line.to_owned()));
        let types = text.lines().filter_map(|line| {
            let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
            Some((name.to_owned(), kind.to_owned()))
        });
        Self {
            scrape: Scrape::parse(lines).expect("Prometheus' text format"),
            types: types.collect(),
        }
    }

    /// Their names.
    pub fn names(&self) -> BTreeSet<&str> {
        self.scrape.docs.keys().map(String::as_str).collect()
    }

    /// The label names of all samples of a metric.
    pub fn labels(&self, name: &str) -> BTreeSet<&str> {
        let of = self.scrape.samples.iter().filter(|it| it.metric == name);
        of.flat_map(|it| it.labels.keys().map(String::as_str))
            .collect()
    }

    /// The sum of all samples with these labels, perhaps with others beside them; 0 without any.
    pub fn value(&self, series: &str) -> f64 {
        self.samples(series).map(number).sum()
    }

    /// How many samples there are with these labels.
    pub fn count(&self, series: &str) -> usize {
        self.samples(series).count()
    }

    fn samples(&self, series: &str) -> impl Iterator<Item = &Sample> {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let name = name.to_owned();
        let labels: Vec<_> = labels
            .trim_end_matches('}')
            .split(',')
            .filter_map(|label| label.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned()))
            .collect();
        self.scrape.samples.iter().filter(move |sample| {
            let has = |(key, value): &(String, String)| sample.labels.get(key) == Some(value);
            sample.metric == name && labels.iter().all(has)
        })
    }
}

fn number(sample: &Sample) -> f64 {
    match &sample.value {
        Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => *value,
        other => panic!(
            "{}: ask for its _count or _sum, not {other:?}",
            sample.metric
        ),
    }
}
