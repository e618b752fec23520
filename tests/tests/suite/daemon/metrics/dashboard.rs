//! The dashboard in the repository: what Grafana's documentation of its JSON model asks for
//! (https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/),
//! and every metric and label in it is served.

use super::exposition::do_everything;
use super::place;
use gitmoor_tests::watched::Metrics;
use serde_json::Value;
use std::collections::BTreeSet;

/// Grafana's grid.
const COLUMNS: u64 = 24;

/// Labels that Prometheus adds, or histograms have.
const GIVEN: [&str; 3] = ["instance", "job", "le"];

fn dashboard() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../dashboards/gitmoor.json");
    let text = std::fs::read_to_string(path).expect("the dashboard");
    serde_json::from_str(&text).expect("JSON")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let list = value[key].as_array();
    list.unwrap_or_else(|| panic!("{key} is a list in {value:#}"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    let text = value[key].as_str().filter(|text| !text.is_empty());
    text.unwrap_or_else(|| panic!("{key} is a text in {value:#}"))
}

/// All expressions, with the titles of their panels.
fn expressions(dashboard: &Value) -> Vec<(&str, &str)> {
    let panels = list(dashboard, "panels").iter();
    let charts = panels.filter(|panel| panel["type"] != "row");
    charts
        .flat_map(|panel| {
            let targets = list(panel, "targets").iter();
            targets.map(|target| (text(panel, "title"), text(target, "expr")))
        })
        .collect()
}

/// Words of an expression that are names; what is quoted is none.
fn names(expression: &str) -> Vec<&str> {
    let unquoted = expression.split('"').step_by(2);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    unquoted
        .flat_map(|part| part.split(move |c| !is_name(c)))
        .filter(|word| !word.is_empty())
        .collect()
}

/// The metric that a series is of.
fn metric<'a>(series: &'a str, metrics: &Metrics) -> &'a str {
    let base = ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|suffix| series.strip_suffix(suffix));
    let histogram =
        base.filter(|base| metrics.types.get(*base).is_some_and(|it| it == "histogram"));
    histogram.unwrap_or(series)
}

#[test]
fn what_it_shows_is_served() {
    let (place, watched) = place();
    do_everything(&place);
    let metrics = watched.metrics();
    let known = metrics.names();
    let dashboard = dashboard();
    let mut shown = BTreeSet::new();
    for (panel, expression) in expressions(&dashboard) {
        let of: Vec<_> = names(expression)
            .into_iter()
            .filter(|name| name.starts_with("gitmoor_"))
            .map(|name| metric(name, &metrics))
            .collect();
        assert!(!of.is_empty(), "{panel}: {expression}");
        for name in &of {
            assert!(known.contains(name), "{panel}: {name} is not served");
        }
        let labels: BTreeSet<_> = of
            .iter()
            .flat_map(|name| {
                let count = format!("{name}_count");
                let histogram = metrics.types[*name] == "histogram";
                let of = if histogram { &count } else { *name };
                metrics
                    .labels(of)
                    .into_iter()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect();
        for label in grouped(expression).into_iter().chain(selected(expression)) {
            let is_known = GIVEN.contains(&label) || labels.contains(label);
            assert!(is_known, "{panel}: no label {label} in {expression}");
        }
        let depth = |open, close| {
            expression.matches(open).count() as i64 - expression.matches(close).count() as i64
        };
        assert_eq!((depth('(', ')'), depth('{', '}')), (0, 0), "{expression}");
        shown.extend(of);
    }
    assert!(shown.len() > 25, "most of them are shown: {shown:?}");
}

/// `by (a, b)`.
fn grouped(expression: &str) -> Vec<&str> {
    let groups = expression.split("by (").skip(1);
    let inside = groups.filter_map(|group| group.split(')').next());
    inside.flat_map(|labels| labels.split(", ")).collect()
}

/// `{a="x", b!~"y"}`.
fn selected(expression: &str) -> Vec<&str> {
    let selectors = expression.split('{').skip(1);
    let inside = selectors.filter_map(|selector| selector.split('}').next());
    inside
        .flat_map(|labels| labels.split(", "))
        .filter_map(|label| label.split(['=', '!']).next())
        .collect()
}

#[test]
fn it_has_grafanas_form() {
    let dashboard = dashboard();
    for key in ["uid", "title", "timezone", "refresh"] {
        text(&dashboard, key);
    }
    for key in ["schemaVersion", "version", "graphTooltip"] {
        assert!(dashboard[key].is_u64(), "{key}");
    }
    assert!(dashboard["editable"].is_boolean());
    assert!(list(&dashboard, "tags").iter().all(Value::is_string));
    for key in ["from", "to"] {
        text(&dashboard["time"], key);
    }
    list(&dashboard["annotations"], "list");
    let variables: Vec<_> = list(&dashboard["templating"], "list")
        .iter()
        .map(|variable| (text(variable, "name"), text(variable, "type")))
        .collect();
    assert_eq!(
        variables,
        [("datasource", "datasource"), ("instance", "query")]
    );
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in list(&dashboard, "panels") {
        assert!(
            ids.insert(panel["id"].as_u64().expect("an id")),
            "{panel:#}"
        );
        let place = |key: &str| panel["gridPos"][key].as_u64().expect("a number");
        let (x, y, w, h) = (place("x"), place("y"), place("w"), place("h"));
        assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{panel:#}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(
                taken.insert(cell),
                "{} covers another",
                text(panel, "title")
            );
        }
        match text(panel, "type") {
            "row" => assert!(panel["collapsed"].is_boolean() && list(panel, "panels").is_empty()),
            "timeseries" | "stat" => chart(panel),
            other => panic!("a panel of type {other}"),
        }
    }
}

fn chart(panel: &Value) {
    let source = |it: &Value| {
        let source = &it["datasource"];
        (text(source, "type") == "prometheus") && text(source, "uid") == "${datasource}"
    };
    assert!(source(panel), "{panel:#}");
    text(&panel["fieldConfig"]["defaults"], "unit");
    list(&panel["fieldConfig"], "overrides");
    assert!(panel["options"].is_object());
    let mut queries = BTreeSet::new();
    for target in list(panel, "targets") {
        assert!(
            source(target) && queries.insert(text(target, "refId")),
            "{target:#}"
        );
        assert!(target["legendFormat"].is_string());
    }
    assert!(!queries.is_empty());
}
