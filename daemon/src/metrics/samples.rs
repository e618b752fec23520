//! All metrics as plain numbers.

use prometheus::proto::{MetricFamily, MetricType};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One sample of a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Name of the metric.
    pub name: String,
    /// Value of each label by its name.
    pub labels: BTreeMap<String, String>,
    /// The value that was scraped.
    pub value: f64,
}

/// Of every metric that there is; of a histogram the count and the sum.
pub(crate) fn samples() -> Vec<Metric> {
    let mut samples = Vec::new();
    for family in prometheus::gather() {
        add(&family, &mut samples);
    }
    samples
}

fn add(family: &MetricFamily, samples: &mut Vec<Metric>) {
    for metric in family.get_metric() {
        let labels = metric.get_label().iter();
        let labels = labels.map(|label| (label.name().to_owned(), label.value().to_owned()));
        let labels: BTreeMap<_, _> = labels.collect();
        let mut sample = |suffix: &str, value| {
            let name = format!("{}{suffix}", family.name());
            let labels = labels.clone();
            samples.push(Metric {
                name,
                labels,
                value,
            });
        };
        match family.get_field_type() {
            MetricType::COUNTER => sample("", metric.get_counter().get_value()),
            MetricType::HISTOGRAM => {
                let histogram = metric.get_histogram();
                sample("_count", histogram.get_sample_count() as f64);
                sample("_sum", histogram.get_sample_sum());
            }
            _ => sample("", metric.get_gauge().get_value()),
        }
    }
}
